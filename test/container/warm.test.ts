import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, closeSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, realpathSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { attempt } from '../../src/attempt.ts';
import { decodePng } from '../../src/png.ts';
import { folder, follow, nestbox, program, type Result, root, type Running } from '../nestbox.ts';
import { chooseCookie, connectX, readXauthority } from '../../src/x11.ts';
import { processesOf, tinyRoot } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';
import { fnv1a } from '../../src/host/warm.ts';
import { spoilt } from '../spoilt.ts';
import { sharedPicture, startXvfb, writeXauthorityFile } from '../x11-client.ts';

const front = new URL('../../dist/nestbox', import.meta.url).pathname;
const killAt = '/var/tmp/nestbox-test-kill-at';
const machineOf = (name: string) => `/var/lib/nestbox/machines/${name}`;

/** A machine that is made, and nestbox as people call it: a `node` that notes that it was asked for comes first in its path. */
interface Made {
  name: string;
  own: string;
  file: string;
  run(...words: string[]): Result & { node: boolean };
  start(...words: string[]): Running & { node(): boolean };
  /** Once more where Node was asked for: others on this host may have changed something of it meanwhile. */
  warm(...words: string[]): Result;
  /** Runs it until it goes without Node. */
  warmUp(): void;
}

function made(t: TestContext, name: string, more: string, session: NodeJS.ProcessEnv = {}, of = root): Made {
  const own = folder(t);
  const file = `/etc/nestbox/${name}.toml`;
  nestbox(['rm', name]); // of a test that was cut off
  rmSync(file, { force: true });
  mkdirSync(`${own}/games`);
  writeFileSync(`${own}/notes`, 'x');
  writeFileSync(`${own}/node`, `#!/bin/sh\necho >> ${own}/asked\nexec ${process.execPath} "$@"\n`, { mode: 0o755 });
  writeFileSync(`${own}/machine.toml`, `name = "${name}"\n${/^network/m.test(more) ? '' : 'network = "none"\n'}${more.replaceAll('OWN', own)}\n${of}`);
  const created = nestbox(['create', `${own}/machine.toml`], { env: session });
  assert.equal(created.status, 0, created.stderr);
  t.after(() => {
    nestbox(['rm', name]);
    rmSync(file, { force: true });
  });
  const env = { ...process.env, PATH: `${own}:/usr/bin:/bin`, TERM: 'vt100', ...session };
  const asked = () => {
    const found = existsSync(`${own}/asked`);
    rmSync(`${own}/asked`, { force: true });
    return found;
  };
  const run: Made['run'] = (...words) => {
    const { status, stdout, stderr } = spawnSync(front, words, { encoding: 'utf8', env, input: '', timeout: 300_000 });
    return { status, stdout, stderr, node: asked() };
  };
  const warm: Made['warm'] = (...words) => {
    for (let i = 0; i < 10; i++) {
      const { node, ...result } = run(...words);
      if (!node) return result;
    }
    return assert.fail('it is always a run for Node');
  };
  return {
    name, own, file, run,
    start: (...words) => Object.assign(follow(t, spawn(front, words, { env, stdio: ['ignore', 'pipe', 'pipe'] })), { node: asked }),
    warm,
    warmUp: () => void warm('run', name, '--', 'true'),
  };
}

const everything = `user = "tester"
devices = ["/dev/nestbox-test-warm"]
files = [{ path = "OWN/games", to = "/mnt/games", write = true }, "OWN/notes"]
environment = { GREETING = "hello" }
limits = { memory = "1G", tasks = 200 }
run = "echo its own"`;

function device(t: TestContext): void {
  execFileSync('rm', ['-f', '/dev/nestbox-test-warm']);
  execFileSync('mknod', ['-m', '0666', '/dev/nestbox-test-warm', 'c', '1', '3']);
  t.after(() => execFileSync('rm', ['-f', '/dev/nestbox-test-warm']));
}

