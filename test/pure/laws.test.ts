import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noEdits } from '../../src/edits.ts';
import type { Facts } from '../../src/facts.ts';
import type { Context } from '../../src/grant.ts';
import { topics, values } from '../../src/grants/index.ts';
import { Failure, type MemoryHost } from '../../src/host/memory.ts';
import { parseJournal } from '../../src/journal.ts';
import type { Machine } from '../../src/machine.ts';
import { plan } from '../../src/plan.ts';
import { roots } from '../../src/roots/index.ts';
import type { Spec } from '../../src/spec.ts';
import { apply, describe, undo } from '../../src/apply.ts';
import type { Step } from '../../src/step.ts';
import { hostNames, meetStored, once, storedHost } from './hosts.ts';
import { type Asked, closeSession, everyGrant, machineWith, memoryJournal, nameOf, stepsOf, variants, world } from './world.ts';

/** Laws that hold for every grant, root and host, also for those that are written tomorrow. */

const lenient = (facts: Facts): Facts => ({ ...facts, paths: new Proxy(facts.paths, { has: () => true }) });

interface Case {
  name: string;
  machine: Machine;
  facts: Facts;
  steps: Step[];
}

/** The machine on that host, its template there already; null: the host lacks something for it. */
function meet(hostName: string, name: string, spec: (facts: Facts) => Spec): Case | null {
  const stored = lenient(storedHost(hostName));
  const first = meetStored(spec(stored), stored, '/etc/nestbox/law.toml');
  const { source } = first.machine;
  const met = source.kind === 'template' ? meetStored(spec(stored), { ...stored, store: { ...stored.store, templates: [...stored.store.templates, source.key] } }, '/etc/nestbox/law.toml') : first;
  if (met.machine.problems.some(({ fatal }) => fatal)) return null;
  return { name: `${name} on ${hostName}`, ...met, steps: stepsOf(plan(met.machine, met.facts)) };
}

async function end(host: MemoryHost, journal: ReturnType<typeof memoryJournal>, machine: Machine): Promise<void> {
  await undo(host, journal.journal);
  await closeSession(host, machine.name);
}

/** A recording is what the person asked for: it stays. A key in an X server has a test of its own. */
const kept = (lines: string[]): string[] => lines.filter((line) => !line.includes('/played.wav ') && !/^display :\d+ has key/.test(line));

async function upAndDown({ name, machine, facts, steps }: Case): Promise<void> {
  const host = world(facts, machine);
  const before = host.snapshot();
  const journal = memoryJournal();
  const waysBack: Step[][] = [];
  await apply(steps, host, { ...journal.journal, append: async (inverse) => { waysBack.push(inverse); await journal.journal.append(inverse); } });
  assert.notDeepEqual(host.snapshot(), before, `${name}: nothing was done`);
  assert.deepEqual(parseJournal(journal.text), waysBack, `${name}: a way back is not what the journal has of it`);
  await end(host, journal, machine);
  assert.deepEqual(kept(host.snapshot()), before, `${name}: something is left`);
  assert.equal(journal.text, '');
}

/** Each grant in a machine of its own, on each host that can give it. */
const alone: (Case & { grant: Asked; hostName: string })[] = [...everyGrant, ...variants].flatMap((grant) => hostNames.flatMap((hostName) => {
  const found = meet(hostName, JSON.stringify(grant), (facts) => machineWith(facts, [grant]));
  return found ? [{ ...found, grant, hostName }] : [];
}));

/** For each host, machines with as many grants at a time as it can give. */
const combined: Case[] = hostNames.flatMap((hostName) => {
  const able = alone.filter((one) => one.hostName === hostName).map(({ grant }) => grant);
  const byTopic = [...new Set(able.map(({ topic }) => topic))].map((topic) => able.filter((grant) => grant.topic === topic));
  const most = Math.max(...byTopic.map(({ length }) => length));
  return Array.from({ length: most }, (_, i) => byTopic.map((grants) => grants[i % grants.length]!)).flatMap((grants, i) => meet(hostName, `machine ${i + 1} of ${most}`, (facts) => machineWith(facts, grants)) ?? []);
});

