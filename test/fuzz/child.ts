import { writeSync } from 'node:fs';
import { Complaint } from '../../src/errors.ts';
import { chance } from '../pure/machines.ts';
import { mutated } from './mutate.ts';
import { faults, readers } from './readers.ts';

/**
 * One reader and many texts, in a process that may read files and nothing else: what would run a command, or write a file, ends it.
 * READER SEED TEXTS SECONDS REPOSITORY [FROM]; a line each second of processor time says how far it is, so that whoever watches knows that no text holds it up.
 * With FROM those before that number are made and not read, and each after it is told before it is read: so the one is found that ends the process.
 */

const [, , name = '', seed = '1', most = '0', seconds = '0', repository = '.', from] = process.argv;
const reader = (readers[name] ?? faults[name])!;
const next = chance(Number(seed));
const begun = performance.now();
let slowest = 0;
let refused = 0;
let count = 0;

/** A parser may make thousands of errors of one text, and of each the stack: that was most of the time. Of what fails the whole is had by reading it once more. */
Error.stackTraceLimit = 0;

function failureOf(text: string, first: Error): string {
  Error.stackTraceLimit = 50;
  try {
    reader.read(text);
  } catch (error) {
    return (error as Error).stack ?? `${error}`;
  }
  return `${first.message}\nnot the second time`;
}

/** Milliseconds for which this process has had a processor: what else the computer does takes nothing from a text. */
function spent(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The most memory that this process has had, Node's own included. */
const say = (more: object): void => {
  writeSync(1, `${JSON.stringify({ reader: name, texts: count, refused, slowest: Math.round(slowest), spent: Math.round(spent()), memory: Math.ceil(process.resourceUsage().maxRSS / 1024), ...more })}\n`);
};

const isOver = (): boolean => (Number(most) > 0 && count >= Number(most)) || (Number(seconds) > 0 && performance.now() - begun > Number(seconds) * 1000);

/** A function, as Node makes no lasting machine code of a loop that stands in a module itself. */
function readAll(): void {
  const texts = reader.texts(repository);
  let told = 0;
  for (; !isOver(); count++) {
    const text = mutated(texts, next);
    if (from !== undefined) {
      if (count < Number(from)) continue;
      say({ text });
    }
    const before = spent();
    try {
      reader.read(text);
    } catch (error) {
      if (!(error instanceof Complaint)) {
        say({ failed: failureOf(text, error as Error), text });
        process.exit(1);
      }
      refused++;
    }
    const now = spent();
    slowest = Math.max(slowest, now - before);
    if (now - told > 1000) {
      told = now;
      say({});
    }
  }
  say({ done: true });
}

readAll();
