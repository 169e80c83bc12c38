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

/** The median of the ratios of each round: both of a pair ran close to each other. */
export function ratio(measured: Measured[], { name, to }: Goal): number {
  const times = (wanted: string) => measured.find((one) => one.name === wanted)!.times;
  const others = times(to);
  return median(times(name).map((time, i) => time / others[i]!));
}

/** Tables as the README has them, or JSON. */
export function report(title: string, measured: Measured[], goals: Goal[], facts: Record<string, string>, json: boolean): void {
  const rows = measured.map(({ name, times }) => ({ name, min: Math.min(...times), median: median(times), max: Math.max(...times), rounds: times.length }));
  const ratios = goals.map((goal) => ({ ...goal, ratio: ratio(measured, goal) }));
  if (json) {
    console.log(JSON.stringify({ title, computer: computer(), facts, rows, ratios }, null, 2));
    return;
  }
  const digits = (value: number) => value.toFixed(value < 1000 ? 1 : 0);
  console.log(`${title}, ${measured[0]!.times.length} rounds. ${computer()}.\n`);
  table([['ms', 'min', 'median', 'max'], ...rows.map(({ name, ...row }) => [name, digits(row.min), digits(row.median), digits(row.max)])]);
  console.log();
  table([['median of the ratios of each round', 'ratio', 'goal'], ...ratios.map(({ name, to, goal, ratio: reached }) => [`${name} / ${to}`, reached.toFixed(reached < 0.1 ? 3 : 2), goal === null ? '' : `${goal}${reached <= goal ? '' : ' MISSED'}`])]);
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

/** What a bench is told on its command line: --rounds N, --json, and words of its own. */
export function options(): { rounds: number | undefined; json: boolean; against: string | undefined; words: string[] } {
  const words = process.argv.slice(2);
  const take = (name: string) => {
    const i = words.indexOf(name);
    return i < 0 ? undefined : words.splice(i, 2)[1];
  };
  const rounds = take('--rounds');
  const against = take('--against');
  const json = words.includes('--json');
  return { rounds: rounds === undefined ? undefined : Number(rounds), json, against, words: words.filter((word) => word !== '--json') };
}

