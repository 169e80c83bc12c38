import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { fuse, loopControl, machine, makeNode, open, perl } from '../device-nodes.ts';
import { folder, machineFile, nestbox, program, root, type Running, running } from '../nestbox.ts';
import { differences, snapshot } from '../snapshot.ts';

const devicesGroup = '/sys/fs/cgroup/devices';

async function up(t: TestContext, name: string, more = '', what = 'echo ready; exec sleep 1000'): Promise<Running> {
  const run = running(t, ['run', machine(t, name, more), '--', 'sh', '-c', what]);
  await run.says(/ready/);
  return run;
}

const group = (name: string) => `${devicesGroup}/nestbox-${name}`;
const rules = (path: string) => readFileSync(`${path}/devices.list`, 'utf8').trim().split('\n').sort();

/** What opening gives the machine's user, or root inside. */
const tryIn = (name: string, path: string, ...as: string[]): string => nestbox(['exec', ...as, name, ...perl(open(path))]).stdout;

/** All nodes of a running machine's /dev, as an ls would show them. */
const nodesIn = (name: string): string => nestbox(['exec', '--root', name, 'find', '/dev', '/run/udev', '-ls']).stdout.replace(/^ *\d+ +\d+ /gm, '').replace(/ \S+ +\d+ +\d\d:\d\d /g, ' ');

const withoutController = (t: TestContext): boolean => {
  if (existsSync(`${devicesGroup}/devices.list`)) return false;
  t.skip("there is no 'devices' controller of version 1");
  return true;
};

test('attach makes the next open succeed, for the user inside too, and detach makes it fail again', async (t) => {
  const node = '/dev/nestbox-test/attached';
  t.after(() => rmSync('/dev/nestbox-test', { recursive: true, force: true }));
  mkdirSync('/dev/nestbox-test', { recursive: true });
  if (withoutController(t) || !makeNode(t, node, loopControl, 4321)) return;
  const udev = `/run/udev/data/c${loopControl.major}:${loopControl.minor}`;
  const made = ['/run/udev', '/run/udev/data'].filter((path) => !existsSync(path));
  for (const path of made) mkdirSync(path);
  if (!existsSync(udev)) {
    writeFileSync(udev, 'E:ID_MODEL=Test\n');
    t.after(() => {
      rmSync(udev);
      for (const path of made.reverse()) rmdirSync(path);
    });
  }
  for (const users of ['own', 'host']) {
    const before = snapshot();
    const run = await up(t, 'attach-now', `users = "${users}"\nuser = "someone"`);
    const [nodes, list] = [nodesIn('attach-now'), rules(group('attach-now'))];
    assert.equal(tryIn('attach-now', node), '2 No such file or directory\n');
    const attached = nestbox(['attach', 'attach-now', node]);
    assert.deepEqual(attached, { status: 0, stdout: '', stderr: '' }, users);
    assert.equal(tryIn('attach-now', node), 'opened\n', users);
    assert.equal(tryIn('attach-now', node, '--root'), 'opened\n', users);
    assert.equal(nestbox(['exec', 'attach-now', 'stat', '-c', '%a %u:%g %t:%T', node]).stdout, '660 1000:4321 a:ed\n');
    assert.equal(nestbox(['exec', 'attach-now', 'cat', udev]).stdout, readFileSync(udev, 'utf8'));
    for (const folder of [group('attach-now'), `${group('attach-now')}/inside`]) assert.deepEqual(rules(folder), [...list, 'c 10:237 rw'].sort());
    assert.match(nestbox(['status', 'attach-now']).stdout, /attached until it ends: \/dev\/nestbox-test\/attached\n/);
    assert.match(nestbox(['attach', 'attach-now', node]).stderr, /^$|has .* already/);
    const detached = nestbox(['detach', 'attach-now', node]);
    assert.equal(detached.status, 0, detached.stderr);
    assert.match(detached.stderr, /keeps it until it closes it/);
    assert.equal(tryIn('attach-now', node), '2 No such file or directory\n', users);
    assert.equal(nodesIn('attach-now'), nodes, 'its /dev is as it was');
    for (const folder of [group('attach-now'), `${group('attach-now')}/inside`]) assert.deepEqual(rules(folder), list);
    assert.match(nestbox(['detach', 'attach-now', node]).stderr, /has not been attached to 'attach-now'/);
    // And once more, to be taken away by the end of the machine.
    assert.equal(nestbox(['attach', 'attach-now', node]).status, 0);
    await run.end();
    assert.deepEqual(differences(before), [], users);
  }
});

