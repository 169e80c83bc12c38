import type { Read } from './table.ts';

/** What a partition holds, told by its first bytes as libblkid tells it (superblocks/*.c of util-linux). Nothing in here trusts what it reads. */

export type Format = 'ext2' | 'ext3' | 'ext4' | 'fat' | 'xfs' | 'btrfs' | 'f2fs' | 'squashfs' | 'erofs' | 'iso9660' | 'ntfs' | 'exfat' | 'swap' | 'luks1' | 'luks2' | 'lvm' | 'packed';

export interface Content {
  format: Format;
  /** Of 'packed': what it is packed by, and how it is unpacked. */
  packed?: { as: string; mend: string };
  label?: string;
  uuid?: string;
  /** Bytes that it takes, by its own word; null: it does not say. */
  size: number | null;
  /** Bytes of these in use; null: it is not told without reading more. */
  used: number | null;
  /** Bytes of a block. */
  block?: number;
  /** Words of ext's state that matter when it is changed. */
  ext?: { clean: boolean; errors: boolean; replay: boolean; lazy: boolean; sixtyFour: boolean; metaBlockGroups: boolean };
  /** Devices that it is made of (btrfs), this one among them. */
  devices?: number;
  /** What is wrong with it: nothing of which anything is said here is changed. */
  complaints: string[];
}

/** What `nestbox image` can make larger. */
export const growable: readonly Format[] = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs'];
/** The same, smaller: xfs and f2fs cannot be made smaller by anybody. */
export const shrinkable: readonly Format[] = ['ext2', 'ext3', 'ext4', 'btrfs'];

export const isExt = (format: Format): boolean => format.startsWith('ext') && format !== 'exfat';

/** As people call them. */
export const formatNames: Record<Format, string> = {
  ext2: 'ext2', ext3: 'ext3', ext4: 'ext4', fat: 'FAT', xfs: 'xfs', btrfs: 'btrfs', f2fs: 'f2fs', squashfs: 'squashfs', erofs: 'erofs', iso9660: 'ISO 9660', ntfs: 'NTFS', exfat: 'exFAT',
  swap: 'swap space', luks1: 'LUKS 1', luks2: 'LUKS 2', lvm: 'a part of an LVM volume group', packed: 'a packed image',
};

/** Text that a stranger has written: what a terminal would obey is left out. */
export const plainText = (bytes: Buffer | string, encoding: 'utf8' | 'latin1' | 'utf16le' = 'utf8'): string => (typeof bytes === 'string' ? bytes : bytes.toString(encoding)).split('\0')[0]!.replace(/[^\P{Cc}]|[\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd]/gu, '?').trim();

const uuidOf = (bytes: Buffer): string => bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

const packings: [magic: string, as: string, mend: string][] = [
  ['\xfd7zXZ\0', 'xz', 'xz --decompress --keep'], ['\x1f\x8b', 'gzip', 'gunzip --keep'], ['\x28\xb5\x2f\xfd', 'zstd', 'zstd --decompress'], ['BZh', 'bzip2', 'bunzip2 --keep'], ['PK\x03\x04', 'zip', 'unzip'], ['7z\xbc\xaf\x27\x1c', '7-Zip', '7z x'],
  ['QFI\xfb', 'a qcow2 disk', 'qemu-img convert -O raw'], ['KDMV', 'a VMDK disk', 'qemu-img convert -O raw'], ['conectix', 'a VHD disk', 'qemu-img convert -O raw'], ['vhdxfile', 'a VHDX disk', 'qemu-img convert -O raw'],
];

/**
 * What there is in `room` bytes from `start` of an image on; null: nothing that is known. `whole`: it is all of the image, which may be a packed one.
 * Never throws for what is in it.
 */
