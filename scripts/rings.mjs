// scripts/rings.mjs FILE...: runs test files one after the other, as the container ring compares the whole host before and after, and those of the lab two at a time:
// a virtual computer waits half of the time.
import { run } from 'node:test';
import report from './reporter.mjs';

const files = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const testNamePatterns = process.argv.flatMap((word) => (word.startsWith('--test-name-pattern=') ? [word.slice('--test-name-pattern='.length)] : []));
const isLab = (file) => file.startsWith('test/lab/');

/** In ms. A file that is never done, as something that it has started still runs, must not keep all others from being run. */
const timeout = Number(process.env.NESTBOX_PATIENCE ?? 25 * 60_000);

async function* events() {
  for (const [some, concurrency] of [[files.filter((file) => !isLab(file)), 1], [files.filter(isLab), 2]])
    if (some.length > 0) yield* run({ files: some, concurrency, timeout, ...(testNamePatterns.length > 0 && { testNamePatterns }) });
}

for await (const text of report(events())) process.stdout.write(text);
