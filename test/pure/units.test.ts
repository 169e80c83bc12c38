import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, undo } from '../../src/apply.ts';
import type { MemoryHost } from '../../src/host/memory.ts';
import { assignment, bindPath, commandLine, iniText, settingWord } from '../../src/ini.ts';
import { serviceOf, unitsPattern } from '../../src/names.ts';
import { plan } from '../../src/plan.ts';
import type { Step } from '../../src/step.ts';
import { installing, mark, unitsOf } from '../../src/units/files.ts';
import { joined } from '../../src/units/lines.ts';
import { hostNames, meetStored, storedHost } from './hosts.ts';
import { everyGrant, machineWith, memoryJournal, nameOf, variants, world } from './world.ts';

/** What systemd is given for a machine. */

const hosts = hostNames.map((name) => ({ name, stored: storedHost(name) })).filter(({ stored }) => stored.supervised);

/** Each grant on each host that can give it, as a program and booted. */
const served = hosts.flatMap(({ name, stored }) => [...everyGrant, ...variants].flatMap((grant) => [false, true].flatMap((boot) => {
  const facts = { ...stored, paths: new Proxy(stored.paths, { has: () => true }) };
  const first = meetStored(machineWith(facts, [grant], { boot }), facts, '/etc/nestbox/law.toml', 'service').machine;
  if (first.source.kind !== 'template' || first.problems.some(({ fatal }) => fatal)) return [];
  const met = meetStored(machineWith(facts, [grant], { boot }), { ...facts, store: { ...facts.store, templates: [...facts.store.templates, first.source.key] } }, '/etc/nestbox/law.toml', 'service');
  if (met.machine.problems.some(({ fatal }) => fatal)) return [];
  return [{ name: `${nameOf(grant)} on ${name}${boot ? ', booted' : ''}`, ...met, planned: plan(met.machine, met.facts), units: unitsOf(met.machine, met.facts, plan(met.machine, met.facts).passing) }];
})));

test('every grant can be given by systemd on one of the stored hosts at least', () => {
  const missing = everyGrant.map(nameOf).filter((grant) => !served.some(({ name }) => name.startsWith(`${grant} on`)));
  assert.deepEqual(missing, []);
});

type Case = (typeof served)[number];

/** The host with the machine made on it, and what starts it. */
async function made({ machine, facts, planned, units }: Case): Promise<{ host: MemoryHost; start: Step[] }> {
  const host = world(facts, machine);
  await apply(planned.lasting.map(({ step }) => step), host, memoryJournal().journal);
  host.folders('/var/lib/nestbox/services');
  return { host, start: [...installing(machine.name, units), { kind: 'unit', name: serviceOf(machine.name), parts: unitsPattern(machine.name), want: 'started' }] };
}

/** A key in an X server has a test of its own. */
const kept = (host: MemoryHost): string[] => host.snapshot().filter((line) => !/^display :\d+ has key/.test(line));

test('what systemd is given is taken back without a trace', async () => {
  for (const one of served) {
    const { host, start } = await made(one);
    const before = host.snapshot();
    const journal = memoryJournal();
    await apply(start, host, journal.journal);
    for (const { path, text } of one.units.files) assert.equal(await host.read(path), text, one.name);
    await undo(host, journal.journal);
    assert.deepEqual(kept(host), before, one.name);
  }
});

test('a start that is cut off at any effect is taken back without a trace', async () => {
  const kindsOf = ({ units }: Case) => [...new Set(units.once.map(({ kind }) => kind))].sort().join(' ');
  const different = served.filter((one, i) => served.findIndex((other) => kindsOf(other) === kindsOf(one)) === i);
  for (const one of different) {
    const { host: ready, start: all } = await made(one);
    const start = all.filter(({ kind }, i) => !['link-inside', 'mount-point'].includes(kind) || all.findIndex((other) => other.kind === kind) === i); // a driver's many libraries are all alike
    const before = ready.snapshot();
    for (let effect = 1, over = false; !over; effect++)
      for (const late of [false, true]) {
        const host = ready.copy();
        const journal = memoryJournal();
        host.failAt = { effect: host.effects + effect, late };
        over = await apply(start, host, journal.journal).then(() => true, () => false);
        host.failAt = null;
        await undo(host, journal.journal);
        const after = kept(host);
        if (after.join('\n') !== before.join('\n')) assert.deepEqual(after, before, `${one.name}: something is left after effect ${effect}${late ? ', late' : ''}`);
      }
  }
});

