import assert from 'node:assert/strict';
import { statSync, utimesSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { stampOf } from '../../src/host/stamp.ts';
import { plan } from '../../src/plan.ts';
import { warmOf, wordsOf } from '../../src/warm.ts';
import { folder } from '../nestbox.ts';
import { hostNames, meetStored, storedHost } from './hosts.ts';
import { everyGrant, machineWith, nameOf, variants } from './world.ts';

/** Each grant, and with it a boot, of a machine that is made, on each host. */
const made = hostNames.flatMap((name) => [...everyGrant, ...variants].flatMap((grant) => [false, true].flatMap((boot) => {
  const stored = storedHost(name);
  const facts = { ...stored, paths: new Proxy(stored.paths, { has: () => true }) };
  const spec = machineWith(facts, [grant], { boot });
  const { machine: { source } } = meetStored(spec, facts, '/etc/nestbox/law.toml');
  if (source.kind !== 'template') return [];
  const record = { name: spec.name, template: source.key, directory: null, shift: 0x40000000, file: '/etc/nestbox/law.toml' };
  const accounts = { users: [{ name: 'root', uid: 0, gid: 0, home: '/root' }, { name: 'guest', uid: 1000, gid: 1000, home: '/home/guest' }], groups: [{ name: 'root', gid: 0, members: [] }, { name: 'guest', gid: 1000, members: [] }] };
  const met = meetStored(spec, { ...facts, accounts, store: { ...facts.store, templates: [source.key], machines: [record] } }, '/etc/nestbox/law.toml');
  if (met.machine.problems.some(({ fatal }) => fatal)) return [];
  const planned = plan(met.machine, met.facts);
  return [{ name: `${nameOf(grant)} on ${name}`, grant: nameOf(grant), boot, ...met, spec, planned, warm: warmOf(met.machine, met.facts, spec, planned, ['/usr/bin']) }];
})));

test('machines go without Node when all that they depend on is watched, and no others do', () => {
  const warm = [...new Set(made.filter((one) => one.warm).map(({ grant }) => grant))].sort();
  const booted = [...new Set(made.filter((one) => one.boot && one.warm).map(({ grant }) => grant))];
  for (const grant of ['limits', 'files', 'network.private', 'parameters']) assert.ok(booted.some((one) => one.startsWith(grant)), `${grant}: ${booted.join(' ')}`);
  assert.deepEqual(booted.filter((grant) => /^(display|masked)/.test(grant)), []);
  for (const grant of ['audio.playback', 'gpu.nvidia', 'display.vt', 'network.networkd']) assert.ok(!warm.includes(grant), grant);
  for (const grant of ['environment', 'limits', 'files', 'display.x11']) assert.ok(warm.some((one) => one.startsWith(grant)), `${grant}: ${warm.join(' ')}`);
});

test('a run that the display was shown to without a key is none: the key may be there the next time', () => {
  for (const { name, spec, machine, facts, planned, warm } of made.filter((one) => one.warm && /^display.(x11|nested)/.test(one.grant))) {
    const without = { ...planned, passing: planned.passing.map((one) => (one.step.kind === 'authorize' || one.step.kind === 'copy-cookie' ? { ...one, step: { ...one.step, authority: null } } : one)) };
    assert.ok(warm && warmOf(machine, facts, spec, without, ['/usr/bin']) === null, name);
  }
});

test('their steps are lists of words, from which the container has everything but its program', () => {
  for (const { name, warm, machine, boot } of made) {
    const program = boot ? [] : machine.argv;
    for (const step of warm?.steps ?? []) {
      const words = wordsOf(step, { find: (program) => `/usr/bin/${program}`, takesSocket: () => true, scope: ['/usr/bin/systemd-run', '--'], words: program.length });
      assert.ok(words.every((word) => typeof word === 'string' && !word.includes('\0')), `${name}: ${step.kind}`);
      assert.equal(words[0], step.kind);
      if (step.kind !== 'container') continue;
      const nspawn = words.indexOf('/usr/bin/systemd-nspawn');
      assert.deepEqual(words.slice(nspawn + 1, nspawn + 3), ['--console=interactive', '--console=pipe'], name);
      const own = Number(words[nspawn + 3]);
      assert.deepEqual([...words.slice(nspawn + 4, nspawn + 4 + own), ...program], step.argv.slice(1), name);
    }
  }
});

test('what another machine or session may change is among what is compared', () => {
  const { warm, machine } = made.find((one) => one.warm && one.grant.startsWith('display.x11'))!;
  for (const path of ['/etc/nestbox/law.toml', '/etc/passwd', '/usr/bin', ...machine.layers.map((layer) => `${layer}/etc/passwd`)]) assert.ok(warm!.from.same.includes(path), path);
  for (const layer of machine.layers) assert.ok(warm!.from.like.includes(layer), layer);
  assert.ok(warm!.from.none.includes(`/var/lib/nestbox/services/${machine.name}`));
});

test('units are taken for those of a machine file only if that has not been changed since it was read', (t) => {
  const file = `${folder(t)}/machine.toml`;
  writeFileSync(file, 'x');
  const { ino, ctimeMs } = statSync(file);
  assert.match(stampOf(file), new RegExp(`^${ino} 1 \\d+\\.\\d+ ${file}$`));
  assert.match(stampOf(file, ctimeMs + 1000), new RegExp(`^${ino} `));
  assert.equal(stampOf(file, ctimeMs - 1), `- ${file}`);
  utimesSync(file, 0, 0); // nobody is led by the time that a file says of itself
  assert.ok(!stampOf(file).includes(' 0.0 '));
});