/** What of itself a program inside can tell, without what each run has another of. */
const look = `id; env | grep -v container_uuid | sort; pwd; hostname
grep -E '^(Cap|NoNewPrivs|Seccomp|NSpid)' /proc/self/status; cut -d: -f2- /proc/self/cgroup
sed -E 's/^[0-9]+ [0-9]+ [0-9:]+ //; s/(shared|master):[0-9]+ //g; s/,size=[0-9]+k,nr_inodes=[0-9]+//; s/inode64//; s,[0-9a-f]{16}//deleted,,' /proc/self/mountinfo | sort
stat -c '%a %u:%g %t:%T %n' /dev/* /mnt/* /run/* /run/user/*; cat /proc/self/uid_map /proc/self/gid_map; echo x > /dev/nestbox-test-warm; touch /mnt/games/it && stat -c '%a %u:%g %n' /mnt/games/it; ulimit -a; echo ready
read line; echo "$line"`;

test('what is seen inside, the journal and the state are the same with Node and without', async (t) => {
  device(t);
  const machine = made(t, 'warm-same', everything);
  machine.warmUp();
  const both: { seen: string; journal: string; state: Record<string, unknown>; groups: string[] }[] = [];
  for (const words of [[process.execPath, program], [front]]) {
    rmSync(`${machine.own}/games/it`, { force: true });
    const child = spawn(words[0]!, [...words.slice(1), 'run', machine.name, '--', 'sh', '-c', look], { env: { ...process.env, PATH: `${machine.own}:/usr/bin:/bin`, TERM: 'vt100', ...(words[0] !== front && { NESTBOX_BY_NODE: '1' }) }, stdio: ['pipe', 'pipe', 'pipe'] });
    const run = follow(t, child);
    await run.says(/^ready$/m);
    const state = JSON.parse(readFileSync(`/run/nestbox/${machine.name}/state.json`, 'utf8')) as Record<string, unknown>;
    assert.equal(state.pid, child.pid);
    const listed = execFileSync('sh', ['-c', `for f in /sys/fs/cgroup/*/nestbox-${machine.name}; do for s in devices.list memory.limit_in_bytes pids.max; do cat $f/$s 2>/dev/null; done; done; true`], { encoding: 'utf8' });
    both.push({ seen: run.stdout(), journal: readFileSync(`/var/lib/nestbox/journal/${machine.name}`, 'utf8'), state: { ...state, pid: 0, started: 0 }, groups: listed.split('\n') });
    child.stdin!.end('end\n');
    assert.equal((await run.end(null)).status, 0);
  }
  assert.ok(!existsSync(`${machine.own}/asked`), 'the second is without Node');
  assert.match(both[0]!.seen, /uid=1000\(tester\)[\s\S]*GREETING=hello[\s\S]*TERM=vt100/);
  const sorted = (journal: string) => journal.split('\n').sort(); // folders that were there for the one are none for the other
  assert.deepEqual({ ...both[1], journal: sorted(both[1]!.journal) }, { ...both[0], journal: sorted(both[0]!.journal) });
});

test('exit statuses, words, input and signals are as with Node', async (t) => {
  const machine = made(t, 'warm-ends', 'run = "echo its own"');
  machine.warmUp();
  const is = (result: Result, status: number, stdout: string) => assert.deepEqual([result.status, result.stdout], [status, stdout], result.stderr);
  is(machine.warm('run', machine.name), 0, 'its own\n');
  is(machine.warm('exec', '--start', machine.name, '--', 'sh', '-c', 'exit 7'), 7, '');
  is(machine.warm('run', machine.name, '--', 'sh', '-c', 'kill -KILL $$'), 255, '');
  const words = ['', 'b c', '$HOME', "it's", '--machine=other', '*', 'ü\n2', '\\n'];
  is(machine.warm('run', machine.name, '--', 'printf', '[%s]', ...words), 0, words.map((word) => `[${word}]`).join(''));
  assert.match(machine.run('run', machine.name, '--', '/usr/bin/no-such-program').stderr, /no-such-program.*No such file/);
  const run = machine.start('run', machine.name, '--', 'sh', '-c', 'trap "echo one" USR1; trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done');
  await run.says(/ready/);
  // While it runs it is the others' to wait, or to go in.
  const second = machine.run('run', machine.name, '--', 'true');
  assert.match(second.stderr, /is running \(process \d+\)/);
  assert.equal(machine.run('exec', '--start', machine.name, '--', 'sh', '-c', 'pgrep -c sleep; exit 5').status, 5);
  run.child.kill('SIGUSR1');
  await run.says(/one/);
  assert.deepEqual(await run.end('SIGTERM').then(({ status, stdout }) => [status, stdout]), [9, 'ready\none\nterm\n']);
  const deaf = machine.start('run', machine.name, '--', 'sh', '-c', 'trap "echo heard" INT; echo ready; while :; do sleep 0.05; done');
  await deaf.says(/ready/);
  deaf.child.kill('SIGINT');
  await deaf.says(/heard/);
  await deaf.end('SIGINT');
  assert.equal(nestbox(['clean', machine.name]).status, 0);
  is(machine.warm('run', machine.name), 0, 'its own\n');
});

