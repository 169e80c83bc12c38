import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { Ajv } from 'ajv';
import { audit, type Report } from '../../src/audit.ts';
import { groupsOf } from '../../src/machine.ts';
import { lookAt } from '../../src/host/containers.ts';
import { descendants, isFirst, namespace } from '../../src/host/inside.ts';
import { readSurroundings } from '../../src/host/surroundings.ts';
import { readArguments } from '../../src/import.ts';
import { quietHost } from '../../src/known.ts';
import { knownForeign } from '../../src/known/foreign.ts';
import { knownProcess } from '../../src/known/process.ts';
import { probe } from '../../src/probe.ts';
import { folder, machineFile, nestbox } from '../nestbox.ts';
import { differences, snapshot } from '../snapshot.ts';
import { personAt, person } from '../sound-server.ts';
import { startXvfb, writeXauthorityFile } from '../x11-client.ts';

/**
 * Each exposure that a rule of audit tells is tried: in a container that runs with it, and in one like it without. systemd-nspawn is
 * used by itself, as people do who have no nestbox; the container is audited while it runs, by what the kernel shows of it.
 */

const facts = probe(process.env);
const nspawn = facts.programs['systemd-nspawn'];
const options = { skip: !nspawn ? 'systemd-nspawn is not installed' : process.getuid!() !== 0 && 'only root starts containers' };

