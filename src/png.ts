import { deflateSync, inflateSync } from 'node:zlib';
import { crc32 } from './crc32.ts';
import { Complaint } from './errors.ts';

// PNG (Portable Network Graphics) Specification, third edition: signature 5.2, chunks 5.3 and 11.2, filters 9.
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** A PNG file of a picture with three bytes a pixel. An `rgb` of another length than the size says is a RangeError. */
export function encodePng({ width, height, rgb }: { width: number; height: number; rgb: Uint8Array }): Buffer {
  if (rgb.length !== width * height * 3) throw new RangeError(`${rgb.length} bytes are not ${width}×${height} pixels`);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const row = width * 3;
  const rows = Buffer.alloc((row + 1) * height);
  for (let y = 0; y < height; y++) rows.set(rgb.subarray(y * row, (y + 1) * row), y * (row + 1) + 1);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/**
 * The pixels of a PNG file: eight bits a channel, RGB or RGBA (whose alpha is dropped), not interlaced. Anything else,
 * and a damaged file, is a Complaint.
 */
export function decodePng(file: Buffer): { width: number; height: number; rgb: Buffer } {
  if (!file.subarray(0, 8).equals(signature)) throw new Complaint('this is not a PNG file');
  let header: Buffer | null = null;
  const packed: Buffer[] = [];
  for (let at = 8; ;) {
    const length = at + 12 <= file.length ? file.readUInt32BE(at) : Infinity;
    const end = at + 12 + length;
    if (end > file.length || crc32(file.subarray(at + 4, end - 4)) !== file.readUInt32BE(end - 4)) throw damaged();
    const type = file.toString('latin1', at + 4, at + 8);
    const data = file.subarray(at + 8, end - 4);
    if (type === 'IHDR') header = data;
    if (type === 'IDAT') packed.push(data);
    if (type === 'IEND') break;
    at = end;
  }
  if (header?.length !== 13) throw damaged();
  const [width, height, depth, colour, interlace] = [header.readUInt32BE(0), header.readUInt32BE(4), header[8], header[9], header[12]];
  if (depth !== 8 || (colour !== 2 && colour !== 6) || interlace !== 0) {
    throw new Complaint('only PNG files with eight bits of red, green and blue, not interlaced, can be read');
  }
  const channels = colour === 2 ? 3 : 4;
  const size = (width * channels + 1) * height;
  const pixels = unfilter(inflate(packed, size), width * channels, height, channels);
  if (channels === 3) return { width, height, rgb: pixels };
  const rgb = Buffer.alloc(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) pixels.copy(rgb, to, from, from + 3);
  return { width, height, rgb };
}

function inflate(packed: Buffer[], size: number): Buffer {
  try {
    const rows = inflateSync(Buffer.concat(packed), { maxOutputLength: Math.max(1, size) });
    if (rows.length === size) return rows;
  } catch (cause) {
    throw damaged(cause);
  }
  throw damaged();
}

function damaged(cause?: unknown): Complaint {
  return new Complaint('the PNG file is damaged', undefined, { cause });
}

function unfilter(rows: Buffer, rowLength: number, height: number, pixelLength: number): Buffer {
  const pixels = Buffer.alloc(rowLength * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (rowLength + 1)] ?? 0;
    if (filter > 4) throw damaged();
    for (let column = 0; column < rowLength; column++) {
      const at = y * rowLength + column;
      const left = column >= pixelLength ? pixels[at - pixelLength] ?? 0 : 0;
      const up = y > 0 ? pixels[at - rowLength] ?? 0 : 0;
      const upLeft = column >= pixelLength && y > 0 ? pixels[at - rowLength - pixelLength] ?? 0 : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, upLeft)][filter] ?? 0;
      pixels[at] = (rows[at + y + 1] ?? 0) + guess;
    }
  }
  return pixels;
}

/** Of the three neighbours, the one nearest to left + up - upLeft; ties go to the first. Section 9.4. */
function paeth(left: number, up: number, upLeft: number): number {
  const [byLeft, byUp, byBoth] = [Math.abs(up - upLeft), Math.abs(left - upLeft), Math.abs(left + up - 2 * upLeft)];
  if (byLeft <= byUp && byLeft <= byBoth) return left;
  return byUp <= byBoth ? up : upLeft;
}
