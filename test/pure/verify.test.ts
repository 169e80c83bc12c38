import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import { placeIn } from '../../src/known/machine.ts';
import { readSpec } from '../../src/spec.ts';
import { type Answer, type Attempt, attempts, judge, report, type Subject, tell, type Verdict } from '../../src/verify.ts';
import { groups } from '../../src/verify/index.ts';
import { type Layer, layers } from '../../src/verify/layers.ts';
import type { Way } from '../../src/machine.ts';
import { exampleNames, exampleText, here, hostNames, meetStored, storedHost } from './hosts.ts';

/** What is tried of each example, as text that a person can read. UPDATE_GOLDEN=1 writes it anew: read the difference. */

const update = process.env.UPDATE_GOLDEN === '1';
const folder = here('verify/');

function subjectOf(text: string, shown: string, host = 'laptop', way: Way = 'run'): Subject {
  const spec = readSpec(text, shown);
  const { machine, facts } = meetStored(spec, storedHost(host), `/etc/nestbox/${shown}`, way);
  return { machine, facts, place: (key) => { const { line } = placeIn({ shown, text }, key); return line === null ? 'default' : `${shown}:${line}`; } };
}

/** The laptop, or the first other host on which it runs; null: none. */
function runs(example: string, way: Way): Subject | null {
  for (const host of ['laptop', ...hostNames.filter((name) => name !== 'laptop')])
    try {
      const found = subjectOf(exampleText(example), `${example}.toml`, host, way);
      if (!found.machine.problems.some(({ fatal }) => fatal)) return found;
    } catch (error) {
      if (!/the stored host does not say/.test((error as Error).message)) throw error;
    }
  return null;
}

const expected = ({ expect }: Attempt) => (typeof expect === 'string' ? expect : `only ${expect.only.join(' ')}${expect.needs && expect.needs.length > 0 ? `; with ${expect.needs.join(' ')}` : ''}`);

function triesOf(example: string, way: Way): string {
  const subject = runs(example, way);
  if (!subject) return 'it runs on no host\n';
  try {
    const all = attempts(subject).filter(({ group }) => way === 'run' || group === 'units');
    // What is alike by the dozen is counted; what a unit's text is, the units of the golden plans say.
    const lines = all.map((one) => `${one.group.padEnd(8)} ${one.as.padEnd(4)} ${one.asked}: ${one.sum ?? one.try.slice(0, ({ 'unit-file': 2, mounts: 1 } as Record<string, number>)[one.try[0]]).map((word) => word ?? '-').join(' ')}: ${expected(one)}`);
    return [...new Set(lines)].map((line) => { const { length } = lines.filter((other) => other === line); return `${line}${length > 1 ? ` (${length})` : ''}\n`; }).join('');
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    return 'it runs on no host\n';
  }
}

test('what is tried of each example is the same as before', () => {
  if (update) rmSync(folder, { recursive: true, force: true });
  if (update) mkdirSync(folder, { recursive: true });
  const differing: string[] = [];
  for (const example of exampleNames) {
    const found = `${triesOf(example, 'run')}as a service:\n${triesOf(example, 'service')}`;
    const file = new URL(`${example}.txt`, folder);
    if (update) writeFileSync(file, found);
    const before = readFileSync(file, 'utf8').split('\n');
    const row = found.split('\n').findIndex((line, i) => line !== before[i]);
    if (row >= 0 || before.length !== found.split('\n').length) differing.push(`${example}.txt:${row + 1}\n- ${before[row]}\n+ ${found.split('\n')[row]}`);
  }
  assert.ok(differing.length === 0, `UPDATE_GOLDEN=1 writes them anew:\n${differing.join('\n')}`);
  assert.deepEqual(readdirSync(folder).sort(), exampleNames.map((name) => `${name}.txt`).sort());
});

