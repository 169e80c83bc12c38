// window-watch SOCKET KEY OUTPUT PROGRAM [ARGUMENT]...: starts the program, writes how many milliseconds later the first new window of the screen
// can be seen, ends whoever has it, and waits for the program's end. For window.ts: its own start is not measured.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { connectX, readXauthority } from '../src/x11.ts';

const [socket = '', key = '', output = '', program = '', ...words] = process.argv.slice(2);
const x = await connectX({ socket, key: readXauthority(readFileSync(key))[0]!.data });

/** Requests with one window: X11 protocol, appendix B. */
const [getWindowAttributes, queryTree, killClient] = [3, 15, 113];
const isViewable = 2;
const ask = (request: number, window: number) => {
  const body = Buffer.alloc(4);
  body.writeUInt32LE(window);
  return x.call(request, 0, body);
};

async function windows(): Promise<number[]> {
  const tree = await ask(queryTree, x.setup.root);
  return Array.from({ length: tree.readUInt16LE(16) }, (_, i) => tree.readUInt32LE(32 + i * 4));
}

const before = await windows();
const start = performance.now();
const child = spawn(program, words, { stdio: ['ignore', 'inherit', 'inherit'] });
let over: number | null = null;
const ended = new Promise<void>((resolve) => child.once('exit', (code) => { over = code ?? 128; resolve(); }));

async function seen(): Promise<number> {
  while (over === null) {
    for (const window of (await windows()).filter((one) => !before.includes(one))) {
      const attributes = await ask(getWindowAttributes, window).catch(() => null); // it has been closed again
      if (attributes?.readUInt8(26) === isViewable) return window;
    }
  }
  throw new Error(`${program} ended with ${over}, and no window has been seen`);
}

const window = await seen();
writeFileSync(output, `${performance.now() - start}`);
const body = Buffer.alloc(4);
body.writeUInt32LE(window);
await x.tell(killClient, 0, body);
await ended;
process.exit();
