import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, nestbox, program, running, stoppedAt } from '../nestbox.ts';
import { create, inside, left, listing, machine, says, succeeds, templateOf, templates, tinyRoot } from '../roots.ts';

function archive(t: TestContext, more: (root: string) => void = () => {}): string {
  const path = folder(t);
  more(tinyRoot(`${path}/root`));
  says('tar', '--create', '--file', `${path}/root.tar`, '--directory', `${path}/root`, '.');
  return `${path}/root.tar`;
}

const record = (name: string) => JSON.parse(readFileSync(`/var/lib/nestbox/machines/${name}/machine.json`, 'utf8')) as { shift: number; template: string | null };
const upper = (name: string) => `/var/lib/nestbox/machines/${name}/top/upper`;

test('a clone has all that the other machine has changed, over the same template, and from then on each goes its own way', (t) => {
  create(t, 'roots-first', `user = "tester"\n[root]\ntar = "${archive(t, (root) => says('sh', '-c', `cd ${root} && mkdir -p srv/full srv/gone && touch srv/full/old srv/gone/x srv/lost`))}"\n`);
  // Also what makes an overlay an overlay: deleted files, a folder made anew where there was one.
  nestbox(['run', 'roots-first', '--', 'true']);
  const asRoot = machine(t, 'roots-first-root', '');
  writeFileSync(asRoot, readFileSync('/etc/nestbox/roots-first.toml', 'utf8').replace('user = "tester"\n', ''));
  succeeds(nestbox(['run', asRoot, '--', 'sh', '-c', `
    rm /srv/lost; rm -r /srv/gone; mv /srv/full /srv/moved; mkdir /srv/full; echo new > /srv/full/new
    cp /bin/busybox /srv/setuid; chmod 6755 /srv/setuid; echo a > /srv/a; ln /srv/a /srv/b; ln -s a /srv/c; mkfifo /srv/pipe; touch -d '2001-02-03 04:05:06' /srv/old; chown 12:34 /srv/old`]));
  // As a program inside would, with ids of its own: the layer keeps them as they are inside.
  says('setcap', 'cap_net_raw=ep', `${upper('roots-first')}/srv/setuid`);
  says('setfattr', '-n', 'user.note', '-v', 'kept', `${upper('roots-first')}/srv/a`);
  says('setfacl', '-m', 'u:1000:rw', `${upper('roots-first')}/srv/a`);
  const before = listing(upper('roots-first'));

  create(t, 'roots-second', '[root]\nclone = "roots-first"\n');
  // Deleted files are names of one node in the working folder of the overlay: how many is no property of theirs.
  const bare = (lines: string[]) => lines.map((line) => line.replace(/(\|c\|0\|0:0\|)\d+/, '$1'));
  assert.deepEqual(bare(listing(upper('roots-second'))), bare(before));
  assert.equal(record('roots-second').template, record('roots-first').template);
  assert.equal(templateOf('roots-second'), templateOf('roots-first'));
  assert.notEqual(record('roots-second').shift, record('roots-first').shift);
  const seen = (name: string) => inside(name, 'sh', '-c', `
    cd /srv; find . | sort | tr '\\n' ' '; stat -c '%u:%g %a' setuid old; stat -c '%h %i' a | cut -d' ' -f1; stat -c %Y old; cat full/new; readlink c; id tester`);
  assert.equal(seen('roots-second'), seen('roots-first'));
  assert.match(seen('roots-second'), /^\. \.\/a \.\/b \.\/c \.\/full \.\/full\/new \.\/moved \.\/moved\/old \.\/old \.\/pipe \.\/setuid 0:0 6755\n12:34 644\n2\n981173106\nnew\na\nuid=1000/);
  assert.notEqual(inside('roots-second', 'cat', '/proc/self/uid_map'), inside('roots-first', 'cat', '/proc/self/uid_map'));
  assert.match(says('getcap', `${upper('roots-second')}/srv/setuid`), /cap_net_raw=ep/);

  inside('roots-second', 'sh', '-c', 'echo second > /srv/a; touch /srv/second');
  succeeds(nestbox(['run', asRoot, '--', 'sh', '-c', 'echo first > /srv/a; touch /srv/first']));
  assert.equal(inside('roots-second', 'sh', '-c', 'cat /srv/b; ls /srv/second; ls /srv/first 2>&1'.concat('; true')).replace(/ls: /, ''), 'second\n/srv/second\n/srv/first: No such file or directory\n');
  assert.equal(inside('roots-first', 'sh', '-c', 'cat /srv/b; ls /srv/first; test ! -e /srv/second'), 'first\n/srv/first\n');
  succeeds(nestbox(['rm', 'roots-first']));
  assert.equal(inside('roots-second', 'cat', '/srv/full/new', '/srv/b'), 'new\nsecond\n', 'it needs the other no more');
});

