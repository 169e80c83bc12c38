import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, machineFile, nestbox, program, root } from '../nestbox.ts';

const machine = (t: TestContext, name: string, more: string) => machineFile(t, `name = "${name}"\nephemeral = true\nnetwork = "none"\n${more}\n${root}`);
const shell = (script: string) => ['--', 'sh', '-c', script];

/** An id of the host that stands for the person; nobody has it. */
const person = 4711;

/** A folder of the person's with a file in it. */
function personal(t: TestContext, name = ''): string {
  const outer = folder(t);
  chmodSync(outer, 0o755);
  const path = name === '' ? outer : `${outer}/${name}`;
  if (name !== '') mkdirSync(path);
  writeFileSync(`${path}/letter`, 'dear reader\n', { mode: 0o600 });
  for (const owned of [path, `${path}/letter`]) chownSync(owned, person, person);
  chmodSync(path, 0o700);
  return path;
}

const ownerOf = (path: string) => [statSync(path).uid, statSync(path).gid];

test('files of the person belong to the user inside, who may read them and no more', (t) => {
  const path = personal(t);
  const { stdout } = nestbox(['run', machine(t, 'files-read', `user = "someone"\nfiles = ["${path}"]`), ...shell(`cd '${path}'; stat -c %U:%G . letter; cat letter; echo x 2>&1 >> letter; touch new 2>&1; rm -f letter 2>&1; mount -o remount,rw . 2>&1 | grep -o denied`)]);
  assert.match(stdout, /^someone:someone\nsomeone:someone\ndear reader\n.*Read-only file system\n.*Read-only file system\n.*Read-only file system\n/);
  assert.equal(readFileSync(`${path}/letter`, 'utf8'), 'dear reader\n');
});

test('what is written inside belongs to the person outside', (t) => {
  for (const user of ['user = "someone"', '']) {
    const path = personal(t);
    const { stdout, stderr } = nestbox(['run', machine(t, 'files-write', `${user}\nfiles = [{ path = "${path}", to = "/srv/shared", write = true }]`), ...shell('cd /srv/shared; echo answer >> letter; echo new > new; mkdir folder; stat -c %U:%G new folder')]);
    const name = user ? 'someone' : 'root';
    assert.equal(stdout, `${name}:${name}\n${name}:${name}\n`, stderr);
    assert.deepEqual([readFileSync(`${path}/letter`, 'utf8'), readFileSync(`${path}/new`, 'utf8')], ['dear reader\nanswer\n', 'new\n']);
    for (const made of ['new', 'folder', 'letter']) assert.deepEqual(ownerOf(`${path}/${made}`), [person, person]);
  }
});

test('every other id is nobody in there: it can make nothing, even where all may, and it cannot be given files', (t) => {
  const path = personal(t);
  chmodSync(path, 0o777);
  writeFileSync(`${path}/foreign`, 'of somebody else\n', { mode: 0o600 });
  chownSync(`${path}/foreign`, person + 1, person + 1);
  const { stdout } = nestbox(['run', machine(t, 'files-others', `files = [{ path = "${path}", write = true }]`), ...shell(`cd '${path}'; stat -c %u foreign; cat foreign; echo x >> foreign; chown 0 foreign; chown 5 letter; chmod 666 foreign; setpriv --reuid=5 --clear-groups touch new; ls; id -u`)]);
  assert.equal(stdout, '65534\nforeign\nletter\n0\n');
  assert.equal(readFileSync(`${path}/foreign`, 'utf8'), 'of somebody else\n');
  assert.deepEqual([...ownerOf(`${path}/letter`), ...ownerOf(`${path}/foreign`), statSync(`${path}/foreign`).mode & 0o777], [person, person, person + 1, person + 1, 0o600]);
});