/** systemd-nspawn makes groups beside the one that it is in. */
const groups = groupsOf(facts, 'nestbox-audit-tried', ['systemd', 'unified']);
const inGroups = groups.map((path) => `mkdir -p ${path}; echo $$ > ${path}/cgroup.procs;`).join(' ');
after(() => { for (const path of groups.filter((one) => existsSync(one))) execFileSync('find', [path, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']); });

// An X server makes it, and leaves it.
mkdirSync('/tmp/.X11-unix', { recursive: true });
// And so does systemd-nspawn.
mkdirSync('/run/systemd/nspawn', { recursive: true });
mkdirSync('/run/systemd/nspawn/propagate', { recursive: true, mode: 0o600 });
chmodSync('/tmp/.X11-unix', 0o1777);
const before = snapshot();
after(() => assert.deepEqual(differences(before), []));

/** A root of links, in which the programs of the host are seen. */
function rootOver(t: TestContext): string {
  const path = folder(t);
  chmodSync(path, 0o755);
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, `${path}/${name}`);
  for (const name of ['usr', 'etc', 'root', 'proc', 'sys', 'dev', 'run', 'tmp', 'var', 'mnt']) mkdirSync(`${path}/${name}`);
  writeFileSync(`${path}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(`${path}/etc/os-release`, 'ID=links\n');
  return path;
}

/** Ids of its own; nobody else's here. */
const ownIds = ['--private-users=589824:65536', '--private-users-ownership=map'];

interface Tried {
  report: Report;
  /** What the program in it has said, on both of its outputs. */
  said: string;
}

/** Starts a container, audits it while it runs, and then lets it try. */
async function trying(t: TestContext, args: string[], script: string, { environment = {}, root = rootOver(t), meanwhile }: { environment?: Record<string, string>; root?: string; meanwhile?: (pid: number) => void } = {}): Promise<Tried> {
  const child = spawn('/bin/sh', ['-c', `${inGroups} exec "$@"`, 'sh', nspawn!, '--quiet', '--settings=no', '--register=no', '--keep-unit', '--machine=audit-tried', `--directory=${root}`, '--bind-ro=/usr', '--pipe', ...args, '--', '/bin/sh', '-c', `echo ready; read go; ${script}`],
    { env: { PATH: '/usr/bin:/bin', SYSTEMD_NSPAWN_LOCK: '0', ...environment }, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding('utf8').on('data', (text: string) => { said += text; });
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  while (!said.includes('ready')) await Promise.race([once(child.stdout!, 'data'), ended.then(() => { throw new Error(`it did not start: ${said}`); })]);
  const report = audit(knownProcess(await lookAt('audit-tried', leaderOf(child), facts), await readSurroundings(facts)));
  meanwhile?.(leaderOf(child));
  child.stdin!.end('go\n');
  await ended;
  return { report, said: said.replace('ready\n', '') };
}

/** The first process of it; where it shares the host's processes, what systemd-nspawn has started. */
function leaderOf(child: ChildProcess): number {
  const below = descendants(child.pid!);
  return below.find((pid) => namespace(pid, 'pid') !== namespace('self', 'pid') && isFirst(pid)) ?? below.at(-1)!;
}

const found = ({ report }: Tried, rule: string): string[] => report.findings.filter((one) => one.rule === rule).map(({ can }) => can);

interface Case {
  rule: string;
  can: string[];
  args: string[];
  environment?: Record<string, string>;
  script: string;
  /** What is said where it works. */
  works: RegExp;
  /** The same without it. */
  without: string[];
}

/** Tries both, and that the rule tells one from the other. */
async function shows(t: TestContext, { rule, can, args, environment = {}, script, works, without }: Case): Promise<void> {
  const open = await trying(t, args, script, { environment });
  assert.match(open.said, works, `${rule}: ${open.said}`);
  assert.deepEqual(found(open, rule), can, rule);
  const shut = await trying(t, without, script);
  assert.doesNotMatch(shut.said, works, `${rule}, without: ${shut.said}`);
  assert.deepEqual(found(shut, rule), [], `${rule}, without`);
}

const rewrite = 'mount -t proc proc /mnt 2>&1; pattern=$(cat /mnt/sys/kernel/core_pattern); echo "$pattern" > /mnt/sys/kernel/core_pattern && echo written';

/** A machine file of one in which the programs of the host are seen. */
function runsHostPrograms(t: TestContext, name: string, more: string): string {
  const root = rootOver(t);
  for (const folder of ['usr/bin', 'usr/lib', 'usr/sbin', 'usr/lib64']) mkdirSync(`${root}/${folder}`, { recursive: true });
  execFileSync('cp', ['-a', '/usr/lib64/.', `${root}/usr/lib64`]);
  return machineFile(t, `name = "${name}"\nnetwork = "none"\nusers = "host"\nephemeral = true\nfiles = ["/usr/bin", "/usr/lib", "/usr/sbin"]\n${more}[root]\ndirectory = "${root}"\n`);
}

test('host-ids: root inside without a user namespace writes what the kernel starts as root outside', options, async (t) => {
  const held = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
  await shows(t, { rule: 'host-ids', can: ['root'], args: ['--private-network'], script: rewrite, works: /^written$/m, without: ['--private-network', ...ownIds] });
  assert.equal(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), held);
});

test('a container that runs is audited by the number of its first process, from outside of it', options, async (t) => {
  const root = rootOver(t);
  let [status, report]: [number | null, Report | null] = [null, null];
  await trying(t, ['--private-network', ...ownIds], 'exit 0', { root, meanwhile: (pid) => {
    const audited = nestbox(['audit', '--json', '--fail-above', 'contained', `${pid}`]);
    status = audited.status;
    report = JSON.parse(audited.stdout) as Report;
  } });
  assert.deepEqual([status, report!.level, report!.made], [0, 'contained', 'process'], JSON.stringify(report!.findings));
});

test('loose-emulator: who can change an emulator with flag C is root where a set-user-id program is started', options, async (t) => {
  const kernel = '/proc/sys/fs/binfmt_misc';
  const isThere = existsSync(`${kernel}/register`);
  if (!isThere) execFileSync('mount', ['-t', 'binfmt_misc', 'binfmt_misc', kernel]);
  const top = folder(t);
  chmodSync(top, 0o755);
  const emulator = `${top}/cat`;
  copyFileSync('/usr/bin/cat', emulator); // busybox would lay the rights down
  chmodSync(emulator, 0o755);
  const foreign = `${top}/program`;
  writeFileSync(foreign, 'NBAUDIT! for root alone\n');
  chmodSync(foreign, 0o4711);
  const reads = () => { try { return execFileSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', foreign], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }); } catch { return ''; } };
  const register = (flags: string) => writeFileSync(`${kernel}/register`, `:nestbox-audit-test:M::NBAUDIT!::${emulator}:${flags}`);
  const withdraw = () => { if (existsSync(`${kernel}/nestbox-audit-test`)) writeFileSync(`${kernel}/nestbox-audit-test`, '-1'); };
  t.after(() => {
    withdraw();
    if (!isThere) execFileSync('umount', [kernel]);
  });
  const loose = async () => (await readSurroundings(facts)).looseEmulators.includes(emulator);
  register('');
  assert.deepEqual([reads(), await loose()], ['', false]);
  withdraw();
  register('C');
  assert.deepEqual([reads(), await loose()], ['NBAUDIT! for root alone\n', false], 'it is root that owns it');
  chownSync(emulator, 65534, 65534);
  assert.equal(await loose(), true);
});

test('kernel-files: with a writable /proc/sys it does not even have to mount one', options, async (t) => {
  await shows(t, {
    rule: 'kernel-files', can: ['root'], args: ['--private-network'], environment: { SYSTEMD_NSPAWN_API_VFS_WRITABLE: 'yes' },
    script: 'pattern=$(cat /proc/sys/kernel/core_pattern); echo "$pattern" > /proc/sys/kernel/core_pattern && echo written', works: /^written$/m, without: ['--private-network'],
  });
});

test('device-list: where nobody keeps a list, root inside makes a node of any device and opens it', options, async (t) => {
  await shows(t, { rule: 'device-list', can: ['disks'], args: ['--private-network'], script: 'mknod /dev/tried c 10 237 && : <>/dev/tried && echo opened', works: /^opened$/m, without: ['--private-network', ...ownIds] });
});

test('devices: a node that is bound opens where nobody keeps a list', { skip: options.skip || (!existsSync('/dev/loop-control') && 'there is no /dev/loop-control') }, async (t) => {
  await shows(t, { rule: 'devices', can: ['driver'], args: ['--private-network', '--bind=/dev/loop-control'], script: 'test -c /dev/loop-control && : <>/dev/loop-control && echo opened', works: /^opened$/m, without: ['--private-network'] });
});

test('host-network: what listens on loopback for programs of the host alone answers a program inside', options, async (t) => {
  const server = createServer((client) => client.end('a secret of the host\n')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  await shows(t, { rule: 'host-network', can: ['services'], args: ownIds, script: `perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:${port}") or die; print <$s>'`, works: /a secret of the host/, without: [...ownIds, '--private-network'] });
});

test('shared-namespaces: processes and memory segments of the host are seen from inside', options, async (t) => {
  await shows(t, { rule: 'shared-namespaces', can: ['processes'], args: ['--private-network'], environment: { SYSTEMD_NSPAWN_SHARE_NS_PID: '1' }, script: `tr '\\0' ' ' < /proc/${process.pid}/cmdline`, works: /node/, without: ['--private-network'] });
  const id = /\d+/.exec(execFileSync('ipcmk', ['-M', '4711'], { encoding: 'utf8' }))![0];
  t.after(() => execFileSync('ipcrm', ['-m', id]));
  await shows(t, { rule: 'shared-namespaces', can: ['processes'], args: ['--private-network'], environment: { SYSTEMD_NSPAWN_SHARE_NS_IPC: '1' }, script: `ipcs -m -i ${id}`, works: /bytes=4711/, without: ['--private-network'] });
});

test('system-calls: with those for keyrings root inside reads a key of root of the host', { skip: options.skip || (facts.architecture !== 'x86_64' && 'the numbers of system calls are those of x86_64') }, async (t) => {
  // add_key(2) 248 and keyctl(2) 250, in the keyring of the user (-4).
  const id = execFileSync('perl', ['-e', 'my ($type, $name, $held) = ("user", "nestbox-audit", "a secret"); print syscall(248, $type, $name, $held, 8, -4)'], { encoding: 'utf8' });
  t.after(() => execFileSync('perl', ['-e', `syscall(250, 9, ${id}, -4)`]));
  const script = `perl -e 'my ($type, $name) = ("user", "nestbox-audit"); syscall(250, 8, -4, -3); my $id = syscall(250, 10, -4, $type, $name, 0); my $held = " " x 64; my $size = syscall(250, 11, $id, $held, 64); print substr($held, 0, $size)'`;
  const calls = '--system-call-filter=add_key keyctl';
  const told = (...args: string[]) => audit(knownForeign('a', 'a command', readArguments(['systemd-nspawn', ...args]), quietHost)).findings.filter(({ rule }) => rule === 'system-calls').map(({ can }) => can);
  assert.match((await trying(t, ['--private-network', calls], script)).said, /a secret/);
  assert.doesNotMatch((await trying(t, ['--private-network'], script)).said, /a secret/);
  assert.doesNotMatch((await trying(t, ['--private-network', calls, ...ownIds], script)).said, /a secret/);
  assert.deepEqual([told(calls), told(), told(calls, '-U')], [['secrets'], [], ['calls']]);
});

test('capabilities: with one more than usual root inside reads the log of the kernel', options, async (t) => {
  await shows(t, { rule: 'capabilities', can: ['hints'], args: ['--private-network', '--capability=CAP_SYSLOG', '--system-call-filter=syslog'], script: 'dmesg | head -1 | grep -c .', works: /^1$/m, without: ['--private-network', '--system-call-filter=syslog'] });
});

test('setuid-folder, writable-files: a set-user-id program that root inside leaves in a folder of the host is one of root outside', options, async (t) => {
  const shared = folder(t);
  await shows(t, { rule: 'setuid-folder', can: ['root'], args: ['--private-network', `--bind=${shared}:/mnt`], script: 'cp /bin/busybox /mnt/left && chmod 4755 /mnt/left && echo left', works: /^left$/m, without: ['--private-network', `--bind-ro=${shared}:/mnt`] });
  const { uid, mode } = statSync(`${shared}/left`);
  assert.deepEqual([uid, mode & 0o7777], [0, 0o4755]);
  await shows(t, { rule: 'writable-files', can: ['files'], args: ['--private-network', `--bind=${shared}:/mnt`], script: 'rm /mnt/left && echo removed', works: /^removed$/m, without: ['--private-network', `--bind-ro=${shared}:/mnt`] });
  assert.equal(existsSync(`${shared}/left`), false);
});

test('system-files: a folder in which root of the host looks for what to start is written to from inside', options, async (t) => {
  const spool = '/var/spool/nestbox-audit';
  mkdirSync(spool);
  t.after(() => rmSync(spool, { recursive: true }));
  await shows(t, { rule: 'system-files', can: ['root'], args: ['--private-network', `--bind=${spool}:/mnt`], script: 'echo "* * * * * root id" > /mnt/job && echo written', works: /^written$/m, without: ['--private-network', `--bind-ro=${spool}:/mnt`] });
  assert.equal(readFileSync(`${spool}/job`, 'utf8'), '* * * * * root id\n');
});

test('private-files: root inside with the ids of the host reads the passwords of the host', options, async (t) => {
  await shows(t, { rule: 'private-files', can: ['secrets'], args: ['--private-network', '--bind-ro=/etc/shadow:/mnt/shadow'], script: 'cat /mnt/shadow', works: /^root:/m, without: ['--private-network'] });
});

test('x11-folder: root inside takes the socket of a display away where the folder may be written to', options, async (t) => {
  const socket = '/tmp/.X11-unix/X9871';
  const server = createServer((client) => client.destroy()).listen(socket);
  await once(server, 'listening');
  t.after(() => { server.close(); rmSync(socket, { force: true }); });
  // The rule goes by the folder; what is bound there for the try is its one socket's own.
  const open = await trying(t, ['--private-network', '--bind=/tmp/.X11-unix'], 'rm /tmp/.X11-unix/X9871 && echo removed');
  assert.match(open.said, /^removed$/m);
  assert.deepEqual([found(open, 'x11-folder'), existsSync(socket)], [['display'], false]);
  const other = createServer((client) => client.destroy()).listen(socket);
  await once(other, 'listening');
  t.after(() => other.close());
  const shut = await trying(t, ['--private-network', '--bind-ro=/tmp/.X11-unix'], 'rm -f /tmp/.X11-unix/X9871 && echo removed');
  assert.doesNotMatch(shut.said, /^removed$/m);
  assert.deepEqual([found(shut, 'x11-folder'), existsSync(socket)], [[], true]);
});

test('x11-socket: with the key and the socket of a display keys are heard, typed, and the screen is seen', options, async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const key = `${server.folder}/.Xauthority`;
  writeXauthorityFile(key, server.key);
  chmodSync(key, 0o644);
  const args = ['--private-network', ...ownIds, `--bind-ro=${server.socket}`, `--bind-ro=${key}:/mnt/.Xauthority`, `--setenv=DISPLAY=:${server.display}`, '--setenv=XAUTHORITY=/mnt/.Xauthority'];
  // One program hears in the root window what another, as one at the host would be, types there.
  // Typed until it is heard, as nobody tells when the other listens; or until that one has ended.
  const script = 'xwd -root -silent | wc -c; timeout 60 xev -root -event keyboard > /tmp/heard & until grep -qs "keysym 0x71, q" /tmp/heard || ! kill -0 $!; do xdotool key q; sleep 0.1; done; kill $!; grep -m1 -o "keysym 0x71, q" /tmp/heard';
  const open = await trying(t, args, script);
  assert.match(open.said, /keysym 0x71, q/);
  assert.ok(Number.parseInt(open.said, 10) > 320 * 240, open.said);
  assert.deepEqual(found(open, 'x11-socket'), ['keys', 'typing', 'screen']);
  const shut = await trying(t, args.filter((option) => !option.includes('X11-unix')), script);
  assert.doesNotMatch(shut.said, /keysym 0x71, q/);
  assert.deepEqual(found(shut, 'x11-socket'), []);
});

test('x11-key: by the network of the host its abstract socket is reached, with nothing bound but the key', options, async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const key = `${server.folder}/.Xauthority`;
  writeXauthorityFile(key, server.key);
  chmodSync(key, 0o644);
  const args = [...ownIds, `--bind-ro=${key}:/mnt/.Xauthority`, `--setenv=DISPLAY=:${server.display}`, '--setenv=XAUTHORITY=/mnt/.Xauthority'];
  await shows(t, { rule: 'x11-key', can: ['keys', 'typing', 'screen'], args, script: 'xwd -root -silent | wc -c', works: /^\d{6,}$/m, without: [...args, '--private-network'] });
});

test('open-display: after xhost + nobody asks for a key, and a program on the network of the host is let in', options, async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const key = `${server.folder}/client`;
  writeXauthorityFile(key, server.key);
  const xhost = (word: string) => execFileSync('xhost', [word], { env: { PATH: '/usr/bin', DISPLAY: `:${server.display}`, XAUTHORITY: key }, stdio: 'ignore' });
  const args = [...ownIds, `--setenv=DISPLAY=:${server.display}`];
  const script = 'xwd -root -silent | wc -c';
  for (const word of ['+', '+local:']) {
    xhost(word);
    await shows(t, { rule: 'open-display', can: ['keys', 'typing', 'screen'], args, script, works: /^\d{6,}$/m, without: [...args, '--private-network'] });
    xhost(word.replace('+', '-'));
  }
  const closed = await trying(t, args, script);
  assert.doesNotMatch(closed.said, /^\d{6,}$/m);
  assert.deepEqual(found(closed, 'open-display'), []);
});

