// Prints each file's tests as they end, failures with their reason, and at last how long each file took, all failures once more, also those
// of tests that passed when they were run again, and the line that sums up.
import { basename } from 'node:path';

const counts = { passed: 0, failed: 0, skipped: 0 };
const skips = new Map();
const failures = [];
const unsteady = new Map();
const seconds = new Map();

/** Why a test has failed, by the details of its event. */
const why = ({ error }) => String((error?.cause ?? error)?.stack ?? error?.cause ?? error).replace(/^/gm, '        ');

/** What is printed of a failure. */
function failed(text) {
  counts.failed++;
  process.exitCode = 1;
  failures.push(text);
  return text;
}

export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type === 'test:stdout' || type === 'test:stderr') yield data.message;
    if (type === 'again') {
      const text = `AGAIN   ${data.name} (${data.file})\n${why(data.details)}\n`;
      unsteady.set(`${data.file} ${data.name}`, { text, passed: false });
      yield text;
      continue;
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    const { name, file, nesting, details, skip, todo } = data;
    if (file === undefined || (nesting === 0 && name === file)) {
      if (type === 'test:fail') yield failed(`FAILED  ${name}\n${details.error?.cause?.stack ?? details.error?.message ?? ''}\n`);
      continue; // a file is no test
    }
    seconds.set(file, (seconds.get(file) ?? 0) + (nesting === 0 ? details.duration_ms / 1000 : 0));
    if (skip !== undefined || todo !== undefined) {
      counts.skipped++;
      const reason = skip === true || skip === '' || skip === undefined ? 'no reason given' : skip;
      skips.set(reason, (skips.get(reason) ?? 0) + 1);
      yield `skipped ${name}: ${reason}\n`;
    } else if (type === 'test:pass') {
      counts.passed++;
      const first = nesting === 0 && unsteady.get(`${file} ${name}`);
      if (first) first.passed = true;
      yield `ok      ${name} (${Math.round(details.duration_ms)} ms)\n`;
    } else {
      unsteady.delete(`${file} ${name}`);
      if (details.error?.failureType === 'subtestsFailed') continue; // its subtests are counted
      yield failed(`FAILED  ${name} (${file})\n${why(details)}\n`);
    }
  }
  for (const { text, passed } of unsteady.values()) if (!passed) yield failed(text); // it did not come to a second end
  const slow = [...seconds].filter(([, time]) => time >= 10).sort(([, a], [, b]) => b - a);
  yield slow.map(([file, time]) => `${Math.round(time)} s: ${basename(file)}\n`).join('');
  yield failures.join('');
  for (const { text, passed } of unsteady.values()) if (passed) yield `passed when it was run again:\n${text}`;
  for (const [reason, count] of skips) yield `${count} skipped: ${reason}\n`;
  yield `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
}
