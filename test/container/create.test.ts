import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { pickShift } from '../../src/names.ts';
import { folder, follow, nestbox, program, type Result, type Running, stoppedAt } from '../nestbox.ts';
import { says, templateOf, tinyRoot } from '../roots.ts';
import { spoilt } from '../spoilt.ts';

const front = new URL('../../dist/nestbox', import.meta.url).pathname;
const machines = '/var/lib/nestbox/machines';
const installed = (name: string) => `/etc/nestbox/${name}.toml`;

/** Machines of one template, which goes with the test, as people make them: a `node` that notes that it was asked for comes first in the path. */
interface Maker {
  own: string;
  root: string;
  env: NodeJS.ProcessEnv;
  file(name: string, more: string): string;
  create(file: string): Result & { node: boolean };
  /** Once more where Node was asked for: others on this host may have changed something of it meanwhile. */
  again(name: string, file: string): Result;
  remove(...names: string[]): void;
}

function maker(t: TestContext): Maker {
  const own = folder(t);
  tinyRoot(`${own}/root`);
  says('tar', '-C', `${own}/root`, '-cf', `${own}/root.tar`, '.');
  mkdirSync(`${own}/games`);
  writeFileSync(`${own}/notes`, 'x');
  writeFileSync(`${own}/node`, `#!/bin/sh\necho >> ${own}/asked\nexec ${process.execPath} "$@"\n`, { mode: 0o755 });
  const env = { ...process.env, PATH: `${own}:/usr/bin:/bin`, TERM: 'vt100' };
  const made = new Set<string>();
  const remove = (...names: string[]) => names.forEach((name) => {
    rmSync(`${machines}/${name}`, { recursive: true, force: true }); // nothing of it is mounted, and nestbox rm takes longer than all that is tried here
    rmSync(installed(name), { force: true });
  });
  const create: Maker['create'] = (file) => {
    const { status, stdout, stderr } = spawnSync(front, ['create', file], { encoding: 'utf8', env, input: '', timeout: 300_000 });
    const node = existsSync(`${own}/asked`);
    rmSync(`${own}/asked`, { force: true });
    return { status, stdout, stderr, node };
  };
  const file: Maker['file'] = (name, more) => {
    made.add(name);
    remove(name);
    const path = `${own}/${name}.toml`;
    writeFileSync(path, `name = "${name}"\n${/^network/m.test(more) ? '' : 'network = "none"\n'}${more.replaceAll('OWN', own)}\n[root]\ntar = "${own}/root.tar"\n`);
    return path;
  };
  create(file('create-first', ''));
  const root = templateOf('create-first');
  t.after(() => {
    remove(...made);
    assert.equal(nestbox(['templates', '--prune', root.split('/').at(-2)!]).status, 0);
  });
  return {
    own, root, env, file, create, remove,
    again(name, of) {
      for (let i = 0; i < 10; i++) {
        const { node, ...result } = create(of);
        if (!node) return result;
        remove(name);
      }
      return assert.fail('it is always one for Node');
    },
  };
}

/** All that there is of a machine; of its ways back what is neither in its own folder nor that of all files, which may have been there before. */
function all(name: string): unknown {
  const files = says('find', `${machines}/${name}`, '-printf', '%P %y %m %U:%G %l\n').split('\n').sort();
  const texts = says('find', `${machines}/${name}`, '-type', 'f', '!', '-name', 'undo').split('\n').filter(Boolean).sort().map((path) => [path, readFileSync(path, 'utf8')]);
  const undo = readFileSync(`${machines}/${name}/undo`, 'utf8').split('\n').filter((line) => line && !line.includes(`"${machines}/${name}/`) && !line.includes('"remove-empty"') && !line.includes('"/etc/nestbox"'));
  return { files, texts, undo, file: says('stat', '--format=%a %U:%G', installed(name)), text: readFileSync(installed(name), 'utf8') };
}

/** What there is of it anywhere. */
const left = (name: string): string[] => ['machines', 'journal', 'scratch', 'services'].map((folder) => `/var/lib/nestbox/${folder}/${name}`).concat(`/run/nestbox/${name}`, installed(name)).filter((path) => existsSync(path));

