import { plainText } from './filesystems.ts';
import type { Read } from './table.ts';

/** What is in a zip archive, as far as an image is: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3 (zip64). Nothing in here trusts what it reads. */

export interface ZipEntry {
  name: string;
  /** 0: as it is; 8: deflated. */
  method: number;
  crc: number;
  /** Bytes in the archive, from `start` on. */
  start: number;
  packed: number;
  size: number;
}

/** Of the record at the end, with the longest comment. */
const longestEnd = 22 + 0xffff;
const mostDirectory = 2 ** 24;

const number64 = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64LE(at));

/** Its files; a text says what is wrong with it. */
export function readZip(read: Read, size: number): ZipEntry[] | string {
  try {
    return entries(read, size);
  } catch {
    return 'it is cut off, or damaged';
  }
}

function entries(read: Read, size: number): ZipEntry[] | string {
  const tailAt = Math.max(0, size - longestEnd);
  const tail = read(tailAt, Math.min(size, longestEnd));
  const end = tail.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  if (end < 0) return 'it has no directory at its end: it is cut off';
  let [length, at] = [tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)];
  if (end >= 20 && tail.toString('latin1', end - 20, end - 16) === 'PK\x06\x07') {
    const large = read(number64(tail, end - 12), 56);
    if (large.toString('latin1', 0, 4) !== 'PK\x06\x06') return 'its directory is not where it says';
    [length, at] = [number64(large, 40), number64(large, 48)];
  }
  if (length > mostDirectory) return `it has a directory of ${length} bytes`;
  const directory = read(at, length);
  const out: ZipEntry[] = [];
  for (let i = 0; i + 46 <= directory.length && directory.toString('latin1', i, i + 4) === 'PK\x01\x02';) {
    const [nameLength, extraLength, commentLength] = [directory.readUInt16LE(i + 28), directory.readUInt16LE(i + 30), directory.readUInt16LE(i + 32)];
    const name = plainText(directory.subarray(i + 46, i + 46 + nameLength));
    if ((directory.readUInt16LE(i + 8) & 1) !== 0) return `${name} in it is encrypted`;
    // What does not fit into 32 bits is in an extra field, in this order.
    const large = extra(directory.subarray(i + 46 + nameLength, i + 46 + nameLength + extraLength));
    let next = 0;
    const field = (offset: number): number => {
      const value = directory.readUInt32LE(i + offset);
      return value === 0xffffffff ? number64(large, next++ * 8) : value;
    };
    const [full, packed, local] = [field(24), field(20), field(42)];
    const header = read(local, 30);
    if (header.toString('latin1', 0, 4) !== 'PK\x03\x04') return `${name} is not where the directory says`;
    if (!name.endsWith('/')) out.push({ name, method: directory.readUInt16LE(i + 10), crc: directory.readUInt32LE(i + 16), start: local + 30 + header.readUInt16LE(26) + header.readUInt16LE(28), packed, size: full });
    i += 46 + nameLength + extraLength + commentLength;
  }
  return out;
}

function extra(fields: Buffer): Buffer {
  for (let i = 0; i + 4 <= fields.length; i += 4 + fields.readUInt16LE(i + 2)) if (fields.readUInt16LE(i) === 1) return fields.subarray(i + 4, i + 4 + fields.readUInt16LE(i + 2));
  return Buffer.alloc(0);
}

/** The one that is the image: the only file, or the only one that is called so; a text: there is none. */
export function imageIn(files: readonly ZipEntry[]): ZipEntry | string {
  const images = files.filter(({ name }) => /\.(img|raw|bin)$/i.test(name));
  const [found, ...more] = images.length > 0 ? images : files;
  if (!found) return 'there is no file in it';
  if (more.length > 0) return `there is more than one ${images.length > 0 ? 'image' : 'file'} in it: ${[found, ...more].slice(0, 5).map(({ name }) => name).join(', ')}`;
  return found.method === 0 || found.method === 8 ? found : `${found.name} in it is packed by method ${found.method}, which is rare`;
}
