import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { attempt } from '../../src/attempt.ts';
import { fuse, loopControl, machine, makeNode, open, perl } from '../device-nodes.ts';
import { folder, nestbox, running } from '../nestbox.ts';

test('a granted device is opened by the user inside through its group, by the number that the host gives it', (t) => {
  const node = '/dev/nestbox-test-granted';
  if (!makeNode(t, node, fuse, 4321)) return;
  for (const users of ['own', 'host']) {
    const file = machine(t, 'dev-granted', `users = "${users}"\nuser = "someone"\ndevices = ["${node}"]`);
    const { stdout, stderr } = nestbox(['run', file, ...perl('print `id -G`', `print \`stat -c "%a %u:%g %t:%T" ${node}\``, open(node))]);
    assert.equal(stdout, '1000 4321\n660 0:4321 a:e5\nopened\n', `users = ${users}: ${stderr}`);
  }
});

test('a device that is not granted is not there, and cannot be made', (t) => {
  const node = '/dev/nestbox-test-withheld';
  if (!makeNode(t, node, loopControl, 4322)) return;
  const granted = '/dev/nestbox-test-beside';
  if (!makeNode(t, granted, fuse, 4321)) return;
  const make = (path: string) => `print \`mknod ${path} c ${loopControl.major} ${loopControl.minor} 2>&1\``;
  for (const users of ['own', 'host']) {
    const { stdout } = nestbox(['run', machine(t, 'dev-withheld', `users = "${users}"\ndevices = ["${granted}"]`), ...perl(open(node), make(node), make('/root/node'), make('/tmp/node'), open('/root/node'), open('/tmp/node'), open(granted))]);
    const refused = (path: string) => `mknod: ${path}: Operation not permitted\n`;
    const absent = '2 No such file or directory\n';
    assert.equal(stdout, `${absent}${refused(node)}${refused('/root/node')}${refused('/tmp/node')}${absent}${absent}opened\n`, users);
  }
});

test('a node that came in by other ways opens only with the right to it', (t) => {
  const shared = folder(t);
  if (!makeNode(t, `${shared}/withheld`, loopControl, 0) || !makeNode(t, `${shared}/granted`, fuse, 0) || !makeNode(t, '/dev/nestbox-test-granted', fuse, 0)) return;
  // With ids of its own the mount opens no node at all; with the host's ids the control group is what refuses.
  const look = perl(open(`${shared}/withheld`), open(`${shared}/granted`));
  for (const [users, expected] of [['host', '1 Operation not permitted\nopened\n'], ['own', '13 Permission denied\n13 Permission denied\n']]) {
    const { stdout, stderr } = nestbox(['run', machine(t, 'dev-brought', `users = "${users}"\nfiles = ["${shared}"]\ndevices = ["/dev/nestbox-test-granted"]`), ...look]);
    assert.equal(stdout, expected, `users = ${users}: ${stderr}`);
  }
});

test('root inside with the host\'s ids cannot give itself more devices through its control group', (t) => {
  if (!existsSync('/sys/fs/cgroup/devices/devices.list')) return t.skip("there is no 'devices' controller of version 1");
  const shared = folder(t);
  if (!makeNode(t, `${shared}/withheld`, loopControl, 0)) return;
  const { stdout } = nestbox(['run', machine(t, 'dev-widened', `users = "host"\nfiles = ["${shared}"]`), '--', 'sh', '-c',
    `mkdir /tmp/groups; mount -t cgroup -o devices none /tmp/groups && echo mounted; echo "c 10:237 rw" > /tmp/groups/devices.allow; echo a > /tmp/groups/devices.allow; (: < ${shared}/withheld) && echo opened; cat /tmp/groups/devices.list | head -1`]);
  assert.equal(stdout, 'mounted\nc 1:3 rwm\n');
});

