import { lacks, type Problem } from './errors.ts';
import type { Facts, ImageVolume, VolumeFact } from './facts.ts';
import { partName } from './image/parts.ts';
import type { Step } from './step.ts';
import { store } from './store.ts';

/** Roots on volumes: a file system that is opened before each start and closed after each end. */

/** The volume that a machine's root is on. Plain data: it is kept with the machine, so that it can be opened to remove what was put in there. */
export interface Volume {
  /** As the machine file has it: a block device, or a file with LUKS in it. */
  path: string;
  /** VG/LV, where it is a logical volume that may have to be activated. */
  lv: string | null;
  /** Where it is in a disk image, in bytes. `number`: of the partition; null: it is all of the image. `volume`: the logical volume in there, GROUP/NAME. */
  image?: { number: number | null; start: number; size: number; volume?: string };
  /** null: it is not encrypted. */
  luks: { keyFile: string | null; discard: boolean } | null;
}

/** Where machinectl(1) looks for machines. */
export const machinesFolder = '/var/lib/machines';

/** Where it is mounted: a folder of its own there, and not a link to somewhere else, as systemd waits for a mount of this very path. */
export const mountPointOf = (machine: string): string => `${machinesFolder}/${machine}`;

/** What device mapper calls it while it is open. */
export const mappingOf = (machine: string): string => `nestbox-${machine}`;

/** Where a run keeps what it has of an image: links to loop devices, and what is mounted besides the root. */
export const imageFolder = (run: string): string => `${run}/image`;

/** The link to the loop device that the root is on. */
export const rootLink = 'root';

/** The type that the kernel mounts a format as. */
export const driverOf = (format: string): string => (format === 'fat' ? 'vfat' : format === 'ext2' || format === 'ext3' ? 'ext4' : format);

/** Folders below /dev that are no volume group. */
const notGroups = ['block', 'bsg', 'bus', 'char', 'cpu', 'disk', 'dri', 'fd', 'input', 'loop', 'mapper', 'md', 'net', 'pts', 'shm', 'snd', 'usb', 'vfio', 'zvol'];

/** VG/LV of a device mapper's name, in which a hyphen of a name is two: lvm(8). */
function splitName(name: string): string | null {
  const [, group, volume] = /^((?:[^-]|--)+)-((?:[^-]|--)+)$/.exec(name) ?? [];
  return group && volume ? `${group}/${volume}`.replaceAll('--', '-') : null;
}

/** VG/LV, or null for what is no logical volume: as the kernel has it, and by its path while it is not active. */
export function logicalVolume(path: string, fact: VolumeFact | null | undefined): string | null {
  const mapper = fact?.device ? fact.devices[fact.device]?.mapper : undefined;
  if (fact?.device || fact?.kind) return mapper?.uuid.startsWith('LVM-') ? splitName(mapper.name) : null;
  const [, folder = '', name = ''] = /^\/dev\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  if (folder === 'mapper') return splitName(name);
  return folder !== '' && !notGroups.includes(folder) ? `${folder}/${name}` : null;
}

/** What opens it; `run` is a folder that ends with the boot. The way back of each closes it again, last first. */
export function opening(machine: string, volume: Volume, run: string): Step[] {
  const { path, lv, luks, image } = volume;
  const at = mountPointOf(machine);
  const below = image ? `${imageFolder(run)}/${rootLink}` : path;
  const device = luks ? `/dev/mapper/${mappingOf(machine)}` : below;
  const called = image ? partName(image, path) : path;
  return [
    { kind: 'mkdir', path: machinesFolder, mode: 0o700 },
    ...(image ? looped(machine, path, image, rootLink, run) : []),
    ...(lv ? [{ kind: 'activate' as const, lv, node: path, mark: `${run}/activated` }] : []),
    ...(luks ? [{ kind: 'unlock' as const, device: below, mapping: mappingOf(machine), machine, ...luks, ...(image && { called }) }] : []),
    { kind: 'check-file-system', device, at, volume: called },
    { kind: 'mount-volume', device, at, volume: called },
  ];
}

const looped = (machine: string, file: string, { start, size }: { start: number; size: number }, link: string, run: string): Step[] => [
  { kind: 'mkdir', path: imageFolder(run), mode: 0o700 },
  { kind: 'loop', file, start, size, link: `${imageFolder(run)}/${link}`, machine },
];

/** A partition that is mounted besides the root, as the image's own fstab says. */
export interface Besides {
  number: number | null;
  /** The logical volume in there. */
  volume?: string;
  start: number;
  size: number;
  /** Inside. */
  to: string;
  /** On the host, from where it is bound. */
  from: string;
  write: boolean;
}

/** What the link to its loop device is called. */
export const linkOf = ({ number, volume }: Pick<Besides, 'number' | 'volume'>): string => [...(number === null ? [] : [`${number}`]), ...(volume === undefined ? [] : [volume.replace('/', '-')])].join('-');

