import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, nestbox } from '../nestbox.ts';
import { create, inside, left, listing, machine, says, succeeds, templateOf, tinyRoot } from '../roots.ts';

const long = 'a name of many letters '.repeat(10).trim();
const deep = Array.from({ length: 12 }, (_, i) => `folder-${i}-${'x'.repeat(20)}`).join('/');

/** A root with one of everything that an archive can hold. */
function treasury(t: TestContext): string {
  const root = tinyRoot(`${folder(t)}/root`);
  const at = (name: string) => `${root}/srv/${name}`;
  mkdirSync(at(deep), { recursive: true });
  const file = (name: string, text = `${name}\n`) => {
    writeFileSync(at(name), text);
    return at(name);
  };
  says('setfattr', '-n', 'user.note', '-v', 'kept', file('attribute'));
  says('setfattr', '-n', 'user.pax.flags', '-v', 'em', at('attribute')); // as a hardened Gentoo marks its programs
  says('setfattr', '-n', 'trusted.note', '-v', 'of root', at('attribute'));
  says('cp', '/bin/busybox', at('capable'));
  says('setcap', 'cap_net_bind_service,cap_net_raw=ep', at('capable'));
  says('setfacl', '-m', 'u:54321:rw,g:12345:r,m::rw', file('acl'));
  mkdirSync(at('acl-folder'));
  says('setfacl', '-d', '-m', 'u:54321:rwx', at('acl-folder'));
  file('hard-1');
  for (const name of ['hard-2', 'acl-folder/hard-3']) says('ln', at('hard-1'), at(name));
  for (const [name, to] of [['relative', 'hard-1'], ['absolute', '/etc/passwd'], ['dangling', 'nowhere/at all']] as const) says('ln', '-s', to, at(name));
  for (const [name, major, minor] of [['null', '1', '3'], ['zero', '1', '5']] as const) {
    says('mknod', at(name), 'c', major, minor);
    says('chmod', '0666', at(name));
  }
  says('mknod', at('block'), 'b', '7', '0');
  says('mkfifo', '-m', '0640', at('pipe'));
  file('sparse', 'begin');
  truncateSync(at('sparse'), 64 * 2 ** 20);
  writeFileSync(at('sparse'), 'end', { flag: 'a' });
  says('chown', '54321:65000', file('foreign'));
  says('chown', '-h', '60001:60002', at('dangling'));
  says('cp', '/bin/busybox', at('setuid'));
  says('chown', '12:34', at('setuid'));
  says('chmod', '6755', at('setuid'));
  mkdirSync(at('sticky'));
  says('chmod', '3777', at('sticky'));
  file('secret');
  says('chmod', '0000', at('secret'));
  for (const name of [long, `${deep}/${long}`, 'two\nlines', 'Grüße', ' space']) file(name);
  mkdirSync(at('closed'));
  file('closed/inside');
  says('touch', '-d', '2001-02-03 04:05:06.123456789 UTC', file('old'), at('closed'));
  says('chmod', '0555', at('closed'));
  return root;
}

const kinds = { tar: '--no-auto-compress', 'tar.gz': '--gzip', 'tar.xz': '--xz', 'tar.zst': '--zstd', 'tar.bz2': '--bzip2' };

function pack(root: string, archive: string, ...options: string[]): string {
  // The archive's own names for its ids, as on the system that it was made on: here they are those of other ids.
  const names = { owner: '+54321 daemon:54321\n+12 bin:12\n', group: '+65000 daemon:65000\n' };
  const maps = Object.entries(names).map(([kind, lines]) => {
    writeFileSync(`${archive}.${kind}`, lines);
    return `--${kind}-map=${archive}.${kind}`;
  });
  says('tar', '--create', '--file', archive, '--directory', root, ...maps, '--xattrs', '--xattrs-include=*', '--acls', '--sparse', '--format=posix', ...options, '.');
  return archive;
}