export function recognise(readImage: Read, start: number, room: number, whole = false): Content | null {
  const read: Read = (offset, length) => (offset >= room ? Buffer.alloc(0) : readImage(start + offset, Math.min(length, room - offset)));
  const first = read(0, 0x2000);
  const has = (offset: number, word: string) => first.length >= offset + word.length && first.toString('latin1', offset, offset + word.length) === word;
  const packing = whole ? packings.find(([magic]) => has(0, magic)) : undefined;
  if (packing) return { format: 'packed', packed: { as: packing[1], mend: packing[2] }, size: null, used: null, complaints: [] };
  if (first.length < 0x1000) return null;
  if (has(0, 'LUKS\xba\xbe')) return luks(first);
  if (has(0, 'XFSB')) return fits(xfs(first), room);
  if (has(0x438, '\x53\xef')) return fits(ext(first.subarray(0x400)), room);
  const second = read(0x10000, 0x1000);
  if (second.length === 0x1000 && second.toString('latin1', 0x40, 0x48) === '_BHRfS_M') return fits(btrfs(second), room);
  if (has(0x400, '\x10\x20\xf5\xf2')) return fits(f2fs(first.subarray(0x400)), room);
  const physical = [0, 1, 2, 3].find((sector) => has(sector * 512, 'LABELONE') && has(sector * 512 + 24, 'LVM2 001'));
  if (physical !== undefined) return { format: 'lvm', uuid: plainText(first.subarray(physical * 512 + 32, physical * 512 + 64), 'latin1'), size: null, used: null, complaints: [] };
  if (has(0xff6, 'SWAPSPACE2')) return fits({ format: 'swap', ...labelled(first.subarray(0x400 + 28, 0x400 + 44)), uuid: uuidOf(first.subarray(0x400 + 12, 0x400 + 28)), size: (first.readUInt32LE(0x404) + 1) * 4096, used: null, complaints: [] }, room);
  if (has(0, 'hsqs')) return fits(simple('squashfs', number64(first, 40)), room);
  if (has(0x400, '\xe2\xe1\xf5\xe0')) return fits(simple('erofs', first.readUInt32LE(0x400 + 36) * 2 ** Math.min(first[0x400 + 12]!, 16)), room);
  if (has(3, 'NTFS    ')) return simple('ntfs', number64(first, 0x28) * first.readUInt16LE(11));
  if (has(3, 'EXFAT   ')) return simple('exfat', number64(first, 0x48) * 2 ** Math.min(first[0x6c]!, 12));
  if (first[510] === 0x55 && first[511] === 0xaa && ['FAT', 'MSDOS'].some((word) => has(54, word) || has(82, word))) return fits(fat(first, read), room);
  const iso = read(0x8000, 0x800);
  if (iso.length === 0x800 && iso.toString('latin1', 1, 6) === 'CD001') return { format: 'iso9660', ...labelled(iso.subarray(40, 72)), size: iso.readUInt32LE(80) * 2048, used: null, complaints: [] };
  return null;
}

const number64 = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64LE(at));
const labelled = (bytes: Buffer, encoding?: 'latin1' | 'utf16le'): { label?: string } => {
  const label = plainText(bytes, encoding);
  return label === '' ? {} : { label };
};
const simple = (format: Format, size: number): Content => ({ format, size, used: null, complaints: [] });

/** A file system that is larger than its partition has been cut off. */
function fits(content: Content, room: number): Content {
  const { size, format, complaints } = content;
  if (size !== null && size > room) complaints.push(`the file system (${formatNames[format]}) has ${size} bytes, and there is room for ${room}: it has been cut off`);
  return content;
}

