import { type Content, recognise } from './filesystems.ts';
import { type Partition, type Read, readTable, type Table } from './table.ts';

/** A partition and what it holds; `partition` is null for a file system that fills the whole image. */
export interface Part {
  partition: Partition | null;
  start: number;
  size: number;
  content: Content | null;
}

/** All that is told of an image by reading a few of its bytes. */
export interface Layout {
  /** Bytes. */
  size: number;
  table: Table;
  parts: Part[];
  /** Of the table and of all that is in it: nothing is changed of an image with any. */
  complaints: string[];
}

/** Reads the table of an image, and what its partitions begin with. */
export function inspect(read: Read, size: number): Layout {
  const table = readTable(read, size);
  const whole = table.partitions.length === 0 ? recognise(read, 0, size, true) : null;
  if (whole) {
    const bare = { ...table, kind: 'none' as const, id: null, usable: { start: 0, end: size } };
    return { size, table: bare, parts: [{ partition: null, start: 0, size, content: whole }], complaints: [...(table.kind === 'none' ? table.complaints : []), ...whole.complaints] };
  }
  const inside = (partition: Partition) => partition.start >= 0 && partition.size > 0 && partition.start + partition.size <= size;
  const parts = table.partitions.filter(({ extended }) => !extended).map((partition): Part => ({ partition, start: partition.start, size: partition.size, content: inside(partition) ? recognise(read, partition.start, partition.size) : null }));
  return {
    size, table, parts,
    complaints: [
      ...table.complaints, ...parts.flatMap(({ partition, content }) => (content?.complaints ?? []).map((what) => `partition ${partition!.number}: ${what}`)),
      ...(table.kind === 'none' && table.complaints.length === 0 ? ['there is no partition table, and no file system that is known'] : []),
    ],
  };
}
