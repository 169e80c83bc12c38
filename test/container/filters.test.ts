import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import test, { type TestContext } from 'node:test';
import { attempt } from '../../src/attempt.ts';
import { forgetFilters } from '../../src/host/filters.ts';
import { folder, follow, nestbox, program as nestboxProgram } from '../nestbox.ts';
import { create, processesOf, succeeds, tinyRoot } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** The system call filters of systemd-nspawn are kept in files and loaded before it is started: nobody may do more for it, and nobody less. */

const kept = '/var/cache/nestbox/filters';
const native = new URL('../../dist/nestbox-native', import.meta.url).pathname;
const options = { skip: process.getuid!() !== 0 && 'only root starts containers' };

/** A machine over a directory of its own, with calls.c in it: the path of that. */
function machine(t: TestContext, name: string, more = ''): string {
  const root = tinyRoot(`${folder(t)}/root`);
  const calls = compiled(`${root}/usr/bin/calls`);
  create(t, name, `${more}\n[root]\ndirectory = "${root}"\n`);
  return calls;
}

function compiled(calls: string): string {
  execFileSync('cc', ['-O1', '-static', '-o', calls, new URL('../calls.c', import.meta.url).pathname]);
  return calls;
}

interface Seen {
  /** What the program said. */
  said: string[];
  stderr: string;
  /** Whether systemd-nspawn was told to make no filters. */
  kept: boolean;
  /** The filters that the kernel has of the program, instruction by instruction. */
  filters: string;
}

/** The process that holds, as the host sees it. */
function holding(word: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    if (attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '') === `calls\0--hold\0${word}\0` && attempt(() => readlinkSync(`/proc/${pid}/exe`), '').endsWith('/calls')) return Number(pid);
  throw new Error(`nothing holds ${word}`);
}

