import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import { folder, follow, program, type Running } from '../nestbox.ts';
import { says } from '../roots.ts';

/**
 * A host of the test's own, in namespaces for mounts and the network: what is said there is heard nowhere else, and its /sys/class/input
 * and /run are folders. Devices have numbers that no driver has: opening one that is allowed gives ENXIO.
 */
interface Host {
  at: string;
  /** What the job makes, as seen from here: /dev/input and /run/udev of the container. */
  nodes: string;
  udev: string;
  start(...argv: string[]): Running;
  /** A device is plugged in as far as the kernel and udevd's database go. */
  plug(name: string, minor: number, entry: string): void;
  unplug(name: string, minor: number): void;
  say(action: string, properties: Record<string, string | number>, times?: number): void;
}

const native = `${dirname(program)}/nestbox-native`;

async function host(t: TestContext): Promise<Host | undefined> {
  if (!existsSync('/sys/class/input')) return void t.skip('the kernel knows of no input devices');
  const at = folder(t);
  chmodSync(at, 0o755);
  for (const name of ['input', 'run/udev/data', 'run/systemd/machines', 'nodes', 'udev']) mkdirSync(`${at}/${name}`, { recursive: true });
  execFileSync('cc', ['-O1', '-o', `${at}/play`, new URL('../udev.c', import.meta.url).pathname]);
  const root = follow(t, spawn('unshare', ['--mount', '--net', '--propagation', 'private', 'sh', '-c',
    `mount --bind ${at}/input /sys/class/input && mount --bind ${at}/run /run && mount -t tmpfs -o mode=755 none ${at}/nodes && echo there && exec sleep 1000`], { stdio: ['ignore', 'pipe', 'pipe'] }));
  await root.says(/there/);
  const into = ['--target', `${root.child.pid}`, '--mount', '--net'];
  const start: Host['start'] = (...argv) => follow(t, spawn('nsenter', [...into, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] }));
  return {
    at, start, nodes: `/proc/${root.child.pid}/root${at}/nodes`, udev: `${at}/udev`,
    plug(name, minor, entry) {
      mkdirSync(`${at}/input/${name}`, { recursive: true });
      writeFileSync(`${at}/input/${name}/dev`, `13:${minor}\n`);
      writeFileSync(`${at}/run/udev/data/c13:${minor}`, entry);
    },
    unplug(name, minor) {
      rmSync(`${at}/input/${name}`, { recursive: true });
      rmSync(`${at}/run/udev/data/c13:${minor}`);
    },
    say(action, properties, times = 1) {
      execFileSync('nsenter', [...into, `${at}/play`, 'send', `${times}`, `ACTION=${action}`, ...Object.entries(properties).map(([key, value]) => `${key}=${value}`)]);
    },
  };
}

/** What udevd says of an input device. */
const device = (name: string, minor: number, more: Record<string, string> = {}) => ({ DEVPATH: `/devices/virtual/input/input9/${name}`, SUBSYSTEM: 'input', DEVNAME: `/dev/input/${name}`, MAJOR: 13, MINOR: minor, SEQNUM: 7, TAGS: ':seat:', ...more });

const UID = 655360;

