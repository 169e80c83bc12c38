import { crc32 } from '../crc32.ts';
import type { Read } from './table.ts';

/**
 * A part of an LVM volume group, as its own first megabyte describes it: lib/format_text/layout.h and lib/label/label.h of LVM2. A volume that lies in one piece is a range of
 * bytes, as a partition is; no more of LVM is needed to open it, and no group of that name on this host is in the way. Nothing in here trusts what it reads.
 */

export interface LogicalVolume {
  /** GROUP/NAME. */
  name: string;
  /** Bytes, from the beginning of the partition on; a text: why it is no such range. */
  range: { start: number; size: number } | string;
}

/** Its checksums begin with this: INITIAL_CRC in lib/misc/crc.h. Unlike zlib's they are not inverted. */
const firstCrc = 0xf597a6cf;
const crc = (bytes: Uint8Array): number => ~crc32(bytes, ~firstCrc >>> 0) >>> 0;

const headerMagic = '\x20LVM2\x20x[5A%r0N*>';

/** More than anybody has: a megabyte for all versions of it together is usual. */
const longestText = 2 ** 22;

/** Its volumes that can be seen; a text: what is wrong. `read` is from the partition's beginning on, of `size` bytes. */
export function readLvm(read: Read, size: number): LogicalVolume[] | string {
  try {
    return volumes(read, size);
  } catch {
    return 'the description of its volume group is damaged';
  }
}

function volumes(read: Read, size: number): LogicalVolume[] | string {
  const first = read(0, 2048);
  const label = [0, 512, 1024, 1536].find((at) => first.toString('latin1', at, at + 8) === 'LABELONE');
  if (label === undefined || first.toString('latin1', label + 24, label + 32) !== 'LVM2 001') return 'it has no label that is known';
  if (crc(first.subarray(label + 20, label + 512)) !== first.readUInt32LE(label + 16)) return 'the checksum of its label is wrong';
  const at = label + first.readUInt32LE(label + 20);
  const own = first.toString('latin1', at, at + 32);
  // Two lists of places, of data and of descriptions; each ends with zeros.
  const places: number[][] = [[], []];
  for (let list = 0, entry = at + 40; list < 2; entry += 16) {
    const offset = Number(first.readBigUInt64LE(entry));
    if (offset === 0) list++;
    else places[list]!.push(offset);
  }
  const [described] = places[1]!;
  if (described === undefined) return 'its volume group is described on another disk';
  const header = read(described, 512);
  if (header.toString('latin1', 4, 20) !== headerMagic || crc(header.subarray(4)) !== header.readUInt32LE(0)) return 'the description of its volume group is damaged';
  const [start, length] = [header.readBigUInt64LE(24), header.readBigUInt64LE(32)].map(Number) as [number, number];
  const [from, taken] = [header.readBigUInt64LE(40), header.readBigUInt64LE(48)].map(Number) as [number, number];
  if (taken === 0) return 'it belongs to no volume group yet';
  if (taken > longestText || from > length || taken > length) return 'the description of its volume group is damaged';
  // A ring behind the header.
  const fits = Math.min(taken, length - from);
  const bytes = Buffer.concat([read(start + from, fits), read(start + 512, taken - fits)]);
  if (crc(bytes) !== header.readUInt32LE(56)) return 'the checksum of the description of its volume group is wrong';
  return fromText(parse(bytes.toString('latin1')), own, size);
}

type Value = string | number | Value[] | Section;
interface Section {
  [key: string]: Value;
}

/** The grammar of lvm.conf(5): sections, words, numbers, lists. */
function parse(text: string): Section {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|#[^\n]*|[\w.+-]+|[{}[\]=,]/g)?.filter((token) => !token.startsWith('#')) ?? [];
  let at = 0;
  const value = (): Value => {
    const token = tokens[at++]!;
    if (token === '[') {
      const list: Value[] = [];
      while (tokens[at] !== ']') {
        if (at >= tokens.length) throw new SyntaxError();
        if (tokens[at] === ',') at++;
        else list.push(value());
      }
      at++;
      return list;
    }
    return token.startsWith('"') ? token.slice(1, -1).replace(/\\(.)/g, '$1') : Number(token);
  };
  const section = (): Section => {
    const found: Section = Object.create(null) as Section;
    while (at < tokens.length && tokens[at] !== '}') {
      const key = tokens[at++]!;
      const next = tokens[at++];
      if (next === '{') {
        found[key] = section();
        at++;
      } else if (next === '=') found[key] = value();
      else throw new SyntaxError();
    }
    return found;
  };
  return section();
}

const section = (value: Value | undefined): Section => (typeof value === 'object' && !Array.isArray(value) ? value : (Object.create(null) as Section));
const words = (value: Value | undefined): Value[] => (Array.isArray(value) ? value : []);
const whole = (value: Value | undefined): number => (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : Number.NaN);

/** lvm(8): names of groups and volumes. Nothing else gets into a path. */
const nameRule = /^[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}$/;

function fromText(all: Section, own: string, size: number): LogicalVolume[] | string {
  const [group, found] = Object.entries(all).find(([, value]) => typeof value === 'object' && !Array.isArray(value)) ?? [];
  if (group === undefined || !nameRule.test(group)) return 'the description of its volume group is damaged';
  const { extent_size: extent, physical_volumes: disks, logical_volumes: logical } = section(found);
  const disk = Object.entries(section(disks)).find(([, value]) => section(value).id === withHyphens(own));
  if (!disk) return `it is no part of the volume group ${group} any more`;
  const [called, place] = disk;
  const begin = whole(section(place).pe_start) * 512;
  const step = whole(extent) * 512;
  return Object.entries(section(logical)).filter(([name, volume]) => nameRule.test(name) && !/^\.+$/.test(name) && words(section(volume).status).includes('VISIBLE')).map(([name, volume]) => ({ name: `${group}/${name}`, range: rangeOf(section(volume), called, begin, step, size) }));
}

/** As the text has it: groups of 6, 4, 4, 4, 4, 4 and 6. */
const withHyphens = (id: string): string => id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7');

function rangeOf(volume: Section, disk: string, begin: number, step: number, size: number): LogicalVolume['range'] {
  if (!words(volume.status).includes('WRITE')) return 'it may only be read';
  const count = whole(volume.segment_count);
  const segments = Array.from({ length: Math.min(count, 64) || 0 }, (_, i) => section(volume[`segment${i + 1}`]));
  if (segments.length !== count || count === 0) return 'it is in many pieces';
  let [start, length] = [Number.NaN, 0];
  for (const segment of segments) {
    const [on, from] = words(segment.stripes);
    if (segment.type !== 'striped') return `it is made of others (${typeof segment.type === 'string' && nameRule.test(segment.type) ? segment.type : 'in an unknown way'})`;
    if (whole(segment.stripe_count) !== 1) return 'it is spread over several disks';
    if (on !== disk) return 'it is on another disk';
    const at = begin + whole(from) * step;
    if (length > 0 && at !== start + length) return 'it is in several pieces';
    if (length === 0) start = at;
    length += whole(segment.extent_count) * step;
  }
  if (!(start >= 0 && length > 0)) return 'its description is damaged';
  return start + length <= size ? { start, size: length } : 'it goes on behind the end of the partition';
}