test('open-display: an untrusted key keeps nothing away after xhost +, as none need be shown', options, async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const key = `${server.folder}/client`;
  writeXauthorityFile(key, server.key);
  const env = { DISPLAY: `:${server.display}`, XAUTHORITY: key };
  const file = runsHostPrograms(t, 'audit-untrusted', '[display.x11]\naccess = "untrusted"\n');
  const sees = () => /^\d{6,}$/m.test(nestbox(['run', file, '--', 'sh', '-c', 'XAUTHORITY=/nowhere xwd -root -silent | wc -c'], { env }).stdout);
  const isTold = () => (JSON.parse(nestbox(['audit', '--json', file], { env }).stdout) as Report).findings.some(({ rule, can }) => rule === 'open-display' && can === 'keys');
  assert.deepEqual([sees(), isTold()], [false, false]);
  execFileSync('xhost', ['+'], { env: { PATH: '/usr/bin', ...env }, stdio: 'ignore' });
  assert.deepEqual([sees(), isTold()], [true, true]);
});

test('sound-socket: with the socket of a sound server what plays is recorded, and a module of it does as it is told', { skip: options.skip || (!facts.programs.pulseaudio && 'pulseaudio is not installed') }, async (t) => {
  const owner = personAt(t);
  await owner.pulseAudio();
  const pipe = `${owner.home}/made-by-a-module`;
  // Root inside takes on the id of the person, whom the server lets in.
  const as = `setpriv --reuid=${person} --regid=${person} --clear-groups`;
  const script = `export PULSE_SERVER=unix:/mnt/pulse/native HOME=/tmp; ${as} timeout 60 parec -d theirs.monitor --latency-msec=20 | head -c 20000 | wc -c; ${as} pactl load-module module-pipe-sink file=${pipe}`;
  await shows(t, { rule: 'sound-socket', can: ['sound-server', 'microphone'], args: ['--private-network', `--bind=${owner.runtime}/pulse:/mnt/pulse`], script, works: /^20000\n(.*\n)*\d+$/m, without: ['--private-network'] });
  assert.equal(statSync(pipe).uid, person, 'the server has made it, as whom it runs');
});