test('a clone of a machine in a directory of the person is a copy of the whole', (t) => {
  const root = tinyRoot(`${folder(t)}/root`);
  says('sh', '-c', `cd ${root} && mkdir srv && cp /bin/busybox srv/setuid && chown 12:34 srv/setuid && chmod 6755 srv/setuid && setcap cap_net_raw=ep srv/setuid && echo a > srv/a && ln srv/a srv/b && setfattr -n user.note -v kept srv/a`);
  create(t, 'roots-dir-first', `user = "tester"\n[root]\ndirectory = "${root}"\n`);
  assert.equal(inside('roots-dir-first', 'id', '-un'), 'tester\n');
  const before = listing(root);
  create(t, 'roots-dir-second', 'user = "tester"\n[root]\nclone = "roots-dir-first"\n');
  const copy = '/var/lib/nestbox/machines/roots-dir-second/root';
  assert.deepEqual(listing(copy), before);
  assert.equal(inside('roots-dir-second', 'sh', '-c', 'id -un; stat -c "%u:%g %a" /srv/setuid; echo second > ~/file; cat /srv/b'), 'tester\n12:34 6755\na\n');
  writeFileSync(`${root}/srv/a`, 'changed\n');
  assert.equal(inside('roots-dir-second', 'cat', '/srv/a'), 'a\n');
  assert.ok(!existsSync(`${root}/home/tester/file`));

  const passing = machine(t, 'roots-dir-third', 'ephemeral = true\n[root]\nclone = "roots-dir-second"\n');
  assert.equal(succeeds(nestbox(['run', passing, '--', 'sh', '-c', 'echo third > /srv/a; cat /srv/a /home/tester/file'])).stdout, 'third\nsecond\n');
  assert.equal(inside('roots-dir-second', 'cat', '/srv/a'), 'a\n');
  succeeds(nestbox(['rm', 'roots-dir-first']));
  assert.equal(inside('roots-dir-second', 'cat', '/srv/a'), 'a\n', 'it needs the other no more');
  succeeds(nestbox(['rm', 'roots-dir-second']));
  assert.ok(!existsSync(copy) && existsSync(`${root}/srv/a`));
});

/** A file system of its own for the store, which only the commands that are run in it see; null where the kernel does not know it. */
function storeOn(t: TestContext, type: 'btrfs' | 'xfs'): { at: string; nestbox(...words: string[]): string; used(): number } | null {
  const path = mkdtempSync('/var/tmp/nestbox-test.');
  const at = `${path}/disk`;
  const nestbox = (...words: string[]) => says('unshare', '--mount', 'sh', '-c', `mount --bind ${at}/store /var/lib/nestbox && exec "$@"`, 'sh', process.execPath, program, ...words);
  t.after(() => {
    for (const name of existsSync(`${at}/store/machines`) ? readdirSync(`${at}/store/machines`) : []) nestbox('rm', name);
    spawnSync('umount', [at]);
    says('rm', '-r', '--one-file-system', path);
  });
  says('truncate', '--size=400M', `${path}/image`); // mkfs.xfs takes no less than 300 MB
  says(`mkfs.${type}`, '-q', `${path}/image`);
  says('mkdir', at);
  try {
    says('mount', '-o', 'loop', '-t', type, `${path}/image`, at);
  } catch (error) {
    if (/unknown filesystem type/.test((error as { stderr: string }).stderr)) return null;
    throw error;
  }
  says('mkdir', `${at}/store`);
  says('mkdir', '-p', '/var/lib/nestbox');
  return {
    at,
    nestbox,
    /** In bytes. */
    used() {
      says('sync', '--file-system', at);
      return Number(says('df', '--block-size=1', '--output=used', at).split('\n')[1]);
    },
  };
}