test('the next machine from such a file is what Node makes of it', (t) => {
  execFileSync('rm', ['-f', '/dev/nestbox-test-create']);
  execFileSync('mknod', ['-m', '0660', '/dev/nestbox-test-create', 'c', '1', '3']);
  execFileSync('chown', ['0:44', '/dev/nestbox-test-create']);
  t.after(() => execFileSync('rm', ['-f', '/dev/nestbox-test-create']));
  const { file, create, again, remove } = maker(t);
  remove('create-first');
  for (const more of [
    '', 'users = "host"', 'user = "create-second"\nhostname = "create-second"\nrun = "create-second"',
    `user = "tester"\nnetwork = "private"\ndevices = ["/dev/nestbox-test-create"]\nfiles = [{ path = "OWN/games", to = "/mnt/games", write = true }, "OWN/notes"]\nenvironment = { GREETING = "name = \\"x\\"" }\nlimits = { tasks = 200 }`,
  ]) {
    const second = file('create-second', more);
    const byNode = nestbox(['create', second], { env: { TERM: 'vt100' } });
    const withNode = all('create-second');
    remove('create-second');
    assert.ok(create(file('create-first', more)).status === 0); // the one that is noted
    const without = again('create-second', second);
    assert.deepEqual([without.status, without.stdout, without.stderr], [0, '', byNode.stderr]);
    assert.deepEqual(all('create-second'), withNode, more);
    assert.equal(nestbox(['rm', 'create-first', 'create-second']).status, 0);
    assert.deepEqual(left('create-second'), [], more);
  }
});

const ids = (name: string) => (JSON.parse(readFileSync(`${machines}/${name}/machine.json`, 'utf8')) as { shift: number }).shift;
const subordinate = ['/etc/subuid', '/etc/subgid'].flatMap((path) => (existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [])).map((line) => line.split(':').slice(1).map(Number)).filter(([, count]) => count).map(([start, count]) => ({ start: start!, count: count! }));
/** All that somebody has. */
const taken = () => [...subordinate, ...readdirSync(machines).flatMap((name) => ids(name) || []).map((start) => ({ start, count: 0x10000 }))];

test('its ids are those that nobody else has', (t) => {
  const { file, again, remove } = maker(t);
  const names = ['create-a', 'create-2', `create-${'x'.repeat(56)}`, ...Array.from({ length: 6 }, (_, i) => `create-ids-${i * 7919}`)];
  for (const name of names) {
    const expected = pickShift(name, taken());
    again(name, file(name, ''));
    assert.equal(ids(name), expected, name);
  }
  // The next one would have those of another.
  const record = `${machines}/create-a/machine.json`;
  writeFileSync(record, readFileSync(record, 'utf8').replace(/"shift":\d+/, `"shift":${pickShift('create-other', taken()) + 0x8000}`));
  const expected = pickShift('create-other', taken());
  again('create-other', file('create-other', ''));
  assert.deepEqual([ids('create-other'), taken().filter(({ start }) => Math.abs(start - expected) < 0x10000).length], [expected, 1]);
  remove(...names, 'create-other');
});

/** Names that ids would be looked for from the same ones on. */
function namesWithOneSlot(count: number): string[] {
  const found = new Map<number, string[]>();
  for (let i = 0; ; i++) {
    const [name, first] = [`create-slot-${i}`, pickShift(`create-slot-${i}`, taken())];
    const names = [...(found.get(first) ?? []), name];
    if (names.length === count) return names;
    found.set(first, names);
  }
}

const hook = new URL('./kill-at.cjs', import.meta.url).pathname;

/** Starts it with Node, and stops that when the first way back is written down, and its step has not begun. */
const stopped = (t: TestContext, file: string, env: NodeJS.ProcessEnv): Promise<Running> => stoppedAt(t, 'journal:1', ['create', file], env);

test('two that are made at once do not get the same ids', async (t) => {
  const { env, file, again, remove } = maker(t);
  const [one, two, three] = namesWithOneSlot(3) as [string, string, string];
  const [first, second, third] = [one, two, three].map((name) => file(name, '')) as [string, string, string];
  const expected = pickShift(one, taken());
  const next = pickShift(two, [...taken(), { start: expected, count: 0x10000 }]);
  const run = await stopped(t, first, env);
  assert.equal(nestbox(['create', second]).status, 0); // with Node
  again(three, third);
  const { status, stderr } = await run.end('SIGCONT');
  assert.equal(status, 0, stderr);
  assert.deepEqual([ids(one), ids(two)], [expected, next]);
  assert.equal(new Set([one, two, three].map(ids)).size, 3);
  for (let i = 0; i < 20; i++) {
    remove(one, two, three);
    const runs = [first, second, third].map((path) => follow(t, spawn(front, ['create', path], { env, stdio: ['ignore', 'pipe', 'pipe'] })));
    for (const { status, stderr } of await Promise.all(runs.map((each) => each.end(null)))) assert.equal(status, 0, stderr);
    assert.equal(new Set([one, two, three].map(ids)).size, 3, `${[one, two, three].map(ids)}`);
  }
  // What one that was killed has left says nothing of the next.
  remove(one, two, three);
  mkdirSync(`/run/nestbox/${one}`, { recursive: true });
  writeFileSync(`/run/nestbox/${one}/ids`, `${expected + 0x10000}`);
  again(one, first);
  assert.deepEqual([ids(one), existsSync(`/run/nestbox/${one}`)], [expected, false]);
});