test('session-bus: with the socket of the session bus a program of the host is started', options, async (t) => {
  const runtime = `/run/user/${person}`;
  const there = existsSync('/run/user');
  mkdirSync(runtime, { recursive: true });
  t.after(() => rmSync(there ? runtime : '/run/user', { recursive: true }));
  const marker = `${folder(t)}/started`;
  writeFileSync(`${runtime}/a.service`, `[D-BUS Service]\nName=org.example.Started\nExec=/usr/bin/touch ${marker}\n`);
  writeFileSync(`${runtime}/bus.conf`, `<busconfig><include>/usr/share/dbus-1/session.conf</include><listen>unix:path=${runtime}/bus</listen><servicedir>${runtime}</servicedir></busconfig>`);
  const bus = spawn('dbus-daemon', [`--config-file=${runtime}/bus.conf`, '--nofork', '--print-address'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const gone = once(bus, 'exit');
  t.after(async () => { bus.kill(); await gone; });
  await once(bus.stdout!, 'data');
  const script = `dbus-send --bus=unix:path=/mnt/bus --print-reply --reply-timeout=500 --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Started uint32:0; dbus-send --bus=unix:path=/mnt/bus --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames`;
  await shows(t, { rule: 'session-bus', can: ['session'], args: ['--private-network', `--bind=${runtime}/bus:/mnt/bus`], script, works: /org\.freedesktop\.DBus/, without: ['--private-network'] });
  assert.ok(existsSync(marker));
});

test('control-sockets, wayland-socket: what listens there cannot tell a program inside from one of the host', options, async (t) => {
  for (const [path, rule, can] of [['/run/podman/podman.sock', 'control-sockets', 'root'], [`/run/user/${person}/wayland-7`, 'wayland-socket', 'screen']] as const) {
    const top = path.split('/').slice(0, 3).join('/');
    if (existsSync(path)) continue; // somebody's own
    const there = existsSync(top);
    mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true });
    const server = createServer((client) => client.end('as you say\n')).listen(path);
    await once(server, 'listening');
    t.after(() => { server.close(); rmSync(there ? path : top, { recursive: true, force: true }); });
    const script = `perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Peer => "/mnt/socket") or die; print <$s>'`;
    await shows(t, { rule, can: [can], args: ['--private-network', `--bind=${path}:/mnt/socket`], script, works: /as you say/, without: ['--private-network'] });
  }
});

