import * as v from 'valibot';
import { lacks, lacksProgram, type Problem, type ProgramName } from '../errors.ts';
import type { Facts, ImageVolume } from '../facts.ts';
import { formatNames } from '../image/filesystems.ts';
import { isPacking, type Packing } from '../image/packed.ts';
import { chooseRoot, type Part, partName } from '../image/parts.ts';
import { defineRoot } from '../root.ts';
import { path, says } from '../schema.ts';
import { driverOf, mountPointOf } from '../volumes.ts';

const unpackers: Record<Packing, ProgramName | null> = { xz: 'xz', zstd: 'zstd', gzip: null, zip: null };

export default defineRoot({
  summary: 'a disk image, or a disk such as an SD card: the root in one of its partitions, the others where its fstab says',
  options: v.strictObject({
    image: v.pipe(path, says('An image, also one that is packed by xz, gzip, zstd or zip: it is unpacked once, beside it. Or a disk.')),
    partition: v.optional(v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected the number of a partition, from 1 on'), says('The number of the partition with the root; found by what is in it if absent.'))),
    'logical-volume': v.optional(v.pipe(v.string(), v.regex(/^([A-Za-z0-9+_.-]{1,127}\/)?[A-Za-z0-9+_.-]{1,127}$/, 'expected the name of a logical volume, such as "root" or "debian/root"'), says('Of an image with LVM in it: the logical volume with the root; found by what is in it if absent.'))),
    'key-file': v.optional(v.pipe(path, says('Of an encrypted one (LUKS): a file with the key, that root alone can read; the passphrase is asked for if absent.'))),
    discard: v.optional(v.pipe(v.boolean(), says('Of an encrypted one: pass on which blocks are free.')), false),
  }),
  volume: ({ image }) => image,
  isImage: true,
  paths: ({ 'key-file': key }) => (key ? [key] : []),
  needs({ image: named, partition = null, 'logical-volume': logical = null }, { programs, volume, root, kernel, distribution }) {
    const { image, kind } = volume ?? {};
    const refuses = (what: string, mend: string, at = 'image'): Problem[] => [{ ...lacks(what, mend), at: [at] }];
    if (!image) return [];
    const { content, packed, path: at } = image;
    if (packed && !content) {
      if (!isPacking(packed.as)) return refuses(`${named} is packed: ${packed.as}`, 'unpack it, and name what comes of that: xz, gzip, zstd and zip are unpacked by nestbox');
      const program = unpackers[packed.as];
      return program && !programs[program] ? [lacksProgram(program, `unpack ${named}`, { distribution })] : [];
    }
    if (kind === null) return refuses(`${named} does not exist on this host`, 'name a disk image, or a disk such as /dev/mmcblk0');
    if (kind === 'other') return refuses(`${named} is neither a file nor a disk`, 'name a disk image, or a disk such as /dev/mmcblk0');
    if (!content) return refuses(`${at} cannot be read`, root ? 'there may be no card in it, or this host may not open it; journalctl --dmesg says more' : 'sudo nestbox ...');
    if (content.complaints.length > 0) return refuses(`the partition table of ${at} is damaged: ${content.complaints.join('; ')}`, `nestbox image check ${at} tells more; nothing in it has been changed`);
    const part = chooseRoot(content, at, partition, logical);
    if ('what' in part) return refuses(part.what, part.mend, part.at);
    return fits(part, at, image, kernel).flatMap(([what, mend]) => refuses(what, mend, partition === null ? 'image' : 'partition'))
      .concat(isLuks(part) && !programs.cryptsetup ? [lacksProgram('cryptsetup', 'open an encrypted partition', { distribution })] : []);
  },
  source({ image: named, partition = null, 'logical-volume': logical, 'key-file': keyFile = null, discard }, { volume }, _, machine) {
    const found = volume?.image;
    const path_ = found?.path ?? named;
    const chosen = rootPart(found, { partition: partition ?? undefined, 'logical-volume': logical });
    const image = { number: chosen?.number ?? partition, start: chosen?.start ?? 0, size: chosen?.size ?? 0, ...(chosen?.volume !== undefined && { volume: chosen.volume }) };
    return {
      kind: 'directory', path: mountPointOf(machine), volume: { path: path_, lv: null, luks: chosen && isLuks(chosen) ? { keyFile, discard } : null, image },
      ...(found?.packed && !found.content && isPacking(found.packed.as) && { unpack: { from: named, to: path_, as: found.packed.as } }),
    };
  },
});

const isLuks = ({ content }: Part): boolean => content?.format.startsWith('luks') ?? false;

/** The partition that the root is in, as far as it is known. */
export function rootPart(image: ImageVolume | undefined, { partition, 'logical-volume': logical }: { partition?: number | undefined; 'logical-volume'?: string | undefined }): Part | null {
  const part = image?.content ? chooseRoot(image.content, image.path, partition ?? null, logical ?? null) : null;
  return part === null || 'what' in part ? null : part;
}

const rootFormats = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs', 'luks1', 'luks2'];

/** Why a partition cannot be a root, and what to do. */
function fits(part: Part, at: string, { drivers }: ImageVolume, kernel: Facts['kernel']): [string, string][] {
  const { content, number } = part;
  const name = partName(part, at);
  if (!content) return [[`there is nothing on ${name} that nestbox knows`, 'a root is on ext4, xfs, btrfs or f2fs, also below LUKS']];
  const { format, complaints } = content;
  if (format === 'lvm')
    return [[`${name} ${part.volume === undefined ? 'is a part of an LVM volume group' : 'cannot be opened by itself'}${part.apart === undefined ? '' : `: ${part.apart}`}`, `${number === null ? `losetup --find --show ${at}` : `losetup --find --show --partscan ${at}`} makes it known to LVM, and lvs shows what is in it; then volume = "/dev/GROUP/NAME" in place of image, and losetup --detach at the end`]];
  if (!rootFormats.includes(format)) return [[`${name} holds ${formatNames[format]}, which can be no root here`, 'a root is on ext4, xfs, btrfs or f2fs, also below LUKS']];
  if (complaints.length > 0) return [[`${name} is damaged: ${complaints.join('; ')}`, format.startsWith('ext') ? 'e2fsck -f repairs what can be repaired; nothing in it has been changed' : 'nothing in it has been changed']];
  const driver = driverOf(format);
  return format.startsWith('luks') || drivers.includes(driver) ? [] : [[`this kernel (${kernel}) has no driver for ${driver}, which ${name} holds`, 'use a kernel that has one']];
}
