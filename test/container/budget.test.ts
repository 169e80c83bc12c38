import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import type { Report } from '../../bench/measure.ts';
import { folder, program } from '../nestbox.ts';

/** The benches in their short forms: a ratio that is worse than its goal and margin (bench/README.md) in two runs is a defect. */

/** A line for each bench, with words of its own, and how many rounds are enough for its medians. */
const budget: [bench: string, rounds: number][] = [
  ['startup', 7],
  ['window', 9],
  ['create second', 5],
  ['image', 3],
  ['boot', 3],
  ['scale', 2],
  ['graphics', 2],
  ['sound', 1],
];

const source = new URL('../..', import.meta.url).pathname;

/** Ends with what it has measured, and with status 1 where that is worse than noise explains. */
function measured(bench: string, rounds: number, environment: NodeJS.ProcessEnv = {}): { status: number | null; told: string } {
  const [name, ...words] = bench.split(' ');
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', process.execPath, '--import', 'tsx', `bench/${name}.ts`, ...words, '--short', '--json', '--rounds', `${rounds}`], { cwd: source, encoding: 'utf8', env: { ...env, ...environment }, timeout: 300_000, maxBuffer: 2 ** 26 });
  assert.ok((status === 0 || status === 1) && stdout.startsWith('{'), `${bench} has not measured anything: ${stderr}`);
  // One report, or several one after the other.
  const reports = stdout.trim().split(/\n(?=\{)/).map((text) => JSON.parse(text) as Report);
  assert.ok(reports.every(({ ratios }) => ratios.length > 0), stdout);
  return { status, told: reports.flatMap(({ title, ratios }) => ratios.map(({ name: one, to, ratio, goal, margin = 1, rounds: each, failed }) => `${failed ? 'FAILED ' : ''}${title}: ${one} / ${to} is ${ratio.toFixed(2)}, the goal ${goal ?? 'none'}, the margin ${margin}; rounds: ${each.map((value) => value.toFixed(2)).join(' ')}`)).join('\n') };
}

/** What benches have made and not taken away. */
const left = (): string[] => [
  ...['/var/lib', '/var/lib/nestbox/machines', '/run/nestbox', '/dev'].flatMap((path) => (existsSync(path) ? readdirSync(path).filter((name) => name.startsWith('nestbox-bench')).map((name) => `${path}/${name}`) : [])),
  ...readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.includes('nestbox-bench')),
];

for (const [bench, rounds] of budget)
  test(`${bench} is not worse than its goal and what noise explains`, (t) => {
    const before = left();
    const first = measured(bench, rounds);
    t.diagnostic(first.told);
    if (first.status !== 0) {
      const again = measured(bench, rounds);
      assert.equal(again.status, 0, `twice:\n${first.told}\n${again.told}`);
    }
    assert.deepEqual(left().filter((one) => !before.includes(one)), []);
  });

test('a nestbox that takes three times as long does not pass', (t) => {
  const slow = folder(t);
  // It does three times what is measured: a fixed time would be little where all takes long.
  writeFileSync(`${slow}/nestbox.cjs`, `if (process.argv.at(-1) === 'true') for (const _ of [1, 2]) require('node:child_process').spawnSync(process.execPath, [${JSON.stringify(program)}, ...process.argv.slice(2)]);\nrequire(${JSON.stringify(program)});\n`);
  for (const name of ['nestbox', 'nestbox-native']) symlinkSync(program.replace(/[^/]*$/, name), `${slow}/${name}`);
  const { status, told } = measured('startup', 3, { NESTBOX: `${slow}/nestbox.cjs` });
  assert.deepEqual([status, /FAILED .*nestbox, overlay/.test(told)], [1, true], told);
});