test('what Node has looked at goes on without it, in the same process; what is given back, Node does', async (t) => {
  const machine = made(t, 'warm-met', 'user = "tester"\nrun = "echo its own"');
  const { name, own, file } = machine;
  const line = 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done';
  let isMet = false;
  for (let i = 0; i < 10 && !isMet; i++) { // others may have changed something of this host in the last twentieth of a second
    appendFileSync(file, '# changed\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const run = machine.start('run', name, '--', 'sh', '-c', line);
    await run.says(/^ready$/m);
    assert.ok(run.node());
    isMet = readlinkSync(`/proc/${run.child.pid}/exe`).endsWith('/nestbox-native');
    assert.equal((JSON.parse(readFileSync(`/run/nestbox/${name}/state.json`, 'utf8')) as { pid: number }).pid, run.child.pid);
    if (isMet) assert.match(readFileSync(`/proc/${run.child.pid}/status`, 'utf8'), /^SigIgn:\t0{16}$/m);
    assert.deepEqual(await run.end('SIGTERM').then(({ status, stdout }) => [status, stdout]), [9, 'ready\n']);
  }
  assert.ok(isMet, 'Node does it to its end');
  // By its file as by its name.
  assert.equal(machine.warm('run', file).stdout, 'its own\n');
  const relative = spawnSync(front, ['run', `./${name}.toml`, '--', 'echo', 'by file'], { cwd: '/etc/nestbox', encoding: 'utf8', env: { ...process.env, PATH: `${own}:/usr/bin:/bin`, TERM: 'vt100' } });
  assert.deepEqual([relative.stdout, existsSync(`${own}/asked`)], ['by file\n', false], relative.stderr);
  mkdirSync(`${own}/other`);
  writeFileSync(`${own}/other/${name}.toml`, readFileSync(file, 'utf8').replace('its own', 'of another'));
  assert.ok(machine.run('run', `${own}/other/${name}.toml`).node, 'another file of that name');
  // Something has changed since Node has looked: it is asked once more, and keeps it.
  appendFileSync(file, '# changed\n');
  const back = spawnSync(front, ['--met', name, '2', 'echo', 'word', 'run', name, '--', 'echo', 'word'], { encoding: 'utf8', env: { ...process.env, PATH: `${own}:/usr/bin:/bin`, TERM: 'vt100' } });
  assert.deepEqual([back.status, back.stdout, readFileSync(`${own}/asked`, 'utf8')], [0, 'word\n', '\n'], back.stderr);
});

test('whatever has changed, Node looks at it, and all is as the change has it', (t) => {
  device(t);
  const machine = made(t, 'warm-stamp', everything);
  const { name, own, file } = machine;
  const dist = program.replace('nestbox.cjs', 'program.cjs');
  const kept = () => readdirSync(`${machineOf(name)}/warm`).map((one) => `${machineOf(name)}/warm/${one}`)[0]!;
  const changes: [what: string, change: () => void, seen?: RegExp | undefined, back?: () => void][] = [
    ['the machine file', () => appendFileSync(file, '\n# x\n')],
    ['its environment', () => writeFileSync(file, readFileSync(file, 'utf8').replace('hello', 'good day')), /good day/],
    ['its environment, by a program that sets the time back', () => execFileSync('sh', ['-c', `cp -p ${file} ${own}/before; cat ${own}/before | sed 's/good day/good bye/' > ${file}; touch -r ${own}/before ${file}`]), /good bye/],
    ['the build', () => utimesSync(dist, new Date(), new Date(Date.now() - 5000))],
    ['an account inside', () => appendFileSync(`${upperOf(name)}/etc/passwd`, 'other:x:1500:1500::/:/bin/sh\n')],
    ['a folder that is shown', () => { renameSync(`${own}/games`, `${own}/old`); mkdirSync(`${own}/games`); writeFileSync(`${own}/games/new`, ''); }, /new/],
    ['its owner', () => chownSync(`${own}/games`, 1234, 1234)],
    ['a device', () => { execFileSync('rm', ['/dev/nestbox-test-warm']); execFileSync('mknod', ['-m', '0666', '/dev/nestbox-test-warm', 'c', '1', '5']); }, /1:5/],
    ['rights of a device', () => chmodSync('/dev/nestbox-test-warm', 0o600)],
    ['a place in the root', () => execFileSync('sh', ['-c', `rmdir ${upperOf(name)}/mnt/games`])],
    ['another has units', () => mkdirSync(`/var/lib/nestbox/services/${name}`), undefined, () => rmSync(`/var/lib/nestbox/services/${name}`, { recursive: true })],
    ['an account of the host', () => utimesSync('/etc/passwd', new Date(), new Date(Date.now() - 7000))],
    ['another boot', () => {
      const said = readFileSync(kept(), 'utf8').replace(/boot\0./, 'boot\0X').replace(/2\0end\0.*$/s, '');
      writeFileSync(kept(), `${said}2\0end\0${fnv1a(said)}\0`);
    }],
    ...spoilt.map(([how, spoil]): (typeof changes)[number] => [`a record that is spoilt: ${how}`, () => writeFileSync(kept(), spoil(readFileSync(kept())))]),
    ['written by anybody', () => chmodSync(kept(), 0o666)],
    ['not root\'s', () => chownSync(kept(), 1234, 1234)],
  ];
  for (const [what, change, seen, back] of changes) {
    machine.warmUp();
    change();
    const run = machine.run('run', name, '--', 'sh', '-c', 'echo $GREETING; ls /mnt/games; stat -c %t:%T /dev/nestbox-test-warm');
    back?.();
    assert.equal(run.status, 0, `${what}: ${run.stderr}`);
    assert.ok(run.node, `${what}: Node has not been asked`);
    if (seen) assert.match(run.stdout, seen, what);
  }
  machine.warmUp();
  const other = spawnSync(front, ['run', name, '--', 'sh', '-c', 'echo $TERM'], { encoding: 'utf8', env: { ...process.env, PATH: `${own}:/usr/bin:/bin`, TERM: 'xterm' } });
  assert.deepEqual([other.stdout, existsSync(`${own}/asked`)], ['xterm\n', true], 'another terminal');
  rmSync(`${own}/asked`);
  assert.equal(readdirSync(`${machineOf(name)}/warm`).length, 2, 'the first is kept');
  assert.equal(machine.warm('run', name).stdout, 'its own\n');
});

test('a root that has few folders, descriptors of the caller, and links of the root that lead out of it', async (t) => {
  const own = folder(t);
  tinyRoot(`${own}/root`); // without /sbin and what it would lead to
  execFileSync('tar', ['-C', `${own}/root`, '-cf', `${own}/root.tar`, '.']);
  const machine = made(t, 'warm-tiny', 'run = "true"', {}, `[root]\ntar = "${own}/root.tar"\n`);
  const { name } = machine;
  const { template } = JSON.parse(readFileSync(`${machineOf(name)}/machine.json`, 'utf8')) as { template: string };
  t.after(() => assert.equal(nestbox(['templates', '--prune', template]).status, 0));
  machine.warmUp();
  const secret = openSync('/etc/shadow', 'r');
  const child = spawn(front, ['run', name, '--', 'sh', '-c', 'echo there; read line'], { env: { ...process.env, PATH: `${machine.own}:/usr/bin:/bin`, TERM: 'vt100' }, stdio: ['pipe', 'pipe', 'ignore', secret, secret] });
  closeSync(secret);
  const run = follow(t, child);
  await run.says(/there/);
  const pids = processesOf(name).map(({ pid }) => pid);
  assert.ok(pids.length > 2, `${pids}`);
  for (const pid of pids) for (const number of readdirSync(`/proc/${pid}/fd`)) assert.notEqual(attempt(() => readlinkSync(`/proc/${pid}/fd/${number}`), ''), '/etc/shadow', `${pid} has descriptor ${number} of the caller's`);
  child.stdin!.end('\n');
  await run.end(null);
  // Closed ones are nobody's place: what is said would be written into the journal.
  assert.equal(spawnSync('sh', ['-c', `"$@" 0<&- 1>&- 2>&-`, 'sh', front, 'run', name, '--', 'sh', '-c', 'echo said; echo said >&2'], { env: { ...process.env, TERM: 'vt100' } }).status, 0);
  for (const path of ['tmp', 'var']) {
    machine.warmUp();
    rmSync(`${upperOf(name)}/${path}`, { recursive: true, force: true });
    mkdirSync(`${own}/host`, { recursive: true });
    symlinkSync(`${own}/host`, `${upperOf(name)}/${path}`);
    const led = machine.run('run', name, '--', 'true');
    assert.deepEqual([led.status, led.node], [1, true], path);
    assert.match(led.stderr, new RegExp(`/${path} in the machine's root leads outside of it`));
    rmSync(`${upperOf(name)}/${path}`);
  }
});

const upperOf = (name: string) => `${machineOf(name)}/top/upper`;

test('displays: a key by the server that is worth nothing afterwards, and servers of its own, on whose screens windows are seen', async (t) => {
  const x = await startXvfb(t);
  if (!x) return;
  const authority = `${folder(t)}/xauthority`;
  writeXauthorityFile(authority, x.key);
  const session = { DISPLAY: `:${x.display}`, XAUTHORITY: authority };
  const before = snapshot();
  const shared = made(t, 'warm-x11', 'user = "tester"\ndisplay = "x11"', session);
  shared.warmUp();
  const ran = shared.warm('run', shared.name, '--', 'sh', '-c', 'xdpyinfo | grep -c SECURITY; base64 -w0 $XAUTHORITY');
  const [offered, key = ''] = ran.stdout.split('\n');
  assert.equal(offered, '1', ran.stderr); // an untrusted client does not see it
  const cookie = chooseCookie(readXauthority(Buffer.from(key, 'base64')), 'any', x.display);
  assert.ok(cookie && !cookie.equals(x.key));
  await assert.rejects(connectX({ socket: x.socket, key: cookie }), /refused the connection/);
  const trusted = await connectX({ socket: x.socket, key: x.key });
  trusted.close();
  const memory = made(t, 'warm-memory', 'user = "tester"\n[display.x11]\nshared-memory = true', session);
  memory.warmUp();
  assert.match(memory.warm('run', memory.name, '--', 'perl', '-e', sharedPicture).stdout, /^the same$/m);
  nestbox(['rm', memory.name]);
  rmSync(memory.file, { force: true });
  for (const display of ['headless', 'nested']) {
    const own = made(t, `warm-${display}`, `user = "tester"\n[display.${display}]\nsize = "200x100"`, session);
    own.warmUp();
    const run = own.start('run', own.name, '--', 'sh', '-c', 'xdpyinfo | grep dimensions; perl -e "$1"; exec xlogo -bg "#123456" -geometry 200x100+0+0', 'sh', sharedPicture);
    await run.says(/dimensions: +200x100[^]*the same/);
    assert.ok(!run.node(), display);
    const top = () => { // between the arms of the logo
      assert.equal(nestbox(['screenshot', own.name, `${own.own}/screen.png`]).status, 0);
      return decodePng(readFileSync(`${own.own}/screen.png`)).rgb.subarray((5 * 200 + 100) * 3, (5 * 200 + 101) * 3).toString('hex');
    };
    for (const limit = Date.now() + 60_000; Date.now() < limit && top() !== '123456';); // its window is there when it is
    assert.equal(top(), '123456', display);
    await run.end('SIGINT');
    nestbox(['rm', own.name]);
    rmSync(own.file, { force: true });
  }
  nestbox(['rm', shared.name]);
  rmSync(shared.file, { force: true });
  assert.deepEqual(differences(before), []);
});

/** Goes between programs and an X server; where a file says so, a program that has been let in hears of nothing but events from then on. */
const flooding = `
const [socket, server, flood] = process.argv.slice(1), { existsSync, rmSync } = require('node:fs'), { connect, createServer } = require('node:net');
createServer((program) => {
  const x = connect(server).on('error', () => {}).on('data', (data) => program.write(data)).on('close', () => program.destroy());
  let greeted = false;
  program.on('error', () => {}).on('close', () => x.destroy()).on('data', (data) => {
    if (!greeted || !existsSync(flood)) { x.write(data); greeted = true; return; }
    rmSync(flood);
    const events = Buffer.alloc(32 * 1024).map((_, i) => (i % 32 ? 0 : 28)); // PropertyNotify
    const more = () => { while (program.write(events)); };
    program.on('drain', more);
    more();
  });
}).listen(socket, () => console.log('ready'));`;

test('a server that answers with events alone is left to Node after a while', async (t) => {
  const x = await startXvfb(t);
  if (!x) return;
  const own = folder(t);
  let display = 700;
  while (existsSync(`/tmp/.X11-unix/X${display}`)) display++;
  const socket = `/tmp/.X11-unix/X${display}`;
  t.after(() => rmSync(socket, { force: true }));
  await follow(t, spawn(process.execPath, ['-e', flooding, socket, x.socket, `${own}/flood`])).says(/ready/);
  writeXauthorityFile(`${own}/xauthority`, x.key);
  const machine = made(t, 'warm-flood', 'user = "tester"\ndisplay = "x11"', { DISPLAY: `:${display}`, XAUTHORITY: `${own}/xauthority` });
  machine.warmUp();
  writeFileSync(`${own}/flood`, '');
  const run = machine.run('run', machine.name, '--', 'true');
  assert.deepEqual([run.status, run.node, existsSync(`${own}/flood`)], [0, true, false], run.stderr);
});

test('what a run has started on the host ends with it, wherever it is killed', async (t) => {
  const own = folder(t);
  const ip = realpathSync(execFileSync('sh', ['-c', 'command -v ip'], { encoding: 'utf8' }).trim());
  cpSync(ip, `${own}/ip.real`);
  writeFileSync(`${own}/ip`, `#!/bin/sh\n[ -e ${own}/slow ] || exec ${own}/ip.real "$@"\necho $$ > ${own}/pid\nexec sleep 60\n`, { mode: 0o755 });
  const { name, own: path } = made(t, 'warm-child', 'network = "private"');
  const within = ['--mount', 'sh', '-c', `mount --bind ${own}/ip ${ip} && exec "$@"`, 'sh', front, 'run', name, '--', 'true'];
  const options = { env: { ...process.env, PATH: `${path}:/usr/sbin:/usr/bin:/bin` }, stdio: 'ignore' } as const;
  for (let i = 0; i < 3; i++) {
    const { status, stderr } = spawnSync('unshare', within, { ...options, stdio: 'pipe', encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  }
  rmSync(`${path}/asked`, { force: true });
  writeFileSync(`${own}/slow`, '');
  const run = spawn('unshare', within, options);
  const ended = new Promise((resolve) => run.once('exit', resolve));
  const pid = () => attempt(() => readFileSync(`${own}/pid`, 'utf8').trim(), '');
  while (run.exitCode === null && pid() === '') await new Promise((resolve) => setTimeout(resolve, 5));
  const runs = () => attempt(() => readlinkSync(`/proc/${pid()}/exe`), null) !== null; // one that nobody has collected has none
  const isThere = runs();
  run.kill('SIGKILL');
  await ended;
  for (const until = Date.now() + 60_000; Date.now() < until && runs();) await new Promise((resolve) => setTimeout(resolve, 5));
  const isLeft = runs();
  assert.equal(nestbox(['clean', name]).status, 0);
  assert.deepEqual([isThere, isLeft, existsSync(`${path}/asked`)], [true, false, false], 'is there, is left, is a run for Node');
});

test("killed wherever it changes something, 'clean' or the next run leaves nothing behind", async (t) => {
  const x = await startXvfb(t);
  if (!x) return;
  execFileSync('cc', ['-O1', '-o', killAt, new URL('../kill-at.c', import.meta.url).pathname]);
  t.after(() => rmSync(killAt, { force: true }));
  device(t);
  const authority = `${folder(t)}/xauthority`;
  writeXauthorityFile(authority, x.key);
  const session = { TERM: 'vt100', DISPLAY: `:${x.display}`, XAUTHORITY: authority };
  const machine = made(t, 'warm-kill', `display = "nested"\nnetwork = "private"\n${everything}`, session);
  machine.warmUp();
  const before = snapshot();
  const env = { ...process.env, PATH: `${machine.own}:/usr/bin:/bin`, ...session };
  const stride = process.env.NESTBOX_MOMENTS === undefined ? 3 : 1; // some hundred points take minutes
  let [n, again, points] = [1, 0, 0];
  for (; n < 600; n += stride, points++) {
    const { status, stderr } = spawnSync(killAt, [`${n}`, front, 'run', machine.name, '--', 'true'], { encoding: 'utf8', env, timeout: 300_000 });
    if (existsSync(`${machine.own}/asked`)) { // others have changed something of this host: that was another program
      assert.ok(again++ < 10, stderr);
      nestbox(['clean', machine.name]);
      machine.warmUp();
      n -= stride;
      points--;
      continue;
    }
    if (status !== 200) {
      assert.equal(status, 0, stderr);
      break;
    }
    const back = nestbox(n % 2 ? ['clean', machine.name] : ['run', machine.name, '--', 'true'], { env: session });
    assert.equal(back.status, 0, `${n}: ${back.stderr}`);
    assert.deepEqual(differences(before), [], `killed at ${n}`);
  }
  t.diagnostic(`killed at ${points} points`);
  assert.ok(points > 20);
});

test('a machine that boots comes up without Node the second time, and is shut down in order; a program in its place is another run', async (t) => {
  const machine = made(t, 'warm-boots', 'boot = true\nnetwork = "private"\nparameters = ["systemd.setenv=TOLD=yes"]\nfiles = [{ path = "OWN/games", to = "/mnt/games", write = true }]', {}, '[root]\ndebian = "bookworm"\npackages = ["iproute2", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd"]\n');
  const { name, own, file } = machine;
  const unit = '[Unit]\\nAfter=network.target\\n[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/sh -c "(systemctl show-environment; ip -br address show host0) > /mnt/games/up.new; mv /mnt/games/up.new /mnt/games/up"\\nExecStop=/bin/sh -c "echo down > /mnt/games/down"\\n[Install]\\nWantedBy=multi-user.target\\n';
  assert.equal(machine.warm('run', name, '--', 'sh', '-c', `printf '${unit}' > /etc/systemd/system/says.service; systemctl enable says.service`).status, 0);
  const before = snapshot();
  const boot = async () => {
    const run = machine.start('run', name);
    for (const limit = Date.now() + 240_000; !existsSync(`${own}/games/up`); await new Promise((resolve) => setTimeout(resolve, 20))) assert.ok(Date.now() < limit, `it does not come up: ${run.stderr()}`);
    const seen = readFileSync(`${own}/games/up`, 'utf8').replace(/^(container_uuid|INVOCATION_ID|host0).*\n/gm, '');
    const address = /^host0\S* +UP +(\S+)/m.exec(readFileSync(`${own}/games/up`, 'utf8'))?.[1];
    const state = JSON.parse(readFileSync(`/run/nestbox/${name}/state.json`, 'utf8')) as Record<string, unknown>;
    assert.equal(nestbox(['exec', name, '--', 'cat', '/proc/1/comm']).stdout, 'systemd\n');
    const { status, stderr } = await run.end('SIGTERM');
    assert.deepEqual([status, readFileSync(`${own}/games/down`, 'utf8')], [0, 'down\n'], stderr);
    for (const one of ['up', 'down']) rmSync(`${own}/games/${one}`);
    assert.deepEqual(differences(before).filter((line) => line.includes(name) && !line.includes('/machines/')), []);
    return { node: run.node(), seen, address, state: { ...state, pid: 0, started: 0 } };
  };
  const first = await boot();
  assert.ok(first.node);
  assert.match(first.seen, /^TOLD=yes$/m);
  let second = await boot();
  for (let i = 0; i < 10 && second.node; i++) second = await boot();
  assert.deepEqual({ ...first, node: false }, second);
  assert.equal(machine.warm('run', name, '--', 'cat', '/proc/1/comm').stdout, '(sd-stubinit)\n');
  assert.equal((await boot()).node, false, 'each of the two is noted by itself');

  // One that does not boot any more runs its program, without Node as well.
  writeFileSync(file, readFileSync(file, 'utf8').replace(/boot = true|parameters = .*/g, '').replace(/^/, 'run = "echo its own"\n'));
  assert.equal(machine.warm('run', name).stdout, 'its own\n');
});