test("with Node, a file of somebody else's that comes meanwhile is neither written over nor taken back", async (t) => {
  const { env, file } = maker(t);
  const run = await stopped(t, file('create-second', ''), env);
  writeFileSync(installed('create-second'), 'theirs\n');
  const { status, stderr } = await run.end('SIGCONT');
  assert.equal(status, 1);
  assert.match(stderr, /cannot write \/etc\/nestbox\/create-second\.toml: it is there already/);
  assert.equal(readFileSync(installed('create-second'), 'utf8'), 'theirs\n');
  rmSync(installed('create-second'));
  assert.deepEqual(left('create-second'), []);
});

test('one that was cut off before it was whole is taken back and made by the next', (t) => {
  const { env, file } = maker(t);
  const second = file('create-second', 'user = "tester"');
  let [n, recorded] = [1, 0];
  for (; n < 40; n++) {
    const { signal, status, stderr } = spawnSync(process.execPath, ['--require', hook, program, 'create', second], { encoding: 'utf8', env: { ...env, KILL_AT: `disk:${n}` }, timeout: 300_000 });
    if (signal !== 'SIGKILL') {
      assert.equal(status, 0, stderr);
      break;
    }
    const isWhole = existsSync(`${machines}/create-second/undo`);
    if (!isWhole && existsSync(`${machines}/create-second/machine.json`)) recorded++;
    const next = nestbox(['create', second]);
    assert.equal(next.status, isWhole ? 1 : 0, `killed at ${n}: ${next.stderr}`);
    assert.match(next.stderr, isWhole ? /there is a machine 'create-second' already/ : /was cut off: taking back what it left[^]*'create-second' is made/, `killed at ${n}`);
    if (isWhole) nestbox(['clean', 'create-second']); // of one whose journal had still to go, nothing stays
    const removed = nestbox(['rm', 'create-second']);
    if (!isWhole) assert.equal(removed.status, 0, removed.stderr);
    assert.deepEqual(left('create-second'), [], `killed at ${n}`);
  }
  assert.ok(n > 3 && n < 40 && recorded > 0, `${n} points, with a record ${recorded} times`);
});

test('what is not as it was is for Node to tell', (t) => {
  const { own, root, file, create, again, remove } = maker(t);
  const kept = () => readdirSync(`${root}/../patterns`).map((name) => `${root}/../patterns/${name}`);
  const second = file('create-second', '');
  const other = (text: string, change: (text: string) => string) => writeFileSync(second, change(text));
  const text = readFileSync(second, 'utf8');
  for (const [what, change, back, status = 0] of [
    ['another word in the file', () => other(text, (was) => `${was}\n# x\n`)],
    ['a name that is said in another way', () => other(text, (was) => was.replace('"create-second"', "'create-second'"))],
    ['a name that is none', () => other(text, (was) => was.replace('create-second', 'create-second-')), undefined, 1],
    ['a file that is there already', () => writeFileSync(installed('create-second'), 'x'), () => rmSync(installed('create-second')), 1],
    ['a machine that is there already', () => mkdirSync(`${machines}/create-second`), () => rmSync(`${machines}/create-second`, { recursive: true, force: true }), 1],
    ['an account of the host', () => utimesSync('/etc/passwd', new Date(), new Date(Date.now() - 7000))],
    ['what anybody may have written', () => kept().forEach((path) => void chmodSync(path, 0o666))],
    ...spoilt.map(([how, spoil]) => [`a pattern that is spoilt: ${how}`, () => kept().forEach((path) => void writeFileSync(path, spoil(readFileSync(path))))]),
    ['the archive that the root is of', () => appendFileSync(`${own}/root.tar`, '\0'.repeat(10240))],
  ] as [string, () => void, (() => void)?, number?][]) {
    writeFileSync(second, text);
    again('create-second', second);
    remove('create-second');
    change();
    const made = create(second);
    back?.();
    assert.deepEqual([made.status, made.node], [status, true], `${what}: ${made.stderr}`);
    remove('create-second');
  }
  writeFileSync(second, text);
  again('create-second', second);
  const template = templateOf('create-second'); // another one, of another archive
  remove('create-second');
  t.after(() => nestbox(['templates', '--prune', template.split('/').at(-2)!]));
  writeFileSync(`${template}/etc/os-release`, 'ID=other\n');
  const changed = create(second);
  assert.deepEqual([changed.status, changed.node, left('create-second')], [1, true, []]);
  assert.match(changed.stderr, /has been changed since it was built/);
});

