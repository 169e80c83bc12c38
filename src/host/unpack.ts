import type { ChildProcess } from 'node:child_process';
import { closeSync, constants, createReadStream, existsSync, fchmodSync, fchownSync, fstatSync, fsyncSync, ftruncateSync, linkSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip, createInflateRaw } from 'node:zlib';
import { crc32 } from '../crc32.ts';
import { Complaint, reasons } from '../errors.ts';
import { partialPath } from '../image/packed.ts';
import type { Read } from '../image/table.ts';
import { imageIn, readZip, type ZipEntry } from '../image/zip.ts';
import type { Step } from '../step.ts';
import { onHost, openHeld } from './held.ts';

/** Images that are unpacked beside what they come from. */

/** What is all zeros is left out: an image is mostly empty. A multiple of what file systems have for blocks. */
const piece = 2 ** 16;
const zeros = Buffer.alloc(piece);

interface Means {
  /** Starts a program that reads the descriptor and writes what it unpacks; it ends with us. */
  start(argv: readonly string[], input: number): ChildProcess;
  progress(line: string): void;
  /** Throws when the person has asked to stop. */
  interrupted(): void;
}

/** Whole or not at all: it has its name when all of it is on the disk. */
export async function unpack({ from, to, as }: Extract<Step, { kind: 'unpack' }>, { start, progress, interrupted }: Means): Promise<void> {
  const packed = openHeld(from, constants.O_RDONLY);
  const partial = partialPath(to);
  let out: number | null = null;
  try {
    const { size, uid, gid, mode } = fstatSync(packed);
    const entry = as === 'zip' ? zipEntry(packed, size, from) : null;
    out = openHeld(partial, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    fchownSync(out, uid, gid);
    const { stream, over, at } = entry ? unzipped(packed, entry) : as === 'gzip' ? gunzipped(packed) : programmed(start([as, '--decompress', '--stdout'], packed), packed, as);
    const all = entry?.packed ?? size;
    let [length, told, crc] = [0, 0, 0];
    progress(`unpack ${from} to ${to}`);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      interrupted();
      if (entry) crc = crc32(chunk, crc);
      length = put(out, chunk, length);
      const part = all === 0 ? 0 : Math.floor((at() / all) * 10);
      if (part > told && part < 10) progress(`  ${part * 10} %, ${Math.round(length / 2 ** 20)} MiB`);
      told = part;
    }
    await over;
    if (entry && (crc !== entry.crc || length !== entry.size)) throw new Complaint(`${from} is damaged: the checksum of ${entry.name} is wrong`, 'fetch it again');
    ftruncateSync(out, length);
    fchmodSync(out, (mode & 0o666) | 0o600);
    fsyncSync(out);
    give(partial, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Complaint(`${partial} is there already: ${from} is being unpacked, or that was cut off`, `wait for its end, or remove it if nobody does that: rm ${partial}`);
    if (out !== null) onHost(partial, (way) => rmSync(way, { force: true }));
    if (!code || error instanceof Complaint) throw error;
    throw new Complaint(code.startsWith('Z_') ? `${from} is damaged, or cut off: ${(error as Error).message}` : `cannot unpack ${from} to ${to}: ${reasons[code] ?? code}`, code === 'ENOSPC' ? 'nothing of it is left; make room beside it, or move it to where there is some' : undefined);
  } finally {
    closeSync(packed);
    if (out !== null) closeSync(out);
  }
}

/** Writes what is not all zeros; returns where the next piece begins. */
function put(file: number, chunk: Buffer, from: number): number {
  for (let i = 0; i < chunk.length;) {
    const bytes = chunk.subarray(i, i + piece - ((from + i) % piece));
    if (!bytes.equals(zeros.subarray(0, bytes.length))) for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done, bytes.length - done, from + i + done);
    i += bytes.length;
  }
  return from + chunk.length;
}

/** By a link, as that refuses what is there already. FAT has no links. */
function give(partial: string, to: string): void {
  try {
    onHost(partial, (way) => onHost(to, (made) => linkSync(way, made)));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Complaint(`${to} has come into being meanwhile, and is not written over`, 'try again: it is taken if it is an image');
    if (existsSync(to)) throw error;
    onHost(partial, (way) => onHost(to, (made) => renameSync(way, made)));
    return;
  }
  onHost(partial, (way) => rmSync(way));
}

interface Source {
  stream: Readable;
  /** That the program has ended well. */
  over: Promise<void>;
  /** Bytes of the archive that have been read. */
  at(): number;
}

function gunzipped(file: number): Source {
  const input = createReadStream('', { fd: file, autoClose: false, start: 0 });
  const stream = createGunzip();
  input.on('error', (error) => stream.destroy(error));
  return { stream: input.pipe(stream), over: Promise.resolve(), at: () => input.bytesRead };
}

function unzipped(file: number, { start, packed, method }: ZipEntry): Source {
  const input = createReadStream('', { fd: file, autoClose: false, start, end: Math.max(start, start + packed - 1) });
  if (method === 0) return { stream: input, over: Promise.resolve(), at: () => input.bytesRead };
  const stream = createInflateRaw();
  input.on('error', (error) => stream.destroy(error));
  return { stream: input.pipe(stream), over: Promise.resolve(), at: () => input.bytesRead };
}

function programmed(child: ChildProcess, file: number, name: string): Source {
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => { said += text; });
  const over = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Complaint(`'${name}' cannot unpack it: ${said.trim().split('\n')[0]}`, 'it is damaged, or cut off: fetch it again'))));
  });
  over.catch(() => {}); // it is waited for when all has been read
  // Its standard input is our own open file: how far it is in there is told by ours.
  return { stream: child.stdout!, over, at: () => position(file) };
}

function position(file: number): number {
  const info = openSync(`/proc/self/fdinfo/${file}`, 'r');
  try {
    const bytes = Buffer.alloc(64);
    return Number(/^pos:\s+(\d+)/.exec(bytes.toString('latin1', 0, readSync(info, bytes)))?.[1] ?? 0);
  } finally {
    closeSync(info);
  }
}

function zipEntry(file: number, size: number, from: string): ZipEntry {
  const read: Read = (offset, length) => {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
  };
  const files = readZip(read, size);
  const found = typeof files === 'string' ? files : imageIn(files);
  if (typeof found === 'string') throw new Complaint(`${from} is no image that is packed: ${found}`, 'unpack it by hand, and name the image');
  return found;
}
