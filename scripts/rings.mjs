// scripts/rings.mjs FILE...: runs test files, first those of the pure ring, all at once, then the others on two lanes. The container ring compares the whole host before and
// after, so its files have the first lane for themselves, one after the other. A virtual computer changes nothing of the host: the lab has the second lane, and both when the first is free.
import { run } from 'node:test';
import { PassThrough } from 'node:stream';
import report from './reporter.mjs';

const files = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const testNamePatterns = process.argv.flatMap((word) => (word.startsWith('--test-name-pattern=') ? [word.slice('--test-name-pattern='.length)] : []));
const isPure = (file) => file.startsWith('test/pure/');
const isLab = (file) => file.startsWith('test/lab/');
/** From the end of the alphabet, where the longest are: one that begins last would leave a lane idle. */
const lab = files.filter(isLab).reverse();

/** In ms. A file that is never done, as something that it has started still runs, must not keep all others from being run. */
const timeout = Number(process.env.NESTBOX_PATIENCE ?? 25 * 60_000);
const events = new PassThrough({ objectMode: true });

async function lane(...queues) {
  for (const queue of queues)
    for (let file = queue.shift(); file !== undefined; file = queue.shift())
      for await (const event of run({ files: [file], concurrency: 1, timeout, ...(testNamePatterns.length > 0 && { testNamePatterns }) })) events.write(event);
}

async function lanes() {
  await Promise.all(files.filter(isPure).map((file) => lane([file])));
  await Promise.all([lane(files.filter((file) => !isPure(file) && !isLab(file)), lab), lane(lab)]);
}

lanes().then(() => events.end(), (error) => events.destroy(error));
for await (const text of report(events)) process.stdout.write(text);