test('what is detached does not open by another node either; what is open stays open', async (t) => {
  const shared = folder(t);
  const node = '/dev/nestbox-test-attached';
  if (withoutController(t) || !makeNode(t, `${shared}/same`, fuse, 0) || !makeNode(t, node, fuse, 4321)) return;
  await up(t, 'attach-other', `users = "host"\nfiles = ["${shared}"]`);
  assert.equal(tryIn('attach-other', `${shared}/same`), '1 Operation not permitted\n');
  nestbox(['attach', 'attach-other', node]);
  assert.equal(tryIn('attach-other', `${shared}/same`), 'opened\n');
  // A descriptor that has no file system mounted answers a read with EPERM from the driver; once it is closed it would be EBADF.
  const holder = running(t, ['exec', 'attach-other', 'perl', '-e', `$| = 1; open my $f, "+<", "${node}" or die; print "holds\\n"; sleep 1 until !-e "${node}"; print sysread($f, my $x, 9000) // $!+0, "\\n"; print open(my $g, "+<", "/proc/self/fd/" . fileno $f) ? "again\\n" : $!+0 . " again\\n"; print "over\\n"`]);
  await holder.says(/holds/);
  nestbox(['detach', 'attach-other', node]);
  assert.equal(tryIn('attach-other', `${shared}/same`), '1 Operation not permitted\n');
  await holder.says(/over/);
  assert.equal(holder.stdout(), 'holds\n1\n1 again\nover\n');
});

test('a group that root inside has made for itself gets the rule too', async (t) => {
  const node = '/dev/nestbox-test-attached';
  if (withoutController(t) || !makeNode(t, node, loopControl, 4321)) return;
  const run = await up(t, 'attach-group', 'users = "host"', `mkdir /tmp/g; mount -t cgroup -o devices none /tmp/g && mkdir /tmp/g/own && echo $$ > /tmp/g/own/cgroup.procs; echo ready
    exec perl -e '$| = 1; while (1) { ${open(node)}; select undef, undef, undef, 0.1 }'`);
  await run.says(/2 No such file/);
  assert.ok(existsSync(`${group('attach-group')}/inside/own/devices.list`));
  assert.equal(nestbox(['attach', 'attach-group', node]).status, 0);
  await run.says(/opened/);
  assert.ok(rules(`${group('attach-group')}/inside/own`).includes('c 10:237 rw'));
  assert.equal(nestbox(['detach', 'attach-group', node]).status, 0);
  assert.ok(!rules(`${group('attach-group')}/inside/own`).includes('c 10:237 rw'));
});

test('no link or mount inside leads a node to another place', async (t) => {
  const shared = folder(t);
  mkdirSync('/dev/nestbox-test', { recursive: true });
  t.after(() => rmSync('/dev/nestbox-test', { recursive: true, force: true }));
  if (withoutController(t) || !makeNode(t, '/dev/nestbox-test/led', loopControl, 4321)) return;
  await up(t, 'attach-led', `users = "host"\nfiles = [{ path = "${shared}", write = true }]`);
  for (const [trap, undone] of [[`ln -s ${shared} /dev/nestbox-test`, 'rm'], [`mkdir /dev/nestbox-test; mount --bind ${shared} /dev/nestbox-test`, 'umount /dev/nestbox-test; rmdir'], ['echo > /dev/nestbox-test', 'rm']]) {
    const list = rules(group('attach-led'));
    const set = nestbox(['exec', '--root', 'attach-led', 'sh', '-ec', trap!]);
    assert.equal(set.status, 0, set.stderr);
    const refused = nestbox(['attach', 'attach-led', '/dev/nestbox-test/led']);
    assert.equal(refused.status, 1, trap);
    assert.match(refused.stderr, /in the container/);
    assert.deepEqual(readdirSync(shared), []);
    assert.deepEqual(rules(group('attach-led')), list, 'the rule is taken back');
    assert.equal(nestbox(['exec', '--root', 'attach-led', 'sh', '-ec', `${undone} /dev/nestbox-test`]).status, 0);
  }
  assert.equal(nestbox(['attach', 'attach-led', '/dev/nestbox-test/led']).status, 0);
  // Led away afterwards: what was made is taken back as far as it is there, and the rule in any case.
  const led = nestbox(['exec', '--root', 'attach-led', 'sh', '-ec', `rm -r /dev/nestbox-test; ln -s ${shared} /dev/nestbox-test; echo mine > ${shared}/led`]);
  assert.equal(led.status, 0, led.stderr);
  assert.equal(nestbox(['detach', 'attach-led', '/dev/nestbox-test/led']).status, 0);
  assert.deepEqual(readdirSync(shared), ['led']);
  assert.ok(!rules(group('attach-led')).includes('c 10:237 rw'));
});