test('disk: what is written inside is missing on the disk of the host, unless the root has a size of its own', options, async (t) => {
  const root = rootOver(t);
  const open = await trying(t, ['--private-network'], 'head -c 50000000 /dev/zero > /filled && sync && echo written', { root });
  assert.match(open.said, /written/);
  assert.deepEqual(found(open, 'disk'), ['disk']);
  // By what the file itself takes of that disk, on which others make and remove files meanwhile.
  const { dev, blocks } = statSync(`${root}/filled`);
  assert.ok(dev === statSync('/var/tmp').dev && blocks * 512 > 30_000_000, `${blocks * 512} bytes are missing`);
  unlinkSync(`${root}/filled`);
  const small = mkdtempSync('/var/tmp/nestbox-test.');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8M,mode=755', 'audit', small]);
  t.after(() => { execFileSync('umount', [small]); rmdirSync(small); });
  execFileSync('cp', ['-a', `${root}/.`, small]);
  const shut = await trying(t, ['--private-network'], 'head -c 50000000 /dev/zero > /filled && echo written', { root: small });
  assert.doesNotMatch(shut.said, /^written$/m);
  assert.deepEqual(found(shut, 'disk'), []);
});

test('processes, memory, processors: without limits a machine takes what there is, with them it does not', options, async (t) => {
  const script = 'for i in $(seq 60); do sleep 300 & done 2>/dev/null; echo "processes $(ls -d /proc/[0-9]* | wc -l)"; perl -e \'my $s = "x" x 200_000_000; print "memory ", length $s, "\\n"\'; sh -c \'timeout 0.6 sh -c "while :; do :; done"; times\' | tail -1; kill $(jobs -p)';
  const run = (limits: string) => {
    const file = runsHostPrograms(t, 'audit-limits', limits);
    const rules = (JSON.parse(nestbox(['audit', '--json', file]).stdout) as Report).findings.map(({ rule }) => rule);
    return { said: nestbox(['run', file, '--', 'sh', '-c', script]).stdout, rules };
  };
  const bounded = run('limits = { cpu = 0.1, memory = "64M", tasks = 20 }\n');
  const open = run('');
  assert.ok(Number(/processes (\d+)/.exec(open.said)?.[1]) > 60 && Number(/processes (\d+)/.exec(bounded.said)?.[1] ?? 0) <= 20, `${open.said}${bounded.said}`);
  assert.match(open.said, /memory 200000000/);
  assert.doesNotMatch(bounded.said, /memory 200000000/);
  const used = (text: string) => Number(/0m([\d.]+)s 0m[\d.]+s\s*$/m.exec(text)?.[1] ?? 0);
  assert.ok(used(open.said) > 2 * used(bounded.said), `${open.said}${bounded.said}`);
  for (const rule of ['processes', 'memory', 'processors']) assert.deepEqual([open.rules.includes(rule), bounded.rules.includes(rule)], [true, false], rule);
});

