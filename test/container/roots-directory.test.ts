import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, nestbox, running } from '../nestbox.ts';
import { create, inside, left, listing, machine, readOnly, says, succeeds, tinyRoot } from '../roots.ts';

const directory = (t: TestContext) => tinyRoot(`${folder(t)}/root`);

/** Owners and modes of all that is there. */
const owners = (path: string): string[] => says('find', path, '-printf', '%P %U:%G %m\n').trim().split('\n').sort();

test('a directory is used where it is, and no file in it gets another owner', (t) => {
  const root = directory(t);
  for (const [path, owner] of [['srv', '0:0'], ['srv/theirs', '1234:4321'], ['home/nobody', '65534:65534']] as const) {
    mkdirSync(`${root}/${path}`, { recursive: true });
    says('chown', owner, `${root}/${path}`);
  }
  says('chmod', '4755', `${root}/usr/bin/busybox`);
  create(t, 'roots-dir', `[root]\ndirectory = "${root}"\n`);
  const before = owners(root);
  const marker = `${folder(t)}/marker`;
  writeFileSync(marker, '');
  assert.equal(inside('roots-dir', 'sh', '-c', 'id -u; stat -c %u:%g /srv/theirs; echo made > /srv/mine; stat -c %u:%g /srv/mine').trim().split('\n').join(' '), '0 1234:4321 0:0');
  assert.match(inside('roots-dir', 'cat', '/proc/self/uid_map'), /^\s*0\s+[1-9]\d{5,}\s+65536\s*$/, 'root inside is not root');
  assert.deepEqual(owners(root).filter((line) => !before.includes(line)), ['srv/mine 0:0 644']);
  assert.deepEqual(before.filter((line) => !owners(root).includes(line)), []);
  assert.deepEqual(says('find', root, '-newer', marker, '-not', '-type', 'd', '-printf', '%P\n'), 'srv/mine\n');
  assert.equal(readFileSync(`${root}/srv/mine`, 'utf8'), 'made\n');
});

test('what is added to a directory, an account and places for binds, is taken out when the machine is removed', (t) => {
  const root = directory(t);
  const games = folder(t);
  const before = listing(root);
  create(t, 'roots-added', `user = "tester"\nfiles = [{ path = "${games}", to = "/opt/games/here" }]\n[root]\ndirectory = "${root}"\n`);
  assert.equal(inside('roots-added', 'sh', '-c', 'id -un; echo $HOME; pwd; test -d /opt/games/here && echo seen').trim().split('\n').join(' '), 'tester /home/tester /home/tester seen');
  assert.match(readFileSync(`${root}/etc/passwd`, 'utf8'), /^tester:x:1000:1000::\/home\/tester:\/bin\/sh$/m);
  succeeds(nestbox(['rm', 'roots-added']));
  const stripTimes = (lines: string[]) => lines.map((line) => line.replace(/\|\d{9,}\.\d+\|/, '|'));
  assert.deepEqual(stripTimes(listing(root)), stripTimes(before));
  assert.deepEqual(left('roots-added'), []);
});

