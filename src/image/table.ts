import { crc32 } from '../crc32.ts';

/** Partition tables of disk images, read off their bytes: MBR with extended partitions, GPT. Nothing in here touches the system, or trusts what it reads. */

/** Bytes of the image from `offset` on: fewer than `length` at its end, none behind it. */
export type Read = (offset: number, length: number) => Buffer;

export interface Partition {
  /** As the kernel counts: logical ones from 5 on. */
  number: number;
  /** Bytes from the beginning of the image. */
  start: number;
  /** Bytes. */
  size: number;
  /** MBR: two hexadecimal digits, '83'; GPT: the type's UUID in capitals. */
  type: string;
  /** What udev and root=PARTUUID= call it. */
  uuid: string;
  /** GPT alone. */
  name?: string;
  bootable?: boolean;
  /** It is a frame for the logical partitions, and holds no file system. */
  extended?: boolean;
  /** Of a logical one: where the record is that has it, in bytes. */
  record?: number;
}

export interface Table {
  kind: 'mbr' | 'gpt' | 'none';
  /** Bytes that the table counts in. */
  sector: number;
  /** 0x6c586e13, or the UUID of the disk. */
  id: string | null;
  /** By their numbers. */
  partitions: Partition[];
  /** What partitions may have of the image, in bytes: `end` as the image is long now. */
  usable: { start: number; end: number };
  /** What is wrong with it: an image of which anything is said here is not to be changed. */
  complaints: string[];
  /** What is unusual, and in nobody's way. */
  remarks: string[];
}

/** Records that are followed in an extended partition; sfdisk stops at 60 partitions. */
const mostLogical = 60;

const extendedTypes = [0x05, 0x0f, 0x85];
const protectiveType = 0xee;

/** A record that begins with this is one of a DOS table: byte 510. */
const isSigned = (sector: Buffer): boolean => sector.length >= 512 && sector[510] === 0x55 && sector[511] === 0xaa;

interface Entry {
  flag: number;
  type: number;
  /** Sectors. */
  start: number;
  size: number;
}

const entriesOf = (sector: Buffer): Entry[] => [446, 462, 478, 494].map((at) => ({ flag: sector[at]!, type: sector[at + 4]!, start: sector.readUInt32LE(at + 8), size: sector.readUInt32LE(at + 12) }));

/** A FAT or NTFS file system that fills the whole image begins with a record that is signed as a table is: its jump and its sector size tell. */
function isBootSector(sector: Buffer): boolean {
  const jumps = (sector[0] === 0xeb && sector[2] === 0x90) || sector[0] === 0xe9;
  return jumps && [512, 1024, 2048, 4096].includes(sector.readUInt16LE(11)) && ['FAT', 'NTFS', 'EXFA'].some((word) => [3, 54, 82].some((at) => sector.toString('latin1', at, at + word.length) === word));
}

