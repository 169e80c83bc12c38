import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { encodePng } from '../../src/png.ts';
import type { Computer } from './computer.ts';

/** The words on a screen, as tesseract(1) reads them. `--psm 11`: wherever they are. */
export async function wordsOn(computer: Computer): Promise<string> {
  const reader = spawn('tesseract', ['stdin', 'stdout', '--psm', '11'], { stdio: ['pipe', 'pipe', 'ignore'] });
  let words = '';
  reader.stdout.setEncoding('utf8').on('data', (text: string) => { words += text; });
  reader.stdin.end(encodePng(await computer.screen()));
  await once(reader, 'close');
  return words;
}

/** Waits until these words are on the screen. */
export async function reads(computer: Computer, words: RegExp, seconds = 240): Promise<void> {
  let found = '';
  for (const limit = Date.now() + seconds * 1000; !words.test(found); found = await wordsOn(computer)) if (Date.now() > limit) throw new Error(`the screen does not come to show ${words}, but: ${found.replace(/\s+/g, ' ')}`);
}