test('users = "shift" gives all files other owners, and rm gives them back', (t) => {
  const root = directory(t);
  mkdirSync(`${root}/srv`);
  for (const [name, mode] of [['setuid', '4755'], ['plain', '0640']] as const) {
    writeFileSync(`${root}/srv/${name}`, name);
    says('chown', '7:8', `${root}/srv/${name}`);
    says('chmod', mode, `${root}/srv/${name}`);
  }
  says('setfacl', '-m', 'u:77:r', `${root}/srv/plain`);
  const before = owners(root);
  create(t, 'roots-shift', `user = "tester"\nusers = "shift"\n[root]\ndirectory = "${root}"\n`);
  const { shift } = JSON.parse(readFileSync('/var/lib/nestbox/machines/roots-shift/machine.json', 'utf8')) as { shift: number };
  assert.ok(shift >= 0x80000);
  assert.deepEqual([...new Set(says('find', root, '-printf', '%U\n').trim().split('\n').map((uid) => Math.floor(Number(uid) / 0x10000)))], [shift / 0x10000], 'every file has an id of the range');
  const setuid = statSync(`${root}/srv/setuid`);
  assert.deepEqual([setuid.uid - shift, setuid.gid - shift, setuid.mode & 0o7777], [7, 8, 0o4755]);
  assert.match(says('getfacl', '-cnpE', `${root}/srv/plain`), new RegExp(`^user:${shift + 77}:r--$`, 'm'));
  assert.equal(inside('roots-shift', 'sh', '-c', 'id -un; touch ~/new && stat -c %U ~/new; stat -c %u:%g /srv/setuid').trim().split('\n').join(' '), 'tester tester 7:8');
  const refused = nestbox(['run', machine(t, 'roots-shift-2', `users = "shift"\n[root]\ndirectory = "${root}"\n`)]);
  assert.match(refused.stderr, /the machine 'roots-shift' has the same directory, and users = "shift" gives the files of a directory to one machine alone/);
  const cloned = nestbox(['run', machine(t, 'roots-shift-3', '[root]\nclone = "roots-shift"\n')]);
  assert.match(cloned.stderr, /the files of 'roots-shift' have other owners on the disk/);
  succeeds(nestbox(['rm', 'roots-shift']));
  const after = owners(root);
  assert.deepEqual(after.filter((line) => !before.includes(line)), ['home/tester 1000:1000 750', 'home/tester/new 1000:1000 644'], 'a home with something in it stays');
  assert.deepEqual(before.filter((line) => !after.includes(line)), []);
  assert.match(says('getfacl', '-cnpE', `${root}/srv/plain`), /^user:77:r--$/m);
});

test('killed while it changes the owners, nestbox clean gives them all back', async (t) => {
  const root = directory(t);
  mkdirSync(`${root}/srv`);
  says('sh', '-c', `cd ${root}/srv && for a in $(seq 150); do mkdir $a && for b in $(seq 150); do : > $a/$b; done; done`);
  const before = owners(root);
  const shifted = () => says('find', root, '-uid', '+65535', '-printf', 'x').length;
  const file = machine(t, 'roots-half', `users = "shift"\n[root]\ndirectory = "${root}"\n`);
  let half = 0;
  // How far it gets before it is killed depends on the computer.
  for (let i = 0; i < 10 && !(half > 0 && half < before.length); i++) {
    nestbox(['clean', 'roots-half']);
    nestbox(['rm', 'roots-half']);
    const run = running(t, ['create', file]);
    while (run.child.exitCode === null && lstatSync(`${root}/etc/passwd`).uid === 0 && lstatSync(`${root}/srv/1/1`).uid === 0 && lstatSync(`${root}/srv/150/150`).uid === 0) await new Promise((resolve) => setImmediate(resolve));
    await run.end('SIGKILL');
    half = shifted();
  }
  assert.ok(half > 0 && half < before.length, `${half} of ${before.length} files have other owners`);
  succeeds(nestbox(['clean', 'roots-half']));
  assert.deepEqual(owners(root), before);
  assert.deepEqual(left('roots-half'), []);
});

test('a directory that cannot be written: a run that keeps its changes says so, one that throws them away works', (t) => {
  const root = directory(t);
  const at = readOnly(t, root);
  const before = listing(root);
  const lasting = nestbox(['run', machine(t, 'roots-ro', `user = "tester"\n[root]\ndirectory = "${at}"\n`), '--', 'true']);
  assert.equal(lasting.status, 1);
  assert.match(lasting.stderr, new RegExp(`nestbox: cannot write ${at}/etc/passwd.*: the file system is read-only`));
  assert.deepEqual(left('roots-ro'), []);
  const passing = machine(t, 'roots-ro-passing', `user = "tester"\nephemeral = true\n[root]\ndirectory = "${at}"\n`);
  assert.equal(succeeds(nestbox(['run', passing, '--', 'sh', '-c', 'echo hello > ~/file && cat ~/file'])).stdout, 'hello\n');
  assert.deepEqual(listing(root), before);
});

test('a directory that cannot be written, in which nothing is missing, runs', (t) => {
  const root = directory(t);
  for (const link of ['lib']) symlinkSync('usr/lib', `${root}/${link}`);
  const at = readOnly(t, root);
  const { status, stdout, stderr } = nestbox(['run', machine(t, 'roots-ro-whole', `[root]\ndirectory = "${at}"\n`), '--', 'sh', '-c', 'echo in; touch /srv-file']);
  assert.equal(stdout, 'in\n', stderr);
  assert.notEqual(status, 0);
  assert.match(stderr, /Read-only file system/);
});

