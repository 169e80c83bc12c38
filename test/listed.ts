import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import list from '../src/commands/list.ts';
import { store } from '../src/store.ts';
import { mutated } from './fuzz/mutate.ts';
import { chance } from './pure/machines.ts';

/**
 * test/listed.ts PART SEED HOSTS: `nestbox list` by Node, and without it, of hosts that are made up; for test/container/list.test.ts, in a mount namespace of its own. It ends where the two
 * differ, and says how many hosts were left to Node.
 */

const front = new URL('../dist/nestbox', import.meta.url).pathname;
const program = new URL('../dist/nestbox.cjs', import.meta.url).pathname;

const [part = '', seed = '1', hosts = '1'] = process.argv.slice(2);
const next = chance(Number(seed));
const one = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)]!;
const often = (share: number): boolean => next() < share;

const must = (...argv: string[]): void => assert.equal(spawnSync(argv[0]!, argv.slice(1), { stdio: 'inherit' }).status, 0, argv.join(' '));

/** All that `list` looks at is below these; nothing of the real host is seen there. */
const places = ['/var/lib', '/run', '/etc', '/sys/class/tty', '/sys/fs/cgroup'];
const units = '/etc/systemd/system';

const mounts: string[] = [];
function mountOver(path: string, ...argv: string[]): void {
  must('mount', ...argv, path);
  mounts.push(path);
}