test('the seal of a tree is the same however many look at it, and another where anything is', (t) => {
  const own = folder(t);
  says('sh', '-c', `cd ${own} && for i in $(seq 40); do mkdir -p $i/a/b $i/c/$(seq -s / 30); for k in 1 2 3; do echo $k > $i/a/b/$k; ln -s $k $i/c/link$k; done; done`);
  const native = front.replace(/nestbox$/, 'nestbox-native');
  const seal = (...before: string[]) => says(before[0] ?? native, ...[...before, native].slice(1), 'seal', own);
  const first = seal();
  const count = says('sh', '-c', `find ${own} | wc -l`).trim();
  assert.match(first, new RegExp(`^1 ${count} [0-9a-f]{16}\\n$`));
  for (let i = 0; i < 5; i++) assert.deepEqual([seal(), seal('taskset', '--cpu-list', readFileSync('/proc/self/status', 'utf8').match(/^Cpus_allowed_list:\s*(\d+)/m)![1]!)], [first, first]);
  for (const change of ['chmod 600 7/a/b/2', 'ln -sfn 2 9/c/link1', 'touch -d 2001-02-03 11/a/b/1', 'rm 12/a/b/3', 'chown 1:1 13/c', 'mv 14/a/b/1 14/a/b/4']) {
    const before = seal();
    says('sh', '-c', `cd ${own} && ${change}`);
    assert.notEqual(seal(), before, change);
  }
});

/** What kills a program at a moment, or does something then. */
function killer(own: string): string {
  execFileSync('cc', ['-O1', '-o', `${own}/kill-at`, new URL('../kill-at.c', import.meta.url).pathname]);
  return `${own}/kill-at`;
}

test('a file that comes to be there meanwhile is not taken back', (t) => {
  const { env, file, again, remove, own } = maker(t);
  const killAt = killer(own);
  const second = file('create-second', '');
  let [n, status] = [1, null as number | null];
  for (; status !== 201 && n < 50; remove('create-second'), n += 2) {
    again('create-second', second);
    remove('create-second');
    const made = spawnSync(killAt, [`${n}:${installed('create-second')}`, front, 'create', second], { encoding: 'utf8', env, timeout: 300_000 });
    status = made.status;
    if (status === 201) assert.equal(nestbox(['clean', 'create-second']).status, 0); // it has made its own
    else assert.equal(readFileSync(installed('create-second'), 'utf8'), 'x', `at ${n}`);
  }
  assert.ok(n > 6 && n < 50, `${n} points`);
});

test("killed wherever it changes something, 'clean' or the next one leaves nothing half made", (t) => {
  const { env, file, again, remove, own } = maker(t);
  const killAt = killer(own);
  const second = file('create-second', 'user = "tester"\nfiles = ["OWN/games"]');
  again('create-second', second);
  remove('create-second');
  let [n, whole, others] = [1, 0, 0];
  const stride = process.env.NESTBOX_MOMENTS === undefined ? 5 : 1;
  for (; n < 200; n += stride) {
    const { status, stderr } = spawnSync(killAt, [`${n}`, front, 'create', second], { encoding: 'utf8', env, timeout: 300_000 });
    if (existsSync(`${own}/asked`)) { // others have changed something of this host: that was another program
      assert.ok(others++ < 10, `${n}: it was one for Node`);
      rmSync(`${own}/asked`);
      nestbox(['clean', 'create-second']);
      remove('create-second');
      again('create-second', second);
      remove('create-second');
      n -= stride;
      continue;
    }
    if (status !== 200) {
      assert.equal(status, 0, stderr);
      break;
    }
    const isWhole = existsSync(`${machines}/create-second/undo`);
    if (isWhole) whole++;
    const retried = n % 2 === 0 && !isWhole;
    const next = nestbox(retried ? ['create', second] : ['clean', 'create-second']);
    assert.equal(next.status, 0, `killed at ${n}: ${next.stderr}`);
    if (isWhole || retried) assert.equal(nestbox(['rm', 'create-second']).status, 0);
    assert.deepEqual(left('create-second'), [], `killed at ${n}`);
  }
  remove('create-second');
  t.diagnostic(`killed up to point ${n}, ${whole} times when it was whole`);
  assert.ok(n > 20 && whole < 5, `${n} points, ${whole} times whole`);
});