/** Runs a program in the machine, and looks at it from outside when it is done. Its container's first process, which is systemd-nspawn's own, has the same filters. */
async function look(t: TestContext, name: string, calls: string, ...argv: string[]): Promise<Seen> {
  const held = follow(t, spawn(process.execPath, [nestboxProgram, 'run', name, '--', 'sh', '-c', '"$@"; exec calls --hold "$0"', name, ...argv], { stdio: 'pipe' }));
  await held.says(/^there$/m);
  const program = holding(name);
  const first = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${program}/status`, 'utf8'))![1]);
  assert.match(readFileSync(`/proc/${first}/status`, 'utf8'), /^NSpid:.*\s1$/m);
  const kept = readFileSync(`/proc/${first}/environ`, 'utf8').split('\0').includes('SYSTEMD_SECCOMP=0');
  const [filters, same] = [program, first].map((pid) => execFileSync(calls, ['--filters', `${pid}`], { encoding: 'utf8' }));
  assert.equal(filters, same, 'the first process has other filters than the program');
  process.kill(program, 'SIGKILL');
  const { stdout, stderr } = await held.end(null);
  // systemd-nspawn says this by itself wherever /run is on a disk.
  const said = stderr.replace(/^Attempted to remove disk file system under "\/run\/systemd\/nspawn\/propagate\/.*\n/gm, '');
  return { said: stdout.replace(/there\n$/, '').split('\n'), stderr: said, kept, filters: filters! };
}

test('what comes into a machine later has its filters, in their order', options, async (t) => {
  const calls = machine(t, 'filters-exec');
  const held = follow(t, spawn(process.execPath, [nestboxProgram, 'run', 'filters-exec', '--', 'calls', '--hold', 'filters-first'], { stdio: 'pipe' }));
  await held.says(/there/);
  const later = follow(t, spawn(process.execPath, [nestboxProgram, 'exec', 'filters-exec', '--', 'calls', '--hold', 'filters-later'], { stdio: 'pipe' }));
  await later.says(/there/);
  const [first, second] = ['filters-first', 'filters-later'].map((word) => execFileSync(calls, ['--filters', `${holding(word)}`], { encoding: 'utf8' }));
  assert.equal(second, first);
  assert.ok(first!.trimEnd().split('\n').length > 2, 'their order would not be seen');
  process.kill(holding('filters-first'), 'SIGKILL');
  await held.end(null);
});

/** The same with the filters that are kept, and with those that systemd-nspawn makes itself, as nobody believes a file in a folder of everybody's. */
async function both(t: TestContext, ...start: [name: string, calls: string, ...argv: string[]]): Promise<{ ours: Seen; theirs: Seen }> {
  rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept);
  chmodSync(kept, 0o777);
  const theirs = await look(t, ...start);
  assert.deepEqual(readdirSync(kept), []);
  chmodSync(kept, 0o700);
  const ours = await look(t, ...start);
  assert.deepEqual([ours.kept, theirs.kept], [true, false]);
  assert.equal(ours.filters, theirs.filters);
  assert.match(ours.filters, /^0 0020:.*\n.*\n/);
  return { ours, theirs };
}

test('every system call of each kind of program has the same answer, as root and as somebody else', options, async (t) => {
  const calls = machine(t, 'filters-calls');
  for (const uid of ['0', '1000']) {
    const { ours: { said: ours }, theirs: { said: theirs } } = await both(t, 'filters-calls', calls, 'calls', uid);
    assert.deepEqual(ours.filter((line, i) => line !== theirs[i]), []);
    assert.equal(ours.length, theirs.length);
    const answer = (what: string) => ours.find((line) => line.startsWith(`${what} `))?.slice(what.length + 1);
    assert.deepEqual([answer('audit 41'), answer('route 41')], process.arch === 'x64' ? ['EAFNOSUPPORT', 'done'] : [undefined, undefined]);
    // keyctl(2), which would say EOPNOTSUPP to these arguments.
    if (process.arch === 'x64') assert.deepEqual([answer('native 250'), answer('i386 288'), answer(`x32 ${0x40000000 + 250}`)], ['EPERM', 'EPERM', 'EPERM']);
    const kinds = new Map<string, number>();
    for (const line of ours) kinds.set(line.split(' ')[0]!, (kinds.get(line.split(' ')[0]!) ?? 0) + 1);
    if (process.arch === 'x64') assert.deepEqual([kinds.get('native'), kinds.get('x32'), kinds.get('i386')], [607, 607, 607]);
  }
});

const machines: { title: string; name: string; more: string }[] = [
  { title: 'with ids of its own', name: 'filters-own', more: '' },
  { title: "with the host's ids and more rights and calls than usual", name: 'filters-host', more: 'users = "host"\ncapabilities = ["CAP_SYSLOG", "CAP_SYS_TIME"]\nsyscalls = ["keyctl", "@clock", "syslog"]' },
  { title: 'with an account', name: 'filters-user', more: 'user = "tester"' },
];

/** All that the kernel tells of a program about itself. */
const everything = 'cat /proc/self/uid_map /proc/self/gid_map /proc/self/limits /proc/self/cgroup; grep -E "^(Uid|Gid|Groups|Cap|NoNew|Seccomp|Specul|Umask|Sig)" /proc/self/status; cut -d" " -f4- /proc/self/mountinfo; env; umask; ulimit -a; cat /proc/self/oom_score_adj; ls /proc/self/fd';

for (const { title, name, more } of machines)
  test(`a machine ${title}: the kernel has the same filters in the same order, and all else that can be seen inside is the same`, options, async (t) => {
    const calls = machine(t, name, more);
    const { ours, theirs } = await both(t, name, calls, 'sh', '-c', everything);
    // Each start has numbers of its own: of groups of mounts, of the machine, and of the pipes that are its descriptors.
    const same = (lines: string[]) => lines.filter((line) => !/boot_id|^container_uuid=|^SigQ:/.test(line)).map((line) => line.replace(/(shared|master):\d+/g, '$1').replace(/(proc-kmsg)[0-9a-f]+/, '$1')).sort();
    assert.deepEqual(same(ours.said), same(theirs.said));
    assert.ok(ours.said.length > 60, ours.said.join('\n'));
  });

test('a machine that boots: its first process has the filters that systemd-nspawn would make, and every system call has the same answer', options, async (t) => {
  const shared = folder(t);
  const calls = compiled(`${shared}/calls`);
  create(t, 'filters-boot', `boot = true\nfiles = ["${shared}"]\n[root]\ndebian = "bookworm"\npackages = ["iproute2"]\n`);
  const inside = (...words: string[]) => nestbox(['exec', 'filters-boot', '--', ...words]);
  const isUp = async () => {
    for (const limit = Date.now() + 240_000; inside('timeout', '30', 'systemctl', 'is-system-running').stdout !== 'running\n'; await new Promise((resolve) => setTimeout(resolve, 100))) assert.ok(Date.now() < limit, inside('systemctl', '--failed').stdout);
  };
  const nspawn = () => processesOf('filters-boot').find(({ command }) => command.includes('systemd-nspawn '))!.pid;
  const first = () => Number(/^\d+/.exec(readFileSync(`/proc/${nspawn()}/task/${nspawn()}/children`, 'utf8'))![0]);
  const filters = () => execFileSync(calls, ['--filters', `${first()}`], { encoding: 'utf8' });
  const boot = async () => {
    const started = follow(t, spawn(process.execPath, [nestboxProgram, 'run', 'filters-boot'], { stdio: 'pipe' }));
    await isUp();
    const seen = { kept: readFileSync(`/proc/${nspawn()}/environ`, 'utf8').split('\0').includes('SYSTEMD_SECCOMP=0'), filters: filters(), calls: succeeds(inside('systemd-run', '--quiet', '--wait', '--pipe', calls, '0')).stdout, rights: readFileSync(`/proc/${first()}/status`, 'utf8').match(/^(Cap|NoNewPrivs|Seccomp).*$/gm) };
    assert.equal((await started.end('SIGTERM')).status, 0);
    return seen;
  };
  rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept);
  chmodSync(kept, 0o777); // nobody believes a file in there
  const theirs = await boot();
  chmodSync(kept, 0o700);
  const ours = await boot();
  assert.deepEqual([ours.kept, theirs.kept], [true, false]);
  assert.deepEqual({ ...ours, kept: false }, theirs);
  assert.ok(ours.calls.split('\n').length > 600, ours.calls.slice(0, 200));
});

test('a file that is damaged, or that others than root can write, is not loaded: it is said, and it is made anew', options, async (t) => {
  const calls = machine(t, 'filters-files');
  const { ours: { filters } } = await both(t, 'filters-files', calls, 'true');
  const [name] = readdirSync(kept);
  const file = `${kept}/${name}`;
  const whole = readFileSync(file);
  const { uid, mode } = lstatSync(file);
  assert.deepEqual([uid, mode & 0o7777, lstatSync(kept).mode & 0o7777], [0, 0o600, 0o700], "root's alone");

  const inode = () => lstatSync(file).ino;
  const spoil: Record<string, { do: () => void; says: RegExp }> = {
    'an instruction that lets all through': { do: () => writeFileSync(file, Buffer.concat([whole.subarray(0, -16), whole.subarray(-8), whole.subarray(-8)])), says: /is damaged/ },
    'cut off': { do: () => writeFileSync(file, whole.subarray(0, 3000)), says: /is damaged/ },
    'of somebody else': { do: () => chownSync(file, 1000, 1000), says: /can be written by others/ },
    'written by all': { do: () => chmodSync(file, 0o666), says: /can be written by others/ },
    'a link': { do: () => { rmSync(file); writeFileSync(`${folder(t)}/whole`, whole); symlinkSync(`${folder(t)}/whole`, file); }, says: /cannot be opened/ },
    'a pipe': { do: () => { rmSync(file); execFileSync('mkfifo', [file]); }, says: /is none of nestbox's/ },
  };
  for (const [what, { do: spoils, says }] of Object.entries(spoil)) {
    spoils();
    const before = inode();
    const seen = await look(t, 'filters-files', calls, 'true');
    assert.match(seen.stderr, says, what);
    assert.deepEqual([seen.kept, seen.filters], [true, filters], what);
    assert.ok(lstatSync(file).isFile() && inode() !== before, `${what}: it is made anew`);
    assert.deepEqual(readFileSync(file), whole, what);
  }
  assert.equal((await look(t, 'filters-files', calls, 'true')).stderr, '', 'it is said once');
});

/** FNV-1a of 64 bits, as native/kept-filters.c has it. */
function checksum(bytes: Buffer): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

test('a file of another kernel, program, library or set of options is made anew, and one that says that they do not fit is left', options, async (t) => {
  const calls = machine(t, 'filters-stale');
  const run = (name = 'filters-stale') => look(t, name, calls, 'true');
  rmSync(kept, { recursive: true, force: true });
  assert.equal((await run()).kept, true);
  const file = `${kept}/${readdirSync(kept)[0]}`;
  const whole = readFileSync(file);
  const body = whole.subarray(whole.indexOf('\n') + 1);
  const write = (body: Buffer) => writeFileSync(file, Buffer.concat([Buffer.from(`nestbox-filters 1 ${checksum(body)}\n`), body]));
  write(body);
  assert.deepEqual(readFileSync(file), whole, 'the checksum is the same here');
  for (const [from, to] of [[/^kernel \S+/m, 'kernel 1.2.3'], [/^option \S+/m, 'option --private-networks'], [/^(file \d+ \d+ \d+)\.\d+( .*nspawn)$/m, '$1.000000001$2'], [/^(file \d+) \d+( .*seccomp.*)$/m, '$1 7$2']] as const) {
    const changed = body.toString('latin1').replace(from, to);
    assert.notEqual(changed, body.toString('latin1'), `${from}`);
    write(Buffer.from(changed, 'latin1'));
    const seen = await run();
    assert.deepEqual([seen.kept, seen.stderr], [true, ''], `${from}`);
    assert.deepEqual(readFileSync(file), whole, `${from}: made anew`);
  }
  const head = body.toString('latin1').slice(0, body.indexOf('program '));
  write(Buffer.from(`${head}unfit for a test\n\n`));
  assert.equal((await run()).kept, false);
  assert.match(readFileSync(file, 'latin1'), /unfit for a test/);

  // What is refused beyond the usual is refused by nspawn itself, which may need it before.
  machine(t, 'filters-less', 'syscalls = ["~@mount"]');
  assert.equal((await run('filters-less')).kept, false);
  assert.equal(readdirSync(kept).length, 1);
});

test('a systemd-nspawn that needs what its filters forbid makes them itself', options, (t) => {
  const calls = machine(t, 'filters-needs');
  mkdirSync('/run/systemd/nspawn', { recursive: true });
  const own = folder(t);
  const nspawn = execFileSync('sh', ['-c', 'command -v systemd-nspawn'], { encoding: 'utf8' }).trim();
  for (const [what, before] of [['needs', `${calls} --forbidden`], ['does not', `${calls} --hold < /dev/null > /dev/null`]] as const) {
    const [program, kept] = [`${own}/${what}`, `${own}/kept ${what}`];
    writeFileSync(program, `#!/bin/sh\n${before}\nexec ${nspawn} "$@"\n`, { mode: 0o755 });
    const run = () => execFileSync(native, ['launch', '--filters', kept, '--', program, '--settings=no', '--quiet', '--register=no', '--keep-unit', '--as-pid2', '--console=pipe', '--private-users=no', '--private-network', `--directory=${dirname(dirname(dirname(calls)))}`, '--', 'echo', 'ran'], { encoding: 'utf8', env: { PATH: process.env.PATH, SYSTEMD_NSPAWN_LOCK: '0' }, stdio: ['ignore', 'pipe', 'pipe'] });
    assert.equal(run(), 'ran\n');
    const text = readFileSync(`${kept}/${readdirSync(kept)[0]}`, 'latin1');
    assert.match(text, what === 'needs' ? /^unfit systemd-nspawn needs system calls that its filters forbid$/m : /^program 0 \d+$/m);
    assert.equal(run(), 'ran\n');
  }
});