/** Reads the table of an image of `size` bytes. Never throws for what is in it: what is wrong is in `complaints`, each with what it is about. */
export function readTable(read: Read, size: number): Table {
  const first = read(0, 512);
  const none = (complaints: string[] = []): Table => ({ kind: 'none', sector: 512, id: null, partitions: [], usable: { start: 0, end: size }, complaints, remarks: [] });
  const headers = [512, 4096].map((sector) => ({ sector, isThere: isHeader(read(sector, 8)) }));
  if (!isSigned(first)) {
    const lost = headers.find(({ isThere }) => isThere);
    return none(lost ? [`there is a GPT at byte ${lost.sector}, and the record before it, which protects it, has no signature (0x55AA at byte 510)`] : []);
  }
  if (isBootSector(first)) return none();
  const entries = entriesOf(first);
  if (entries.some(({ type }) => type === protectiveType)) return readGpt(read, size, first, headers.find(({ isThere }) => isThere)?.sector ?? null);
  const table = readMbr(read, size, first);
  const [left] = headers.filter(({ isThere }) => isThere);
  if (left) table.complaints.push(`there is a GPT at byte ${left.sector} besides the DOS table: it cannot be told which one counts`);
  return table;
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

function readMbr(read: Read, size: number, first: Buffer): Table {
  const sector = 512;
  const id = hex(first.readUInt32LE(440), 8);
  const table: Table = { kind: 'mbr', sector, id: `0x${id}`, partitions: [], usable: { start: sector, end: Math.floor(size / sector) * sector }, complaints: [], remarks: [] };
  const { complaints, partitions } = table;
  const add = (number: number, entry: Entry, base: number, record?: number): Partition => {
    const made = { number, start: base + entry.start * sector, size: entry.size * sector, type: hex(entry.type, 2), uuid: `${id}-${hex(number, 2)}`, ...(entry.flag === 0x80 && { bootable: true }), ...(record !== undefined && { record }) };
    partitions.push(made);
    return made;
  };
  entriesOf(first).forEach((entry, i) => {
    if (entry.flag !== 0 && entry.flag !== 0x80) complaints.push(`partition ${i + 1} has the flag 0x${hex(entry.flag, 2)}, which is none of a partition table`);
    if (entry.type === 0) {
      if (entry.size > 0) complaints.push(`partition ${i + 1} has a size and no type`);
      return;
    }
    const made = add(i + 1, entry, 0);
    if (extendedTypes.includes(entry.type)) made.extended = true;
  });
  const frames = partitions.filter(({ extended }) => extended);
  if (frames.length > 1) complaints.push(`there are ${frames.length} extended partitions (${frames.map(({ number }) => number).join(', ')}), and one is what there can be`);
  if (partitions.filter(({ bootable }) => bootable).length > 1) table.remarks.push('more than one partition is marked as the one to boot from');
  const [frame] = frames;
  const inBounds = placeComplaints(table, size);
  if (frame && inBounds(frame)) {
    const seen = new Set<number>();
    for (let record = frame.start, number = 5; ; number++) {
      if (seen.has(record)) {
        complaints.push(`the records of the extended partition ${frame.number} lead back to byte ${record}: they never end`);
        break;
      }
      if (seen.size === mostLogical) {
        complaints.push(`the extended partition ${frame.number} has more than ${mostLogical} logical partitions`);
        break;
      }
      seen.add(record);
      const bytes = read(record, sector);
      if (!isSigned(bytes)) {
        complaints.push(`the record at byte ${record}, in the extended partition ${frame.number}, has no signature (0x55AA)`);
        break;
      }
      const [entry, next, ...more] = entriesOf(bytes) as [Entry, Entry, Entry, Entry];
      if (more.some(({ type }) => type !== 0)) complaints.push(`the record at byte ${record}, in the extended partition ${frame.number}, has more than two entries`);
      if (entry.type === 0) number--;
      else if (extendedTypes.includes(entry.type)) complaints.push(`the record at byte ${record} has an extended partition within the extended partition ${frame.number}`);
      else {
        const logical = add(number, entry, record, record);
        if (entry.flag !== 0 && entry.flag !== 0x80) complaints.push(`partition ${number} has the flag 0x${hex(entry.flag, 2)}, which is none of a partition table`);
        if (logical.start <= record) complaints.push(`partition ${number} begins at byte ${logical.start}, where the record is that describes it`);
        if (logical.start + logical.size > frame.start + frame.size) complaints.push(`partition ${number} reaches beyond the extended partition ${frame.number} that it is in`);
      }
      if (next.type === 0 || next.size === 0) break;
      if (!extendedTypes.includes(next.type)) {
        complaints.push(`the record at byte ${record}, in the extended partition ${frame.number}, leads on to what is none (type 0x${hex(next.type, 2)})`);
        break;
      }
      record = frame.start + next.start * sector;
      if (record + sector > frame.start + frame.size) {
        complaints.push(`the extended partition ${frame.number} leads to a record at byte ${record}, which is not in it`);
        break;
      }
    }
  }
  for (const partition of partitions) if (partition.record !== undefined) inBounds(partition);
  complaints.push(...overlaps(partitions));
  return table;
}

/** Says whether a partition is where one can be, and complains if it is not. The frame of logical ones is looked at before these. */
function placeComplaints(table: Table, size: number): (partition: Partition) => boolean {
  const { complaints, usable, partitions } = table;
  const check = ({ number, start, size: length }: Partition): boolean => {
    const end = start + length;
    const before = complaints.length;
    if (length <= 0) complaints.push(`partition ${number} has no size`);
    else if (start >= size) complaints.push(`partition ${number} begins at byte ${start}, and the image ends at ${size}`);
    else if (end > size) complaints.push(`partition ${number} ends at byte ${end}, and the image at ${size}: ${end - size} bytes are missing`);
    else if (start < usable.start) complaints.push(`partition ${number} begins at byte ${start}, where the partition table is`);
    else if (end > usable.end) complaints.push(`partition ${number} ends at byte ${end}, where the second partition table is`);
    return complaints.length === before;
  };
  for (const partition of partitions) check(partition);
  const known = new Set(partitions);
  const good = new Set(partitions.filter((partition) => partition.size > 0 && partition.start >= usable.start && partition.start + partition.size <= Math.min(usable.end, size)));
  return (partition) => (known.has(partition) ? good.has(partition) : check(partition));
}

/** Logical partitions are in the frame, and in nobody's way there; the records between them are none of anybody else's. */
function overlaps(partitions: readonly Partition[]): string[] {
  const places = partitions.flatMap(({ number, start, size, extended, record }) => [
    { name: `partition ${number}`, number, start, end: start + size, inside: record !== undefined, extended },
    ...(record !== undefined ? [{ name: `the record of partition ${number}`, number, start: record, end: record + 512, inside: true, extended: undefined }] : []),
  ]).filter(({ start, end }) => end > start);
  return places.flatMap((one, i) => places.slice(i + 1).flatMap((other) => {
    const nested = (one.extended && other.inside) || (other.extended && one.inside);
    return nested || one.number === other.number || one.end <= other.start || other.end <= one.start ? [] : [`${one.name} and ${other.name} overlap, from byte ${Math.max(one.start, other.start)} on`];
  }));
}

// GPT: UEFI Specification 2.10, section 5.3

const isHeader = (bytes: Buffer): boolean => bytes.toString('latin1', 0, 8) === 'EFI PART';

/** More than anybody makes: 128 entries of 128 bytes are usual. */
const longestEntries = 2 ** 20;

interface Header {
  /** Sectors. */
  own: number;
  other: number;
  firstUsable: number;
  lastUsable: number;
  entriesAt: number;
  id: string;
  entries: Buffer;
  entrySize: number;
}

/** One of the two headers, with its entries; a text: what is wrong with it. */
function readHeader(read: Read, size: number, sector: number, at: number): Header | string {
  const bytes = read(at * sector, sector);
  if (bytes.length < sector) return 'it is behind the end of the image';
  if (!isHeader(bytes)) return "it does not begin with 'EFI PART'";
  const length = bytes.readUInt32LE(12);
  if (length < 92 || length > sector) return `its length of ${length} bytes is none that a header can have`;
  const blank = Buffer.from(bytes.subarray(0, length));
  blank.writeUInt32LE(0, 16);
  if (crc32(blank) !== bytes.readUInt32LE(16)) return 'its checksum is wrong';
  if (bytes.readUInt32LE(8) !== 0x00010000) return `its version is 0x${hex(bytes.readUInt32LE(8), 8)}`;
  const sectors = [24, 32, 40, 48, 72].map((field) => Number(bytes.readBigUInt64LE(field)));
  const [own, other, firstUsable, lastUsable, entriesAt] = sectors as [number, number, number, number, number];
  if (own !== at) return `it says that it is in sector ${own}, and it is in ${at}`;
  const [count, entrySize] = [bytes.readUInt32LE(80), bytes.readUInt32LE(84)];
  if (entrySize < 128 || entrySize > 4096 || (entrySize & (entrySize - 1)) !== 0 || count < 1 || count * entrySize > longestEntries) return `it has ${count} entries of ${entrySize} bytes`;
  if (entriesAt < 2 || entriesAt * sector + count * entrySize > size) return `its entries are in sector ${entriesAt}, which is not in the image`;
  const entries = read(entriesAt * sector, count * entrySize);
  if (entries.length < count * entrySize) return 'its entries are cut off';
  if (crc32(entries) !== bytes.readUInt32LE(88)) return 'the checksum of its entries is wrong';
  return { own, other, firstUsable, lastUsable, entriesAt, id: guid(bytes, 56), entries, entrySize };
}

/** Mixed-endian, as UEFI has it. */
function guid(bytes: Buffer, at: number): string {
  const part = (from: number, length: number) => bytes.toString('hex', at + from, at + from + length);
  return `${hex(bytes.readUInt32LE(at), 8)}-${hex(bytes.readUInt16LE(at + 4), 4)}-${hex(bytes.readUInt16LE(at + 6), 4)}-${part(8, 2)}-${part(10, 6)}`;
}

function readGpt(read: Read, size: number, first: Buffer, found: number | null): Table {
  const known = found ?? [512, 4096].find((one) => isHeader(read(Math.floor(size / one - 1) * one, 8))) ?? 512;
  const sector = known;
  const last = Math.floor(size / sector) - 1;
  const table: Table = { kind: 'gpt', sector, id: null, partitions: [], usable: { start: 2 * sector, end: size }, complaints: [], remarks: [] };
  const { complaints, partitions, remarks } = table;
  for (const { type } of entriesOf(first)) if (type !== 0 && type !== protectiveType) complaints.push(`the record that protects the GPT has a partition of its own (type 0x${hex(type, 2)}): a table of both kinds at once`);
  const main = readHeader(read, size, sector, 1);
  const behind = typeof main === 'string' ? last : main.other;
  if (typeof main !== 'string' && behind > last) complaints.push(`the image has been cut off: its GPT goes on to sector ${behind}, and the image ends with ${last}`);
  const second = behind <= last && behind > 1 ? readHeader(read, size, sector, behind) : 'it is behind the end of the image';
  if (typeof main === 'string' && typeof second === 'string') {
    complaints.push(`both headers of the GPT are damaged: of the first, ${main}; of the second, ${second}`);
    return table;
  }
  if (typeof main === 'string') complaints.push(`the first header of the GPT is damaged: ${main}; the second is whole`);
  else if (typeof second === 'string' && behind <= last) complaints.push(`the second header of the GPT, in sector ${behind}, is damaged: ${second}; the first is whole`);
  const header = typeof main === 'string' ? (second as Header) : main;
  if (typeof main !== 'string' && typeof second !== 'string') {
    if (!main.entries.equals(second.entries) || main.id !== second.id || main.firstUsable !== second.firstUsable || main.lastUsable !== second.lastUsable) complaints.push('the two copies of the GPT are not the same');
    if (second.other !== 1) complaints.push(`the second header of the GPT says that the first is in sector ${second.other}`);
    if (behind < last) remarks.push(`the second table of the GPT is not at the end of the image, but ${(last - behind) * sector} bytes before it`);
  }
  table.id = header.id;
  const entriesEnd = (header === main ? header.entriesAt : 2) * sector + header.entries.length;
  table.usable = { start: Math.max(header.firstUsable * sector, entriesEnd), end: Math.min((header.lastUsable + 1) * sector, size) };
  if (header.firstUsable * sector < entriesEnd && header === main) complaints.push(`the GPT lets partitions begin in sector ${header.firstUsable}, where its own entries are`);
  if (header.lastUsable < header.firstUsable) complaints.push('the GPT leaves no room for partitions');
  for (let i = 0; i * header.entrySize < header.entries.length; i++) {
    const entry = header.entries.subarray(i * header.entrySize, (i + 1) * header.entrySize);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const [from, to] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))];
    const name = entry.toString('utf16le', 56, 128).split('\0')[0]!;
    partitions.push({ number: i + 1, start: from * sector, size: Math.max(0, to - from + 1) * sector, type: guid(entry, 0).toUpperCase(), uuid: guid(entry, 16), ...(name !== '' && { name }), ...((entry[48]! & 4) !== 0 && { bootable: true }) });
  }
  placeComplaints(table, size);
  complaints.push(...overlaps(partitions));
  return table;
}
