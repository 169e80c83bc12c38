import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from '../fuzz.ts';
import { mutated } from '../fuzz/mutate.ts';
import { readers } from '../fuzz/readers.ts';

/** Three seconds for each reader; scripts/fuzz 1000000 takes minutes. In a process that may not start another one. */

for (const [i, reader] of Object.keys(readers).entries())
  test(`the reader '${reader}' takes or refuses whatever text it is given`, async () => {
    const outcome = await fuzz(reader, i + 1, 0, 3);
    assert.equal(outcome.failed, undefined, `${outcome.failed}\nof\n${outcome.text}`);
    assert.ok(outcome.texts > 10, `${outcome.texts} texts`); // how many depends on the computer
    assert.ok(outcome.memory < 200, `${outcome.memory} MiB`);
  });

test('a reader that starts a program, never ends, waits or fills the memory is found out', async () => {
  const [starting, endless, waiting, filling] = await Promise.all([fuzz('starts-a-program', 1, 1, 1), fuzz('never-ends', 1, 1, 1, { spent: 1000, still: 60_000 }), fuzz('waits', 1, 1, 1, { spent: 10_000, still: 6000 }), fuzz('fills-the-memory', 1, 1, 1)]);
  assert.match(starting.failed ?? '', /Access to this API has been restricted/);
  assert.match(endless.failed ?? '', /holds it up: \d+ seconds of processor time/);
  assert.match(waiting.failed ?? '', /holds it up: it waits/);
  assert.match(filling.failed ?? '', /heap out of memory/);
  for (const { text } of [endless, waiting, filling]) assert.equal(typeof text, 'string', 'and with which text');
});

test('a text is made with little memory, however often a part of it is repeated', () => {
  // The whole text three thousand times: of 60,000 characters that were 180 megabytes.
  const numbers = [0, 0.95, 0, 0, 0.9, 0.9999, 0.6, 0.99, 0.9999];
  const before = process.resourceUsage().maxRSS;
  const text = mutated(['x'.repeat(50_000)], () => numbers.shift()!);
  assert.equal(text, 'x'.repeat(60_000));
  assert.deepEqual(numbers, []);
  assert.ok(process.resourceUsage().maxRSS - before < 100_000, `${process.resourceUsage().maxRSS - before} KiB more`);
});
