import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { performance } from 'node:perf_hooks';

/** What is measured: a whole process, from before it is made to after it is gone. */
export interface Variant {
  name: string;
  /** A function where each run has another. */
  argv: string[] | (() => string[]);
  environment?: Record<string, string>;
  /** Before and after each run, outside of the measured time. */
  before?(): void;
  after?(): void;
  /** Milliseconds of a run that has just ended, where it has measured itself what is of interest. */
  took?(): number;
}

export interface Measured {
  name: string;
  /** Milliseconds, one a round. */
  times: number[];
}

/** Of the variant `name` against the variant `to`, with the ratio that is to be reached. */
export interface Goal {
  name: string;
  to: string;
  goal: number | null;
  /** By what factor the goal may be passed before the bench fails, with exit status 1: as far as noise takes the median; 1 if absent. bench/README.md says how it is chosen. */
  margin?: number;
  /** A variant that does all but what is of interest: its time is taken off both, median for median, as two small differences of one round are mostly noise. */
  less?: string;
}

const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8', TERM: 'xterm' };

/** Runs a command to its end, or throws with its last words. */
export function must(argv: string[], more: Record<string, string> = {}): SpawnSyncReturns<string> {
  const result = spawnSync(argv[0]!, argv.slice(1), { encoding: 'utf8', env: { ...environment, ...more }, maxBuffer: 2 ** 28 });
  if (result.status !== 0) throw new Error(`${argv.join(' ')}: ${result.error?.message ?? `exit status ${result.status ?? result.signal}`}\n${result.stderr ?? ''}`);
  return result;
}

/** Every variant once a round, in another order each time, so that what disturbs the machine disturbs all alike. */
export function measure(variants: Variant[], { rounds, warmups }: { rounds: number; warmups: number }): Measured[] {
  const measured = variants.map(({ name }): Measured => ({ name, times: [] }));
  const folder = mkdtempSync('/tmp/nestbox-bench-log.');
  const log = `${folder}/stderr`;
  try {
    for (let round = -warmups; round < rounds; round++) {
      for (const i of shuffled(variants.length)) {
        const { name, argv: words, environment: more, before, after, took } = variants[i]!;
        before?.();
        const argv = typeof words === 'function' ? words() : words;
        // A file, not a pipe: that would end only with the last process that holds it.
        const errors = openSync(log, 'w');
        const start = performance.now();
        const { status, signal, error } = spawnSync(argv[0]!, argv.slice(1), { env: { ...environment, ...more }, stdio: ['ignore', 'ignore', errors] });
        const time = performance.now() - start;
        closeSync(errors);
        if (status !== 0) throw new Error(`${name}: ${error?.message ?? `exit status ${status ?? signal}`}\n${argv.join(' ')}\n${readFileSync(log, 'utf8')}`);
        after?.();
        if (round >= 0) measured[i]!.times.push(took?.() ?? time);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return measured;
}

function shuffled(count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const timesOf = (measured: Measured[], wanted: string): number[] => {
  const found = measured.find(({ name }) => name === wanted);
  if (!found) throw new Error(`nothing was measured that is called '${wanted}'`);
  return found.times;
};

/** Of each round: both of a pair ran close to each other. */
const ratiosOf = (measured: Measured[], { name, to }: Goal): number[] => {
  const others = timesOf(measured, to);
  return timesOf(measured, name).map((time, i) => time / others[i]!);
};

/** The median of the ratios of each round; where something is taken off, the ratio of the medians. */
export function ratio(measured: Measured[], goal: Goal): number {
  if (goal.less === undefined) return median(ratiosOf(measured, goal));
  const base = median(timesOf(measured, goal.less));
  const above = (name: string) => Math.max(median(timesOf(measured, name)) - base, base / 20); // less than that cannot be told from noise
  return above(goal.name) / above(goal.to);
}

/** Whether a ratio is worse than noise explains. */
const fails = (reached: number, { goal, margin = 1 }: Goal): boolean => goal !== null && reached > goal * margin;

/** What a bench says with --json; of each pair also the ratio of every round. */
export interface Report {
  title: string;
  computer: string;
  facts: Record<string, string>;
  rows: { name: string; min: number; median: number; max: number; rounds: number }[];
  ratios: (Goal & { ratio: number; rounds: number[]; failed: boolean })[];
}

/** Tables as the README has them, or JSON. The exit status is 1 where a ratio is worse than its goal and margin. */
export function report(title: string, measured: Measured[], goals: Goal[], facts: Record<string, string>, json: boolean, unit = 'ms'): void {
  const rows = measured.map(({ name, times }) => ({ name, min: Math.min(...times), median: median(times), max: Math.max(...times), rounds: times.length }));
  const ratios = goals.map((goal) => {
    const reached = ratio(measured, goal);
    return { ...goal, ratio: reached, rounds: ratiosOf(measured, goal), failed: fails(reached, goal) };
  });
  if (ratios.some(({ failed }) => failed)) process.exitCode = 1;
  if (json) {
    console.log(JSON.stringify({ title, computer: computer(), facts, rows, ratios } satisfies Report, null, 2));
    return;
  }
  const digits = (value: number) => value.toFixed(value < 1 ? 4 : value < 1000 ? 1 : 0);
  const judged = ({ goal, margin = 1, ratio: reached, failed }: (typeof ratios)[number]) => (goal === null ? '' : `${Number(goal.toFixed(2))}${failed ? ' FAILED' : reached > goal ? ` MISSED, within ${margin}` : ''}`);
  console.log(`${title}, ${measured[0]!.times.length} rounds. ${computer()}.\n`);
  table([[unit, 'min', 'median', 'max'], ...rows.map(({ name, ...row }) => [name, digits(row.min), digits(row.median), digits(row.max)])]);
  console.log();
  table([['median of the ratios of each round', 'ratio', 'goal'], ...ratios.map((one) => [`${one.name} / ${one.to}${one.less === undefined ? '' : `, both less ${one.less}`}`, one.ratio.toFixed(one.ratio < 0.1 ? 3 : 2), judged(one)])]);
  for (const [name, value] of Object.entries(facts)) console.log(`\n${name}: ${value}`);
}

function table(rows: string[][]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: string[]) => `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  console.log(line(rows[0]!));
  console.log(`|${widths.map((width, i) => `${'-'.repeat(width + (i === 0 ? 2 : 1))}${i === 0 ? '' : ':'}`).join('|')}|`);
  for (const row of rows.slice(1)) console.log(line(row));
}

/** The kind of machine that it is. */
function computer(): string {
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown system';
  const systemd = must(['systemd-nspawn', '--version']).stdout.split('\n')[0];
  return `${cpus().length} cores, ${system}, Linux ${release().replace(/-.*/, '')}, ${systemd?.replace(/ \(.*/, '')}, Node ${process.versions.node}`;
}

/** What a bench is told on its command line: --rounds N, --json, --short (as the tests run it), --against PROGRAM, and words of its own. */
export function options(): { rounds: number | undefined; json: boolean; short: boolean; against: string | undefined; words: string[] } {
  const words = process.argv.slice(2);
  const take = (name: string) => {
    const i = words.indexOf(name);
    return i < 0 ? undefined : words.splice(i, 2)[1];
  };
  const rounds = take('--rounds');
  const against = take('--against');
  const has = (name: string) => words.includes(name);
  return { rounds: rounds === undefined ? undefined : Number(rounds), json: has('--json'), short: has('--short'), against, words: words.filter((word) => word !== '--json' && word !== '--short') };
}