/** Each source of a root, each way of owning it, with few grants. */
const rooted: Case[] = hostNames.flatMap((hostName) => {
  const options: Record<string, object> = {
    arch: { arch: true, packages: [], config: '/etc/pacman.conf' }, clone: { clone: 'steam' }, debian: { debian: 'trixie', packages: ['x11-apps'], variant: 'apt', components: ['main'] },
    directory: { directory: '/srv/chroot/old' }, host: { host: true }, image: { image: '/srv/images/pi.img' }, luks: { luks: '/dev/vg/work', discard: true }, tar: { tar: '/srv/images/server.tar.zst' }, volume: { volume: '/dev/vg/private' },
  };
  assert.deepEqual(Object.keys(options), Object.keys(roots), 'this test has no sample of a source of roots');
  const grants = everyGrant.filter((grant) => ['environment', 'network.private', 'files'].includes(nameOf(grant)));
  return Object.entries(options).flatMap(([source, sample]) => (['own', 'host', 'shift'] as const).flatMap((users) => [true, false].flatMap((ephemeral) => ['guest', 'root'].flatMap((user) =>
    meet(hostName, `${source}, users = ${users}, ephemeral = ${ephemeral}, user ${user}`, (facts) => machineWith(facts, grants, { root: { source, options: sample }, users, ephemeral, user: { name: user } })) ?? []))))
    .concat([true, false].flatMap((boot) => meet(hostName, `debian for arm64, boot = ${boot}`, (facts) => machineWith(facts, grants, { root: { source: 'debian', options: { ...options.debian, architecture: 'arm64' } }, boot })) ?? []));
});

/** In a chroot, whose mounts are the run's or stay on the host. */
const chrooted: Case[] = hostNames.flatMap((hostName) => [true, false].flatMap((keep) => [true, false].flatMap((ephemeral) => {
  const grants = everyGrant.filter((grant) => ['environment', 'network.host', 'files', 'devices', ...(keep ? [] : ['display.headless', 'audio.playback'])].includes(nameOf(grant)));
  return meet(hostName, `chroot, keep = ${keep}, ephemeral = ${ephemeral}`, (facts) => machineWith(facts, grants, { engine: 'chroot', engineOptions: { chroot: { accept: [], keep, login: true } }, users: 'host', ephemeral, root: { source: 'directory', options: { directory: '/srv/chroot/old' } } })) ?? [];
})));

test('every grant can be given on one of the stored hosts at least, and so can every root', () => {
  const names = new Set(alone.map(({ grant }) => nameOf(grant)));
  assert.deepEqual(everyGrant.map(nameOf).filter((name) => !names.has(name)), []);
  assert.deepEqual(Object.keys(roots).filter((source) => !rooted.some(({ name }) => name.startsWith(source))), []);
});

test('what a machine with one grant does is taken back without a trace', async () => {
  for (const one of alone) await upAndDown(one);
});

test('what a machine with a grant of every topic does is taken back without a trace', async () => {
  for (const one of combined) await upAndDown(one);
});

test('what a machine from each source of roots does is taken back without a trace', async () => {
  for (const one of rooted) await upAndDown(one);
});

test('what a machine in a chroot does is taken back without a trace, its mounts on the host too', async () => {
  assert.ok(chrooted.some(({ steps }) => steps.some(({ kind }) => kind === 'chroot-mounts')));
  for (const one of chrooted) await upAndDown(one);
});

test('a grant does something: the plan with it is not the one without', () => {
  const without = once((hostName: string, root: string) => meet(hostName, '', (facts) => machineWith(facts, [], { root: JSON.parse(root) }))!.steps);
  for (const grant of everyGrant)
    for (const hostName of hostNames) {
      const root = { source: 'debian', options: { debian: 'bookworm', packages: [], variant: 'minbase', components: ['main'], ...(grant.topic === 'foreign' && { architecture: 'arm64' }) } };
      const having = meet(hostName, '', (facts) => machineWith(facts, [grant], { root }));
      if (!having || (grant.topic === 'foreign' && !having.machine.emulation)) continue;
      assert.notDeepEqual(having.steps, without(hostName, JSON.stringify(root)), nameOf(grant));
    }
});

