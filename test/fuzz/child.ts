import { writeSync } from 'node:fs';
import { Complaint } from '../../src/errors.ts';
import { chance } from '../pure/machines.ts';
import { mutated } from './mutate.ts';
import { faults, readers } from './readers.ts';

/**
 * One reader and many texts, in a process that may read files and nothing else: what would run a command, or write a file, ends it.
 * READER SEED TEXTS SECONDS REPOSITORY; a line each second says how far it is, so that whoever watches knows that no text holds it up.
 */

const [, , name = '', seed = '1', most = '0', seconds = '0', repository = '.'] = process.argv;
const reader = (readers[name] ?? faults[name])!;
const texts = reader.texts(repository);
const next = chance(Number(seed));
const begun = performance.now();
const heap = process.memoryUsage().rss;
let told = begun;
let slowest = 0;
let memory = 0;
let refused = 0;
let count = 0;

const say = (more: object): void => {
  writeSync(1, `${JSON.stringify({ reader: name, texts: count, refused, slowest: Math.round(slowest), memory: Math.round(memory / 2 ** 20), ...more })}\n`);
};

for (; (Number(most) === 0 || count < Number(most)) && (Number(seconds) === 0 || performance.now() - begun < Number(seconds) * 1000); count++) {
  const text = mutated(texts, next);
  const before = performance.now();
  try {
    reader.read(text);
  } catch (error) {
    if (error instanceof Complaint) refused++;
    else {
      say({ failed: (error as Error).stack ?? `${error}`, text });
      process.exit(1);
    }
  }
  const now = performance.now();
  slowest = Math.max(slowest, now - before);
  if (count % 64 === 0) memory = Math.max(memory, process.memoryUsage().rss - heap);
  if (now - told > 1000) {
    told = now;
    say({ text: slowest > 2000 ? text : undefined });
  }
}
say({ done: true });