test('access-lists: an id of a container that was left in the list of a device opens it on the host', { skip: options.skip || (!existsSync('/dev/kvm') && 'there is no /dev/kvm') }, async (t) => {
  const id = '589868';
  const opens = () => { try { execFileSync('setpriv', [`--reuid=${id}`, `--regid=${id}`, '--clear-groups', 'sh', '-c', ': </dev/kvm'], { stdio: 'ignore' }); return true; } catch { return false; } };
  assert.equal(opens(), false);
  t.after(() => execFileSync('setfacl', ['-b', '/dev/kvm']));
  execFileSync('setfacl', ['-m', `u:${id}:rw`, '/dev/kvm']);
  assert.equal(opens(), true);
  const { leftovers } = await readSurroundings(facts);
  assert.deepEqual(leftovers.filter(({ kind }) => kind === 'access'), [{ kind: 'access', path: '/dev/kvm', what: `user ${id}` }]);
});

test('settings-beside: a .nspawn file beside a root decides on the container, whoever has put it there', options, (t) => {
  const top = folder(t);
  const root = rootOver(t);
  execFileSync('mv', [root, `${top}/audit-beside`]);
  writeFileSync(`${top}/audit-beside.nspawn`, '[Exec]\nHostname=chosen-by-a-stranger\n');
  const says = (settings: string) => execFileSync('/bin/sh', ['-c', `${inGroups} exec "$@"`, 'sh', nspawn!, '--quiet', `--settings=${settings}`, '--register=no', '--keep-unit', `--directory=${top}/audit-beside`, '--bind-ro=/usr', '--pipe', '--', '/bin/hostname'], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', SYSTEMD_NSPAWN_LOCK: '0' }, stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  assert.deepEqual([says('yes'), says('no')], ['chosen-by-a-stranger', 'audit-beside']);
  const report = JSON.parse(nestbox(['audit', '--json', `${top}/audit-beside.nspawn`]).stdout) as Report;
  assert.equal(report.name, 'audit-beside');
});

test('nestbox audit needs no root, gives an exit status to scripts, and valid SARIF 2.1.0', options, (t) => {
  const file = machineFile(t, 'name = "audit-file"\nnetwork = "host"\n[root]\ndebian = "bookworm"\n');
  const foreign = `${folder(t)}/audit-file.nspawn`;
  writeFileSync(foreign, '[Exec]\nPrivateUsers=no\n');
  for (const path of [file, foreign]) chmodSync(path.slice(0, path.lastIndexOf('/')), 0o755);
  const status = (...args: string[]) => nestbox(['audit', ...args]).status;
  assert.deepEqual([status(file), status('--fail-above', 'exposed', file), status('--fail-above', 'contained', file), status('--fail-above', '60', file), status('--fail-above', '90', file), status('--fail-above', 'exposed', foreign)], [0, 0, 3, 3, 0, 3]);
  assert.deepEqual([status(), status('--fail-above', 'little', file), status('--all', file), status('--json', '--sarif', file), status('/nowhere.nspawn')], [1, 1, 1, 1, 1]);
  const { $schema: _, id: __, ...schema } = JSON.parse(readFileSync(new URL('../schemas/sarif-schema-2.1.0.json', import.meta.url), 'utf8')) as Record<string, unknown>;
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
  const log = JSON.parse(nestbox(['audit', '--sarif', file, foreign]).stdout) as object;
  assert.ok(validate(log), JSON.stringify(validate.errors?.slice(0, 3)));
  assert.equal(validate({ version: '2.1.0', runs: [{}] }), false);
  const program = `${folder(t)}/program.cjs`;
  copyFileSync(new URL('../../dist/program.cjs', import.meta.url), program);
  chmodSync(program.slice(0, program.lastIndexOf('/')), 0o755);
  const asNobody = execFileSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--', process.execPath, program, 'audit', file, foreign], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } });
  assert.match(asNobody, /^audit-file: exposed, \d+ of 100[\s\S]*^audit-file: host-equivalent, \d+ of 100/m);
  const all = nestbox(['audit', '--all']);
  assert.equal(all.status, 0, all.stderr);
});
