import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { decodePng } from '../../src/png.ts';
import { connectX, listHosts, changeHosts, localUser, type Picture, screenshot } from '../../src/x11.ts';
import { folder, follow, machineFile, nestbox, root, running } from '../nestbox.ts';
import { corner, picture } from '../pictures.ts';
import { createWindow, keyListener, startXvfb, writeXauthorityFile, type Xvfb } from '../x11-client.ts';

const machine = (t: TestContext, name: string, more: string) => machineFile(t, `name = "${name}"\nephemeral = true\n${more}\n${root}`);

/** A window of one colour, 200x100 at 50,40. */
const window = ['xlogo', '-bg', '#336699', '-fg', '#336699', '-bw', '0', '-geometry', '200x100+50+40'];
const colour = [0x33, 0x66, 0x99];

/** A person's desktop: a server with a key, and the environment of a program of theirs. */
async function desktop(t: TestContext): Promise<(Xvfb & { env: NodeJS.ProcessEnv; authority: string }) | null> {
  const server = await startXvfb(t, { width: 1000, height: 700 });
  if (!server) return null;
  const authority = `${server.folder}/person`;
  writeXauthorityFile(authority, server.key);
  return { ...server, authority, env: { DISPLAY: `:${server.display}`, XAUTHORITY: authority } };
}

/** Where a picture has a colour, and whether it fills that place and no other. */
function area({ width, rgb }: Picture, [red, green, blue]: number[], tolerance = 0) {
  let [left, top, right, bottom, count] = [Infinity, Infinity, -1, -1, 0];
  for (let i = 0; i < rgb.length; i += 3) {
    if (Math.abs(rgb[i]! - red!) > tolerance || Math.abs(rgb[i + 1]! - green!) > tolerance || Math.abs(rgb[i + 2]! - blue!) > tolerance) continue;
    const [x, y] = [(i / 3) % width, Math.floor(i / 3 / width)];
    [left, top, right, bottom, count] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y), count + 1];
  }
  return count === 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1, full: count === (right - left + 1) * (bottom - top + 1) };
}

/** Tries until it gives something; a window appears when it appears, and nobody tells. */
async function eventually<T>(look: () => T | null | Promise<T | null>): Promise<T> {
  for (const limit = Date.now() + 60_000; Date.now() < limit; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const found = await look();
    if (found !== null) return found;
  }
  throw new Error('it did not come within 60 seconds');
}

function pictureOf(t: TestContext, name: string): Picture {
  const path = `${folder(t)}/picture.png`;
  const { status, stderr } = nestbox(['screenshot', name, path]);
  assert.equal(status, 0, stderr);
  return decodePng(readFileSync(path));
}

for (const [depth, tolerance] of [[24, 0], [16, 8]] as const)
  test(`a headless screen of ${depth} bits shows a window in its colour at its place, and nothing of it elsewhere`, async (t) => {
    const name = `display-${depth}`;
    const run = running(t, ['run', machine(t, name, `user = "someone"\nnetwork = "none"\n[display.headless]\nsize = "500x300"\ndepth = ${depth}`), '--', 'sh', '-c', 'echo ready; exec "$@"', 'sh', ...window]);
    await run.says(/ready/);
    const found = await eventually(() => area(pictureOf(t, name), colour, tolerance));
    assert.deepEqual(found, { left: 50, top: 40, width: 200, height: 100, full: true });
    const { width, height, rgb } = pictureOf(t, name);
    assert.deepEqual([width, height, ...rgb.subarray(0, 3), ...rgb.subarray(-3)], [500, 300, 0, 0, 0, 0, 0, 0]);
  });

test('machines that start at the same moment have a screen each', async (t) => {
  const runs = ['display-one', 'display-two', 'display-three'].map((name) => running(t, ['run', machine(t, name, 'network = "none"\ndisplay = "headless"'), '--', 'sh', '-c', 'xdpyinfo | head -n 1; echo ready; exec sleep 1000']));
  const names = await Promise.all(runs.map(async (run) => (await run.says(/^name of display: +(:\d+)\nready/))[1]));
  assert.equal(new Set(names).size, 3, names.join(' '));
});