test('what is in an archive is in the root that is made from it: attributes, capabilities, ACLs, links, nodes, holes, owners, times', (t) => {
  const root = treasury(t);
  const wanted = listing(root);
  const archives = folder(t);
  for (const [ending, option] of Object.entries(kinds)) {
    const name = `roots-${ending.replace('.', '-')}`;
    create(t, name, `[root]\ntar = "${pack(root, `${archives}/stage3.${ending}`, option)}"\n`);
    const made = templateOf(name);
    const at = (path: string) => `${made}/srv/${path}`;
    const stat = (format: string, path: string) => says('stat', `--format=${format}`, at(path)).trimEnd();

    assert.equal(says('getfattr', '--absolute-names', '-n', 'user.note', '--only-values', at('attribute')), 'kept', ending);
    assert.equal(says('getcap', at('capable')).replace(/.* /, '').trim(), 'cap_net_bind_service,cap_net_raw=ep');
    assert.deepEqual(says('getfacl', '-cnpE', at('acl')).trim().split('\n'), ['user::rw-', 'user:54321:rw-', 'group::r--', 'group:12345:r--', 'mask::rw-', 'other::r--']);
    assert.match(says('getfacl', '-cnpE', at('acl-folder')), /^default:user:54321:rwx$/m);
    assert.deepEqual(new Set(['hard-1', 'hard-2', 'acl-folder/hard-3'].map((path) => stat('%i %h', path))).size, 1);
    assert.equal(stat('%h', 'hard-1'), '3');
    assert.deepEqual(['relative', 'absolute', 'dangling'].map((path) => stat('%N', path).replace(/.* -> /, '')), ["'hard-1'", "'/etc/passwd'", "'nowhere/at all'"]);
    assert.deepEqual(['null', 'zero', 'block', 'pipe'].map((path) => stat('%F %t:%T %a', path)), ['character special file 1:3 666', 'character special file 1:5 666', 'block special file 7:0 644', 'fifo 0:0 640']);
    assert.equal(stat('%s', 'sparse'), `${64 * 2 ** 20 + 3}`);
    assert.ok(statSync(at('sparse')).blocks * 512 < 2 ** 20, 'the holes of the sparse file are holes');
    assert.equal(readFileSync(at('sparse')).subarray(-3).toString(), 'end');
    assert.deepEqual([stat('%u:%g', 'foreign'), stat('%u:%g', 'dangling')], ['54321:65000', '60001:60002']);
    assert.deepEqual([stat('%u:%g %a', 'setuid'), stat('%a', 'sticky'), stat('%a', 'secret')], ['12:34 6755', '3777', '0']);
    assert.deepEqual([stat('%.9Y', 'old'), stat('%.9Y %a', 'closed')], ['981173106.123456789', '981173106.123456789 555']);
    for (const path of [long, `${deep}/${long}`, 'two\nlines', 'Grüße', ' space', 'closed/inside']) assert.equal(readFileSync(at(path), 'utf8'), `${path}\n`);
    assert.deepEqual(listing(made), wanted, ending);
    assert.equal(inside(name, 'cat', '/srv/hard-2'), 'hard-1\n');
    assert.equal(inside(name, 'stat', '-c', '%u:%g %a', '/srv/setuid', '/srv/foreign'), '12:34 6755\n54321:65000 644\n');
  }
});

/** Of each entry below /srv, as busybox tells it: kind, rights and owner; of all but folders the number of links, device, size and time; where links lead. */
const everyEntry = (find: string, stat: string): string =>
  `cd "$0/srv" && { ${find} . ! -type d -exec ${stat} -c '%n|%F|%a|%u:%g|%h|%t:%T|%s|%Y' {} +; ${find} . -type d -exec ${stat} -c '%n|%F|%a|%u:%g' {} +; ${find} . -type l -exec readlink {} \\; ; }`;

test('a stand-in of a stage3 is in a chroot as it is in the archive, entry by entry, from xz and from zstd', (t) => {
  const root = treasury(t);
  const archives = folder(t);
  const wanted = says('busybox', 'sh', '-c', everyEntry('busybox find', 'busybox stat'), root).split('\n').sort();
  assert.ok(wanted.length > 40, `${wanted.length}`);
  for (const [ending, option] of [['tar.xz', '--xz'], ['tar.zst', '--zstd']] as const) {
    const name = `roots-chroot-${ending.replace('tar.', '')}`;
    create(t, name, `engine = "chroot"\nusers = "host"\nnetwork = "host"\n[root]\ntar = "${pack(root, `${archives}/stage3.${ending}`, option)}"\n`);
    assert.deepEqual(inside(name, 'sh', '-c', everyEntry('find', 'stat'), '').split('\n').sort(), wanted, ending);
  }
});