/** What opens it. It is not mounted below the root: there the kernel would not let the root's ids be mapped. `shift`: of the machine's ids. */
export function openingBesides(machine: string, { path }: Volume, one: Besides, shift: number, run: string): Step[] {
  const { start, size, from, write } = one;
  const link = linkOf(one);
  const [device, volume] = [`${imageFolder(run)}/${link}`, partName(one, path)];
  return [
    ...looped(machine, path, { start, size }, link, run),
    { kind: 'check-file-system', device, at: from, volume, beside: true },
    { kind: 'mount-volume', device, at: from, volume, beside: { shift, write } },
  ];
}

/** What closes it when nobody's journal says so: what a unit that was to do it has left. Nothing where nothing is left. */
export const closing = (machine: string, { lv, luks, image }: Volume): Step[] => [
  { kind: 'unmount', at: mountPointOf(machine) },
  ...(luks ? [{ kind: 'lock' as const, mapping: mappingOf(machine) }] : []),
  ...(image ? [{ kind: 'loop-end' as const, machine, start: null }] : []),
  ...(lv ? [{ kind: 'deactivate' as const, lv, mark: `${store.serviceRun(machine)}/activated` }] : []),
  { kind: 'leftover', path: mountPointOf(machine) },
];

/** Whether what was opened once is still at the path, as far as it can be told: another file system may be there by now, or nothing. */
export const isThere = ({ luks, lv, image }: Volume, { kind, format, image: found }: VolumeFact): boolean =>
  image ? found?.content?.parts.some(({ number, start, root }) => number === image.number && start === image.start && root !== null) === true : kind === null ? lv !== null : format === null || (luks ? format.startsWith('luks') : ['ext', 'xfs', 'btrfs', 'f2fs'].includes(format));

/** The same volume as an image is now: its partition may have been made larger since. */
export function renewed(volume: Volume, { image }: VolumeFact): Volume {
  const part = image?.content?.parts.find(({ number, start }) => number === volume.image?.number && start === volume.image.start);
  return part ? { ...volume, image: { number: part.number, start: part.start, size: part.size, ...(part.volume !== undefined && { volume: part.volume }) } } : volume;
}

/** Whether a step of a way back is about what is in the volume, so that it must be open. */
export const isInside = (machine: string, step: Step): boolean =>
  [...('layer' in step ? [step.layer] : []), ...('layers' in step ? step.layers : [])].includes(mountPointOf(machine));

/** What stands in the way of opening it for this machine. */
export function needsOfVolume(machine: string, volume: Volume, facts: Facts): Problem[] {
  const { path, lv, luks } = volume;
  const fact = facts.volume;
  if (fact?.image) return needsOfImage(machine, volume, facts, fact, fact.image);
  const key = luks ? 'luks' : 'volume';
  const says = (what: string, mend: string, at: string = key): Problem => ({ ...lacks(what, mend), at: ['root', at] });
  if (!fact) return [];
  if (fact.kind === null && !lv) return [says(`${path} does not exist on this host`, luks ? 'name a block device, or a file, that holds LUKS' : 'name a block device that holds a file system')];
  if (fact.kind === 'other' || (fact.kind === 'file' && !luks)) return [says(`${path} is not a block device`, fact.kind === 'file' ? 'losetup --find --show makes one of a file; luks = "..." takes a file by itself' : 'name a block device')];
  const used = inUse(machine, path, facts, fact).map((where) => says(...where));
  return [...(used.length === 0 && fact.format ? misfits(path, luks !== null, fact.format, says) : []), ...used, ...keyProblems(luks?.keyFile ?? null, facts, says), ...placeProblems(machine, fact, says)];
}

type Says = (what: string, mend: string, at?: string) => Problem;

/** Who has an image that is there. What is wrong with what is in it has been told by its source. */
function needsOfImage(machine: string, { path, luks }: Volume, facts: Facts, fact: VolumeFact, image: ImageVolume): Problem[] {
  const says: Says = (what, mend, at = 'image') => ({ ...lacks(what, mend), at: ['root', at] });
  if (image.isHeld) return [says(`${path} is mounted to be looked at`, `nestbox image unmount ${path}`)];
  const mine = Object.values(image.own);
  // Of a disk: whatever is made of it or mounted; of a file: whatever loop devices others have over it.
  const bases = Object.keys(fact.devices).filter((name) => (fact.kind === 'block' ? `/dev/${name}` === image.backing : fact.devices[name]?.over === image.backing && !mine.includes(name)));
  const taken = inUse(machine, path, facts, { ...fact, device: image.own[rootLink] ?? null }, mine);
  const used = taken.length > 0 ? taken : bases.flatMap((base): [string, string][] => {
    const found = inUse(machine, path, facts, { ...fact, device: base }, mine, true);
    return found.length > 0 || fact.kind === 'block' ? found : [[`${path} is in use: /dev/${base} is over it`, `losetup --detach /dev/${base}, when nothing of it is needed any more`]];
  });
  return [...used.slice(0, 1).map((where) => says(...where)), ...keyProblems(luks?.keyFile ?? null, facts, says), ...placeProblems(machine, fact, says)];
}