test('a hostile directory, whose links lead to the host, gets nothing written and nothing read outside', (t) => {
  const outside = folder(t);
  mkdirSync(`${outside}/etc`);
  const secrets = ['passwd', 'group', 'shadow'].map((name) => [`${outside}/etc/${name}`, `host:${name}:0:0::/:\n`] as const);
  for (const [path, text] of secrets) writeFileSync(path, text);
  const untouched = listing(outside);
  const hostBefore = ['/etc/passwd', '/etc/group', '/etc/shadow', '/home', '/'].map((path) => (existsSync(path) ? `${statSync(path).ino} ${statSync(path).mtimeMs}` : path));
  const cases: [name: string, make: (root: string) => void, complaint: RegExp][] = [
    ['etc', (root) => replace(`${root}/etc`, '/etc'), /\/etc.* in the machine's root leads outside of it, to \/etc/],
    ['etc-elsewhere', (root) => replace(`${root}/etc`, `${outside}/etc`), /in the machine's root leads outside of it/],
    ['etc-relative', (root) => replace(`${root}/etc`, '../../../../../../../../..'.concat(outside, '/etc')), /in the machine's root leads outside of it/],
    ['passwd', (root) => replace(`${root}/etc/passwd`, `${outside}/etc/passwd`), /\/etc\/passwd in the machine's root is not a file/],
    ['shadow', (root) => replace(`${root}/etc/shadow`, '/etc/shadow'), /\/etc\/shadow in the machine's root is not a file/],
    ['home', (root) => replace(`${root}/home`, '/'), /in the machine's root leads outside of it/],
    ['home-elsewhere', (root) => replace(`${root}/home`, outside), /in the machine's root leads outside of it/],
  ];
  for (const [name, make, complaint] of cases)
    for (const ephemeral of [false, true]) {
      const root = directory(t);
      make(root);
      const file = machine(t, `roots-evil-${name}`, `user = "tester"\nephemeral = ${ephemeral}\n[root]\ndirectory = "${root}"\n`);
      const { status, stderr } = nestbox(['run', file, '--', 'true']);
      assert.equal(status, 1, name);
      assert.match(stderr, complaint, name);
      assert.doesNotMatch(stderr, /should not have happened/);
      assert.deepEqual(left(`roots-evil-${name}`), []);
      assert.deepEqual(listing(outside), untouched, name);
    }
  assert.deepEqual(['/etc/passwd', '/etc/group', '/etc/shadow', '/home', '/'].map((path) => (existsSync(path) ? `${statSync(path).ino} ${statSync(path).mtimeMs}` : path)), hostBefore);
});

test('a machine that puts links to the host into its directory cannot make nestbox rm remove or write anything there', (t) => {
  const root = directory(t);
  const outside = folder(t);
  for (const name of ['etc', 'home/tester', 'opt']) mkdirSync(`${outside}/${name}`, { recursive: true });
  for (const name of ['passwd', 'group']) writeFileSync(`${outside}/etc/${name}`, readFileSync(`${root}/etc/${name}`));
  writeFileSync(`${outside}/etc/passwd`, 'tester:x:1000:1000::/home/tester:/bin/sh\n');
  for (const name of ['opt/empty', 'etc/empty']) writeFileSync(`${outside}/${name}`, '');
  const files = `files = [{ path = "${outside}/etc/passwd", to = "/opt/empty" }, { path = "${outside}/etc/passwd", to = "/etc/empty" }]`;
  create(t, 'roots-turned', `user = "tester"\n${files}\n[root]\ndirectory = "${root}"\n`);
  assert.match(says('find', root, '-name', 'empty'), /opt\/empty/);
  for (const name of ['etc', 'home', 'opt']) replace(`${root}/${name}`, `${outside}/${name}`);
  const before = listing(outside);
  succeeds(nestbox(['rm', 'roots-turned']));
  assert.deepEqual(listing(outside), before);
  assert.deepEqual(left('roots-turned'), []);
});

function replace(path: string, to: string): void {
  says('rm', '-rf', path);
  symlinkSync(to, path);
}