test('the device list of the control group is the one that the plan shows', async (t) => {
  const node = '/dev/nestbox-test-listed';
  if (!makeNode(t, node, fuse, 4321)) return;
  for (const users of ['own', 'host']) {
    const file = machine(t, 'dev-listed', `users = "${users}"\ndevices = ["${node}", "/dev/null"]`);
    const { passing } = JSON.parse(nestbox(['plan', '--json', file]).stdout) as { passing: { kind: string; check?: { file: string; lines: string[] } }[] };
    const check = passing.find((step) => step.kind === 'cgroup' && step.check)?.check;
    if (!check) return t.skip("there is no 'devices' controller of version 1 to be planned for");
    assert.ok(check.lines.includes('c 10:229 rw') && check.lines.includes('c 1:3 rwm') && !check.lines.some((line) => line.startsWith('a')));
    const run = running(t, ['run', file, '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
    await run.says(/ready/);
    assert.deepEqual(readFileSync(check.file, 'utf8').trim().split('\n').sort(), [...check.lines].sort());
    const processes = () => spawnSync('find', [check.file.replace('/devices.list', ''), '-name', 'cgroup.procs', '-exec', 'cat', '{}', '+'], { encoding: 'utf8' }).stdout.trim().split('\n');
    const isIn = () => processes().some((pid) => attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '').startsWith('sleep'));
    for (const limit = Date.now() + 10_000; !isIn(); ) assert.ok(Date.now() < limit, 'the program is in it'); // it becomes that after it has said that it is ready
    await run.end();
    assert.equal(existsSync(check.file), false);
  }
});

test('a device that is not there, and what is no device, are told before anything is done', (t) => {
  const refused = nestbox(['run', machine(t, 'dev-absent', 'devices = ["/dev/nestbox-test-absent", "/dev/shm"]')]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /devices\.0: there is no \/dev\/nestbox-test-absent on this host[^]*devices\.1: \/dev\/shm is a folder/);
  assert.equal(existsSync('/run/nestbox/dev-absent'), false);
});

test('the rule of a class covers a node that is made later', async (t) => {
  if (!makeNode(t, '/dev/nestbox-test-before', fuse, 4321)) return;
  for (const users of ['own', 'host']) {
    const file = machine(t, 'dev-class', `users = "${users}"\ndevices = ["char-misc"]`);
    const { passing } = JSON.parse(nestbox(['plan', '--json', file]).stdout) as { passing: { kind: string; check?: { file: string; lines: string[] } }[] };
    const check = passing.find((step) => step.kind === 'cgroup' && step.check)?.check;
    if (!check) return t.skip("there is no 'devices' controller of version 1 to be planned for");
    assert.ok(check.lines.includes(users === 'host' ? 'c 10:* rwm' : 'c 10:* rw'));
    const run = running(t, ['run', file, '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
    await run.says(/ready/);
    assert.deepEqual(readFileSync(check.file, 'utf8').trim().split('\n').sort(), [...check.lines].sort());
    const later = '/dev/nestbox-test-later';
    const look = () => nestbox(['exec', '--root', 'dev-class', ...perl(open('/dev/nestbox-test-before'), open(later))]).stdout;
    assert.equal(look(), 'opened\n2 No such file or directory\n', users);
    const made = nestbox(['exec', '--root', 'dev-class', 'mknod', later, 'c', `${loopControl.major}`, `${loopControl.minor}`]);
    assert.equal(made.status, users === 'host' ? 0 : 1, made.stderr);
    if (users === 'own') {
      // Nobody inside can make it: from outside, and only the node is lacking.
      if (!makeNode(t, later, loopControl, 4321)) return;
      assert.equal(nestbox(['attach', 'dev-class', later]).status, 0);
      assert.deepEqual(readFileSync(check.file, 'utf8').trim().split('\n').sort(), [...check.lines].sort());
    }
    assert.equal(look(), 'opened\nopened\n', users);
    await run.end();
    rmSync(later, { force: true });
  }
});