for (const type of ['btrfs', 'xfs'] as const)
  test(`on ${type} a copy has the blocks of the other until one of them is written to, and a layer is laid over a template as elsewhere`, (t) => {
    const disk = storeOn(t, type);
    if (!disk) return t.skip(`this kernel has no ${type}`);
    const root = tinyRoot(`${disk.at}/root`);
    const bytes = 24 * 2 ** 20;
    says('dd', 'if=/dev/urandom', `of=${root}/large`, `bs=${bytes}`, 'count=1', 'iflag=fullblock', 'status=none');
    const [name, copy] = [`roots-${type}`, `roots-${type}-2`];
    disk.nestbox('create', machine(t, name, `[root]\ndirectory = "${root}"\n`));
    const before = disk.used();
    disk.nestbox('create', machine(t, copy, `[root]\nclone = "${name}"\n`));
    const grown = disk.used() - before;
    assert.ok(grown < 4 * 2 ** 20, `${grown} bytes more for a copy of ${bytes}`);
    assert.equal(disk.nestbox('run', copy, '--', 'sh', '-c', 'wc -c < /large; echo other > /large; cat /large'), `${bytes}\nother\n`);
    assert.equal(statSync(`${root}/large`).size, bytes);

    const layer = `roots-${type}-3`;
    disk.nestbox('create', machine(t, layer, `[root]\ntar = "${archive(t)}"\n`));
    assert.equal(disk.nestbox('run', layer, '--', 'sh', '-c', 'cat /etc/os-release; rm /etc/os-release; echo own > /srv; cat /srv; test ! -e /etc/os-release'), 'ID=tiny\nown\n');
  });

test('a machine that runs is not copied: half of what it is writing would be in the copy', async (t) => {
  const root = tinyRoot(`${folder(t)}/root`);
  for (const [name, source] of [['roots-busy', `tar = "${archive(t)}"`], ['roots-busy-dir', `directory = "${root}"`]] as const) {
    create(t, name, `[root]\n${source}\n`);
    const clone = machine(t, `${name}-clone`, `[root]\nclone = "${name}"\n`);
    const run = running(t, ['run', name, '--', 'sh', '-c', 'echo begun; exec sleep 1000']);
    await run.says(/begun/);
    const refused = nestbox(['create', clone]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, new RegExp(`nestbox: the machine '${name}' is running \\(process ${run.child.pid}\\)`));
    assert.deepEqual(left(`${name}-clone`), []);
    await run.end('SIGTERM');
    succeeds(nestbox(['create', clone]));
    assert.equal(inside(`${name}-clone`, 'echo', 'made'), 'made\n');
  }
});

test('two machines that are made from the same source at the same time share one template, and both work', async (t) => {
  const tar = archive(t, (root) => says('sh', '-c', `cd ${root} && mkdir srv && cd srv && for a in $(seq 100); do mkdir $a && for b in $(seq 100); do echo $a > $a/$b; done; done`));
  const names = ['roots-twin-1', 'roots-twin-2'];
  const files = names.map((name) => machine(t, name, `[root]\ntar = "${tar}"\n`));
  // Both are about to unpack it when they are let go on.
  const runs = await Promise.all(files.map((file) => stoppedAt(t, 'step:1', ['create', file])));
  for (const { status, stderr } of await Promise.all(runs.map((run) => run.end('SIGCONT')))) {
    assert.equal(status, 0, stderr);
    assert.match(stderr, /unpack/, 'both have unpacked it: neither was there in time for the other');
  }
  assert.equal(templateOf('roots-twin-1'), templateOf('roots-twin-2'));
  assert.equal(templates().filter(({ usedBy }) => usedBy.some((name) => names.includes(name))).length, 1);
  assert.equal(says('sh', '-c', 'ls -A /var/lib/nestbox/templates | grep roots-twin || true'), '', 'the second copy is not kept');
  for (const name of names) assert.equal(inside(name, 'sh', '-c', 'cat /srv/77/77; find /srv | wc -l'), '77\n10101\n');
});