test('a device node in the archive opens nothing inside, whoever root is there', (t) => {
  const archive = pack(treasury(t), `${folder(t)}/nodes.tar`);
  for (const users of ['own', 'host']) {
    const name = `roots-nodes-${users}`;
    create(t, name, `users = "${users}"\n[root]\ntar = "${archive}"\n`);
    assert.equal(inside(name, 'sh', '-c', 'stat -c %t:%T /srv/zero; head -c 3 /dev/zero | wc -c').replace(/ /g, ''), '1:5\n3\n', 'the node is there, and reading from one that is granted works');
    for (const program of ['head -c 1 /srv/zero', 'echo x > /srv/null', 'cp -a /srv/zero /tmp/zero; head -c 1 /tmp/zero', 'mknod /tmp/null c 1 3 && echo x > /tmp/null']) {
      const { status, stderr } = nestbox(['run', name, '--', 'sh', '-c', program]);
      if (users === 'host' && program.includes('/tmp/')) continue; // root with the host's ids may make nodes that are granted anyway
      assert.notEqual(status, 0, `${users}: ${program}`);
      assert.match(stderr, /denied|not permitted/, program);
    }
  }
});

test('an archive that is cut off or is none is told in the words of tar, and leaves nothing', (t) => {
  const whole = readFileSync(pack(treasury(t), `${folder(t)}/whole.tar.gz`, '--gzip'));
  const cut = `${folder(t)}/cut.tar.gz`;
  writeFileSync(cut, whole.subarray(0, whole.length / 2));
  const none = `${folder(t)}/none.tar`;
  writeFileSync(none, 'This is no archive, whatever its name says.\n'.repeat(100));
  for (const [archive, words] of [[cut, /unexpected end of file/i], [none, /does not look like a tar archive/]] as const) {
    const file = machine(t, 'roots-corrupt', `[root]\ntar = "${archive}"\n`);
    for (const command of ['create', 'run']) {
      const { status, stderr } = nestbox([command, file]);
      assert.equal(status, 1);
      assert.match(stderr, new RegExp(`unpack ${archive}: this failed with exit status 2: tar --extract`));
      assert.match(stderr, words);
      assert.doesNotMatch(stderr, /should not have happened|\.ts:/);
      assert.deepEqual(left('roots-corrupt'), []);
    }
  }
});

test('members that would climb out of the root, by name or by a link, stay inside', (t) => {
  const work = folder(t);
  const root = tinyRoot(`${work}/root`);
  says('ln', '-s', work, `${root}/out`);
  says('tar', '--create', '--file', `${work}/evil.tar`, '--directory', root, '.');
  mkdirSync(`${work}/second/out`, { recursive: true });
  for (const name of ['second/out/by-link', 'by-name', 'by-root']) writeFileSync(`${work}/${name}`, name);
  says('tar', '--append', '--file', `${work}/evil.tar`, '--directory', `${work}/second`, './out/by-link');
  says('tar', '--append', '-P', '--file', `${work}/evil.tar`, '--transform', 's,.*by-name,../../../../../../../../../../..&-climbed,', '--transform', 's,.*by-root,&-climbed,', `${work}/by-name`, `${work}/by-root`);
  assert.match(says('tar', '-P', '--list', '--file', `${work}/evil.tar`), /^\.\.\/.*by-name-climbed$/m);
  const { stderr } = nestbox(['create', machine(t, 'roots-evil', `[root]\ntar = "${work}/evil.tar"\n`)]);
  assert.deepEqual(readdirSync(work).sort(), ['by-name', 'by-root', 'evil.tar', 'root', 'second'], stderr);
  assert.ok(!existsSync(`${work}/by-link`) && !existsSync(`${work}/by-name-climbed`));
});

test('unpacking says how far it is, and how fast', (t) => {
  const root = tinyRoot(`${folder(t)}/root`);
  truncateSync(`${root}/usr/bin/busybox`, statSync(`${root}/usr/bin/busybox`).size);
  writeFileSync(`${root}/large`, Buffer.alloc(220 * 2 ** 20));
  const archive = `${folder(t)}/large.tar.gz`;
  says('tar', '--create', '--gzip', '--file', archive, '--directory', root, '.');
  const { stderr } = succeeds(nestbox(['create', machine(t, 'roots-large', `[root]\ntar = "${archive}"\n`)]));
  assert.equal([...stderr.matchAll(/^nestbox: {3}\S*tar: read: \d+ \(\d+MiB, [\d.]+[MG]iB\/s\)$/gm)].length, 2, stderr);
});