test('every grant of every example is tried, and every group and layer has a try', () => {
  const seen = { groups: new Set<string>(), layers: new Set<string>() };
  for (const way of ['run', 'service'] as const)
    for (const example of exampleNames) {
      const subject = runs(example, way);
      if (!subject) continue;
      const all = attempts(subject);
      for (const { group, layer } of all) {
        seen.groups.add(group);
        for (const one of typeof layer === 'string' ? [layer] : Object.values(layer)) seen.layers.add(one);
      }
      const tried = all.filter(({ expect }) => expect === 'allowed' || expect === 'accepted').map((one) => one.try);
      for (const { path, rights } of subject.machine.edits.devices) if (rights !== '' && !/watchdog/.test(path)) assert.ok(tried.some((one) => one[0] === 'open' && one[1] === path), `${example}: ${path}`);
      for (const { to } of subject.machine.edits.binds) assert.ok(to.startsWith('/dev/') || tried.some((one) => one[0] === 'same' && one[1] === to), `${example}: ${to}`);
      for (const limit of Object.keys(subject.machine.edits.limits)) assert.ok(all.some((one) => one.try[0] === 'limit' && one.try[1] === limit), `${example}: ${limit}`);
      // Nothing is asked of a device of the host that the machine is given and is then said to be denied.
      for (const one of all) if (one.expect === 'denied' && one.try[0] === 'open') assert.ok(!tried.some((other) => other[0] === 'open' && other[1] === one.try[1]), `${example}: ${one.what}`);
    }
  assert.deepEqual([...seen.groups].sort(), Object.keys(groups).sort());
  // The key that lets nobody look is of display.x11 alone, and its access list of access = "xhost"; no example has a host display that is untrusted.
  assert.deepEqual(Object.keys(layers).filter((one) => !seen.layers.has(one)), ['trust'].filter((one) => !seen.layers.has(one)));
});

const watched = 'name = "m"\nuser = "u"\ndevices = ["/dev/tty7"]\n[root]\ndebian = "bookworm"\n';
const subject = subjectOf(watched, 'm.toml');

const one = (more: Partial<Attempt>): Attempt => ({ group: 'devices', what: 'it', asked: 'm.toml:3', as: 'user', try: ['open', '/dev/x', 'rw', null], expect: 'allowed', layer: { ENOENT: 'node', EACCES: 'owner', EPERM: 'list', else: 'driver' }, ...more });

test('calls that come with a capability are accepted where the filter of the engine lets them through', () => {
  const accepted = (engine: string) => attempts(subjectOf(`name = "m"\nengine = "${engine}"\nusers = "host"\ncapabilities = ["CAP_BPF", "CAP_SYS_MODULE"]\n[root]\ndebian = "bookworm"\n`, 'm.toml')).filter((one) => one.try[0] === 'call' && one.expect === 'accepted').map((one) => one.try[1]);
  assert.deepEqual(accepted('nspawn'), ['init_module', 'delete_module', 'kexec_load', 'bpf']);
  assert.deepEqual(accepted('lxc'), ['init_module', 'delete_module', 'kexec_load']);
});

