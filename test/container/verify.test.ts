import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { findRunning } from '../../src/host/running.ts';
import { probe } from '../../src/probe.ts';
import type { Report, Row } from '../../src/verify.ts';
import { folder, follow, machineFile, nestbox, program, type Running, running } from '../nestbox.ts';
import { differences, snapshot } from '../snapshot.ts';
import { startXvfb, writeXauthorityFile } from '../x11-client.ts';

/**
 * `nestbox verify` of machines that are as their files say, and of the same ones with one layer broken: by root of the host in a
 * machine that runs, or by a systemd-nspawn that leaves out, or adds, one option. Each is found, by its layer, and nothing else is.
 */

const facts = probe(process.env);
const options = { skip: process.getuid!() !== 0 ? 'only root starts containers' : !facts.programs['systemd-nspawn'] ? 'systemd-nspawn is not installed' : !facts.programs.Xvfb ? 'Xvfb is not installed' : !facts.programs.pulseaudio && 'pulseaudio is not installed' };

mkdirSync('/tmp/.X11-unix', { recursive: true });
chmodSync('/tmp/.X11-unix', 0o1777); // an X server makes it, and leaves it
const before = snapshot();
after(() => assert.deepEqual(differences(before), []));

const sh = (script: string, ...words: string[]): string => execFileSync('/bin/sh', ['-ec', script, 'sh', ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

const native = `${dirname(program)}/nestbox-native`;

interface Verified {
  status: number | null;
  rows: Row[];
  said: string;
}

/** `of`: a process in whose mounts it is run. */
function verify(name: string, env: NodeJS.ProcessEnv = {}, of?: number): Verified {
  if (of === undefined) {
    const { status, stdout, stderr } = nestbox(['verify', '--json', name], { env });
    return { status, rows: stdout === '' ? [] : (JSON.parse(stdout) as Report).rows, said: stderr };
  }
  const stdout = sh('nsenter --mount --target="$1" "$2" "$3" verify --json "$4" || [ $? = 3 ]', `${of}`, process.execPath, program, name);
  const rows = (JSON.parse(stdout) as Report).rows;
  return { status: rows.some(({ verdict }) => verdict === 'difference') ? 3 : 0, rows, said: '' };
}

const bad = (rows: readonly Row[]): string[] => rows.filter(({ verdict }) => verdict === 'difference').map(({ what, found, layer }) => `${layer}: ${what}: ${found}`);

function isGreen(t: Verified, name: string): void {
  assert.deepEqual([t.status, bad(t.rows)], [0, []], `${name}: ${t.said}`);
  assert.ok(t.rows.length > 30, `${name}: ${t.rows.length} tries`);
  assert.deepEqual(t.rows.filter(({ verdict }) => verdict === 'untried'), [], name);
}

/** A machine that says 'up' and stays. */
async function up(t: TestContext, file: string, env: NodeJS.ProcessEnv = {}): Promise<Running> {
  const machine = running(t, ['run', file, '--', 'sh', '-c', 'echo up; exec sleep infinity'], env);
  await machine.says(/up/);
  return machine;
}

/** Found, in these layers and no others, by a row that says this. */
function isFound(found: Verified, name: string, layers: string[], what: RegExp): void {
  const rows = found.rows.filter(({ verdict }) => verdict === 'difference');
  assert.equal(found.status, 3, name);
  assert.deepEqual([...new Set(rows.map(({ layer }) => layer))].sort(), [...layers].sort(), `${name}: ${bad(rows).join('; ')}`);
  assert.ok(rows.some((row) => what.test(row.what)), `${name}: ${bad(rows).join('; ')}`);
  for (const { mend } of rows) assert.match(mend ?? '', /\S/, name);
}

/** Mounts a file or folder of the host in another mount namespace: open_tree(2) and move_mount(2), which have these numbers on all processors. */
const bring = (pid: number, from: string, to: string) =>
  execFileSync('perl', ['-e', '$^F = 9; my $tree = syscall(428, -100, "$ARGV[1]\\0", 1); $tree >= 0 or die "open_tree: $!"; exec "nsenter", "-m", "-t", $ARGV[0], "perl", "-e", q{my ($none, $to) = ("", "$ARGV[1]\\0"); syscall(429, $ARGV[0] + 0, $none, -100, $to, 4) == 0 or die "move_mount: $!"}, $tree, $ARGV[2]', `${pid}`, from, to], { stdio: ['ignore', 'ignore', 'pipe'] });

/** umount2(2): umount(8) looks at /proc/self, which a process of the host has not in there. asm/unistd.h. */
const umount2 = process.arch === 'x64' ? 166 : process.arch === 'arm64' ? 39 : 52;

test('with one layer broken at a time in a machine that runs, each is found by its layer', options, async (t) => {
  const other = await startXvfb(t); // of somebody else
  if (!other) return;
  execFileSync('xhost', ['+'], { env: { PATH: '/usr/bin', DISPLAY: `:${other.display}`, XAUTHORITY: `${other.folder}/server` }, stdio: 'ignore' });
  const shared = folder(t);
  mkdirSync(`${shared}/ro`);
  mkdirSync(`${shared}/rw`);
  mkdirSync(`${shared}/never`);
  writeFileSync(`${shared}/empty`, '');
  chmodSync(`${shared}/empty`, 0o666);
  const name = 'verify-tried';
  const file = machineFile(t, `name = "${name}"\nuser = "somebody"\ndisplay = "headless"\naudio = "playback"\ndevices = ["/dev/fuse"]\nfiles = ["${shared}/ro", { path = "${shared}/rw", write = true }]\nlimits = { memory = "256M", tasks = 100, cpu = 0.5 }\n[root]\nhost = true\n`);
  await up(t, file);
  const { pid, started } = findRunning(name)!.leader;
  const run = `/run/nestbox/${name}`;
  const inside = (script: string) => sh(`nsenter --mount --uts --net --target="$1" sh -ec '${script}'`, `${pid}`);
  /** As root of the machine: what the host's root makes in there would have no owner. */
  const insideRoot = (script: string) => sh(`nsenter --user --mount --target="$1" sh -ec '${script}'`, `${pid}`);
  const takeAway = (path: string) => execFileSync('nsenter', ['--mount', `--target=${pid}`, 'perl', '-e', 'my $path = "$ARGV[1]\\0"; syscall($ARGV[0] + 0, $path, 0) == 0 or die "umount2: $!"', `${umount2}`, path], { stdio: ['ignore', 'ignore', 'pipe'] });
  const state = JSON.parse(readFileSync(`${run}/state.json`, 'utf8')) as { display: { number: number; key: string } };
  const groups = sh(`cut -d: -f2,3 /proc/${pid}/cgroup`).split('\n');
  const group = (controller: string) => `/sys/fs/cgroup/${controller}${groups.find((line) => line.startsWith(`${controller}:`))!.slice(controller.length + 1).replace(/\/inside$/, '')}`;
  const pidOf = (words: string) => sh('pgrep -f -- "$1" | while read -r one; do [ "$(cat /proc/$one/comm)" = sh ] || echo $one; done | head -1', words);
  const launched = (argv: string[], owner: string) => {
    const child = spawn(native, ['launch', '--user', owner, '--', ...argv], { stdio: 'ignore', env: { HOME: '/nonexistent', PULSE_RUNTIME_PATH: `${run}/sound/server`, PULSE_STATE_PATH: `${run}/sound/server`, PATH: '/usr/bin' } });
    t.after(() => child.kill('SIGKILL'));
    return child;
  };
  const wait = (script: string) => sh(`n=0; until ${script}; do n=$((n + 1)); [ $n -lt 3000 ] || exit 1; sleep 0.02; done`);
  /** Kills a program of the host, and takes its socket away, so that the next one's can be waited for. */
  const endOf = (pid: string, socket: string) => {
    sh(`kill -KILL ${pid}`);
    wait(`! grep -qs '^State:.[^Z]' /proc/${pid}/status`);
    sh(`rm -f ${socket}`);
  };
  const isVersion1 = facts.cgroups.version === 1;
  isGreen(verify(name), 'as it was started');

  const way = inside('ip route show default');
  const key = `${run}/display/client`;
  const saved = readFileSync(key);
  const owner = sh('stat -c %u:%g "$1"', `${run}/sound/gate`);
  const asClient = { PATH: '/usr/bin', DISPLAY: `:${state.display.number}`, XAUTHORITY: key };
  /** What is broken, by what, how it is mended, and where it is found. */
  const sabotages: [name: string, breaks: () => unknown, mends: () => unknown, layers: string[], what: RegExp][] = [
    ['a port that nobody asked for', () => execFileSync('nft', [`add chain ip nestbox-${name} in { type nat hook prerouting priority dstnat ; } ; add rule ip nestbox-${name} in fib daddr type local tcp dport 47999 dnat to 10.213.0.2:80`]), () => execFileSync('nft', [`flush chain ip nestbox-${name} in ; delete chain ip nestbox-${name} in`]), ['ports'], /ports of the host/],
    ['a node too many', () => sh(`${native} inside ${pid} ${started} node /dev/more c 1 11 666 0 0`), () => sh(`${native} inside ${pid} ${started} remove /dev/more c 1 11`), ['node'], /device nodes/],
    ['the node of a device is gone', () => bring(pid, `${shared}/empty`, '/dev/fuse'), () => takeAway('/dev/fuse'), ['node'], /open \/dev\/fuse/],
    ['another owner of a node', () => sh(`chmod 600 ${run}/nodes/dev/fuse; chown 0:0 ${run}/nodes/dev/fuse; stat ${run}/nodes/dev/fuse >/dev/null`), () => sh(`chmod 666 ${run}/nodes/dev/fuse`), ['owner'], /open \/dev\/fuse/],
    ...(isVersion1 ? [
      ['a device list that allows more', () => sh(`echo 'c 1:11 rw' > ${group('devices')}/devices.allow; echo 'c 1:11 rw' > ${group('devices')}/inside/devices.allow`), () => sh(`echo 'c 1:11 rwm' > ${group('devices')}/devices.deny`), ['list'], /device list/] as never,
      ['a device list that allows less', () => sh(`echo 'c 10:229 rw' > ${group('devices')}/devices.deny`), () => sh(`for g in ${group('devices')} ${group('devices')}/inside; do echo 'c 10:229 rw' > $g/devices.allow; done`), ['list'], /open \/dev\/fuse/] as never,
      ['more memory', () => sh(`echo 512M > ${group('memory')}/memory.limit_in_bytes`), () => sh(`echo 256M > ${group('memory')}/memory.limit_in_bytes`), ['limit'], /memory/] as never,
      ['more processes', () => sh(`echo max > ${group('pids')}/pids.max`), () => sh(`echo 100 > ${group('pids')}/pids.max`), ['limit'], /tasks/] as never,
      ['more of the processors', () => sh(`echo -1 > ${group('cpu')}/cpu.cfs_quota_us`), () => sh(`echo 50000 > ${group('cpu')}/cpu.cfs_quota_us`), ['limit'], /cpu/] as never,
    ] : []),
    ['another cookie', () => { writeXauthorityFile(`${shared}/key`, Buffer.from('another test key')); writeFileSync(key, readFileSync(`${shared}/key`)); }, () => writeFileSync(key, saved), ['cookie'], /draw/],
    ['an X server that asks for no key', () => execFileSync('xhost', ['+'], { env: asClient, stdio: 'ignore' }), () => execFileSync('xhost', ['-'], { env: asClient, stdio: 'ignore' }), ['access-list'], /without its key/],
    ["another display's socket", () => { inside(`touch /tmp/.X11-unix/X${other.display}`); bring(pid, other.socket, `/tmp/.X11-unix/X${other.display}`); }, () => takeAway(`/tmp/.X11-unix/X${other.display}`), ['mount'], new RegExp(`enter display :${other.display} of the host by its socket`)],
    ['a file of root of the host', () => { insideRoot('touch /etc/shadow'); bring(pid, '/etc/shadow', '/etc/shadow'); }, () => { takeAway('/etc/shadow'); insideRoot('rm /etc/shadow'); }, ['mount'], /see \/etc\/shadow/],
    ['a folder more', () => { insideRoot('mkdir /srv/more'); bring(pid, shared, '/srv/more'); }, () => { takeAway('/srv/more'); insideRoot('rmdir /srv/more'); }, ['mount'], /mounts of the host/],
    ['a folder that can be written', () => bring(pid, `${shared}/ro`, `${shared}/ro`), () => takeAway(`${shared}/ro`), ['mount'], /write .*\/ro$/],
    ['a folder that cannot be written', () => {
      sh('mount --bind "$1/rw" "$1/never"; mount -o remount,bind,ro "$1/never"', shared);
      try { bring(pid, `${shared}/never`, `${shared}/rw`); } finally { sh('umount "$1/never"', shared); }
    }, () => takeAway(`${shared}/rw`), ['mount'], /write .*\/rw$/],
    ['another folder in its place', () => bring(pid, `${shared}/never`, `${shared}/ro`), () => takeAway(`${shared}/ro`), ['mount'], /ro, .* of the host/],
    ['another host name', () => inside('hostname another'), () => inside(`hostname ${name}`), ['hostname'], /host name/],
    ['a link that is down', () => inside('ip link set host0 down'), () => inside(`ip link set host0 up; ip route add ${way}`), ['link'], /gateway/],
    ['an interface more', () => sh(`ip link add nb-verify type veth peer name nb-verify2; ip link set nb-verify2 netns ${pid}`), () => sh('ip link delete nb-verify'), ['link'], /interfaces/],
    ['the gate before the sound server is open', () => {
      endOf(pidOf(`pulse-gate ${run}/sound/gate/native`), `${run}/sound/gate/native`);
      launched([native, 'pulse-gate', '--open', `${run}/sound/gate/native`, `${run}/sound/server/native`], owner);
      wait(`[ -S ${run}/sound/gate/native ]`);
    }, () => {
      endOf(pidOf(`pulse-gate --open ${run}/sound/gate/native`), `${run}/sound/gate/native`);
      launched([native, 'pulse-gate', `${run}/sound/gate/native`, `${run}/sound/server/native`], owner);
      wait(`[ -S ${run}/sound/gate/native ]`);
    }, ['sound-gate'], /record/],
    ['a sound server that loads modules', () => {
      const server = pidOf(`pulseaudio .*${run}/sound/server`);
      const argv = readFileSync(`/proc/${server}/cmdline`, 'utf8').split('\0').filter((word) => word !== '' && word !== '--disallow-module-loading');
      endOf(server, `${run}/sound/server/native`);
      launched(argv, owner);
      wait(`grep -q ' 00010000 .* ${run}/sound/server/native$' /proc/net/unix`); // it listens: proc(5)
    }, () => undefined, ['sound-server'], /loads modules/],
  ];
  const wrong: string[] = [];
  for (const [what, breaks, mends, layers, row] of sabotages)
    try {
      if (what === sabotages.at(-1)![0]) isGreen(verify(name), 'the others are mended'); // the last one is not
      try {
        breaks();
        isFound(verify(name), what, layers, row);
      } finally {
        mends();
      }
    } catch (error) {
      wrong.push(`${what}: ${(error as Error).message}`);
    }
  assert.deepEqual(wrong, []);
  // The last words: its X server is gone.
  sh(`kill -KILL ${pidOf(`Xvfb :${state.display.number} `)}`);
  assert.ok(bad(verify(name).rows).some((row) => /^x-server: draw on display/.test(row)));
  assert.ok(sabotages.length + 1 >= (isVersion1 ? 20 : 15), `${sabotages.length}`);
});

/** What a systemd-nspawn that is put in its place, for this nestbox alone, makes of its arguments: a line of sh that goes through "$@" as `one`. */
const wrapped: [name: string, text: string, change: string, layers: string[], what: RegExp][] = [
  ['set-user-id programs give rights', '', 'case $one in --no-new-privileges=yes) continue;; esac', ['new-rights'], /no new rights/],
  ['a capability more', '', 'case $one in --directory=*) set -- "$@" --capability=CAP_SYS_MODULE;; esac', ['capabilities'], /capabilities/],
  ['system calls more', '', 'case $one in --directory=*) set -- "$@" "--system-call-filter=bpf keyctl";; esac', ['calls'], /call (bpf|keyctl)/],
  ["the host's network", '', 'case $one in --private-network) continue;; esac', ['network', 'link'], /127\.0\.0\.1/],
  ['a variable that is not there', 'environment = { GIVEN = "yes" }\n', 'case $one in --setenv=GIVEN=*) continue;; esac', ['environment'], /GIVEN/],
  ['kernel files that can be written', 'users = "host"\n', 'export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1', ['kernel-files'], /core_pattern/],
  ["the host's shared memory", '', 'export SYSTEMD_NSPAWN_SHARE_NS_IPC=1', ['namespace'], /memory that programs of the host share/],
  ["ids of the host's", '', 'case $one in --private-users=*) one=--private-users=no;; --private-users-ownership=*) continue;; esac', ['ids', 'kernel-files', 'calls'], /ids of users/],
];

for (const [name, text, change, layers, what] of wrapped)
  test(`a machine is started with ${name}: found`, options, async (t) => {
    const own = folder(t);
    const real = `${own}/systemd-nspawn`;
    sh('cp "$1" "$2"', facts.programs['systemd-nspawn']!, real);
    writeFileSync(`${own}/wrapper`, `#!/bin/sh\nn=$#\nfor one; do\n  ${change}\n  set -- "$@" "$one"\ndone\nshift $n\nexec ${real} "$@"\n`, { mode: 0o755 });
    const file = machineFile(t, `name = "verify-wrapped"\nnetwork = "none"\n${text.startsWith('environment') ? '' : text}[root]\nhost = true\n${text.startsWith('environment') ? '[environment]\nGIVEN = "yes"\n' : ''}`);
    const machine = follow(t, spawn('unshare', ['--mount', 'sh', '-ec', 'mount --bind "$1" "$2"; shift 2; exec "$@"', 'sh', `${own}/wrapper`, facts.programs['systemd-nspawn']!, process.execPath, program, 'run', file, '--', 'sh', '-c', 'echo up; exec sleep infinity'], { stdio: ['ignore', 'pipe', 'pipe'] }));
    await machine.says(/up/);
    const found = verify('verify-wrapped', {}, machine.child.pid);
    const rows = found.rows.filter(({ verdict }) => verdict === 'difference');
    assert.ok(rows.some((row) => what.test(row.what)), `${bad(found.rows).join('; ')}`);
    assert.deepEqual(rows.filter(({ layer }) => !layers.includes(layer!)), []);
    await machine.end();
  });

/** Machines that boot are the lab's; what this host has no device for is told by their plan. */
test('every example that runs here has what its file says, and nothing else, with each engine', options, async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  writeXauthorityFile(`${server.folder}/person`, server.key);
  const env = { DISPLAY: `:${server.display}`, XAUTHORITY: `${server.folder}/person` };
  const made = ['/mnt/games', '/srv/share', '/var/cache/distfiles'].filter((path) => !existsSync(path));
  for (const path of made) mkdirSync(path);
  t.after(() => { for (const path of made) rmSync(path, { recursive: true }); });
  const examples = new URL('../../examples/', import.meta.url);
  const texts = readdirSync(examples).filter((name) => name.endsWith('.toml')).map((name) => readFileSync(new URL(name, examples), 'utf8'));
  // The root that this host is itself takes the place of theirs: what it is made of is no matter here.
  const onHost = texts.map((text) => `${text.replace(/^\[root\][^[]*(\[(?!root)|$(?![\s\S]))/m, '$1').replace(/^users *= *"shift".*$/m, '').replace(/^\[chroot\][^[]*/m, '')}\n[root]\nhost = true\n`);
  const others = ['engine = "chroot"\nusers = "host"\nnetwork = "host"\n', 'engine = "lxc"\nuser = "somebody"\ndisplay = "headless"\naudio = "playback"\n', 'users = "host"\nnetwork = "host"\ncapabilities = ["all"]\nsyscalls = ["keyctl", "bpf"]\n', '[display.x11]\naccess = "untrusted"\n', '[display.x11]\naccess = "xhost"\n', 'display = "x11"\n'].map((text, i) => `name = "verify-${i}"\naccept = ["xhost"]\n${text}[root]\nhost = true\n`);
  const ran: string[] = [];
  for (const text of [...onHost, ...others]) {
    const name = /^name *= *"(.*)"/m.exec(text)![1]!;
    const file = machineFile(t, text.replace(/^name.*$/m, `name = "verify-${name}"`), `${name}.toml`);
    if (nestbox(['plan', file], { env }).status !== 0 || /^boot *= *true/m.test(text)) continue;
    const machine = await up(t, file, env);
    isGreen(verify(`verify-${name}`, env), name);
    await machine.end();
    ran.push(name);
  }
  t.diagnostic(`ran: ${ran.join(' ')}`);
  assert.ok(ran.length >= 12, ran.join(' '));
});

test('a display is entered with its own key of several, and a word of any length is no other one', options, async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const field = (data: string | Uint8Array) => Buffer.concat([Buffer.from([Buffer.byteLength(data) >> 8, Buffer.byteLength(data) & 255]), Buffer.from(data)]);
  const entry = (family: number, address: string, number: number, key: Uint8Array) => Buffer.concat([Buffer.from([family >> 8, family & 255]), ...[address, `${number}`, 'MIT-MAGIC-COOKIE-1', key].map(field)]);
  const other = Buffer.alloc(16, 7);
  const file = `${server.folder}/several`;
  const tried = (lines: string[]) => execFileSync(native, ['verify', 'try'], { encoding: 'utf8', input: lines.map((line, i) => `${i} ${line}\n`).join('') }).trim().split('\n');
  const enters = (...entries: Buffer[]) => {
    writeFileSync(file, Buffer.concat(entries));
    return tried([`x11 ${server.socket} ${file} enter`])[0];
  };
  const [elsewhere, old, own] = [entry(65535, '', server.display + 1, other), entry(256, 'another-host', server.display, other), entry(256, hostname(), server.display, server.key)];
  assert.equal(enters(elsewhere, old, own), '0 OK');
  assert.equal(enters(elsewhere, old), '0 refused');
  assert.equal(enters(own.subarray(0, -1)), '0 refused');
  assert.deepEqual(tried([`variable NESTBOX_LONG ${'x'.repeat(40_000)}`, 'socket @nestbox-nobody']), ['0 absent', '1 ECONNREFUSED']);
});

test('what cannot be verified is refused', options, async (t) => {
  const status = (...args: string[]) => nestbox(['verify', ...args]);
  assert.match(status().stderr, /which machine/);
  assert.match(status('verify-nowhere').stderr, /does not run/);
  const file = machineFile(t, 'name = "verify-plain"\nnetwork = "none"\n[root]\nhost = true\n');
  await up(t, file);
  const { status: code, stdout } = status('verify-plain');
  assert.equal(code, 0);
  assert.match(stdout, /^WHAT .* ASKED .* GIVEN .* FOUND$/m);
  assert.match(stdout, /other devices of the host, by nodes of its own: \d+/);
  assert.match(stdout, /^verify-plain has what its file gives it, and nothing else\.$/m);
  assert.ok(status('--all', 'verify-plain').stdout.split('\n').length > stdout.split('\n').length + 20);
});
