import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { encodePng } from '../../src/png.ts';
import type { Computer } from './computer.ts';

type Screen = Pick<Computer, 'screen'>;

/** The words on a screen, as tesseract(1) reads them. `--psm 11`: wherever they are. It does not come before the computer that is looked at. */
export const wordsOn = async (computer: Screen): Promise<string> => wordsIn(encodePng(await computer.screen()));

async function wordsIn(picture: Uint8Array): Promise<string> {
  const reader = spawn('nice', ['-n', '5', 'tesseract', 'stdin', 'stdout', '--psm', '11'], { stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, OMP_THREAD_LIMIT: '1' } });
  let words = '';
  reader.stdout.setEncoding('utf8').on('data', (text: string) => { words += text; });
  reader.stdin.end(picture);
  await once(reader, 'close');
  return words;
}

/** Waits until these words are on the screen. It is read again when it has changed. */
export async function reads(computer: Screen, words: RegExp, seconds = 240): Promise<void> {
  let [found, last] = ['', Buffer.alloc(0)];
  for (const limit = Date.now() + seconds * 1000; !words.test(found); await setTimeout(300)) {
    if (Date.now() > limit) throw new Error(`the screen does not come to show ${words}, but: ${found.replace(/\s+/g, ' ')}`);
    const picture = Buffer.from(encodePng(await computer.screen()));
    if (picture.equals(last)) continue;
    found = await wordsIn(picture);
    last = picture;
  }
}