test('--always gives a device at each start and survives the end of the machine, until detach --always', async (t) => {
  const node = '/dev/nestbox-test-always';
  if (!makeNode(t, node, fuse, 4321)) return;
  nestbox(['rm', 'attach-always']); // of a test that was cut off
  t.after(() => nestbox(['rm', 'attach-always']));
  const file = machineFile(t, `name = "attach-always"\nuser = "someone"\nnetwork = "none"\n${root}`);
  assert.match(nestbox(['attach', 'attach-always', node, '--always']).stderr, /there is no machine|keeps nothing/);
  assert.equal(nestbox(['create', file]).status, 0);
  assert.match(nestbox(['attach', 'attach-always', node]).stderr, /does not run\n {2}nestbox attach .* --always/);
  assert.match(nestbox(['attach', 'attach-always', node, '--now']).stderr, /does not run/);
  const look = () => nestbox(['run', 'attach-always', ...perl(open(node))]).stdout;
  assert.equal(look(), '2 No such file or directory\n');
  assert.deepEqual(nestbox(['attach', 'attach-always', node, '--always']), { status: 0, stdout: '', stderr: '' });
  assert.match(nestbox(['status', 'attach-always']).stdout, /attached at each start: \/dev\/nestbox-test-always\n/);
  assert.equal(look(), 'opened\n');
  assert.equal(look(), 'opened\n');
  rmSync(node);
  const absent = nestbox(['run', 'attach-always', '--', 'true']);
  assert.match(absent.stderr, /there is no \/dev\/nestbox-test-always[^]*nestbox detach --always attach-always \/dev\/nestbox-test-always/);
  assert.equal(nestbox(['detach', 'attach-always', node, '--always']).status, 0);
  if (!makeNode(t, node, fuse, 4321)) return;
  assert.equal(look(), '2 No such file or directory\n');
  // Of one that runs: both, or the next start alone.
  const run = running(t, ['run', 'attach-always', '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  if (!withoutController(t)) {
    assert.equal(nestbox(['attach', 'attach-always', node, '--always']).status, 0);
    assert.equal(tryIn('attach-always', node), '2 No such file or directory\n');
    assert.equal(nestbox(['attach', 'attach-always', node, '--now', '--always']).status, 0);
    assert.equal(tryIn('attach-always', node), 'opened\n');
    await run.end();
    assert.equal(look(), 'opened\n');
  }
});

test('killed at each point of an attach, detach brings the machine back, and its end leaves nothing', async (t) => {
  const node = '/dev/nestbox-test-killed';
  if (withoutController(t) || !makeNode(t, node, loopControl, 4321)) return;
  const before = snapshot();
  const run = await up(t, 'attach-killed', 'user = "someone"');
  const [nodes, list] = [nodesIn('attach-killed'), rules(group('attach-killed'))];
  const hook = new URL('./kill-at.cjs', import.meta.url).pathname;
  let n = 1;
  for (; n < 20; n++) {
    const { signal } = spawnSync(process.execPath, ['--require', hook, program, 'attach', 'attach-killed', node], { encoding: 'utf8', env: { ...process.env, KILL_AT: `journal:${n}` } });
    if (signal !== 'SIGKILL') break;
    const detached = nestbox(['detach', 'attach-killed', node]);
    assert.equal(detached.status, 0, detached.stderr);
    assert.deepEqual([nodesIn('attach-killed'), rules(group('attach-killed'))], [nodes, list], `journal ${n}`);
  }
  assert.ok(n > 2, `killed at ${n - 1} points`);
  // Killed in the middle, and then the machine as well.
  nestbox(['detach', 'attach-killed', node]);
  spawnSync(process.execPath, ['--require', hook, program, 'attach', 'attach-killed', node], { env: { ...process.env, KILL_AT: 'journal:2' } });
  await run.end('SIGKILL');
  assert.equal(nestbox(['clean']).status, 0);
  assert.deepEqual(differences(before), []);
});

test('what cannot be attached is told', async (t) => {
  await up(t, 'attach-refused');
  for (const [path, told] of [
    ['/dev/nestbox-test-absent', /there is no device \/dev\/nestbox-test-absent on this host/], ['/dev/shm', /there is no device \/dev\/shm/], ['/dev/null', /every machine has \/dev\/null/], ['char-alsa', /devices = \[\.\.\.\] in the machine file gives whole classes/],
    ['/etc/passwd', /not a path below \/dev/], ['/dev/../etc/passwd', /with \/\/, \. or \.\. in it/], ['/dev/x\ny', /not taken|not a path/],
  ] as const) {
    const { status, stderr } = nestbox(['attach', 'attach-refused', path]);
    assert.equal(status, 1, path);
    assert.match(stderr, told);
  }
  assert.match(nestbox(['attach', 'attach-refusec', '/dev/fuse']).stderr, /there is no machine 'attach-refusec'/);
  assert.match(nestbox(['attach', 'attach-refused', '/dev/loop-control', '--always']).stderr, /keeps nothing between two runs/);
});

test('why names each layer truly, by trying', async (t) => {
  const [granted, withheld, empty] = ['/dev/nestbox-test-granted', '/dev/nestbox-test-withheld', '/dev/nestbox-test-empty'];
  if (withoutController(t) || !makeNode(t, granted, fuse, 4321) || !makeNode(t, withheld, loopControl, 4321)) return;
  t.after(() => rmSync(empty, { force: true }));
  // The last number that devices.txt keeps for local use of the second range: nobody's driver.
  execFileSync('mknod', ['-m', '0600', empty, 'c', '261', '7']);
  const file = machine(t, 'why-tries', `user = "someone"\ndevices = ["${granted}", "${empty}", "/dev/fuse"]`);
  const why = (path: string, name = 'why-tries') => {
    const { status, stdout, stderr } = nestbox(['why', name, path, '--json']);
    assert.ok(stdout, stderr);
    const { opens, layer, because, mend, tried } = JSON.parse(stdout) as { opens: boolean | null; layer: string | null; because: string; mend: string | null; tried: { read: string } | null };
    return { status, opens, layer, because, mend, tried: tried?.read ?? null };
  };
  assert.deepEqual([why(granted, file).opens, why(granted, file).tried], [null, null], 'without a machine that runs it only reasons');
  assert.match(nestbox(['why', file, withheld]).stdout, /^why-tries: \/dev\/nestbox-test-withheld does not open \(not tried\)$/m);
  const run = running(t, ['run', file, '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  const leader = readFileSync(`${group('why-tries')}/inside/cgroup.procs`, 'utf8').split('\n').find((pid) => pid && /^NSpid:.*\s1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
  const inside = (path: string) => `/proc/${leader}/root${path}`;

  assert.deepEqual(why(granted), { status: 0, opens: true, layer: null, because: 'it opens for reading and writing', mend: null, tried: 'OK' });
  assert.deepEqual([why('/dev/nestbox-test-absent').layer, why('/dev/nestbox-test-absent').tried], ['host', 'ENOENT']);
  const node = why(withheld);
  assert.deepEqual([node.status, node.layer, node.tried], [3, 'node', 'ENOENT']);
  assert.match(node.mend!, /^"\/dev\/nestbox-test-withheld" in the list of .*machine\.toml:5; for the machine that runs: nestbox attach why-tries/);
  // Root's alone on the host, so inside too.
  const owner = why('/dev/fuse');
  assert.deepEqual([owner.layer, owner.tried], ['owner', 'EACCES']);
  assert.match(owner.mend!, /machine\.toml:4$/);
  assert.deepEqual([why(empty).layer, why(empty).tried], ['owner', 'EACCES']);
  // A node that has come in by other ways has no rule, and on a mount that opens no devices it is not even asked for one.
  execFileSync('mknod', ['-m', '0666', inside('/dev/nestbox-test-brought'), 'c', '10', '237']);
  execFileSync('mknod', ['-m', '0666', inside('/dev/shm/brought'), 'c', '10', '237']);
  assert.deepEqual([why('/dev/nestbox-test-brought').layer, why('/dev/nestbox-test-brought').tried], ['group', 'EPERM']);
  assert.deepEqual([why('/dev/shm/brought').layer, why('/dev/shm/brought').tried], ['mount', 'EACCES']);
  execFileSync('chmod', ['0666', inside(empty)]);
  assert.deepEqual([why(empty).layer, /^(ENXIO|ENODEV)$/.test(why(empty).tried!)], ['driver', true]);
  assert.equal(nestbox(['attach', 'why-tries', withheld]).status, 0);
  assert.deepEqual([why(withheld).opens, why(withheld).tried], [true, 'OK']);
  nestbox(['detach', 'why-tries', withheld]);
  assert.equal(why(withheld).layer, 'node');
});
