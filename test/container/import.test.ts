import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference, hostOf } from '../pure/again.ts';
import { exampleNames, exampleText, hostNames } from '../pure/hosts.ts';
import { machineText } from '../pure/machines.ts';

/** More machines than ring 1 has the time for. */

test('each example is the same on each host when it is rendered, imported and rendered again', () => {
  for (const name of hostNames) {
    const host = hostOf(name);
    for (const example of exampleNames) assert.equal(difference(exampleText(example), host) ?? '', '', `${example} on ${name}`);
  }
});

test('a thousand machines that nobody has thought of are the same after it', () => {
  let compared = 0;
  const hosts = ['laptop', 'debian12', 'raspberry-pi', 'rolling'].map(hostOf);
  for (let seed = 1; compared < 1000; seed++) {
    const found = difference(machineText(seed), hosts[seed % hosts.length]!);
    if (found === null) continue;
    compared++;
    assert.equal(found, '', `machine ${seed}: ${found}`);
    assert.ok(seed < 5000, 'most of the machines are refused');
  }
});