/** For the law that tries every single effect: each grant in one machine on a host with systemd and in one without, and each root. */
const thorough = firstWith([...combined.filter(({ facts }) => facts.systemd === 257), ...combined.filter(({ facts }) => !facts.supervised), ...rooted.filter(({ machine }) => machine.user !== null), ...chrooted]);

/** Those that have anything that none before them has: a kind of step, with and without systemd. */
function firstWith(cases: Case[]): Case[] {
  const seen = new Set<string>();
  return cases.filter(({ machine, facts, steps }) => {
    const news = [...steps.map((step) => `${facts.supervised} ${step.kind}`), ...machine.exposures.map(({ by, what }) => `${by} ${what}`), `${machine.source.kind} ${machine.ephemeral}`, machine.ownership];
    const isNew = news.some((one) => !seen.has(one));
    for (const one of news) seen.add(one);
    return isNew;
  });
}

/** A value without its texts and numbers: what is there of it, and what not. */
const shape = (value: unknown): unknown =>
  Array.isArray(value) ? [...new Set(value.map((one) => JSON.stringify(shape(one))))].sort()
  : typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, key === 'kind' ? one : shape(one)]))
  : typeof value === 'boolean' || value === null ? value
  : typeof value;

/** What makes one step another than one that has been tried: folders, settings, and a driver's many libraries are all alike, and so are the files that get other owners. */
const alike = (step: Step): string => (['mkdir', 'write', 'remove', 'bind', 'link-inside', 'link-inside-end', 'mount-point', 'remove-empty', 'node', 'owners', 'chroot-mounts'].includes(step.kind) ? step.kind : JSON.stringify(shape(step)));

test('whichever effect fails, or is the last before the power goes, all is taken back without a trace', async () => {
  const tried = new Set<string>(); // a step that another machine had is not tried again: only what is new about each
  for (const { name, machine, facts, steps } of thorough) {
    const whole = world(facts, machine);
    const before = whole.snapshot();
    const all = memoryJournal();
    for (const step of steps) {
      const isNew = !tried.has(alike(step));
      const [ready, text] = [isNew ? whole.copy() : whole, all.text];
      await apply([step], whole, all.journal, () => tried.add(alike(step)));
      for (let effect = ready.effects + 1; isNew && effect <= whole.effects; effect++)
        for (const late of [false, true]) {
          const host = ready.copy();
          const journal = memoryJournal(text);
          host.failAt = { effect, late };
          await assert.rejects(apply([step], host, journal.journal), Failure);
          host.failAt = null;
          await end(host, journal, machine);
          const after = kept(host.snapshot());
          if (after.join('\n') !== before.join('\n')) assert.deepEqual(after, before, `${name}: something is left after effect ${effect}${late ? ', late' : ''}, of ${describe(step)}`);
        }
    }
  }
});

test('a key that an X server has made just before a crash is withdrawn from it', async () => {
  const { machine, facts, steps } = alone.find(({ name }) => name.startsWith('{"topic":"display","kind":"x11"'))!;
  for (let effect = 1; ; effect++) {
    const host = world(facts, machine);
    const journal = memoryJournal();
    host.failAt = { effect, late: true };
    if (await apply(steps, host, journal.journal).then(() => true, () => false)) break;
    await end(host, journal, machine);
    assert.deepEqual(host.snapshot().filter((line) => line.includes(' has key ')), [], `after effect ${effect}`);
  }
});

test('a way back that is cut off itself is gone again from its beginning, and leads to the same place', async () => {
  const tried = new Set<string>();
  for (const { name, machine, facts, steps } of thorough.slice(0, 4)) {
    const probe = world(facts, machine);
    const before = probe.snapshot();
    const all = memoryJournal();
    await apply(steps, probe, all.journal);
    const [ready, text] = [probe.copy(), all.text];
    const began: { effect: number; step: string }[] = [];
    await undo(probe, all.journal, (step) => began.push({ effect: probe.effects + 1, step: alike(step) }));
    const news = began.filter(({ step, effect }, i) => (began[i + 1]?.effect ?? probe.effects + 1) > effect && !tried.has(step) && tried.add(step));
    for (const { effect } of news) {
      const host = ready.copy();
      const journal = memoryJournal(text);
      host.failAt = { effect, late: effect % 2 === 0 };
      await assert.rejects(undo(host, journal.journal));
      host.failAt = null;
      assert.notEqual(journal.text, '', 'the journal stays as long as anything is left');
      await end(host, journal, machine);
      assert.deepEqual(kept(host.snapshot()), before, `${name}: something is left after effect ${effect}`);
    }
  }
});

