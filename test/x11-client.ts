import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { FamilyWild, MagicCookie, writeXauthority, type XConnection } from '../src/x11.ts';

export interface Xvfb {
  display: number;
  socket: string;
  key: Buffer;
  /** A folder of this server, removed after the test. */
  folder: string;
}

/** An Xvfb that lives as long as the test, or null when it is not installed; the test is then skipped. */
export async function startXvfb(t: TestContext, { width = 320, height = 240, depth = 24 } = {}): Promise<Xvfb | null> {
  const folder = mkdtempSync(join(tmpdir(), 'nestbox-xvfb-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const key = Buffer.from('nestbox test key');
  writeXauthorityFile(join(folder, 'server'), key);
  // -displayfd: the server takes a free number itself and writes it when clients may come.
  const server = spawn(
    'Xvfb',
    ['-displayfd', '3', '-screen', '0', `${width}x${height}x${depth}`, '-auth', join(folder, 'server'), '-noreset', '-nolisten', 'tcp'],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
  );
  let complaints = '';
  server.stderr?.on('data', (text) => { complaints += text; });
  try {
    await once(server, 'spawn');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.skip('Xvfb is not installed: apt install xvfb');
    return null;
  }
  const ended = once(server, 'exit');
  t.after(async () => {
    server.kill();
    await ended;
  });
  const told = once(server.stdio[3] as Readable, 'data').then(([number]) => Number(number));
  const display = await Promise.race([told, ended.then(() => { throw new Error(`Xvfb ended: ${complaints}`); })]);
  return { display, socket: `/tmp/.X11-unix/X${display}`, key, folder };
}

/** Writes an .Xauthority file with one entry, good for every host name and display number. */
export function writeXauthorityFile(path: string, key: Uint8Array): void {
  const record = { family: FamilyWild, address: Buffer.alloc(0), number: '', name: MagicCookie, data: key };
  writeFileSync(path, writeXauthority([record]), { mode: 0o600 });
}

/** Shows a window without border or frame, filled with one pixel value. CreateWindow 1, MapWindow 8: X11 protocol, appendix B. */
export async function createWindow(
  x: XConnection,
  { x: left, y: top, width, height, background }: { x: number; y: number; width: number; height: number; background: number },
): Promise<number> {
  const window = x.newId();
  const inputOutput = 1;
  const backgroundPixel = 0x2;
  const overrideRedirect = 0x200;
  const body = Buffer.alloc(36);
  body.writeUInt32LE(window, 0);
  body.writeUInt32LE(x.setup.root, 4);
  body.writeInt16LE(left, 8);
  body.writeInt16LE(top, 10);
  body.writeUInt16LE(width, 12);
  body.writeUInt16LE(height, 14);
  body.writeUInt16LE(inputOutput, 18);
  body.writeUInt32LE(backgroundPixel | overrideRedirect, 24);
  body.writeUInt32LE(background, 28);
  body.writeUInt32LE(1, 32);
  await x.tell(1, 0, body);
  await x.tell(8, 0, body.subarray(0, 4));
  return window;
}
