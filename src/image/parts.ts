import { findInExt, isKnownExt } from './ext.ts';
import { type Content, formatNames, isExt, recognise } from './filesystems.ts';
import { readLvm } from './lvm.ts';
import { type Partition, type Read, readTable, type Table } from './table.ts';

/** What is in a disk image, as far as a machine that runs from it is concerned: its partitions, and which of them holds a root. */

export interface Part extends Pick<Partition, 'start' | 'size'> {
  /** null: there is no table, and the file system fills the image. */
  number: number | null;
  /** What root=PARTUUID= calls it. */
  uuid?: string;
  name?: string;
  /** GROUP/NAME, where it is a logical volume in the partition. */
  volume?: string;
  /** Why such a one is no range of bytes that could be opened. */
  apart?: string;
  content: Pick<Content, 'format' | 'label' | 'uuid' | 'complaints'> | null;
  /** What it holds of a root file system; null: it holds none; 'unknown': it cannot be told without opening it. */
  root: Inside | 'unknown' | null;
}

/** What of a root tells how it is run. */
export interface Inside {
  /** Its etc/fstab. */
  fstab: string;
  /** Whether packages of Debian are installed in it, which start services when they are. */
  dpkg: boolean;
}

export interface ImageFact {
  table: Table['kind'];
  /** What is wrong with the table. */
  complaints: string[];
  parts: Part[];
}

/** Any of these, beside etc/. */
const signs = ['etc/os-release', 'usr/lib/os-release', 'sbin/init', 'usr/lib/systemd', 'lib/systemd', 'etc/fstab'];

/** What there is of a root where `find` looks for paths. */
export function insideOf(find: (path: string) => { kind: string; read(): Buffer } | null): Inside | null {
  if (find('etc')?.kind !== 'directory' || !signs.some((path) => find(path) !== null)) return null;
  const fstab = find('etc/fstab');
  return { fstab: fstab?.kind === 'file' ? fstab.read().toString() : '', dpkg: find('var/lib/dpkg')?.kind === 'directory' };
}

/** Formats that a root can be on, and that only opening shows. */
const closed: readonly string[] = ['xfs', 'btrfs', 'f2fs', 'luks1', 'luks2'];

/** Reads an image of `size` bytes; never throws for what is in it. */
export function readImage(read: Read, size: number): ImageFact {
  const table = readTable(read, size);
  const at = (part: Pick<Part, 'start' | 'size' | 'number' | 'uuid' | 'name' | 'volume'>): Part[] => {
    const { start } = part;
    const content = recognise(read, start, part.size, part.number === null);
    const within: Read = (offset, length) => (offset >= part.size ? Buffer.alloc(0) : read(start + offset, Math.min(length, part.size - offset)));
    if (content?.format === 'lvm') return logical(part, content, readLvm(within, part.size));
    const root = !content ? null : isExt(content.format) ? (isKnownExt(within) ? insideOf((path) => findInExt(within, path)) : 'unknown') : closed.includes(content.format) ? 'unknown' : null;
    return [{ ...part, content: content && { format: content.format, ...(content.label !== undefined && { label: content.label }), ...(content.uuid !== undefined && { uuid: content.uuid }), complaints: content.complaints }, root }];
  };
  const logical = (part: Pick<Part, 'start' | 'size' | 'number'>, { format, complaints }: Content, found: ReturnType<typeof readLvm>): Part[] => {
    const { number, start, size: length } = part;
    const closed_ = (more: Pick<Part, 'volume' | 'apart'>): Part => ({ number, start, size: length, ...more, content: { format, complaints }, root: null });
    if (typeof found === 'string' || found.length === 0) return [closed_(typeof found === 'string' ? { apart: found } : {})];
    return found.flatMap(({ name, range }) => (typeof range === 'string' ? [closed_({ volume: name, apart: range })] : at({ number, start: start + range.start, size: range.size, volume: name })));
  };
  const parts = table.kind === 'none' ? at({ number: null, start: 0, size }) : table.partitions.filter(({ extended }) => !extended).flatMap(({ number, start, size: length, uuid, name }) => at({ number, start, size: length, uuid, ...(name !== undefined && { name }) }));
  return { table: table.kind, complaints: table.complaints, parts };
}

/** As people call it. */
export const partName = ({ number, volume }: Pick<Part, 'number' | 'volume'>, image: string): string => `${volume === undefined ? '' : `${volume} in `}${number === null ? image : `partition ${number} of ${image}`}`;

/** "1 (FAT, 'bootfs'), 2 (ext4, a root)" */
export const listParts = (parts: readonly Part[]): string => parts.map(({ number, volume, content, root }) =>
  `${number === null ? 'no table' : number}${volume === undefined ? '' : `, ${volume}`} (${[content ? formatNames[content.format] : 'nothing that is known', ...(content?.label ? [`'${content.label}'`] : []), ...(root !== null && root !== 'unknown' ? ['a root'] : [])].join(', ')})`).join(', ');

/** The partition with the root: the one that is asked for, the only one that holds one, or the only one that might. A text and advice where it cannot be told. */
export function chooseRoot({ parts: all }: ImageFact, image: string, wanted: number | null, logical: string | null = null): Part | { what: string; mend: string; at: 'image' | 'partition' | 'logical-volume' } {
  const numbered = wanted === null ? all : all.filter(({ number }) => number === wanted);
  if (numbered.length === 0 && wanted !== null) return { what: `there is no partition ${wanted} in ${image}`, mend: `there is ${listParts(all)}`, at: 'partition' };
  const parts = logical === null ? numbered : numbered.filter(({ volume }) => volume === logical || volume?.split('/')[1] === logical);
  if (parts.length === 0 && logical !== null) return { what: `there is no logical volume ${logical} in ${image}`, mend: `there is ${listParts(numbered)}`, at: 'logical-volume' };
  if (parts.length === 1 && (wanted !== null || logical !== null)) return parts[0]!;
  const sure = parts.filter(({ root }) => root !== null && root !== 'unknown');
  const found = sure.length > 0 ? sure : parts.filter(({ root }) => root === 'unknown');
  if (found.length === 1) return found[0]!;
  const lvm = parts.find(({ content }) => content?.format === 'lvm');
  if (found.length === 0 && lvm) return lvm;
  if (found.length === 0 && parts.length === 1 && parts[0]!.number === null) return parts[0]!;
  if (found.length === 0) return { what: `no partition of ${image} holds a root file system: ${listParts(parts)}`, mend: 'partition = N in [root] takes one all the same', at: 'image' };
  return { what: `more than one partition of ${image} ${sure.length > 0 ? 'holds' : 'may hold'} a root file system: ${listParts(found)}`, mend: found[0]!.volume !== undefined ? `logical-volume = "${found[0]!.volume}" in [root] takes one of them` : `partition = ${found[0]!.number} in [root] (or nestbox run --partition ${found[0]!.number} ${image}) takes one of them`, at: 'image' };
}