test('a build that is interrupted leaves nothing under the name of the template, one that is not leaves all of it', async () => {
  const facts = lenient(storedHost('no-systemd'));
  const { machine, facts: met } = meetStored(machineWith(facts, []), facts, 'law.toml');
  const { lasting } = plan(machine, met);
  const steps = lasting.map(({ step }) => step);
  const builds = steps.findIndex(({ kind }) => kind === 'build');
  assert.ok(builds >= 0);
  const whole = world(met, machine);
  await apply(steps, whole, memoryJournal().journal);
  const built = whole.snapshot().filter((line) => line.startsWith('/var/lib/nestbox/templates/'));
  assert.match((await whole.list('/var/lib/nestbox/templates')).join(' '), /^debian-bookworm-[0-9a-f]{16}$/);
  for (let effect = 1; effect <= whole.effects; effect++) {
    const host = world(met, machine);
    const journal = memoryJournal();
    host.failAt = { effect, late: false };
    await assert.rejects(apply(steps, host, journal.journal));
    await end(host, journal, machine);
    const left = host.snapshot().filter((line) => line.startsWith('/var/lib/nestbox/templates/'));
    if (left.length > 0) assert.deepEqual(left, built, `half a template after effect ${effect}`);
  }
});

test('nothing is deleted through a live mount', async () => {
  for (const { machine, facts, steps } of combined.slice(0, 3)) {
    const host = world(facts, machine);
    await apply(steps, host, null);
    const mounted = host.tree.mounts.find(({ type }) => type === 'bind');
    if (!mounted) continue;
    await assert.rejects(host.removeTree('/run/nestbox/law'), /is mounted there/);
    await assert.rejects(host.removeTree('/run/nestbox'), /is mounted there/);
  }
});

/** A host that has nothing. */
const bare: Facts = {
  architecture: 'x86_64', distribution: { id: '', version: '' }, kernel: '6.12.0', systemd: null, supervised: false, cgroups: { version: null, own: {}, controllers: [] }, programs: {},
  person: { name: 'root', uid: 0, gid: 0, home: '/root' }, root: true, terminal: null, language: 'C.UTF-8', x11: null, displaysInUse: [], sound: { pulse: null, pipewire: null, cards: [] }, graphics: [], nodes: {}, deviceClasses: [], groups: {},
  mounts: [], subordinate: [], nameservers: [], store: { templates: [], machines: [], services: [] }, paths: {}, accounts: null, init: null,
};
const grantOf = ({ topic, kind }: Asked) => (kind === null ? values[topic]! : topics[topic]![kind]!);
const contextOf = (facts: Facts): Context => ({
  machine: 'law', facts, run: '/run/nestbox/law', shift: 2 ** 20, inside: { name: 'guest', home: '/home/guest', uid: 2 ** 20 + 1000, gid: 2 ** 20 + 1000 }, helper: { uid: 65534, gid: 65534 }, nobody: { uid: 65534, gid: 65534 }, accept: [], sharesNetwork: false, boots: false, emulated: false, sharesMemory: true, unit: null,
});

test('what a grant needs covers what it edits: on a host that has nothing it says what it lacks, or does without', () => {
  for (const grant of [...everyGrant, ...variants]) {
    const { needs, edits } = grantOf(grant);
    const problems = needs(grant.options, contextOf(bare));
    for (const { what, mend } of problems) assert.ok(what && mend, nameOf(grant));
    if (!problems.some(({ fatal }) => fatal)) assert.doesNotThrow(() => edits(grant.options, contextOf(bare)), nameOf(grant));
  }
});