test('a template that was changed since it was built makes no machine; what is made already runs, and it is built anew once it is pruned', (t) => {
  const tar = archive(t);
  create(t, 'roots-sealed', `[root]\ntar = "${tar}"\n`);
  const path = templateOf('roots-sealed');
  create(t, 'roots-sealed-2', `[root]\ntar = "${tar}"\n`);
  const next = machine(t, 'roots-sealed-3', `[root]\ntar = "${tar}"\n`);
  const passing = machine(t, 'roots-sealed-4', `ephemeral = true\n[root]\ntar = "${tar}"\n`);
  const key = path.split('/').at(-2)!;
  for (const change of [`echo x >> ${path}/etc/os-release`, `rm ${path}/etc/os-release`, `chmod 0777 ${path}/etc`]) {
    says('cp', '--archive', '--no-target-directory', path, `${path}.before`);
    says('sh', '-c', change);
    for (const argv of [['create', next], ['run', passing, '--', 'true']]) {
      const refused = nestbox(argv);
      assert.equal(refused.status, 1, change);
      assert.match(refused.stderr, new RegExp(`the template '${key}' has been changed since it was built[^]*nestbox templates --prune ${key}`), change);
    }
    assert.deepEqual(left('roots-sealed-3'), []);
    says('rm', '-r', path);
    says('mv', `${path}.before`, path);
  }
  create(t, 'roots-sealed-5', `[root]\ntar = "${tar}"\n`); // the same again: nothing is refused without a reason
  says('rm', `${path}/etc/os-release`);
  assert.equal(inside('roots-sealed', 'echo', 'runs'), 'runs\n');
  for (const name of ['roots-sealed', 'roots-sealed-2', 'roots-sealed-5']) succeeds(nestbox(['rm', name]));
  succeeds(nestbox(['templates', '--prune', key]));
  succeeds(nestbox(['create', next]));
  assert.match(inside('roots-sealed-3', 'cat', '/etc/os-release'), /ID=tiny/);
});

test('templates are listed with their size and users, and pruned when nobody uses them', async (t) => {
  create(t, 'roots-user', `[root]\ntar = "${archive(t)}"\n`);
  const { key, bytes } = templates().find(({ usedBy }) => usedBy.includes('roots-user'))!;
  const path = `/var/lib/nestbox/templates/${key}`;
  assert.match(key, /^tar-root-[0-9a-f]{16}$/);
  assert.equal(bytes, Number(says('du', '-s', '-B1', path).split('\t')[0]));
  assert.match(nestbox(['templates']).stdout, new RegExp(`^${key} +[\\d.]+[KM] +roots-user$`, 'm'));
  const used = nestbox(['templates', '--prune', key]);
  assert.deepEqual([used.status, used.stderr], [1, `nestbox: the template '${key}' is used by roots-user\n  nestbox rm removes a machine\n`]);
  const unknown = nestbox(['templates', '--prune', `${key}0`]);
  assert.match(unknown.stderr, new RegExp(`there is no template '${key}0'\\n {2}did you mean '${key}'\\?`));

  // A machine that throws its changes away keeps no record: its run counts.
  const passing = machine(t, 'roots-passing', readFileSync('/etc/nestbox/roots-user.toml', 'utf8').replace(/^name.*\n/, 'ephemeral = true\n'));
  succeeds(nestbox(['rm', 'roots-user']));
  assert.ok(existsSync(path), 'rm leaves the template');
  const run = running(t, ['run', passing, '--', 'sh', '-c', 'echo begun; exec sleep 1000']);
  await run.says(/begun/);
  assert.match(nestbox(['templates', '--prune', key]).stderr, /is used by roots-passing/);
  run.child.kill('SIGKILL');
  await once(run.child, 'exit');
  assert.match(nestbox(['templates', '--prune', key]).stderr, /a run of 'roots-passing' was cut off, and has not been taken back\n {2}nestbox clean roots-passing/);
  succeeds(nestbox(['clean', 'roots-passing']));

  says('mount', '-t', 'tmpfs', 'nestbox-test', `${path}/root/var`);
  const mounted = nestbox(['templates', '--prune', key]);
  says('umount', `${path}/root/var`);
  assert.equal(mounted.status, 1);
  assert.match(mounted.stderr, /is not removed: .*\/root\/var is mounted there/);
  assert.ok(existsSync(`${path}/root/usr/bin/busybox`), 'nothing of it is gone');
  says('mkdir', '-p', `/var/lib/nestbox/templates/.pruned-${key}/root`); // a prune that was cut off, and the template was built again since
  succeeds(nestbox(['templates', '--prune', key]));
  assert.ok(!existsSync(path));
  assert.equal(says('sh', '-c', 'ls -A /var/lib/nestbox/templates | grep pruned || true'), '');
});

test('a machine outlives the archive that it was made from', (t) => {
  const tar = archive(t);
  create(t, 'roots-outlives', `[root]\ntar = "${tar}"\n`);
  says('rm', tar);
  assert.equal(inside('roots-outlives', 'echo', 'still here'), 'still here\n');
});