test('one that its filters end at once is not waited for', options, (t) => {
  mkdirSync('/run/systemd/nspawn', { recursive: true });
  const own = folder(t);
  const calls = compiled(`${own}/calls`);
  const nspawn = `${own}/nspawn`;
  // The first process of its container says when it is there, as nestbox-native does; without filters of its own it does what it is told.
  writeFileSync(nspawn, `#!/bin/sh\n[ "$SYSTEMD_SECCOMP" != 0 ] || exit 1\ncase "$*" in *hold) exec ${calls} --kills;; esac\necho ran\n`, { mode: 0o755 });
  const began = Date.now();
  const run = execFileSync(native, ['launch', '--filters', `${own}/kept`, '--', nspawn, '--settings=no', '--', 'echo'], { encoding: 'utf8', timeout: 50_000 });
  assert.equal(run, 'ran\n');
  assert.ok(Date.now() - began < 30_000, 'it was waited for');
  assert.match(readFileSync(`${own}/kept/${readdirSync(`${own}/kept`)[0]}`, 'latin1'), /^unfit the kernel does not tell what the filters forbid$/m);
});

test('those that no start takes any more are forgotten: of another systemd, not used for a month, or more than anybody has', options, (t) => {
  const own = folder(t);
  const line = (path: string) => {
    const { ino, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
    const seconds = (time: bigint) => `${time / 1_000_000_000n}.${`${time % 1_000_000_000n}`.padStart(9, '0')}`;
    return `file ${ino} ${size} ${seconds(mtimeNs)} ${seconds(ctimeNs)} ${path}`;
  };
  const make = (name: string, lines: string[], daysAgo = 0) => {
    writeFileSync(`${own}/${name}`, ['nestbox-filters 1 0', 'kernel 1.2.3', ...lines, 'program 0 1', '', 'code'].join('\n'));
    utimesSync(`${own}/${name}`, new Date(), new Date(Date.now() - daysAgo * 24 * 3600 * 1000));
  };
  const good = line(native);
  make('good', [good, line(process.execPath)]);
  make('seldom', [good], 29);
  make('old', [good], 31);
  make('other', [good, line(process.execPath).replace(/^file \d+/, 'file 7')]);
  make('gone', ['file 1 2 3.000000000 4.000000000 /usr/lib/not-there.so']);
  writeFileSync(`${own}/none`, 'of no use');
  assert.equal(forgetFilters(own), 4);
  assert.deepEqual(readdirSync(own).sort(), ['good', 'seldom']);
  for (let i = 0; i < 70; i++) make(`many-${i}`, [good], 1 + i / 100);
  assert.equal(forgetFilters(own), 8);
  assert.deepEqual([readdirSync(own).length, readdirSync(own).includes('good'), readdirSync(own).includes('seldom'), readdirSync(own).includes('many-69')], [64, true, false, false]);
  assert.equal(forgetFilters(`${own}/nowhere`), 0);
});

test('killed while the filters are made, nothing is left but what the next start takes', options, async (t) => {
  const calls = machine(t, 'filters-kill');
  mkdirSync(kept, { recursive: true, mode: 0o700 });
  succeeds(nestbox(['run', 'filters-kill', '--', 'true']));
  const before = snapshot();
  let during = 0;
  for (const pause of [0, 40, 100]) {
    rmSync(kept, { recursive: true, force: true });
    const child = spawn(process.execPath, [nestboxProgram, 'run', 'filters-kill', '--', 'true'], { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // They are being made as soon as their folder is there.
    while (child.exitCode === null && !attempt(() => lstatSync(kept), null)) await new Promise((resolve) => setTimeout(resolve, 2));
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (child.exitCode === null) during++;
    child.kill('SIGKILL');
    await ended;
    succeeds(nestbox(['clean', 'filters-kill']));
    assert.deepEqual(processesOf('filters-kill').concat(processesOf('nestbox-filters')), [], `after ${pause} ms`);
    assert.deepEqual(differences(before).filter((line) => line.includes('filters')), [], `after ${pause} ms`);
    const names = attempt(() => readdirSync(kept), []);
    assert.ok(names.length <= 1, names.join(' '));
    assert.equal((await look(t, 'filters-kill', calls, 'true')).kept, true);
  }
  assert.ok(during >= 2, `it was over before it was killed: ${during}`);
});
