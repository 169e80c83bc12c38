import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { decodePng } from '../../src/png.ts';
import { folder, machineFile, nestbox, root, running } from '../nestbox.ts';
import { differences, snapshot } from '../snapshot.ts';
import { changeHosts, connectX, localUser, type Picture, screenshot } from '../../src/x11.ts';
import { bigEndian, inOrder, mixedMemory, overlong, shared, sharedPicture, startXvfb, writeXauthorityFile, type Xvfb } from '../x11-client.ts';

/** Memory that a machine shares with an X server, and with nobody else. */

/** What everybody on the host sees of System V's shared memory: proc_sysvipc_shm(5). */
const segments = (): string => readFileSync('/proc/sysvipc/shm', 'utf8');

const engines: Record<string, string> = {
  nspawn: 'network = "none"\n', lxc: 'engine = "lxc"\nnetwork = "none"\n',
  chroot: 'engine = "chroot"\nusers = "host"\nnetwork = "host"\n',
};

const machine = (t: TestContext, name: string, display: string, more = engines.nspawn!) => machineFile(t, `name = "${name}"\nuser = "someone"\nephemeral = true\n${more}[display.${display}]\n${display === 'x11' ? 'shared-memory = true' : 'size = "800x650"'}\n${root}`);

/** A picture of a machine's own screen. */
function screenOf(t: TestContext, name: string): Picture {
  const path = `${folder(t)}/picture.png`;
  const { status, stderr } = nestbox(['screenshot', name, path]);
  assert.equal(status, 0, stderr);
  return decodePng(readFileSync(path));
}

async function screenOfHost({ socket, key }: Xvfb): Promise<Picture> {
  const x = await connectX({ socket, key });
  try {
    return await screenshot(x);
  } finally {
    x.close();
  }
}

const pixelOf = ({ width, rgb }: Picture, left: number, top: number): number => Buffer.from(rgb.buffer, rgb.byteOffset).readUIntBE(3 * (top * width + left), 3);

/** It has at its place what sharedPicture draws. */
function isSeen(picture: Picture): void {
  for (let i = 0; i < shared.width * shared.height; i++)
    assert.equal(pixelOf(picture, shared.left + (i % shared.width), shared.top + Math.floor(i / shared.width)), shared.pixel(i), `pixel ${i}`);
}

for (const [engine, display] of [['nspawn', 'headless'], ['nspawn', 'nested'], ['lxc', 'headless'], ['chroot', 'headless'], ['chroot', 'nested'], ['nspawn', 'x11'], ['lxc', 'x11'], ['chroot', 'x11']] as const)
  test(`pictures go by memory that is shared with ${display === 'x11' ? "the host's" : `a ${display}`} screen, on ${engine}`, async (t) => {
    const outer = await startXvfb(t, { width: 1000, height: 800 });
    if (!outer) return;
    if (engine === 'lxc' && spawnSync('lxc-start', ['--version']).status !== 0) return t.skip('LXC is not installed');
    const authority = `${outer.folder}/person`;
    writeXauthorityFile(authority, outer.key);
    const before = snapshot();
    const host = segments();
    const name = `memory-${engine}-${display}`;
    const run = running(t, ['run', machine(t, name, display, engines[engine]), '--', 'sh', '-c', 'x11perf -time 1 -repeat 1 -shmput500 2>&1; perl -e "$1"; echo ready; exec sleep 1000', 'sh', sharedPicture], { DISPLAY: `:${outer.display}`, XAUTHORITY: authority });
    const [, own] = await run.says(/\d reps? @ +[\d.]+ msec [^]*the same\n(\d+)\nready/);
    isSeen(display === 'x11' ? await screenOfHost(outer) : screenOf(t, name));
    // Each client has its own user's memory alone, though the server may use all of it.
    const inside = (...words: string[]) => nestbox(['exec', ...words.slice(0, -1), name, '--', 'perl', '-e', sharedPicture, ...words.slice(-1).filter(Boolean)]);
    const [, roots] = /^the same\n(\d+)\n$/.exec(inside('--root', '').stdout) ?? assert.fail('root cannot');
    assert.equal(inside(own!).stdout, 'attached\n');
    assert.match(inside(roots!).stderr, /^refused 10$/m); // BadAccess
    assert.equal(segments().replace(/\s+/g, ' '), host.replace(/\s+/g, ' '), 'nothing of it is on the host');
    await run.end();
    assert.deepEqual(differences(before), []);
  });

