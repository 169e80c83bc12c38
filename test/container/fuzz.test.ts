import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from '../fuzz.ts';
import { readers } from '../fuzz/readers.ts';

/** Five seconds for each reader; scripts/fuzz 1000000 takes longer. In a process that may not start another one. */

for (const [i, reader] of Object.keys(readers).entries())
  test(`the reader '${reader}' takes or refuses whatever text it is given`, async () => {
    const outcome = await fuzz(reader, i + 1, 0, 5);
    assert.equal(outcome.failed, undefined, `${outcome.failed}\nof\n${outcome.text}`);
    assert.ok(outcome.texts > 10, `${outcome.texts} texts`); // how many depends on the computer
    assert.ok(outcome.memory < 200, `${outcome.memory} MiB more than at its beginning`);
  });

test('a reader that starts a program, never ends or fills the memory is found out', async () => {
  assert.match((await fuzz('starts-a-program', 1, 1, 1)).failed ?? '', /Access to this API has been restricted/);
  assert.match((await fuzz('never-ends', 1, 1, 1, 2000)).failed ?? '', /holds it up/);
  const filling = await fuzz('fills-the-memory', 1, 1, 1);
  assert.match(filling.failed ?? '', /heap out of memory/);
  assert.equal(typeof filling.text, 'string', 'and with which text');
});
