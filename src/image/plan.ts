import { Complaint } from '../errors.ts';
import { smallerEnd } from '../names.ts';
import type { Extent, ImageFile, Step } from '../step.ts';
import { sizeOf } from '../text.ts';
import { listed } from '../words.ts';
import { changesOf, tailOf } from './edit.ts';
import { type Content, type Format, formatNames, growable, isExt, shrinkable } from './filesystems.ts';
import type { Layout, Part } from './inspect.ts';
import type { Partition, Read } from './table.ts';

/** What `grow` and `shrink` do to an image, as steps. Nothing in here acts. */

export interface Subject {
  file: ImageFile;
  kind: 'file' | 'block';
  layout: Layout;
  read: Read;
}

/** Bytes of the whole image, or more of them than there are. */
export type Size = { kind: 'to' | 'by'; bytes: number };

export interface Change {
  /** null: the file system has all of the image. */
  number: number | null;
  format: Format;
  /** Bytes: of the image, of what holds the file system, and of that. */
  before: Lengths;
  after: Lengths;
  /** In the order in which they are taken; none: it is so already. */
  steps: Step[];
}

interface Lengths {
  image: number;
  partition: number;
  fileSystem: number;
}

const units: Record<string, number> = { '': 0, B: 0, K: 1, M: 2, G: 3, T: 4 };

/** 8G, +2G, 600M, 512: units of 1024. */
export function readSize(text: string): Size {
  const [, plus, number, unit = ''] = /^(\+?)(\d+(?:\.\d+)?)([BKMGT]?)(?:iB)?$/i.exec(text) ?? [];
  const bytes = Number(number) * 1024 ** units[unit.toUpperCase()]!;
  if (number === undefined || !(bytes > 0) || bytes > 2 ** 50) throw new Complaint(`'${text}' is no size`, '8G is one, and +2G that much more');
  return { kind: plus ? 'by' : 'to', bytes: Math.ceil(bytes) };
}

/** Partitions and file systems are given whole ones of these: pages, and the sectors of disks. */
const grain = 4096;
const down = (bytes: number, step = grain): number => Math.floor(bytes / step) * step;
const up = (bytes: number, step = grain): number => Math.ceil(bytes / step) * step;

/** Sectors that an entry of a DOS table can name. */
const dosLimit = 0xffffffff * 512;

const called = ({ partition, content }: Part): string => (partition ? `partition ${partition.number} (${content ? formatNames[content.format] : `type ${partition.type}`})` : 'the file system');

/** Complains of an image that something is wrong with. */
export function mustBeWhole({ file, layout }: Subject): void {
  const packed = layout.parts.find(({ content }) => content?.packed)?.content?.packed;
  if (packed) throw new Complaint(`${file.path} is packed: ${packed.as}`, `${packed.mend} ${file.path}`);
  if (layout.complaints.length > 0) throw new Complaint(`${file.path} is not whole, and is left as it is:\n${layout.complaints.slice(0, 10).map((what) => `  ${what}`).join('\n')}`);
}

interface Chosen {
  part: Part;
  content: Content & { size: number };
}

/** The part that is meant: the one that was named, or the last one. */
function choose(subject: Subject, number: number | null, formats: readonly Format[], does: 'grow' | 'shrink'): Chosen {
  const { file, layout } = subject;
  const parts = [...layout.parts].sort((a, b) => a.start - b.start);
  const takes = ({ content }: Part) => content !== null && formats.includes(content.format);
  const last = parts.at(-1);
  if (!last) throw new Complaint(`there is no partition in ${file.path}`);
  if (number !== null && layout.table.partitions.some((partition) => partition.number === number && partition.extended)) throw new Complaint(`partition ${number} of ${file.path} is the extended one, which ${does}s with the last in it`, 'name that one');
  const part = number === null ? last : parts.find(({ partition }) => partition?.number === number);
  if (!part) throw new Complaint(`there is no partition ${number} in ${file.path}`, `it has ${listed(parts.map(({ partition }) => `${partition?.number ?? 'none'}`))}`);
  if (!takes(part) || part.content!.size === null) {
    const others = number === null ? parts.filter(takes) : [];
    const inside = part.content && ['luks1', 'luks2', 'lvm'].includes(part.content.format);
    throw new Complaint(
      `${called(part)} of ${file.path} ${number === null && part.partition ? 'is the last one, and ' : ''}does not ${does}`,
      inside ? 'what is in there is to be opened first; nestbox does not' : others.length > 0 ? `--partition ${others.at(-1)!.partition!.number} names another one` : `file systems that ${does} are ${listed(formats)}`,
    );
  }
  const ext = extOf(part.content!);
  if (ext && (!ext.clean || ext.replay)) throw new Complaint(`${called(part)} of ${file.path} was not unmounted, and is to be brought in order first`, `nestbox image check --repair ${file.path}`);
  return { part, content: part.content as Content & { size: number } };
}

