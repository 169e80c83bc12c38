import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { readers } from './fuzz/readers.ts';

/** Mutated texts for the readers of texts from anywhere: scripts/fuzz TEXTS [READER]... [--seed=NUMBER] */

export interface Outcome {
  reader: string;
  texts: number;
  /** Of these were not taken. */
  refused: number;
  /** The text that took longest, in milliseconds of processor time. */
  slowest: number;
  /** All of them, in milliseconds of processor time. */
  spent: number;
  /** The most that the process has had, Node's own included, in MiB. */
  memory: number;
  done?: boolean;
  /** What went wrong, and with which text. */
  failed?: string;
  text?: string;
}

/** When a text holds its reader up, in milliseconds. */
export interface Patience {
  /** Of processor time: what else the computer does is no matter. The slowest texts take less than one second. */
  spent: number;
  /** Of the clock, without having had any processor time: it waits for something. */
  still: number;
}

const patience: Patience = { spent: 10_000, still: 120_000 };

/** The lines of a child tell that it goes on, one each second of its processor time; this often (milliseconds) it is looked at. */
const glance = 200;

const repository = fileURLToPath(new URL('..', import.meta.url));

/** MiB for what a reader keeps. With Node's own 50, and what waits to be collected, the whole stays below the 200 that test/container/fuzz.test.ts allows. */
const heap = ['--max-old-space-size=96', '--max-semi-space-size=8'];

let built: Promise<string> | undefined;

/** child.ts and all that it needs, as one file. */
async function program(): Promise<string> {
  const { outputFiles } = await build({ entryPoints: [join(repository, 'test/fuzz/child.ts')], bundle: true, platform: 'node', target: 'node20', format: 'esm', write: false, logLevel: 'error', banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" } });
  return outputFiles[0]!.text;
}

/** Gives one reader so many texts, or as many as it takes in so many seconds (0: no limit); the same seed gives the same texts. */
export async function fuzz(reader: string, seed: number, texts: number, seconds: number, patient = patience, tell: (outcome: Outcome) => void = () => {}): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'nestbox-fuzz-'));
  const file = join(folder, 'child.mjs');
  try {
    built ??= program();
    writeFileSync(file, await built);
    // It may read, and nothing else: no process is started and no file is written, or it fails.
    // Memory is collected all at once, and by the thread that reads: on a busy computer, collecting little by little or by helpers falls behind, and what is only garbage counts.
    const words = [process.execPath, '--no-incremental-marking', '--single-threaded-gc', ...heap, '--experimental-permission', `--allow-fs-read=${repository}*`, `--allow-fs-read=${folder}/*`, '--no-warnings', file, reader, `${seed}`, `${texts}`, `${seconds}`, repository];
    const outcome = await watched(reader, words, patient, tell);
    if (!outcome.failed || outcome.text !== undefined) return outcome;
    // What has ended it, or holds it up, could not tell which text it was: it is one of those after the last that was counted.
    words[words.length - 3] = `${outcome.texts + 20_000}`; // more than are read between two countings
    const { text } = await watched(reader, [...words, `${outcome.texts}`], patient, () => {});
    return { ...outcome, ...(text !== undefined && { text }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function watched(reader: string, [program, ...words]: string[], patient: Patience, tell: (outcome: Outcome) => void): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: '/usr/bin:/bin' } });
    let last: Outcome = { reader, texts: 0, refused: 0, slowest: 0, spent: 0, memory: 0 };
    let rest = '';
    let errors = '';
    const watch = guard(child, patient);
    child.stderr.on('data', (part) => {
      errors += part;
    });
    child.stdout.on('data', (part) => {
      watch.goesOn();
      const lines = `${rest}${part}`.split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        last = JSON.parse(line) as Outcome;
        tell(last);
      }
    });
    child.on('close', (code, signal) => {
      watch.end();
      const held = watch.held();
      resolve(last.done || last.failed ? last : { ...last, failed: held ? `a text after number ${last.texts} of it holds it up: ${held}` : `it ended with ${code ?? signal}\n${errors}` });
    });
  });
}

/** Ends a process that has not told for so long of its processor time that it goes on, or that does nothing at all. */
function guard(child: ChildProcess, patient: Patience): { goesOn: () => void; held: () => string | null; end: () => void } {
  let held: string | null = null;
  let told = spentBy(child);
  let seen = told;
  let moved = performance.now();
  const timer = setInterval(() => {
    const spent = spentBy(child);
    if (spent !== seen) [seen, moved] = [spent, performance.now()];
    if (spent - told > patient.spent) held = `${Math.round((spent - told) / 1000)} seconds of processor time`;
    else if (performance.now() - moved > patient.still) held = 'it waits';
    if (held) child.kill('SIGKILL');
  }, glance);
  return {
    goesOn: () => {
      told = spentBy(child);
    },
    held: () => held,
    end: () => clearInterval(timer),
  };
}

/** Milliseconds for which a process has had a processor: proc_pid_stat(5), in hundredths of a second. One that has ended: none. */
function spentBy({ pid }: ChildProcess): number {
  try {
    const words = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    return (Number(words[11]) + Number(words[12])) * 10;
  } catch {
    return 0;
  }
}

async function main(texts: number, words: string[]): Promise<number> {
  let failures = 0;
  const given = words.find((word) => word.startsWith('--seed='))?.slice('--seed='.length);
  const names = words.filter((word) => !word.startsWith('--'));
  for (const reader of names.length > 0 ? names : Object.keys(readers)) {
    const seed = given === undefined ? Math.floor(Math.random() * 1e9) : Number(given);
    let told = performance.now();
    const outcome = await fuzz(reader, seed, texts, 0, patience, (now) => {
      if (performance.now() - told < 30_000) return;
      told = performance.now();
      console.log(`    ${inWords(now)}`);
    });
    console.log(`${outcome.failed ? 'FAILED' : 'ok'}  ${inWords(outcome)} (seed ${seed})`);
    if (!outcome.failed) continue;
    failures++;
    const kept = join(tmpdir(), `nestbox-fuzz-${reader}.txt`);
    writeFileSync(kept, outcome.text ?? '');
    console.log(`${outcome.failed}\nthe text is in ${kept}`);
  }
  return failures === 0 ? 0 : 1;
}

const inWords = ({ reader, texts, refused, slowest, spent, memory }: Outcome): string => `${reader}: ${texts} texts, ${refused} refused, ${Math.round(spent / 1000)} s of processor time, the slowest text ${slowest} ms, at most ${memory} MiB`;

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(Number(process.argv[2] ?? 10_000), process.argv.slice(3));