test('a set-user-id program in there gives nobody its owner\'s id', (t) => {
  const path = personal(t);
  chmodSync(path, 0o755);
  copyFileSync('/usr/bin/id', `${path}/id`);
  chownSync(`${path}/id`, person, person);
  chmodSync(`${path}/id`, 0o6755);
  assert.equal(spawnSync('setpriv', ['--reuid=5', '--clear-groups', `${path}/id`, '-u'], { encoding: 'utf8' }).stdout, `${person}\n`, 'on the host it does');
  const { stdout } = nestbox(['run', machine(t, 'files-setuid', `files = ["${path}"]`), ...shell(`setpriv --reuid=5 --clear-groups '${path}/id' -u; grep ' ${path} ' /proc/self/mountinfo | cut -d' ' -f6`)]);
  const [id, options] = stdout.split('\n');
  assert.equal(id, '5');
  for (const option of ['ro', 'nosuid', 'nodev']) assert.ok(options!.split(',').includes(option), options);
});

test('names with a colon, a space, a backslash, a quote, a comma and a dollar sign are names', (t) => {
  const path = personal(t, `a:b c\\d 'e' "f",$g%h`);
  for (const users of ['own', 'host']) {
    const { stdout, stderr } = nestbox(['run', machine(t, 'files-names', `users = "${users}"\nfiles = [${JSON.stringify(path)}]`), '--', 'cat', `${path}/letter`]);
    assert.equal(stdout, 'dear reader\n', stderr);
  }
});

test('a single file, one at another place, one in ~, and one that is not there but optional', (t) => {
  const home = personal(t);
  const text = `user = "someone"\nfiles = ["${home}/letter", { path = "~/letter", to = "/etc/letter" }, { path = "${home}/absent", optional = true }]`;
  const env = { SUDO_UID: `${person}`, SUDO_GID: `${person}`, HOME: home };
  const { stdout, stderr } = nestbox(['run', machine(t, 'files-single', text), ...shell(`cat '${home}/letter' /etc/letter; ls '${home}'; ls '${home}/absent' 2>&1`)], { env });
  assert.match(stdout, /^dear reader\ndear reader\nletter\nls: .*absent': No such file/, stderr);
  const refused = nestbox(['run', machine(t, 'files-single', `files = ["${home}/absent"]`)]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /machine\.toml:4:\d+: files\.0: .*absent does not exist on this host/);
});

test('with users = "host" the ids are the host\'s own, and read-only is read-only', (t) => {
  const path = personal(t);
  const { stdout } = nestbox(['run', machine(t, 'files-host', `users = "host"\nfiles = ["${path}"]`), ...shell(`stat -c %u '${path}/letter'; touch '${path}/new' 2>&1`)]);
  assert.match(stdout, new RegExp(`^${person}\n.*Read-only file system`));
  nestbox(['run', machine(t, 'files-host', `users = "host"\nfiles = [{ path = "${path}", write = true }]`), ...shell(`touch '${path}/new'`)]);
  assert.deepEqual(ownerOf(`${path}/new`), [0, 0]);
});

test('the place in the root that a file covers is there again as it was', (t) => {
  const path = personal(t);
  const file = machineFile(t, `name = "files-kept"\nnetwork = "none"\nfiles = [{ path = "${path}/letter", to = "/etc/motd" }, { path = "${path}", to = "/opt/deep/in/there" }]\n${root}`);
  t.after(() => nestbox(['rm', 'files-kept']));
  assert.match(nestbox(['run', file, ...shell('cat /etc/motd /opt/deep/in/there/letter')]).stdout, /^dear reader\ndear reader\n$/);
  writeFileSync(file, `name = "files-kept"\nnetwork = "none"\n${root}`);
  assert.match(nestbox(['run', file, ...shell('head -c 20 /etc/motd; ls /opt/deep/in/there')]).stdout, /^\nThe programs includ/);
});

test('what is printed is whole when it has been read, however slowly that is done', (t) => {
  const place = folder(t);
  mkdirSync(`${place}/root`);
  const file = `${place}/machine.toml`;
  writeFileSync(file, `name = "files-many"\nnetwork = "none"\nfiles = [${Array.from({ length: 2000 }, (_, i) => `{ path = "/usr/share", to = "/mnt/${i}" }`).join(', ')}]\n[root]\ndirectory = "${place}/root"\n`);
  const { stdout } = spawnSync('sh', ['-c', '"$@" | (sleep 1; cat)', 'sh', process.execPath, program, 'plan', '--json', file], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  assert.ok(stdout.length > 2 ** 18, 'more than a pipe takes at once');
  assert.ok((JSON.parse(stdout) as { lasting: unknown[] }).lasting.length >= 2000);
});