/** Where the room for a partition ends that begins where it does, in an image of `size` bytes; and what is there. */
function roomOf({ layout, read }: Subject, { partition, start }: Part, size: number): { end: number; behind: Partition | null } {
  if (!partition) return { end: size, behind: null };
  const { table } = layout;
  const from = (other: Partition) => Math.min(other.start, other.record ?? other.start);
  const frame = partition.record === undefined ? undefined : table.partitions.find(({ extended }) => extended);
  // The frame grows with the last one in it.
  const others = table.partitions.filter((other) => other !== partition && other !== frame && from(other) > start).sort((a, b) => from(a) - from(b));
  const [behind = null] = others;
  const limit = size - tailOf(read, table);
  return { end: down(Math.min(behind ? from(behind) : limit, limit, table.kind === 'mbr' ? dosLimit : limit), table.sector), behind };
}

const extOf = ({ format, ext }: Content): Content['ext'] => (isExt(format) ? ext : undefined);

/** Room that a file system of the kinds without lazy inode tables takes when it grows: 256 bytes for each 16 KiB, and as much again. */
const growthShare = 1 / 32;

/** Bytes that must be free on the disk of the file before it is begun. */
export function roomNeeded({ before, after, format, steps }: Change, content: Content | null): number {
  if (steps.length === 0) return 0;
  const more = Math.max(0, after.fileSystem - before.fileSystem);
  return 2 ** 24 + (isExt(format) && !content?.ext?.lazy ? Math.ceil(more * growthShare) : 2 ** 22);
}

/** Makes the file, the table, the partition and the file system larger. `size` null: to the end of what there is. */
export function growing(subject: Subject, size: Size | null, number: number | null): Change {
  mustBeWhole(subject);
  const { file, kind, layout } = subject;
  if (kind === 'block' && size) throw new Complaint(`${file.path} is a device: it has ${sizeOf(layout.size)}, and no more`, `nestbox image grow ${file.path} fills it`);
  const image = up(size ? (size.kind === 'by' ? layout.size + size.bytes : size.bytes) : layout.size, 512);
  if (image < layout.size && size) throw new Complaint(`${file.path} has ${sizeOf(layout.size)} (${layout.size} bytes), which is more than ${sizeOf(image)}`, 'nestbox image shrink makes it smaller');
  const { part, content } = choose(subject, number, growable, 'grow');
  const { partition } = part;
  const { end, behind } = roomOf(subject, part, Math.max(image, layout.size));
  const room = Math.max(down(end - part.start), part.size);
  if (behind && image > layout.size) {
    const free = end - part.start - part.size;
    throw new Complaint(`${called(part)} of ${file.path} is not the last: what is behind the end of the image is no room for it`, free >= grain ? `without a size it grows by the ${sizeOf(free)} up to partition ${behind.number}` : `partition ${behind.number} begins where it ends`);
  }
  if (behind && room === part.size && content.size + 2 ** 20 > part.size) throw new Complaint(`${called(part)} of ${file.path} cannot grow: partition ${behind.number} begins where it ends`);
  const block = content.block ?? grain;
  const fileSystem = down(room, Math.max(block, 512));
  const ext = extOf(content);
  if (ext && !ext.sixtyFour && fileSystem / block > 0xffffffff) throw new Complaint(`${called(part)} has block numbers of 32 bits, and cannot have ${sizeOf(fileSystem)}`, `${sizeOf(0xffffffff * block)} is the most`);
  if (partition && layout.table.kind === 'mbr' && image - part.start > dosLimit && room < down(image - part.start)) throw new Complaint(`a DOS partition table ends at ${sizeOf(dosLimit)}`, 'a GPT goes further');
  const before = { image: layout.size, partition: part.size, fileSystem: content.size };
  const after = { image: Math.max(image, layout.size), partition: room, fileSystem };
  // A file system leaves out the last group where that would be too small to be of use: nothing is gained by less than this.
  const isLarger = room > part.size || fileSystem - content.size >= Math.max(2 ** 20, content.format === 'btrfs' ? 2 ** 22 : 0);
  const common = { image: file, number: partition?.number ?? null, format: content.format };
  if (!isLarger) return { number: common.number, format: content.format, before, after: before, steps: [] };
  const extent: Extent = { start: part.start, size: room };
  const resize: Step = { kind: 'image-resize', ...common, extent, from: content.size, to: fileSystem };
  const steps: Step[] = [
    { kind: 'image-check', ...common, extent: { start: part.start, size: part.size }, mend: false },
    ...(after.image > before.image ? [{ kind: 'image-length' as const, image: file, from: before.image, to: after.image }] : []),
    ...tableStep(subject, part, room, after.image),
    { kind: 'onward', steps: [{ kind: 'image-check', ...common, extent, mend: 'all' }, resize] },
    resize,
  ];
  return { number: common.number, format: content.format, before, after, steps };
}