/** struct ext4_super_block of the kernel's fs/ext4/ext4.h. */
function ext(block: Buffer): Content {
  const complaints: string[] = [];
  const [compat, incompat, readOnly] = [block.readUInt32LE(92), block.readUInt32LE(96), block.readUInt32LE(100)];
  const sixtyFour = (incompat & 0x80) !== 0;
  const count = (low: number, high: number) => block.readUInt32LE(low) + (sixtyFour ? block.readUInt32LE(high) * 2 ** 32 : 0);
  const power = block.readUInt32LE(24);
  const size = 1024 * 2 ** Math.min(power, 6);
  const [blocks, free, perGroup] = [count(4, 0x150), count(12, 0x158), block.readUInt32LE(32)];
  if (power > 6) complaints.push(`the file system (ext) has blocks of 2^${power + 10} bytes, which there are not`);
  if (blocks === 0) complaints.push('the file system (ext) has no blocks');
  if (free > blocks) complaints.push(`the file system (ext) has ${free} free blocks of ${blocks}`);
  if (perGroup === 0 || block.readUInt32LE(40) === 0) complaints.push('the file system (ext) has no blocks or inodes in its groups');
  if (block.readUInt32LE(20) !== (size === 1024 ? 1 : 0)) complaints.push(`the file system (ext) begins with block ${block.readUInt32LE(20)}`);
  const format = (incompat & ~0x6) !== 0 || (readOnly & ~0x7) !== 0 ? 'ext4' : (compat & 0x4) !== 0 ? 'ext3' : 'ext2';
  const state = block.readUInt16LE(58);
  const errors = (state & 2) !== 0;
  if (errors) complaints.push(`the file system (${format}) has errors, by its own word`);
  if ((incompat & 0x8) !== 0) complaints.push('it is the journal of a file system (ext) that is elsewhere');
  return {
    format, ...labelled(block.subarray(120, 136)), uuid: uuidOf(block.subarray(104, 120)), size: blocks * size, used: (blocks - free) * size, block: size, complaints,
    ext: { clean: (state & 1) !== 0, errors, replay: (incompat & 0x4) !== 0, lazy: (readOnly & 0x410) !== 0, sixtyFour, metaBlockGroups: (incompat & 0x10) !== 0 },
  };
}

/** struct xfs_dsb of the kernel's fs/xfs/libxfs/xfs_format.h. */
function xfs(bytes: Buffer): Content {
  const complaints: string[] = [];
  const block = bytes.readUInt32BE(4);
  const [blocks, free] = [Number(bytes.readBigUInt64BE(8)), Number(bytes.readBigUInt64BE(144))];
  if (block < 512 || block > 65536 || (block & (block - 1)) !== 0) complaints.push(`the file system (xfs) has blocks of ${block} bytes, which there are not`);
  if (free > blocks) complaints.push(`the file system (xfs) has ${free} free blocks of ${blocks}`);
  if (bytes[126] !== 0) complaints.push('the file system (xfs) was being made when that was cut off'); // sb_inprogress
  return { format: 'xfs', ...labelled(bytes.subarray(108, 120)), uuid: uuidOf(bytes.subarray(32, 48)), size: blocks * block, used: (blocks - free) * block, block, complaints };
}

/** struct btrfs_super_block of the kernel's include/uapi/linux/btrfs_tree.h, and the dev_item in it. */
function btrfs(bytes: Buffer): Content {
  const complaints: string[] = [];
  const devices = number64(bytes, 0x88);
  const [all, used, own] = [number64(bytes, 0x70), number64(bytes, 0x78), number64(bytes, 0xd1)];
  const block = bytes.readUInt32LE(0x90);
  if (devices !== 1) complaints.push(`the file system (btrfs) is made of ${devices} devices, and this is one of them`);
  if (used > all) complaints.push(`the file system (btrfs) has ${used} bytes in use of ${all}`);
  if (block < 512 || block > 65536 || (block & (block - 1)) !== 0) complaints.push(`the file system (btrfs) has sectors of ${block} bytes, which there are not`);
  return { format: 'btrfs', ...labelled(bytes.subarray(0x12b, 0x22b)), uuid: uuidOf(bytes.subarray(0x20, 0x30)), size: own, used, block, devices, complaints };
}

