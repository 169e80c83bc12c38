import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
  /** The text that took longest, in milliseconds. */
  slowest: number;
  /** How much more memory it has had than when it began, in MiB. */
  memory: number;
  done?: boolean;
  /** What went wrong, and with which text. */
  failed?: string;
  text?: string;
}

/** No text takes as long as this (milliseconds), on a computer that does other things as well. */
const patience = 30_000;

const repository = fileURLToPath(new URL('..', import.meta.url));

/** Gives one reader so many texts, or as many as it takes in so many seconds (0: no limit); the same seed gives the same texts. */
export async function fuzz(reader: string, seed: number, texts: number, seconds: number, hung = patience, tell: (outcome: Outcome) => void = () => {}): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'nestbox-fuzz-'));
  const file = join(folder, 'child.mjs');
  try {
    await build({ entryPoints: [join(repository, 'test/fuzz/child.ts')], bundle: true, platform: 'node', target: 'node20', format: 'esm', outfile: file, logLevel: 'error', banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" } });
    // It may read, and nothing else: no process is started and no file is written, or it fails.
    // Memory is collected all at once: little by little it lags behind on a computer that does other things, and what is only garbage counts.
    const words = [process.execPath, '--no-incremental-marking', '--experimental-permission', `--allow-fs-read=${repository}*`, `--allow-fs-read=${folder}/*`, '--max-old-space-size=180', '--no-warnings', file, reader, `${seed}`, `${texts}`, `${seconds}`, repository];
    const outcome = await watched(reader, words, hung, tell);
    if (!outcome.failed || outcome.text !== undefined) return outcome;
    // What has ended it, or holds it up, could not tell which text it was: it is one of those after the last that was counted.
    words[words.length - 3] = `${outcome.texts + 20_000}`; // more than are read between two countings
    const { text } = await watched(reader, [...words, `${outcome.texts}`], hung, () => {});
    return { ...outcome, ...(text !== undefined && { text }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function watched(reader: string, [program, ...words]: string[], hung: number, tell: (outcome: Outcome) => void): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: '/usr/bin:/bin' } });
    let last: Outcome = { reader, texts: 0, refused: 0, slowest: 0, memory: 0 };
    let rest = '';
    let errors = '';
    const stop = () => child.kill('SIGKILL');
    let timer = setTimeout(stop, hung);
    child.stderr.on('data', (part) => {
      errors += part;
    });
    child.stdout.on('data', (part) => {
      clearTimeout(timer);
      timer = setTimeout(stop, hung);
      const lines = `${rest}${part}`.split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        last = JSON.parse(line) as Outcome;
        tell(last);
      }
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve(last.done || last.failed ? last : { ...last, failed: signal === 'SIGKILL' ? `a text after number ${last.texts} of it holds it up` : `it ended with ${code ?? signal}\n${errors}` });
    });
  });
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
      console.log(`    ${reader}: ${now.texts} texts, the slowest ${now.slowest} ms, ${now.memory} MiB more`);
    });
    console.log(`${outcome.failed ? 'FAILED' : 'ok'}  ${reader}: ${outcome.texts} texts, ${outcome.refused} refused, the slowest ${outcome.slowest} ms, ${outcome.memory} MiB more (seed ${seed})`);
    if (!outcome.failed) continue;
    failures++;
    const kept = join(tmpdir(), `nestbox-fuzz-${reader}.txt`);
    writeFileSync(kept, outcome.text ?? '');
    console.log(`${outcome.failed}\nthe text is in ${kept}`);
  }
  return failures === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(Number(process.argv[2] ?? 10_000), process.argv.slice(3));