function tableStep({ file, layout, read }: Subject, { partition }: Part, partitionSize: number, imageSize: number): Step[] {
  if (!partition) return [];
  const changes = changesOf(read, layout.table, { partition, partitionSize, imageSize });
  const sector = layout.table.sector;
  const place = (size: number) => `${partition.start / sector} to ${(partition.start + size) / sector - 1}`;
  const what = [
    ...(partitionSize === partition.size ? [] : [`partition ${partition.number} has sectors ${place(partitionSize)} instead of ${place(partition.size)}`]),
    ...(layout.table.kind === 'gpt' ? ['the second copy of it is at the end of the image'] : []),
  ].join(', ');
  return changes.length === 0 ? [] : [{ kind: 'image-table', image: file, what, changes }];
}

/** What stays free in a file system that has been made smaller, at the least: it has to be mounted, and begun with. */
export const leastMargin = 2 ** 24;

/** A tenth of what is in use, at least 16 MiB. */
export const marginOf = (used: number): number => Math.max(leastMargin, Math.ceil(used / 10));

/** The part that `shrink` is about, so that it can be asked how small it can be. */
export function toShrink(subject: Subject, number: number | null): Chosen {
  mustBeWhole(subject);
  return choose(subject, number, shrinkable, 'shrink');
}

/**
 * Makes the file system, the partition, the table and the file smaller. All is done to a copy, which then takes its place: programs that make a file
 * system smaller move what is in it, and leave nothing whole when they are cut off. `least`: bytes that the file system needs, by its own program's word.
 */
export function shrinking(subject: Subject, { part, content }: Chosen, least: number, size: Size | null, margin: number | null): Change {
  const { file, layout, kind, read } = subject;
  const { partition } = part;
  if (kind === 'block') throw new Complaint(`${file.path} is a device: it is made smaller in a copy`, `cp ${file.path} card.img; nestbox image shrink card.img`);
  const { behind } = roomOf(subject, part, layout.size);
  if (behind) throw new Complaint(`${called(part)} of ${file.path} is not the last: partition ${behind.number} behind it would stay where it is`);
  if (size?.kind === 'by') throw new Complaint('a size with + is for grow');
  const tail = partition ? tailOf(read, layout.table) : 0;
  const block = Math.max(content.block ?? grain, grain);
  const wanted = size ? down(size.bytes - tail - part.start, block) : Math.min(up(least + (margin ?? marginOf(least)), 2 ** 20), part.size);
  if (size && wanted < least) throw new Complaint(`${called(part)} of ${file.path} needs ${sizeOf(least)}: the image cannot have less than ${sizeOf(least + part.start + tail)}`);
  const fileSystem = Math.min(down(wanted, block), content.size);
  const room = Math.min(up(fileSystem), part.size);
  const image = Math.min(up(size ? size.bytes : part.start + room + tail, layout.table.sector), layout.size);
  const before = { image: layout.size, partition: part.size, fileSystem: content.size };
  const after = { image, partition: room, fileSystem };
  const number = partition?.number ?? null;
  if (before.image - image < 2 ** 20) return { number, format: content.format, before, after: before, steps: [] };
  const copy = `${file.path}${smallerEnd}`;
  const work = { image: { path: copy, inode: null }, number, format: content.format };
  const extent: Extent = { start: part.start, size: part.size };
  const steps: Step[] = [
    { kind: 'image-copy', image: file, copy },
    { kind: 'image-check', ...work, extent, mend: false },
    ...(fileSystem < content.size ? [{ kind: 'image-resize' as const, ...work, extent, from: content.size, to: fileSystem }, { kind: 'image-check' as const, ...work, extent: { start: part.start, size: room }, mend: false as const }] : []),
    ...tableStep({ ...subject, file: work.image }, part, room, image),
    { kind: 'image-length', image: work.image, from: layout.size, to: image },
    { kind: 'image-replace', image: file, copy },
  ];
  return { number, format: content.format, before, after, steps };
}

/** What `clean` does about a change that was cut off, by its journal. */
export function wayOfImage(entries: readonly Step[][]): string {
  const steps = entries.flat();
  const paths = steps.flatMap((step) => (step.kind === 'onward' ? step.steps : [step])).flatMap((step) => ('image' in step ? [step.image.path] : step.kind === 'remove' ? [step.path.endsWith(smallerEnd) ? step.path.slice(0, -smallerEnd.length) : step.path] : []));
  return `a change of ${paths[0] ?? 'a disk image'} was cut off: ${steps.some(({ kind }) => kind === 'onward') ? 'finishing it' : 'taking it back'}`;
}
