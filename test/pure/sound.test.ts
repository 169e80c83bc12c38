import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertSomeTone, assertTone, readWav, type Sound, wav } from '../sound.ts';
import { folder } from '../nestbox.ts';
import { writeFileSync } from 'node:fs';

/** A second of a tone, as a recording. */
function played(t: Parameters<typeof folder>[0], hertz: number): Sound {
  const path = `${folder(t)}/tone.wav`;
  writeFileSync(path, wav(hertz, 1));
  return readWav(path);
}

/** Without the samples of so many milliseconds from there on, as a card that is late loses them. */
const without = ({ rate, samples }: Sound, from: number, length: number): Sound => ({ rate, samples: samples.filter((_, i) => i < (from * rate) / 1000 || i >= ((from + length) * rate) / 1000) });

test('a tone of which a card has lost some samples is that tone still, and no other', (t) => {
  const tone = played(t, 440);
  assertTone(tone, 440);
  assertSomeTone(tone, 440);
  for (const lost of [without(tone, 180, 24), without(without(tone, 700, 46), 300, 46)]) {
    assert.throws(() => assertTone(lost, 440));
    assertSomeTone(lost, 440);
  }
  for (const hertz of [430, 450, 880]) assert.throws(() => assertSomeTone(played(t, hertz), 440));
});

test('silence, noise and shreds are no tone', (t) => {
  const { rate, samples } = played(t, 440);
  const shreds = samples.map((sample, i) => (i % (rate / 5) < rate / 20 ? sample : 0));
  for (const none of [[], samples.map(() => 0), samples.map((_, i) => ((i * 7919) % 20011) - 10000), shreds]) assert.throws(() => assertSomeTone({ rate, samples: none }, 440));
});