function put(path: string, text: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Takes its lock, as a nestbox that works does. */
async function lock(folder: string): Promise<ChildProcess> {
  const child = spawn('flock', [folder, 'sh', '-c', 'echo; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

const alive = process.pid;
const gone = 2 ** 22 + 1; // above the largest that there can be

function record(name: string): Record<string, unknown> {
  const volume = { kind: 'luks', path: `/dev/vg/${name}`, keyFile: null, options: ['a', { 'a"\\': 1e-3 }] };
  return {
    name, template: often(0.5) ? 'debian-bookworm-1f' : null, directory: often(0.6) ? `/srv/roots of/${name}` : null, ...(often(0.2) && { volume }), shifted: often(0.5), shift: one([null, 0, 0x40000000, -1.5e-3]),
    ...(often(0.95) && { file: often(0.8) ? `/etc/nestbox/${name}.toml` : `/home/p/a much longer/${name}.toml` }), ...(often(0.3) && { devices: ['/dev/"\\\u0007', '/dev/é💥'] }),
  };
}

const stateOf = (name: string): Record<string, unknown> => ({
  pid: often(0.7) ? alive : gone, started: 1_700_000_000_000.5, file: `/home/p/${name}.toml`, argv: ['sh', '-c', 'echo "$A" \\\n\u001b\ud800'], template: null, directory: null, display: null,
  terminal: one([null, null, 8, 12, 63]), inside: { user: 'p', account: { uid: 1, gid: 1 }, shift: 0, environment: { A: 'é' }, place: { kind: 'cgroup', folders: [] } },
});

function giveUnits(name: string, unit: string): void {
  if (often(0.9)) put(store.undoOfService(name), '{}\n');
  else put(store.endsOfService(name), '');
  if (often(0.9)) put(`${units}/${unit}.d/nestbox.conf`, '[Service]\n');
  if (often(0.5)) {
    mkdirSync(`${units}/multi-user.target.wants`, { recursive: true });
    symlinkSync('/nowhere', `${units}/multi-user.target.wants/${unit}`);
  }
  if (often(0.5)) put(`${units}/nestbox-${name}.service`, `[Service]\n${one(['', 'ExecStartPre=nestbox-native console take 0 /x\nExecStartPre=nestbox-native console take 123 /x\n'])}${one(['', `ExecStartPre="/x/nestbox-native" each console take ${one(['8', '12', '63'])} /run/x\n`])}`);
  if (often(0.6)) put(`/run/systemd/machines/unit:${unit}`, '');
  if (often(0.8)) put(`/run/systemd/machines/${name}`, `# private\nNAME=${name}\n${one(['', `LEADER=${alive}\n`])}CLASS=container\n`);
}

/** One machine in any of the states that nestbox, systemd or a crash leave. */
function giveMachine(name: string): void {
  if (often(0.8)) put(`${store.machine(name)}/machine.json`, `${JSON.stringify(record(name), null, often(0.2) ? 2 : 0)}\n`);
  else if (often(0.3)) mkdirSync(store.machine(name), { recursive: true });
  if (often(0.7)) put(`${store.files}/${name}.toml`, '');
  if (often(0.3)) mkdirSync(store.run(name), { recursive: true });
  if (often(0.2)) put(`${store.run(name)}/state.json`, JSON.stringify(stateOf(name)));
  if (often(0.2)) put(store.journal(name), '{}\n');
  if (often(0.1)) put(store.kept(name), '{}\n');
  if (often(0.1)) put(`${store.seats}/${name}`, '');
  if (often(0.1)) put(`${store.seats}/.${name}`, '');
  if (often(0.1)) put(`${store.run(`${name}.grow`)}/log`, '');
  if (often(0.25)) giveUnits(name, often(0.8) ? `systemd-nspawn@${name}.service` : `lxc@${name}.service`);
  if (often(0.05)) mkdirSync(`${store.run(name)}/root`, { recursive: true }), mountOver(`${store.run(name)}/root`, '-t', 'tmpfs', 'x');
}

/** What the host has mounted in a machine that nestbox runs in. */
function giveTools(): void {
  const tools = store.run(one(['tools', 'm1', 'display']));
  for (const path of [`${tools}/bin/dpkg`, `${tools}/socket`]) put(path, ''), mountOver(path, '--bind', path);
  if (often(0.3)) put(`${tools}/lib/other`, '');
}

const names = ['m1', 'm10', 'm2', 'steam', 'a', 'a-very-long-name-of-a-machine', 'z-9'];

/** A host as nestbox may have left it. Who has a lock on it is given back. */
async function giveHost(): Promise<ChildProcess[]> {
  if (often(0.1)) return [];
  for (const name of names) if (often(0.6)) giveMachine(name);
  if (often(0.6)) put('/sys/class/tty/tty0/active', one(['tty1\n', 'tty8\n', 'tty12\n', 'tty63\n']));
  if (often(0.1)) giveTools();
  if (often(0.1)) put(`${store.files}/notes é`, '');
  const held = names.filter((name) => readdirSync('/run').includes('nestbox') && readdirSync(store.runs).includes(name) && often(0.15));
  return await Promise.all(held.map((name) => lock(store.run(name))));
}

const name = 'm1';
const machine = (text: string | Buffer) => () => put(`${store.machine(name)}/machine.json`, text);
const running = (text: string) => () => put(`${store.run(name)}/state.json`, text);
const file = (called: string) => () => put(`${store.files}/${called}`, '');
const leader = (text: string) => () => {
  put(store.undoOfService(name), '');
  put(`/run/systemd/machines/unit:systemd-nspawn@${name}.service`, '');
  put(`/run/systemd/machines/${name}`, text);
};

/** What nobody has meant to be there, and what is written in another way than nestbox does. */
const odd: (() => void)[] = [
  ...['', ' ', '{', '{}', 'null', '[]', '"x"', '1', '{"name":"m1"', '{"name":"m1"}x', '{"name":"m1",}', '{[1]', '{"name":"m1","a":[1,]}', '{"name":"other"}', '{"name":null}', '{"name":"m1"} ', '\ufeff{"name":"m1"}', '{"name":"m1\0"}', '{"name":"m1"}\0', '{"n\\u0061me":"m1"}', '{"name":"m\\u0031"}',
    '{"name":"m1","template":5}', '{"name":"m1","template":""}', '{"name":"m1","template":"\\n"}', '{"name":"m1","template":"é"}', '{"name":"m1","volume":null,"directory":"/d"}', '{"name":"m1","volume":"x","directory":"/d"}', '{"name":"m1","volume":{"path":null},"directory":"/d"}',
    '{"name":"m1","volume":{},"directory":"/d"}', '{"name":"m1","volume":[],"directory":"/d"}', '{"name":"m1","volume":{"path":"/1","path":"/2"}}', '{"name":"m1","file":null}', '{"name":"m1","file":""}', '{"name":"m1","file":"x "}', '{"name":"x","name":"m1","directory":"/1","directory":null}',
    '{"name":"m1","a":01}', '{"name":"m1","a":+1}', '{"name":"m1","a":1.}', '{"name":"m1","a":.5}', '{"name":"m1","a":-}', '{"name":"m1","a":1e}', '{"name":"m1","a":-0.0E+01}', '{"name":"m1","a":"\\x"}', '{"name":"m1","a":"\\u12g4"}', '{"name":"m1","a":"\\u12"}', '{"name":"m1","a":"\t"}', '{"name":"m1","a":tru}', '{"name":"m1","a":nul',
    '{"name":"m1","a":truefalse}', '{"name" : "m1" , "a" : [ ] , "b" : { } , "directory" : "/d" }', '\t{\r\n"name":"m1","a":[ 1 , [ 2 ] ]}\n', '{"name":"m1"\v}', `{"name":"m1","a":${'['.repeat(60)}${']'.repeat(60)}}`, `{"name":"m1","a":${'['.repeat(90)}${']'.repeat(90)}}`, `{"name":"m1","directory":"/${'d'.repeat(9000)}"}`, `{"name":"m1","directory":"/${' '.repeat(4090)}"}`].map(machine),
  machine(Buffer.from('{"name":"m1","a":"\xff","directory":"/d"}', 'latin1')), machine(Buffer.from('{"name":"m1","directory":"/\xff"}', 'latin1')), () => mkdirSync(`${store.machine(name)}/machine.json`, { recursive: true }),
  ...['é.toml', '中中.toml', 'a"b.toml', 'a\\b.toml', 'a b.toml', ' .toml', '.toml', '..toml', '...toml', 'x\ny.toml', '\x1b[1mbold.toml', 'A.toml', '_.toml', '~.toml', 'm1.toml.toml', '__proto__.toml', 'toml', `${'n'.repeat(250)}.toml`].map(file),
  () => (mkdirSync(store.files), writeFileSync(Buffer.from(`${store.files}/\xff.toml`, 'latin1'), '')),
  ...['', '{', '{}', 'null', '5', `{"pid":"${alive}"}`, '{"pid":0}', '{"pid":-1}', '{"pid":1.5}', '{"pid":1e0}', '{"pid":99999999999}', `{"pid":${alive}}`, `{"pid":${alive},"file":null}`, `{"pid":${alive},"file":5}`, `{"pid":${alive},"file":"é"}`, `{"pid":${alive},"file":"f","terminal":"7"}`,
    `{"pid":${alive},"file":"f","terminal":0}`, `{"pid":${alive},"file":"f","terminal":-7}`, `{"pid":${alive},"file":"f","terminal":7.5}`, `{"pid":${alive},"file":"f","terminal":100}`, `{"pid":${alive},"file":"f","terminal":true}`].map(running),
  () => mkdirSync(`${store.run(name)}/state.json`, { recursive: true }), () => put(store.run('file'), ''), () => (mkdirSync(store.runs, { recursive: true }), symlinkSync('/tmp', store.run('link'))), () => put(`${store.run('é')}/state.json`, ''), () => put(store.journal('é.x'), ''), () => put(`${store.scratches}/.kept`, ''),
  ...['LEADER=\n', 'LEADER=0\n', 'LEADER=x\n', 'LEADER=12', 'LEADER=12\r\n', 'LEADER=12 \n', 'LEADER=99999999999\n', 'XLEADER=12\n', 'LEADER=1\nLEADER=2\n', 'LEADER=\nLEADER=2\n', 'A=\0\nLEADER=1\n', '\n\nLEADER=5\n'].map(leader),
  ...['', '\n', 'tty', 'tty\n', 'ttyS0\n', 'tty0\n', 'tty1 \n', 'tty01\n', 'tty1\n\n', 'tty100\n', 'console\n'].map((text) => () => (put('/sys/class/tty/tty0/active', text), put(`${store.seats}/m1`, ''), put(`${store.run('a')}/state.json`, JSON.stringify({ ...stateOf('a'), pid: alive, terminal: 1 })))),
  ...['', '/systemd', '/unified'].map((tree) => () => (put(store.undoOfService(name), ''), put(`${units}/lxc@${name}.service.d/nestbox.conf`, ''), put(`/sys/fs/cgroup${tree}/machine.slice/lxc@${name}.service/lxc.payload.${name}/cgroup.procs`, `${alive}\n`))),
  () => (mkdirSync(`${store.runs}/a b`, { recursive: true }), mountOver(`${store.runs}/a b`, '-t', 'tmpfs', 'x')), () => (mkdirSync(store.runs, { recursive: true }), mountOver(store.runs, '-t', 'tmpfs', 'x'), mkdirSync(store.run('here'))),
  () => (mkdirSync(`${store.runs}-beside`, { recursive: true }), mountOver(`${store.runs}-beside`, '-t', 'tmpfs', 'x')),
  () => (mkdirSync(`${store.run(name)}${'/a'.repeat(2030)}`, { recursive: true }), mkdirSync(store.run('m2')), mountOver(store.run('m2'), '-t', 'tmpfs', 'x')),
];

const folder = mkdtempSync('/tmp/nestbox-listed.');
const left = 'left to Node';

/** As it is without Node; in whose place comes what only says so. */
function byFront(words: string[], user: number): string {
  const { status, stdout, stderr } = spawnSync(`${folder}/nestbox`, words, { encoding: 'utf8', env: { PATH: folder }, uid: user, gid: user, maxBuffer: 2 ** 26 });
  assert.deepEqual([status, stderr], [0, ''], words.join(' '));
  return stdout;
}

async function byProgram(options: { json?: boolean }, user: number): Promise<string> {
  const { log } = console;
  let said = '';
  console.log = (text: string) => { said += `${text}\n`; };
  process.seteuid!(user);
  try {
    await list([], options);
    return said;
  } catch (error) {
    return `${error}`;
  } finally {
    process.seteuid!(0);
    console.log = log;
  }
}

/** Whether it is done without Node; then it is the same. */
async function compare(what: string): Promise<boolean> {
  let without = true;
  for (const user of often(0.1) ? [0, 65534] : [0])
    for (const [words, options] of [[['list'], {}], [['list', '--json'], { json: true }]] as const) {
      const found = byFront([...words], user);
      if (found.startsWith(left)) without = false;
      else assert.equal(found, await byProgram(options, user), `${what}, ${words.join(' ')} of user ${user}`);
    }
  return without;
}

async function clear(held: readonly ChildProcess[]): Promise<void> {
  const over = held.map((child) => once(child, 'exit'));
  for (const child of held) child.stdin!.end();
  await Promise.all(over);
  for (const path of mounts.splice(0).reverse()) must('umount', path);
  must('rm', '-rf', '--', ...places.flatMap((place) => readdirSync(place).map((entry) => `${place}/${entry}`))); // rmSync() ends before the deepest
}

/** Both ways, as people call them: all that is written, to where there are no readers, to a terminal, with other words. */
function compareWays(): void {
  for (let i = 0; i < 2000; i++) put(`${store.files}/many-${i}.toml`, '');
  const ways = ['"$@" list', '"$@" list --json', '"$@" list | head -n 3', '"$@" list >/dev/full', '"$@" list >&-', '"$@" list <&- >&- 2>&-', 'script --quiet --return --command "$* list" /dev/null </dev/null', '"$@" list --help', '"$@" list --jsn', '"$@" list m1', '"$@" list --json --json', '"$@" --keep PWD=/ list'];
  for (const way of ways) {
    const [without, by] = [[front], [process.execPath, program]].map((nestbox) => {
      const { status, stdout, stderr } = spawnSync('bash', ['-c', `${way}; echo "status \${PIPESTATUS[0]}"`, 'bash', ...nestbox], { encoding: 'utf8', maxBuffer: 2 ** 26, env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, TERM: 'xterm' } });
      return { status, stdout, stderr };
    });
    assert.ok(/status \d+\n$/.test(by!.stdout));
    assert.deepEqual(without, by, way);
  }
}

let without = 0;
try {
  copyFileSync(front, `${folder}/nestbox`);
  writeFileSync(`${folder}/node`, `#!/bin/sh\necho ${left}\n`, { mode: 0o755 });
  chmodSync(folder, 0o755); // users who are not root come here too
  for (const place of places) must('mount', '-t', 'tmpfs', '-o', 'mode=755', 'listed', place);
  if (part === 'ways') compareWays();
  for (let i = 0; part === 'usual' && i < Number(hosts); i++) {
    const held = await giveHost();
    if (await compare(`host ${i} of seed ${seed}`)) without++;
    await clear(held);
  }
  for (let i = 0; part === 'odd' && i < odd.length; i++) {
    odd[i]!();
    if (await compare(`odd host ${i}`)) without++;
    await clear([]);
  }
  for (let i = 0; part === 'mutated' && i < Number(hosts); i++) {
    const texts = Array.from({ length: 3 }, () => JSON.stringify(record(name)));
    const text = mutated(texts, next);
    (often(0.7) ? machine : running)(text)();
    if (await compare(`host ${i} of seed ${seed}, with ${JSON.stringify(text)}`)) without++;
    await clear([]);
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(`${part}: ${without} without Node`);