test('a screenshot of a machine that does not run, or has no display of its own, is refused', async (t) => {
  assert.match(nestbox(['screenshot', 'display-none', '/nonexistent/picture.png']).stderr, /'display-none' does not run/);
  const run = running(t, ['run', machine(t, 'display-none', 'network = "none"'), '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  assert.match(nestbox(['screenshot', 'display-none', '/nonexistent/picture.png']).stderr, /'display-none' has no display of its own/);
});

test('a nested screen is a window of the desktop, in which the machine draws, and which can be resized', async (t) => {
  const outer = await desktop(t);
  if (!outer) return;
  const before = readFileSync(outer.authority);
  const run = running(t, ['run', machine(t, 'display-nested', 'user = "someone"\nnetwork = "none"\n[display.nested]\nsize = "400x300"\ntitle = "a window of its own"'), '--', ...window], outer.env);
  const x = await connectX(outer);
  t.after(() => x.close());
  const place = { left: 50, top: 40, width: 200, height: 100, full: true };
  assert.deepEqual(await eventually(async () => area(await screenshot(x), colour)), place, 'on the desktop');
  const own = pictureOf(t, 'display-nested');
  assert.deepEqual([own.width, own.height, area(own, colour)], [400, 300, place], 'on its own screen');

  const found = spawnSync('xdotool', ['search', '--name', '^a window of its own$'], { env: { ...process.env, ...outer.env }, encoding: 'utf8' }).stdout.trim();
  assert.match(found, /^\d+$/);
  spawnSync('xdotool', ['windowsize', found, '640', '480'], { env: { ...process.env, ...outer.env } });
  await eventually(() => { const { width, height } = pictureOf(t, 'display-nested'); return width === 640 && height === 480 ? true : null; });
  await run.end();
  await eventually(async () => (area(await screenshot(x), colour) === null ? true : null)); // the window has gone with the machine
  assert.deepEqual(readFileSync(outer.authority), before);
});

test('a program inside a nested screen reads the keys typed into it, and none typed into another window', async (t) => {
  const outer = await desktop(t);
  if (!outer) return;
  const x = await connectX(outer);
  t.after(() => x.close());
  await createWindow(x, { x: 600, y: 400, width: 200, height: 200, background: 0xffffff });
  const type = (...words: string[]) => assert.equal(spawnSync('xdotool', words, { env: { ...process.env, ...outer.env } }).status, 0);
  const run = running(t, ['run', machine(t, 'display-keys', 'network = "none"\n[display.nested]\nsize = "400x300"'), '--', 'perl', '-e', keyListener], outer.env);
  const control = follow(t, spawn('perl', ['-e', keyListener], { env: { ...process.env, ...outer.env }, stdio: ['ignore', 'pipe', 'pipe'] }));
  await Promise.all([run.says(/looked/), control.says(/looked/)]);
  const [secret, open] = [38, 56]; // a and b: the evdev keycodes of xkeyboard-config

  type('mousemove', '700', '500', 'keydown', 'a');
  await control.says(new RegExp(`down ${secret}\\n`));
  const looks = run.stdout().length;
  await eventually(() => (run.stdout().slice(looks).split('looked').length > 4 ? true : null)); // it has looked while the key was down
  type('keyup', 'a', 'mousemove', '200', '150', 'keydown', 'b');
  await run.says(new RegExp(`down ${open}\\n`));
  await control.says(new RegExp(`down ${open}\\n`)); // the desktop itself sees all
  type('keyup', 'b');
  // A key that is held for long repeats itself.
  assert.deepEqual([...new Set([...run.stdout().matchAll(/down (\d+)/g)].map(([, key]) => Number(key)))], [open]);
});

/** Whether a server can be reached by its socket without a file, which belongs to a network and not to a folder. */
const abstract = 'use IO::Socket::UNIX; print IO::Socket::UNIX->new(Peer => "\\0/tmp/.X11-unix/X$ARGV[0]") ? "connected\\n" : "$!\\n"';

test('the desktop\'s own sockets cannot be reached from a nested screen', async (t) => {
  const outer = await desktop(t);
  if (!outer) return;
  const look = ['--', 'sh', '-c', 'echo "$DISPLAY" = :$(ls -A /tmp/.X11-unix | tr -d X); perl -e "$1" $2; perl -e "$1" ${DISPLAY#:}', 'sh', abstract, `${outer.display}`];
  const of = (network: string) => nestbox(['run', machine(t, 'display-sockets', `network = "${network}"\ndisplay = "nested"`), ...look], { env: outer.env }).stdout;
  const expected = (theirs: string) => new RegExp(`^(:(?!${outer.display}\\b)\\d+) = \\1\\n${theirs}\\nConnection refused\\n$`);
  assert.match(of('none'), expected('Connection refused'));
  // Where the network is shared the desktop's abstract socket is open to all, as the grant says; its own has none.
  assert.match(of('host'), expected('connected'));
});

test('the desktop itself, with a key of its own that is worthless when the machine has ended', async (t) => {
  const outer = await desktop(t);
  if (!outer) return;
  const [before, beforeStat] = [readFileSync(outer.authority), statSync(outer.authority)];
  const behind = await connectX(outer);
  t.after(() => behind.close());
  await createWindow(behind, { x: 0, y: 0, width: 1000, height: 700, background: 0xccc8bb });
  for (const user of ['user = "someone"', '']) {
    const run = running(t, ['run', machine(t, 'display-x11', `${user}\nnetwork = "none"\ndisplay = "x11"`), '--', 'sh', '-c', `xdpyinfo | grep -c XTEST; ls -A /tmp/.X11-unix; od -An -v -tx1 $XAUTHORITY | tr -d ' \\n'; echo; xclock -geometry 200x200+300+40 -bg '#ffcc00' & exec "$@"`, 'sh', ...window], outer.env);
    const [, file] = await run.says(new RegExp(`^1\\nX${outer.display}\\n([0-9a-f]+)\\n`));
    const key = Buffer.from(file!.slice(-32), 'hex');
    assert.notDeepEqual(key, outer.key);
    const x = await connectX({ socket: outer.socket, key });
    assert.deepEqual(await eventually(async () => area(await screenshot(x), colour)), { left: 50, top: 40, width: 200, height: 100, full: true });
    await eventually(async () => area(await screenshot(x), [0xff, 0xcc, 0]));
    picture('x11', corner(await screenshot(x), 540, 280));
    x.close();
    await run.end();
    await assert.rejects(connectX({ socket: outer.socket, key }), /refused the connection/);
  }
  (await connectX(outer)).close();
  const { mtimeMs, ino, mode } = statSync(outer.authority);
  assert.deepEqual([readFileSync(outer.authority), mtimeMs, ino, mode], [before, beforeStat.mtimeMs, beforeStat.ino, beforeStat.mode]);
});

test('an untrusted program on the desktop has two extensions, and takes no pictures of it', async (t) => {
  const outer = await desktop(t);
  if (!outer) return;
  const show = 'xdpyinfo | grep -A3 "number of extensions"; xwd -silent -root > /tmp/picture 2> /tmp/complaint || cat /tmp/complaint; test -s /tmp/picture && echo taken';
  const run = (access: string) => nestbox(['run', machine(t, 'display-far', `network = "none"\n[display.x11]\naccess = "${access}"`), '--', 'sh', '-c', show], { env: outer.env });
  const { stdout, stderr } = run('untrusted');
  assert.match(stdout, /^number of extensions: +2\n +BIG-REQUESTS\n +XC-MISC\n[^\n]+\nxwd: +unable to get image[^\n]*\n$/, stdout + stderr);
  assert.match(stderr, /two X extensions of some twenty/);
  const near = run('trusted').stdout;
  assert.ok(Number(/number of extensions: +(\d+)/.exec(near)?.[1]) > 10 && near.endsWith('taken\n'), near);
});

test('access by user id is refused until it is accepted, and withdrawn without touching what others were given', async (t) => {
  const outer = await desktop(t);
  if (!outer) return;
  const text = 'user = "someone"\nnetwork = "none"\n[display.x11]\naccess = "xhost"\n';
  const refused = nestbox(['run', machine(t, 'display-xhost', text), '--', 'true'], { env: outer.env });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /without a key[^]*accept = \["xhost"\]/);

  const x = await connectX(outer);
  t.after(() => x.close());
  await changeHosts(x, 'insert', localUser('#4294967294'));
  const before = await listHosts(x);
  const admitted = async () => {
    const run = running(t, ['run', machine(t, 'display-xhost', `accept = ["xhost"]\n${text}`), '--', 'sh', '-c', 'env | grep -c XAUTHORITY; xdpyinfo | grep -c XTEST; sed -E "s/ +/ /g" /proc/self/uid_map; exec sleep 1000'], outer.env);
    const [, shift] = await run.says(/^0\n1\n 0 (\d+) 65536\n/);
    const during = await listHosts(x);
    await run.end();
    return { during, entry: localUser(`#${Number(shift) + 1000}`) };
  };
  const { during, entry } = await admitted();
  assert.deepEqual(during.hosts.filter(({ address }) => !before.hosts.some((one) => one.address.equals(address))), [entry]);
  assert.equal(during.hosts.length, before.hosts.length + 1);
  assert.deepEqual(await listHosts(x), before);

  await changeHosts(x, 'insert', entry);
  const given = await listHosts(x);
  assert.deepEqual((await admitted()).during, given);
  assert.deepEqual(await listHosts(x), given, 'somebody else had given it: it stays');
});
