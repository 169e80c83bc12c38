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

async function* eventsOf(file, names) {
  yield* run({ files: [file], concurrency: 1, timeout, ...(names.length > 0 && { testNamePatterns: names }) });
}

/** The tests of a file, and those of the lab that have failed once more: two emulated computers on two processors are late now and then. What failed first is told in any case. */
async function runFile(file) {
  const again = new Set();
  for await (const event of eventsOf(file, testNamePatterns)) {
    const { name, file: of, nesting } = event.data ?? {};
    if (isLab(file) && event.type === 'test:fail' && nesting === 0 && of !== undefined && name !== of) {
      again.add(name);
      events.write({ type: 'again', data: event.data });
    } else events.write(event);
  }
  if (again.size === 0) return;
  const names = [...again].map((name) => new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}$`));
  for await (const event of eventsOf(file, names)) if (event.data?.skip === undefined) events.write(event); // the others have had their turn
}

async function lane(...queues) {
  for (const queue of queues) for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file);
}

async function lanes() {
  await Promise.all(files.filter(isPure).map((file) => lane([file])));
  await Promise.all([lane(files.filter((file) => !isPure(file) && !isLab(file)), lab), lane(lab)]);
}

lanes().then(() => events.end(), (error) => events.destroy(error));
for await (const text of report(events)) process.stdout.write(text);