const names: Record<string, string> = { lvm: 'a part of an LVM volume group', swap: 'swap space', other: 'nothing that nestbox knows' };

function misfits(path: string, encrypted: boolean, format: NonNullable<VolumeFact['format']>, says: Says): Problem[] {
  const isLuks = format === 'luks1' || format === 'luks2';
  if (encrypted) return isLuks ? [] : [says(`${path} holds no LUKS, but ${names[format] ?? `a file system (${format})`}`, Object.hasOwn(names, format) ? 'name the volume itself' : `volume = "${path}" takes a file system that is not encrypted`)];
  if (isLuks) return [says(`${path} is encrypted (LUKS)`, `luks = "${path}" opens it`)];
  return Object.hasOwn(names, format) ? [says(`${path} holds ${names[format]}`, 'name a volume with a file system: ext4, xfs, btrfs and f2fs are known')] : [];
}

function keyProblems(keyFile: string | null, { paths }: Facts, says: Says): Problem[] {
  if (!keyFile) return [];
  const found = paths[keyFile];
  if (!found) return [says(`${keyFile} does not exist on this host`, 'name the file with the key, or leave it out: the passphrase is asked for', 'key-file')];
  if (found.kind === 'device') return [];
  if (found.kind !== 'file') return [says(`${keyFile} is not a file`, 'name the file with the key', 'key-file')];
  return found.uid !== 0 || found.mode & 0o077 ? [says(`others than root can read ${keyFile}`, `chown root: ${keyFile}; chmod 600 ${keyFile}`, 'key-file')] : [];
}

/** Whether it is mounted where the machine has its root: only then can it be told what is in there. */
export function isOpen(machine: string, fact: VolumeFact | undefined): boolean {
  const { device, devices = {}, mounted = [] } = fact ?? {};
  return mounted.some((one) => one.at === mountPointOf(machine) && device && (one.device === device || devices[one.device]?.of.includes(device)));
}

function placeProblems(machine: string, fact: VolumeFact, says: Says): Problem[] {
  const at = mountPointOf(machine);
  if (fact.there === 'nothing' || fact.there === 'empty' || isOpen(machine, fact)) return [];
  return [says(`${at} is there already, and the root of a machine on a volume is mounted there`, 'move it away, or give this machine another name')];
}

/** Who has the device, or anything that is made of it, and is not the machine's own: what is wrong, and what to do. */
function inUse(machine: string, path: string, facts: Facts, { device, devices, mounted, swaps }: VolumeFact, mine: readonly string[] = [], isImage = false): [string, string][] {
  const taken = Object.values(devices).find(({ mapper, of }) => mapper?.name === mappingOf(machine) && !(mapper.uuid.startsWith('CRYPT-') && device && of.includes(device)));
  if (taken) return [[`/dev/mapper/${mappingOf(machine)} is there already, and is not ${path}`, `close that first, or give this machine another name: it opens its own under this one`]];
  if (!device) return [];
  const above = (below: string): string[] => Object.entries(devices).filter(([name, { of, disk, over }]) => !mine.includes(name) && (of.includes(below) || disk === below || over === `/dev/${below}`)).flatMap(([name]) => [name, ...above(name)]);
  const all = [...new Set([device, ...above(device)])];
  const ours = (name: string) => devices[name]?.mapper?.name === mappingOf(machine) && devices[name].mapper.uuid.startsWith('CRYPT-') && devices[name].of.includes(device);
  const others = facts.store.machines.map(({ name }) => name).filter((name) => name !== machine);
  const places = mounted.filter((one) => all.includes(one.device) && !(one.at === mountPointOf(machine) && (one.device === device || ours(one.device))));
  if (places.some(({ at }) => at === '/')) return [[`${path} has this host's own root`, 'host = true in [root] is the running system']];
  if (all.some((name) => swaps.includes(name))) return [[`${path} is swap space of this host`, 'name another volume']];
  const other = others.find((name) => places.some(({ at }) => at === mountPointOf(name)) || all.some((one) => devices[one]?.mapper?.name === mappingOf(name)));
  if (other) return [[`${path} is in use by the machine '${other}'`, `nestbox stop ${other}`]];
  const [place] = places;
  if (place) return [[`${path} is mounted on ${place.at}`, `umount ${place.at}`]];
  const mapping = all.find((name) => name !== device && !ours(name) && devices[name]?.mapper);
  if (mapping) {
    const { name, uuid } = devices[mapping]!.mapper!;
    return [[`${path} is open as /dev/mapper/${name}`, uuid.startsWith('CRYPT-') ? `cryptsetup close ${name}` : 'close that first']];
  }
  const user = all.find((name) => name !== device && !ours(name) && !(isImage && devices[name]?.disk === device));
  return user ? [[`${path} is a part of /dev/${user}`, devices[user]?.disk === device ? 'name the partition' : 'close that first']] : [];
}