/** The job for the machine 'relayed', with the nodes of its folders. */
async function relay(at: Host, uid: number, ...which: string[]): Promise<Running> {
  const job = at.start(native, 'udev-relay', ...which, `${at.at}/nodes`, `${at.at}/udev`, `${uid}:${uid}`, '0660');
  const limit = Date.now() + 60_000;
  while (!existsSync(`${at.udev}/ready`)) {
    if (Date.now() > limit) assert.fail(`it is not ready: ${(await job.end()).stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(readFileSync(`${at.udev}/ready`, 'utf8'), '1\n');
  return job;
}

/** A container that listens, and is known by the name 'relayed' as with systemd-machined. */
async function container(at: Host, uid: number, network: 'own' | 'shared'): Promise<Running> {
  const run = at.start(`${at.at}/play`, 'container', `${uid}`, network, `${at.at}/nodes`, at.udev);
  await run.says(/listening\n/);
  const first = (pid: number | string) => spawnSync('pgrep', ['--parent', `${pid}`], { encoding: 'utf8' }).stdout.trim();
  writeFileSync(`${at.at}/run/systemd/machines/relayed`, `# This is private data.\nNAME=relayed\nLEADER=${first(first(run.child.pid!))}\n`);
  return run;
}

/** All that was heard until the last of it, which the test itself has said. */
async function heard(at: Host, run: Running, mark: string): Promise<string[]> {
  at.say('change', { DEVPATH: `/devices/${mark}`, SUBSYSTEM: 'drm' });
  await run.says(new RegExp(`${mark}.*\n`));
  return run.stdout().split('\n').slice(1, -1).filter((line) => !line.includes('mark'));
}

test('what is plugged in is there when the job is ready: nodes, links, entries and tags', async (t) => {
  const at = await host(t);
  if (!at) return;
  at.plug('event940', 1000, 'S:input/by-id/usb-Keys-event-kbd\nS:input/by-path/pci-1-event-kbd\nS:keys\nS:input/by-id/../../../out\nI:5\nE:ID_INPUT=1\nG:seat\nG:power-switch\nQ:seat\nQ:power-switch\nV:1\n');
  at.plug('mouse940', 1001, 'I:6\n');
  mkdirSync(`${at.at}/input/input9`);
  writeFileSync(`${at.at}/run/udev/data/+input:input9`, 'G:seat\nG:master-of-seat\n');
  writeFileSync(`${at.at}/run/udev/data/c89:0`, 'I:7\n');
  mkdirSync(`${at.at}/udev/data`);
  writeFileSync(`${at.at}/udev/data/c13:1002`, 'of one that was killed');
  const job = await relay(at, UID, '--machine', 'relayed');
  const see = (path: string) => { const { mode, uid, gid, rdev } = statSync(`${at.nodes}/${path}`); return [mode.toString(8), uid, gid, rdev >> 8 & 0xfff, rdev & 0xff | rdev >> 12 & 0xfff00]; };
  assert.deepEqual(see('event940'), ['20660', UID, UID, 13, 1000]);
  assert.deepEqual(see('mouse940'), ['20660', UID, UID, 13, 1001]);
  const tree = () => spawnSync('find', ['.', '-mindepth', '1', '-printf', '%P\n'], { cwd: at.nodes, encoding: 'utf8' }).stdout.split('\n').sort().slice(1);
  assert.deepEqual(tree(), ['by-id', 'by-id/usb-Keys-event-kbd', 'by-path', 'by-path/pci-1-event-kbd', 'event940', 'mouse940']);
  assert.equal(readlinkSync(`${at.nodes}/by-id/usb-Keys-event-kbd`), '../event940');
  assert.deepEqual(readdirSync(`${at.udev}/data`).sort(), ['+input:input9', 'c13:1000', 'c13:1001']);
  assert.equal(readFileSync(`${at.udev}/data/c13:1000`, 'utf8'), readFileSync(`${at.at}/run/udev/data/c13:1000`, 'utf8').replace(/^.:power-switch\n/gm, ''));
  assert.deepEqual(['seat', 'master-of-seat', 'uaccess'].map((tag) => readdirSync(`${at.udev}/tags/${tag}`).sort()), [['+input:input9', 'c13:1000'], ['+input:input9'], []]);
  assert.deepEqual(readdirSync(`${at.udev}/tags`).sort(), ['master-of-seat', 'seat', 'uaccess']);
  assert.equal(statSync(`${at.udev}/control`).size, 0);
  // After a change one link has another name.
  at.plug('event940', 1000, 'S:input/by-id/usb-Other-event-kbd\nI:5\n');
  at.say('change', device('event940', 1000));
  at.unplug('mouse940', 1001);
  at.say('remove', device('mouse940', 1001));
  const until = Date.now() + 60_000;
  while (existsSync(`${at.nodes}/mouse940`) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(tree(), ['by-id', 'by-id/usb-Other-event-kbd', 'by-path', 'event940']);
  assert.deepEqual(readdirSync(`${at.udev}/tags/seat`), ['+input:input9']);
  assert.deepEqual(await job.end(), { status: 'SIGTERM', stdout: '', stderr: '' });
});

test('a container with users and a network of its own hears of a device that it can open at that moment', async (t) => {
  const at = await host(t);
  if (!at) return;
  await relay(at, UID, '--machine', 'relayed');
  at.plug('event950', 1010, 'I:5\nG:seat\n');
  at.say('add', device('event950', 1010)); // there is no container yet
  const run = await container(at, UID, 'own');
  at.plug('event951', 1011, 'I:5\nG:seat\n');
  at.say('add', device('event951', 1011, { TAGS: ':power-switch:seat:', CURRENT_TAGS: ':power-switch:seat:' }));
  at.say('add', { DEVPATH: '/devices/x/block/sda', SUBSYSTEM: 'block', DEVNAME: '/dev/sda', MAJOR: 8, MINOR: 0 });
  at.say('add', { ...device('event952', 1012), MAJOR: 1 });
  at.say('add', { ...device('event953', 1013), DEVNAME: '/dev/input/../null' });
  at.say('add', { ...device('event954', 1014), DEVPATH: '/devices/a.b' });
  at.unplug('event951', 1011);
  at.say('remove', device('event951', 1011));
  assert.deepEqual(await heard(at, run, 'mark'), [
    'add event951 node=ENXIO entry=yes tags=:host-buttons:seat:',
    'remove event951 node=ENOENT entry=no tags=:seat:',
  ]);
  assert.deepEqual(readdirSync(at.nodes).sort(), ['by-id', 'by-path', 'event950']);
  assert.equal(existsSync(`${at.udev}/tags/power-switch`), false);
});

test('what another machine is given in place of a keyboard is not shown', async (t) => {
  const at = await host(t);
  if (!at) return;
  const mirror = (name: string, minor: number) => {
    at.plug(name, minor, 'I:5\nG:seat\n');
    mkdirSync(`${at.at}/input/${name}/device`);
    writeFileSync(`${at.at}/input/${name}/device/phys`, 'nestbox/other/event3\n');
  };
  mirror('event960', 1020);
  await relay(at, UID, '--machine', 'relayed');
  const run = await container(at, UID, 'own');
  mirror('event961', 1021);
  at.say('add', device('event961', 1021));
  at.plug('event962', 1022, 'I:5\nG:seat\n');
  at.say('add', device('event962', 1022));
  assert.deepEqual(await heard(at, run, 'mark'), ['add event962 node=ENXIO entry=yes tags=:seat:']);
  assert.deepEqual(readdirSync(at.nodes).sort(), ['by-id', 'by-path', 'event962']);
});

test('the messages of somebody else are not passed on', async (t) => {
  const at = await host(t);
  if (!at) return;
  await relay(at, UID, '--machine', 'relayed');
  const run = await container(at, UID, 'own');
  // Who may send, but is not root.
  const send = at.start('setpriv', '--reuid=1234', '--inh-caps=+net_admin', '--ambient-caps=+net_admin', `${at.at}/play`, 'send', '1', ...Object.entries({ ACTION: 'add', ...device('event955', 1015) }).map(([key, value]) => `${key}=${value}`));
  assert.deepEqual(await send.end(null), { status: 0, stdout: '', stderr: '' });
  assert.deepEqual(await heard(at, run, 'mark'), []);
  assert.deepEqual(readdirSync(at.nodes).sort(), ['by-id', 'by-path']);
});

test('a seat has its own devices alone, and one that goes to another seat is gone', async (t) => {
  const at = await host(t);
  if (!at) return;
  at.plug('event960', 1020, 'E:ID_SEAT=seat-two\nG:seat\nG:seat-two\n');
  at.plug('event961', 1021, 'G:seat\n');
  at.plug('mice', 63, 'I:1\n');
  mkdirSync(`${at.at}/input/event962`);
  writeFileSync(`${at.at}/input/event962/dev`, '13:1022\n'); // udevd has yet to say whose it is
  await relay(at, UID, '--seat', 'seat-two', '--machine', 'relayed');
  assert.deepEqual(readdirSync(at.nodes).sort(), ['by-id', 'by-path', 'event960']);
  assert.deepEqual(readdirSync(`${at.udev}/tags/seat-two`), ['c13:1020']);
  const run = await container(at, UID, 'own');
  at.say('add', device('event962', 1022));
  at.plug('event963', 1023, 'E:ID_SEAT=seat-two\n');
  at.say('add', device('event963', 1023, { ID_SEAT: 'seat-two' }));
  at.plug('event960', 1020, 'G:seat\n');
  at.say('change', device('event960', 1020));
  at.say('change', device('event960', 1020));
  at.say('change', { DEVPATH: '/devices/mark', SUBSYSTEM: 'drm', ID_SEAT: 'seat-two' });
  await run.says(/mark/);
  assert.deepEqual(run.stdout().split('\n').slice(1, -2), ['add event963 node=ENXIO entry=yes tags=:seat:', 'remove event960 node=ENOENT entry=no tags=:seat:']);
  assert.deepEqual(readdirSync(at.nodes).sort(), ['by-id', 'by-path', 'event963']);
});

test('a container that has started again hears what comes then, and the one that has ended is let go of', async (t) => {
  const at = await host(t);
  if (!at) return;
  const tree = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) => existsSync(`${path}/cgroup.controllers`)) ?? '/sys/fs/cgroup/systemd';
  const group = `${tree}/nestbox-test-relay`;
  // What was killed in there is a moment later gone than its parent.
  t.after(() => says('sh', '-c', `for n in $(seq 200); do rmdir ${group}/payload ${group} 2>/dev/null; [ -e ${group} ] || exit 0; sleep 0.05; done; exit 1`));
  mkdirSync(`${group}/payload`, { recursive: true });
  const job = await relay(at, UID, '--group', group);
  const senders = () => spawnSync('pgrep', ['--parent', `${job.child.pid}`], { encoding: 'utf8' }).stdout.trim();
  const gone = async () => {
    for (const limit = Date.now() + 60_000; senders() !== ''; await new Promise((resolve) => setTimeout(resolve, 20))) assert.ok(Date.now() < limit, 'the sender is there yet');
  };
  for (const index of [0, 1]) {
    const run = at.start(native, 'launch', '--cgroup', `${group}/payload`, '--', `${at.at}/play`, 'container', `${UID}`, 'own', `${at.at}/nodes`, at.udev);
    await run.says(/listening\n/);
    at.plug(`event97${index}`, 1030 + index, 'I:5\n');
    at.say('add', device(`event97${index}`, 1030 + index));
    assert.deepEqual(await heard(at, run, 'mark'), [`add event97${index} node=ENXIO entry=yes tags=:seat:`]);
    const status = readFileSync(`/proc/${senders()}/status`, 'utf8');
    assert.deepEqual(['Uid', 'Gid', 'CapEff', 'CapPrm', 'CapInh', 'CapAmb', 'Groups'].map((key) => RegExp(`^${key}:(.*)$`, 'm').exec(status)![1]!.trim().replace(/\s+/g, ' ')),
      [...Array<string>(2).fill(Array(4).fill(UID).join(' ')), ...Array<string>(2).fill('0000000000001000'), ...Array<string>(2).fill('0000000000000000'), '']);
    assert.equal(readdirSync(`/proc/${senders()}/fd`).length, 3);
    // Its sender is killed: the next message makes another one.
    process.kill(Number(senders()), 'SIGKILL');
    await gone();
    at.say('change', device(`event97${index}`, 1030 + index));
    assert.equal((await heard(at, run, 'mark-again'))[1], `change event97${index} node=ENXIO entry=yes tags=:seat:`);
    await run.end('SIGKILL');
    await gone(); // its network is not kept
  }
});

test('with the host\'s network the container hears each message once, and nobody else hears ours', async (t) => {
  for (const uid of [UID, 0]) {
    const at = await host(t);
    if (!at) return;
    const job = await relay(at, uid, '--machine', 'relayed');
    const [run, other] = [await container(at, uid, 'shared'), at.start(`${at.at}/play`, 'listen', `${at.at}/nodes`, at.udev)];
    await other.says(/listening/);
    at.plug('event980', 1040, 'I:5\n');
    at.say('add', device('event980', 1040));
    if (uid !== 0) await run.says(/^add event980/m);
    const taken = (lines: string[]) => lines.filter((line) => !line.startsWith('dropped'));
    // Without users of its own, what it hears is the host's own message, which may be sooner than the node.
    assert.deepEqual(taken(await heard(at, run, 'mark')).map((line) => uid ? line : line.slice(0, 12)), [uid ? 'add event980 node=ENXIO entry=yes tags=:seat:' : 'add event980']);
    assert.equal(taken(await heard(at, other, 'mark')).length, 1);
    await Promise.all([run.end(), other.end()]);
    await job.end();
  }
});

test('a private network without users of its own', async (t) => {
  const at = await host(t);
  if (!at) return;
  await relay(at, 0, '--machine', 'relayed');
  const run = await container(at, 0, 'own');
  at.plug('event981', 1041, 'I:5\n');
  at.say('add', device('event981', 1041));
  assert.deepEqual(await heard(at, run, 'mark'), ['add event981 node=ENXIO entry=yes tags=:seat:']);
});

test('after more messages than the queue takes, what is there is right', async (t) => {
  const at = await host(t);
  if (!at) return;
  at.plug('event990', 1050, 'I:5\n');
  const job = await relay(at, UID, '--machine', 'relayed');
  job.child.kill('SIGSTOP');
  at.say('add', device('event990', 1050, { FILL: 'x'.repeat(30_000) }), 2000);
  at.unplug('event990', 1050);
  at.say('remove', device('event990', 1050));
  at.plug('event991', 1051, 'I:5\n');
  at.say('add', device('event991', 1051));
  job.child.kill('SIGCONT');
  const until = Date.now() + 60_000;
  while ((existsSync(`${at.nodes}/event990`) || !existsSync(`${at.nodes}/event991`)) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  const { stderr } = await job.end();
  assert.deepEqual(readdirSync(at.nodes).sort(), ['by-id', 'by-path', 'event991']);
  assert.match(stderr, /messages of udev were lost.*, going on/);
});

test('words that lead elsewhere are refused', (t) => {
  const at = folder(t);
  for (const words of [['--seat', '../x', '--machine', 'm'], ['--machine', '../m'], [], ['--machine', 'm', '--group', at]]) {
    const { status, stderr } = spawnSync(native, ['udev-relay', ...words, at, at, '0:0', '0660'], { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 1, stderr);
    assert.deepEqual(readdirSync(at), []);
  }
});