test('nobody but the machine and its screen has its shared memory, and it has nobody else\'s', async (t) => {
  const id = /\d+/.exec(execFileSync('ipcmk', ['-M', '4711', '-p', '0666'], { encoding: 'utf8' }))![0];
  t.after(() => execFileSync('ipcrm', ['-m', id]));
  // A segment under a name that is the same for all: shmget(2) finds it, or makes it.
  const look = (size: number) => `perl -e 'print defined shmget(0x6e657374, 0, 0) ? "there" : "none", defined shmget(0x6e657374, ${size}, 03666) ? "" : " and cannot be made", "\\n"'; tail -n +2 /proc/sysvipc/shm | awk '{ print $4 }'; echo ready; exec sleep 1000`;
  const run = (name: string, size: number, display: string) => running(t, ['run', machine(t, name, display), '--', 'sh', '-c', look(size)]);
  const one = run('memory-one', 1001, 'headless');
  await one.says(/^none\n1001\nready/);
  const two = run('memory-two', 1002, 'headless');
  await two.says(/^none\n1002\nready/);
  assert.doesNotMatch(segments(), /\b100[12]\b/);
  assert.match(segments(), /\b4711\b/);
  // Nothing of the kernel's that can be set is set from in there, as in any machine.
  const set = nestbox(['exec', '--root', 'memory-one', '--', 'sh', '-c', 'for one in shmmax msgmax sem shm_rmid_forced; do echo 1 > /proc/sys/kernel/$one; done; mount -t mqueue none /mnt']);
  assert.equal(set.stderr.match(/Read-only file system|Permission denied/gi)?.length, 5, set.stderr);
});

test('with the host\'s screen, the machine\'s memory alone reaches it: by number and as files, in short and in long requests, and whatever the order of bytes', async (t) => {
  const outer = await startXvfb(t, { width: 1000, height: 800 });
  if (!outer) return;
  // Whoever it is let in by: its server knows the person by the id of the process.
  const x = await connectX(outer);
  await changeHosts(x, 'insert', localUser('#0'));
  x.close();
  const authority = `${outer.folder}/person`;
  writeXauthorityFile(authority, outer.key);
  const id = /\d+/.exec(execFileSync('ipcmk', ['-M', '9600', '-p', '0666'], { encoding: 'utf8' }))![0];
  t.after(() => execFileSync('ipcrm', ['-m', id]));
  const before = snapshot();
  const run = running(t, ['run', machine(t, 'memory-gate', 'x11'), '--', 'sh', '-c', 'echo ready; exec sleep 1000'], { DISPLAY: `:${outer.display}`, XAUTHORITY: authority });
  await run.says(/ready/);
  const perl = (program: string, ...words: string[]) => nestbox(['exec', 'memory-gate', '--', 'perl', '-e', program, ...words]);
  assert.match(perl(sharedPicture, id).stderr, /^refused 10$/m, 'a segment of the host');
  assert.equal(perl(mixedMemory, id).stdout, 'in order\nattached\nrefused\nmade\n');
  assert.equal(pixelOf(await screenOfHost(outer), shared.left + 1, shared.top + 1), 0x123456);
  assert.match(perl(bigEndian(sharedPicture)).stdout, /^the same\n\d+\n$/);
  isSeen(await screenOfHost(outer));
  // What servers read in different ways does not get to one.
  for (const program of [overlong, inOrder(sharedPicture, 'R')]) assert.match(perl(program).stderr, /^the server hung up$/m);
  const { status, stdout } = nestbox(['verify', 'memory-gate'], { env: { DISPLAY: `:${outer.display}`, XAUTHORITY: authority } });
  assert.equal(status, 0, stdout); // without its key nobody is let in there, whom the server may take the gate for
  await run.end();
  assert.deepEqual(differences(before), []);
});

test('what a killed run has shared is gone when it is taken back', async (t) => {
  const before = snapshot();
  const run = running(t, ['run', machine(t, 'memory-killed', 'headless'), '--', 'sh', '-c', 'perl -e "$1"; echo ready; exec sleep 1000', 'sh', sharedPicture]);
  await run.says(/ready/);
  await run.end('SIGKILL');
  const { status, stderr } = nestbox(['clean', 'memory-killed']);
  assert.equal(status, 0, stderr);
  assert.deepEqual(differences(before), []);
});