/** struct f2fs_super_block of the kernel's include/linux/f2fs_fs.h. */
function f2fs(block: Buffer): Content {
  const complaints: string[] = [];
  const power = block.readUInt32LE(16);
  if (power < 12 || power > 16) complaints.push(`the file system (f2fs) has blocks of 2^${power} bytes, which there are not`);
  const size = 2 ** Math.min(power, 16);
  return { format: 'f2fs', ...labelled(block.subarray(124, 124 + 1024), 'utf16le'), uuid: uuidOf(block.subarray(108, 124)), size: number64(block, 36) * size, used: null, block: size, complaints };
}

function luks(bytes: Buffer): Content {
  const version = bytes.readUInt16BE(6);
  return {
    format: version === 1 ? 'luks1' : 'luks2', ...(version === 2 && labelled(bytes.subarray(24, 72))), uuid: plainText(bytes.subarray(168, 208), 'latin1'), size: null, used: null,
    complaints: version === 1 || version === 2 ? [] : [`it is LUKS of version ${version}, which there is not`],
  };
}

/** Clusters that are read to be counted, at most: as many as FAT16 has. FAT32 says how many of its own are free. */
const countedClusters = 65525;

/** Microsoft's "FAT: General Overview of On-Disk Format", 1.03. */
function fat(first: Buffer, read: Read): Content {
  const complaints: string[] = [];
  const [sector, perCluster, reserved, tables] = [first.readUInt16LE(11), first[13]!, first.readUInt16LE(14), first[16]!];
  const [rootEntries, perTable] = [first.readUInt16LE(17), first.readUInt16LE(22) || first.readUInt32LE(36)];
  const sectors = first.readUInt16LE(19) || first.readUInt32LE(32);
  if (![512, 1024, 2048, 4096].includes(sector) || perCluster === 0 || (perCluster & (perCluster - 1)) !== 0 || reserved === 0 || tables === 0 || perTable === 0) return { format: 'fat', size: null, used: null, complaints: ['the file system (FAT) says of itself what cannot be'] };
  const is32 = first.readUInt16LE(22) === 0;
  const cluster = sector * perCluster;
  const clusters = Math.floor((sectors - reserved - tables * perTable - Math.ceil((rootEntries * 32) / sector)) / perCluster);
  if (clusters < 1) complaints.push('the file system (FAT) has no room for files');
  const labelAt = is32 ? 71 : 43;
  const label = labelled(first.subarray(labelAt, labelAt + 11), 'latin1');
  const serial = first.readUInt32LE(is32 ? 67 : 39).toString(16).toUpperCase().padStart(8, '0');
  const free = clusters < 1 ? null : is32 ? freeBySector(read(first.readUInt16LE(48) * sector, 512), clusters) : freeByTable(read(reserved * sector, Math.min(perTable * sector, 2 ** 18)), clusters);
  return { format: 'fat', ...(label.label !== 'NO NAME' && label), uuid: `${serial.slice(0, 4)}-${serial.slice(4)}`, size: sectors * sector, used: free === null ? null : (clusters - free) * cluster, block: cluster, complaints };
}

function freeBySector(info: Buffer, clusters: number): number | null {
  if (info.length < 512 || info.readUInt32LE(0) !== 0x41615252 || info.readUInt32LE(484) !== 0x61417272) return null;
  const free = info.readUInt32LE(488);
  return free > clusters ? null : free; // 0xffffffff: not known
}

function freeByTable(table: Buffer, clusters: number): number | null {
  if (clusters >= countedClusters) return null;
  const twelve = clusters < 4085;
  let free = 0;
  for (let i = 2; i < clusters + 2; i++) {
    const at = twelve ? i + (i >> 1) : i * 2;
    if (at + 2 > table.length) return null;
    const value = table.readUInt16LE(at);
    if ((twelve ? (i & 1 ? value >> 4 : value & 0xfff) : value) === 0) free++;
  }
  return free;
}