test('each file says who wrote it, and each command in it begins with an absolute path', () => {
  for (const { name, units } of served)
    for (const { path, text } of units.files) {
      assert.ok(text.startsWith(`# ${mark} for the machine`), `${name}: ${path}`);
      for (const line of text.split('\n')) assert.match(line, /^$|^# |^ {2}--then \/|^\[[A-Z][A-Za-z]+\]$|^Exec\w+=-?\/|^(?!Exec)[A-Z]\w+=\S/, `${name}: ${path}: ${line}`);
    }
});

test('a right to a device is in the drop-in for each node that is bound, by its path or its class, and for no other', () => {
  for (const { name, machine, units } of served) {
    const rights = units.files.at(-1)!.text.split('\n').filter((line) => line.startsWith('DeviceAllow=')).map((line) => line.slice('DeviceAllow='.length).split(' ')[0]);
    const { devices, classes } = machine.edits;
    const inClass = ({ type, major }: (typeof devices)[number]) => classes.some((one) => one.type === type && one.majors.includes(major));
    assert.deepEqual(rights.sort(), [...new Set(devices.filter((device) => !inClass(device) && device.rights !== '').map(({ path, from = path }) => from)), ...classes.map((one) => one.name)].sort(), name);
  }
});

/** What config_parse_strv() of systemd makes of a line: extract_first_word() with EXTRACT_UNQUOTE and EXTRACT_RETAIN_ESCAPE. */
function words(line: string): string[] {
  const found: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (const c of line) {
    if (quote !== '' ? c === quote : c === '"' || c === "'") {
      quote = quote === '' ? c : '';
      word ??= '';
    } else if (quote === '' && /\s/.test(c)) {
      if (word !== null) found.push(word);
      word = null;
    } else word = (word ?? '') + c;
  }
  return word === null ? found : [...found, word];
}

test('a word of a .nspawn file is read as what it was', () => {
  const all = ['plain', '', 'two words', 'a"b', "it's", `"both" and 'both'`, 'back\\slash', 'ends\\', '$HOME', '%i', '""', `'`, ' ', 'a=b c', '#x'];
  assert.deepEqual(words(all.map(settingWord).join(' ')), all);
});

test('in a unit nothing is expanded, and a quote ends no word', () => {
  assert.equal(commandLine(['/bin/a', '100%', '$HOME', 'a "b" \\c', '']), '/bin/a 100%% "$$HOME" "a \\"b\\" \\\\c" ""');
  assert.equal(assignment('A', 'x %y $z'), '"A=x %%y $z"');
  assert.equal(bindPath('/a:b\\c'), '/a\\:b\\\\c');
});

test('no value can add a line', () => {
  for (const value of ['a\nExecStart=/bin/sh', 'a\r', 'a\u0000', 'continued\\']) assert.throws(() => iniText([], [['Service', [['Description', value]]]]), JSON.stringify(value));
});

test('commands that differ in their operands alone are one process', () => {
  assert.deepEqual(joined([['install', '-d', '-m', '1', '/a'], ['install', '-d', '-m', '1', '/a/b'], ['install', '-d', '-m', '2', '/c'], ['mount', '/x'], ['mount', '/x']]),
    [['install', '-d', '-m', '1', '/a', '/a/b'], ['install', '-d', '-m', '2', '/c'], ['mount', '/x'], ['mount', '/x']]);
});
