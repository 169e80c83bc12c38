import { crc32 } from '../crc32.ts';
import type { Partition, Read, Table } from './table.ts';

/** Partition tables changed: the bytes that are written, each with those that are there before. */

/** Bytes in base64. They are written in the order of the list, and each is on the disk before the next: whatever is cut off, a table that counts is whole. */
export interface Change {
  /** Offset in bytes. */
  at: number;
  before: string;
  after: string;
  /** What is there before is nobody's: it may have become something else in between. */
  free?: true;
}

const change = (read: Read, at: number, after: Buffer): Change => {
  const before = Buffer.alloc(after.length); // behind the end of a file that has not grown yet there is nothing, and then zeros
  read(at, after.length).copy(before);
  return { at, before: before.toString('base64'), after: after.toString('base64') };
};

/** The way back. */
export const reversed = (changes: readonly Change[]): Change[] => [...changes].reverse().map(({ before, after, ...same }) => ({ ...same, before: after, after: before }));

/** Heads and sectors of the geometry that everybody pretends to have. */
const [heads, perTrack] = [255, 63];

/** Cylinder, head and sector in three bytes; what has none that can be said has all bits set, as fdisk has it. */
function chs(sector: number): Buffer {
  const cylinder = Math.floor(sector / (heads * perTrack));
  if (cylinder > 1023) return Buffer.from([0xfe, 0xff, 0xff]);
  return Buffer.from([Math.floor(sector / perTrack) % heads, (sector % perTrack) + 1 + ((cylinder >> 8) << 6), cylinder & 0xff]);
}

/** An entry at `at` of a DOS table with another length; `end`: the last sector, counted from the beginning of the image. */
function resizedEntry(read: Read, at: number, sectors: number, end: number): Change {
  const entry = Buffer.from(read(at, 16));
  chs(end).copy(entry, 5);
  entry.writeUInt32LE(sectors, 12);
  return change(read, at, entry);
}

/** What is to be: the partition with a new length, in an image of a new length. All in bytes, whole sectors; of an image that has no complaints. */
export interface Wanted {
  partition: Partition;
  partitionSize: number;
  imageSize: number;
}

/** The extended partition and the length that it gets, where the last of the logical ones in it grows beyond it, or is to leave room for a shorter image. */
export function frameOf(table: Table, { partition, partitionSize, imageSize }: Wanted): { frame: Partition; size: number } | null {
  const frame = table.partitions.find(({ extended }) => extended);
  if (partition.record === undefined || !frame || table.partitions.some(({ record, start }) => record !== undefined && start > partition.start)) return null;
  const end = frame.start + frame.size;
  const needed = partition.start + partitionSize;
  return needed > end || end > imageSize ? { frame, size: needed - frame.start } : null;
}

/** The bytes that a table's change consists of. Of a DOS table with logical partitions it grows from the outside in, and shrinks from the inside out. */
export function changesOf(read: Read, table: Table, wanted: Wanted): Change[] {
  if (table.kind === 'gpt') return gptChanges(read, table, wanted);
  const { partition, partitionSize } = wanted;
  const sectors = partitionSize / 512;
  const last = (partition.start + partitionSize) / 512 - 1;
  if (partition.record === undefined) return [resizedEntry(read, 446 + 16 * (partition.number - 1), sectors, last)];
  const logical = table.partitions.filter(({ record }) => record !== undefined).sort((a, b) => a.number - b.number);
  const record = partition.record;
  const previous = logical[logical.findIndex(({ number }) => number === partition.number) - 1];
  const framed = frameOf(table, wanted);
  const outer = framed ? [resizedEntry(read, 446 + 16 * (framed.frame.number - 1), framed.size / 512, last)] : [];
  // The link to a record has the length of what that describes; nobody goes by it, and all write it.
  const link = previous ? [resizedEntry(read, previous.record! + 462, (partition.start + partitionSize - record) / 512, last)] : [];
  const inner = [...link, resizedEntry(read, record + 446, sectors, last)];
  return partitionSize >= partition.size ? [...outer, ...inner] : [...inner.reverse(), ...outer];
}

/** The second copy first, at the new end; then the first, whose header and entry are in one page and so are there both or neither. */
function gptChanges(read: Read, { sector }: Table, { partition, partitionSize, imageSize }: Wanted): Change[] {
  const last = Math.floor(imageSize / sector) - 1;
  const header = Buffer.from(read(sector, sector));
  const length = header.readUInt32LE(12);
  const entriesAt = Number(header.readBigUInt64LE(72));
  const entrySize = header.readUInt32LE(84);
  const entries = Buffer.from(read(entriesAt * sector, header.readUInt32LE(80) * entrySize));
  const taken = Math.ceil(entries.length / sector);
  const at = (partition.number - 1) * entrySize;
  entries.writeBigUInt64LE(BigInt((partition.start + partitionSize) / sector - 1), at + 40);
  const sealed = (own: number, other: number, where: number): Buffer => {
    const made = Buffer.from(header);
    for (const [value, field] of [[own, 24], [other, 32], [last - taken - 1, 48], [where, 72]] as const) made.writeBigUInt64LE(BigInt(value), field);
    made.writeUInt32LE(crc32(entries), 88);
    made.writeUInt32LE(0, 16);
    made.writeUInt32LE(crc32(made.subarray(0, length)), 16);
    return made;
  };
  const main = sealed(1, last, entriesAt);
  const entry = entries.subarray(at, at + entrySize);
  const together = entriesAt === 2 ? [change(read, sector, Buffer.concat([main, entries.subarray(0, at + entrySize)]))] : [change(read, entriesAt * sector + at, entry), change(read, sector, main)];
  const first = read(0, 512);
  const guard = [446, 462, 478, 494].find((place) => first[place + 4] === 0xee)!;
  return [
    { ...change(read, (last - taken) * sector, entries), free: true as const },
    { ...change(read, last * sector, sealed(last, 1, last - taken)), free: true as const },
    ...together,
    resizedEntry(read, guard, Math.min(last, 0xffffffff), last),
  ].filter(({ before, after }) => before !== after);
}

/** Bytes at the end of an image that its table needs for itself. */
export function tailOf(read: Read, { kind, sector }: Table): number {
  if (kind !== 'gpt') return 0;
  const header = read(sector, sector);
  return (Math.ceil((header.readUInt32LE(80) * header.readUInt32LE(84)) / sector) + 1) * sector;
}