test('what a grant needs covers what it edits: with any one fact taken away it says so, or does without', () => {
  const lessers: ((facts: Facts) => Facts)[] = [
    (facts) => ({ ...facts, x11: null }), (facts) => ({ ...facts, x11: { display: 'elsewhere:0', authority: null } }), (facts) => ({ ...facts, sound: { ...facts.sound, pulse: null } }),
    (facts) => ({ ...facts, sound: { ...facts.sound, cards: [] } }), (facts) => ({ ...facts, graphics: [] }), (facts) => ({ ...facts, graphics: facts.graphics.map((card) => ({ ...card, render: null })) }), (facts) => ({ ...facts, paths: {} }),
    (facts) => ({ ...facts, groups: {} }), (facts) => ({ ...facts, mounts: [] }), (facts) => ({ ...facts, nameservers: [] }), (facts) => ({ ...facts, systemd: null }), (facts) => ({ ...facts, cgroups: { version: null, own: {}, controllers: [] } }),
  ];
  for (const hostName of hostNames)
    for (const lesser of lessers)
      for (const grant of [...everyGrant, ...variants]) {
        const context = contextOf(lesser(storedHost(hostName)));
        if (!grantOf(grant).needs(grant.options, context).some(({ fatal }) => fatal)) assert.doesNotThrow(() => grantOf(grant).edits(grant.options, context), `${nameOf(grant)} on ${hostName} with ${lesser}`);
      }
});

test('a program that a grant or a root starts is one that it says it needs', () => {
  for (const { name, machine, facts, steps } of [...alone, ...rooted.map((one) => ({ ...one, steps: one.steps }))]) {
    void machine;
    const started = new Set(steps.flatMap((step) => (step.kind === 'service' || step.kind === 'build' ? [step.argv[0]!] : [])));
    for (const program of started) {
      if (program === 'nestbox-native') continue; // a part of nestbox itself
      const grant = [...everyGrant, ...variants].find((candidate) => name.startsWith(JSON.stringify(candidate)));
      if (!grant) continue;
      const { [program as 'Xvfb']: _, ...programs } = facts.programs;
      assert.ok(grantOf(grant).needs(grant.options, contextOf({ ...facts, programs })).some(({ fatal, what }) => fatal && what.includes(`'${program}'`)), `${nameOf(grant)} starts ${program} without needing it`);
    }
  }
  for (const [source, { needs }] of Object.entries(roots)) {
    if (source === 'clone' || source === 'directory' || source === 'host' || source === 'image' || source === 'volume') continue; // they start nothing
    assert.ok(needs({ [source]: '/srv/images/server.tar.zst', luks: '/dev/vg/work', packages: [], config: '/x' }, { ...storedHost('laptop'), programs: {} }).some(({ fatal, what }) => fatal && what.includes('is not installed')), source);
  }
});

test('every grant exposes something, or is one of those that give nothing of the host away', () => {
  const harmless: Record<string, string> = {
    environment: 'words that the person has written down themselves',
    'kernel-sources': 'what everybody on the host may read, read-only',
    limits: 'it only takes away',
    masked: 'it only takes away',
    parameters: 'words for an init that is not the host\'s',
  };
  for (const grant of everyGrant) {
    // Read-only files show what is in them, as the edits say; it is the writable ones that expose more.
    const exposures = grantOf(grant).exposes(grant.options);
    assert.equal(exposures.length > 0, !(nameOf(grant) in harmless), nameOf(grant));
    for (const { what } of exposures) assert.match(what, /^[a-z].*[^.]$/, `${nameOf(grant)}: '${what}'`);
  }
});

test('every edit of a grant is of a known kind, and every step of a plan can say itself in lines that have no control characters', () => {
  const known = Object.keys(noEdits());
  for (const { name, machine, steps } of [...alone, ...rooted, ...chrooted]) {
    assert.deepEqual(Object.keys(machine.edits).sort(), [...known].sort(), name);
    for (const step of steps) assert.match(describe(step), /^[^\p{Cc}]+(\n {2}[^\p{Cc}]+)*$/u);
  }
});

test('steps are plain data: they come back the same from JSON', () => {
  for (const { steps } of [...alone, ...rooted, ...chrooted]) for (const step of steps) assert.deepEqual(JSON.parse(JSON.stringify(step)), step);
});