test('an answer is as asked, a difference with its layer and what mends it, or something that the host cannot', () => {
  const set = { only: ['c:1:3:*', 'lo'], needs: ['lo'] };
  const cases: [Partial<Attempt>, Answer, Verdict | null, Layer | null, RegExp][] = [
    [{}, { found: 'OK' }, 'as asked', null, /works/],
    [{}, { found: 'ENOENT' }, 'difference', 'node', /not there \(ENOENT\)/],
    [{}, { found: 'EACCES' }, 'difference', 'owner', /EACCES/],
    [{}, { found: 'EPERM', host: 'OK' }, 'difference', 'list', /not permitted/],
    [{}, { found: 'EBUSY', host: 'EBUSY' }, 'host', null, /nor on the host: EBUSY/],
    [{}, { found: 'EBUSY', host: 'OK' }, 'difference', 'driver', /EBUSY/],
    [{}, { found: null }, 'untried', null, /not tried/],
    [{}, { found: 'nothing' }, null, null, /./],
    [{ expect: 'denied', layer: 'node' }, { found: 'ENOENT' }, 'as asked', null, /not there/],
    [{ expect: 'denied', layer: 'node' }, { found: 'other' }, 'as asked', null, /another one/],
    [{ expect: 'denied', layer: 'node' }, { found: 'OK' }, 'difference', 'node', /works/],
    // Its driver was reached: nothing of the machine's has kept anybody from it.
    [{ expect: 'denied', layer: 'list', try: ['node', 'c', '1', '1'] }, { found: 'EBUSY' }, 'difference', 'list', /EBUSY/],
    [{ expect: 'denied', layer: 'list', try: ['node', 'c', '1', '1'] }, { found: 'EPERM' }, 'as asked', null, /not permitted/],
    [{ expect: 'denied', layer: 'calls', try: ['call', 'bpf'] }, { found: 'OK' }, 'difference', 'calls', /works/],
    [{ expect: 'accepted' }, { found: 'OK' }, 'accepted', null, /works/],
    [{ expect: 'accepted' }, { found: 'EPERM' }, 'as asked', null, /not permitted/],
    [{ expect: set, layer: 'link' }, { found: 'c:1:3:/dev/null,lo,' }, 'as asked', null, /these alone/],
    [{ expect: set, layer: 'link' }, { found: 'lo,c:1:30:/dev/x' }, 'difference', 'link', /c:1:30/],
    [{ expect: set, layer: 'link' }, { found: 'c:1:3:/dev/null' }, 'difference', 'link', /without lo/],
  ];
  for (const [more, answer, verdict, layer, found] of cases) {
    const row = judge(one(more), answer, subject);
    assert.equal(row?.verdict ?? null, verdict, JSON.stringify([more, answer]));
    if (!row) continue;
    assert.equal(row.layer, layer, JSON.stringify([more, answer]));
    assert.match(row.found, found);
    assert.equal(row.mend !== null, verdict === 'difference');
  }
});

test('every layer says what it is and what mends it, of a run and of a service', () => {
  for (const [name, { is, mend }] of Object.entries(layers))
    for (const way of ['run', 'service'] as const) assert.ok(is.length > 5 && /\S{3}/.test(mend('m', way)) && !/undefined/.test(mend('m', way)), name);
});

test('the table counts what is alike, and lists what differs with its mend', () => {
  const all = attempts(subject);
  const well = all.map((attempt): Answer => ({ found: attempt.expect === 'allowed' ? 'OK' : typeof attempt.expect === 'string' ? 'EPERM' : [...(attempt.expect.needs ?? [])].join(',') }));
  const green = report(all, well, subject);
  assert.equal(green.differences, 0);
  assert.match(tell(green, all, false), /other devices of the host, at their paths: \d+ .*none works/);
  assert.match(tell(green, all, false), /m has what its file gives it, and nothing else\.$/);
  assert.ok(tell(green, all, true).split('\n').length > tell(green, all, false).split('\n').length);
  const half = report(all, well.map((answer, i): Answer => (i === 3 ? { found: null } : answer)), subject);
  assert.deepEqual([half.differences, half.untried], [0, 1]);
  assert.match(tell(half, all, false), /^1 could not be tried: .*\nm has what its file gives it, as far as that was tried\.$/m);
  // Whatever is the other way round is found, each by itself.
  for (const [i, attempt] of all.entries()) {
    if (attempt.expect === 'accepted') continue;
    const turned = well.map((answer, k): Answer => (k !== i ? answer : { found: attempt.expect === 'denied' ? 'OK' : typeof attempt.expect === 'string' ? 'ENOENT' : 'never-seen' }));
    const found = report(all, turned, subject);
    assert.equal(found.differences, 1, attempt.what);
    const [row] = found.rows.filter(({ verdict }) => verdict === 'difference');
    assert.equal(row!.what, attempt.what);
    const told = tell(found, all, false);
    assert.match(told, /DIFFERS/);
    assert.ok(told.includes(layers[row!.layer!].is) && told.includes(row!.mend!), attempt.what);
  }
});
