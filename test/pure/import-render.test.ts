import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparedExamples, difference, hostOf } from './again.ts';
import { exampleText } from './hosts.ts';
import { machineText } from './machines.ts';

test('each example that is rendered, imported and rendered again is the same', () => {
  let compared = 0;
  for (const host of ['laptop', 'desktop-nvidia'].map(hostOf))
    for (const example of comparedExamples) {
      const found = difference(exampleText(example), host);
      if (found === null) continue;
      compared++;
      assert.equal(found, '', `${example}: ${found}`);
    }
  assert.ok(compared > 40, `${compared} were compared`);
});

test('machines that nobody has thought of are the same after it', () => {
  const host = hostOf('debian12');
  const found = Array.from({ length: 60 }, (_, i) => difference(machineText(i + 1), host));
  assert.deepEqual(found.filter((one) => one !== null && one !== ''), []);
  assert.ok(found.filter((one) => one === '').length > 25);
});
