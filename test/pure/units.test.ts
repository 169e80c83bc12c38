import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, undo } from '../../src/apply.ts';
import { assignment, bindPath, commandLine, iniText, settingWord } from '../../src/ini.ts';
import { serviceOf, unitsPattern } from '../../src/names.ts';
import { plan } from '../../src/plan.ts';
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
  return [{ name: `${nameOf(grant)} on ${name}${boot ? ', booted' : ''}`, ...met, planned: plan(met.machine, met.facts), units: unitsOf(met.machine, met.facts, plan(met.machine, met.facts).passing) }];
})));

test('every grant can be given by systemd on one of the stored hosts at least', () => {
  const missing = everyGrant.map(nameOf).filter((grant) => !served.some(({ name }) => name.startsWith(`${grant} on`)));
  assert.deepEqual(missing, []);
});

test('what systemd is given is taken back without a trace', async () => {
  for (const { name, machine, facts, planned, units } of served) {
    const host = world(facts, machine);
    const [kept, journal] = [memoryJournal(), memoryJournal()];
    await apply(planned.lasting.map(({ step }) => step), host, kept.journal);
    host.folders('/var/lib/nestbox/services');
    const before = host.snapshot();
    await apply([...installing(machine.name, units), { kind: 'unit', name: serviceOf(machine.name), parts: unitsPattern(machine.name), want: 'started' }], host, journal.journal);
    for (const { path, text } of units.files) assert.equal(await host.read(path), text, name);
    await undo(host, journal.journal);
    assert.deepEqual(host.snapshot().filter((line) => !/^display :\d+ has key/.test(line)), before, name);
  }
});

test('each file says who wrote it, and each command in it begins with an absolute path', () => {
  for (const { name, units } of served)
    for (const { path, text } of units.files) {
      assert.ok(text.startsWith(`# ${mark} for the machine`), `${name}: ${path}`);
      for (const line of text.split('\n')) assert.match(line, /^$|^# |^\[[A-Z][A-Za-z]+\]$|^Exec\w+=-?\/|^(?!Exec)[A-Z]\w+=\S/, `${name}: ${path}: ${line}`);
    }
});

test('a right to a device is in the drop-in for each node that is bound, by its path or its class, and for no other', () => {
  for (const { name, machine, units } of served) {
    const rights = units.files.at(-1)!.text.split('\n').filter((line) => line.startsWith('DeviceAllow=')).map((line) => line.slice('DeviceAllow='.length).split(' ')[0]);
    const { devices, classes } = machine.edits;
    const inClass = ({ type, major }: (typeof devices)[number]) => classes.some((one) => one.type === type && one.majors.includes(major));
    assert.deepEqual(rights.sort(), [...devices.filter((device) => !inClass(device)).map(({ path }) => path), ...classes.map((one) => one.name)].sort(), name);
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
