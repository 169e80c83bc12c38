import type { Read } from './table.ts';

/** Looks into a file system of the ext family without mounting it: struct ext4_super_block, ext4_group_desc, ext4_inode and ext4_dir_entry_2 of the kernel's fs/ext4. Nothing in here trusts what it reads. */

export interface Found {
  kind: 'directory' | 'file' | 'other';
  /** The bytes of a file, cut off at `longestFile`. */
  read(): Buffer;
}

/** What is looked at are settings of a few kilobytes. */
const longestFile = 2 ** 16;
const longestFolder = 2 ** 22;
const mostLinks = 8;
const deepestExtents = 5;
/** Of extents, in all: a stranger's may lead to each other without an end. */
const mostNodes = 10000;

const rootInode = 2;
const typeOf = (inode: Buffer): number => inode.readUInt16LE(0) >> 12;
const [aDirectory, aFile, aLink] = [4, 8, 10];

/** What there is at a path, links followed within the file system; null: nothing, or what cannot be read in this way. Never throws. */
export function findInExt(read: Read, path: string): Found | null {
  try {
    return new Ext(read).find(path);
  } catch {
    return null; // an offset that is nowhere: it is damaged, and the check before it is mounted says so
  }
}

/** Whether findInExt() knows how it is laid out: damaged ones, and some rare ones, only tell when they are mounted. */
export function isKnownExt(read: Read): boolean {
  try {
    return new Ext(read).find('') !== null;
  } catch {
    return false;
  }
}

class Ext {
  private readonly block: number;
  private readonly inodeSize: number;
  private readonly descriptorSize: number;
  private readonly perGroup: number;
  private readonly read: Read;
  private nodes = 0;

  constructor(read: Read) {
    this.read = read;
    const about = this.exactly(1024, 1024);
    const power = about.readUInt32LE(24);
    const incompat = about.readUInt32LE(96);
    if (about.readUInt16LE(56) !== 0xef53 || power > 6 || (incompat & 0x8010) !== 0) throw new Error('not of this kind'); // meta_bg has its descriptors elsewhere, inline_data has small folders in their inodes
    this.block = 1024 << power;
    this.perGroup = about.readUInt32LE(40);
    this.inodeSize = about.readUInt32LE(76) === 0 ? 128 : about.readUInt16LE(88);
    this.descriptorSize = (incompat & 0x80) !== 0 ? about.readUInt16LE(254) : 32;
    if (this.perGroup === 0 || this.inodeSize < 128 || this.descriptorSize < 32) throw new Error('not of this kind');
  }

  private exactly(offset: number, length: number): Buffer {
    const bytes = this.read(offset, length);
    if (bytes.length < length) throw new Error('behind the end');
    return bytes;
  }

  private inode(number: number): Buffer {
    const group = Math.floor((number - 1) / this.perGroup);
    const about = this.exactly((this.block === 1024 ? 2048 : this.block) + group * this.descriptorSize, this.descriptorSize);
    const table = about.readUInt32LE(8) + (this.descriptorSize >= 64 ? about.readUInt32LE(40) * 2 ** 32 : 0);
    return this.exactly(table * this.block + ((number - 1) % this.perGroup) * this.inodeSize, this.inodeSize);
  }

  private content(inode: Buffer, most: number): Buffer {
    const size = Math.min(inode.readUInt32LE(4), most);
    const flags = inode.readUInt32LE(32);
    const own = inode.subarray(40, 100);
    if (typeOf(inode) === aLink && size < 60 && (flags & 0x80000) === 0) return own.subarray(0, size); // where it leads is in the inode itself
    const out = Buffer.alloc(size);
    const put = (index: number, block: number, count: number) => {
      for (let at = index * this.block, i = 0; i < count && at < size; i++, at += this.block) this.exactly((block + i) * this.block, this.block).copy(out, at, 0, Math.min(this.block, size - at));
    };
    if ((flags & 0x80000) !== 0) this.extents(own, 0, put);
    else this.blockMap(own, size, put);
    return out;
  }

  private extents(node: Buffer, depth: number, put: (index: number, block: number, count: number) => void): void {
    if (node.readUInt16LE(0) !== 0xf30a || depth > deepestExtents || ++this.nodes > mostNodes) throw new Error('damaged');
    const leaf = node.readUInt16LE(6) === 0;
    for (let i = 0; i < node.readUInt16LE(2); i++) {
      const entry = node.subarray(12 + i * 12, 24 + i * 12);
      if (leaf) {
        const length = entry.readUInt16LE(4);
        if (length <= 32768) put(entry.readUInt32LE(0), entry.readUInt16LE(6) * 2 ** 32 + entry.readUInt32LE(8), length); // a longer one is not written yet
      } else this.extents(this.exactly((entry.readUInt16LE(8) * 2 ** 32 + entry.readUInt32LE(4)) * this.block, this.block), depth + 1, put);
    }
  }

  /** As ext2 and ext3 have it: twelve blocks, and a block with the numbers of more. */
  private blockMap(own: Buffer, size: number, put: (index: number, block: number, count: number) => void): void {
    const wanted = Math.ceil(size / this.block);
    const some = (numbers: Buffer, from: number, count: number) => {
      for (let i = 0; i < count && from + i < wanted; i++) if (numbers.readUInt32LE(i * 4) !== 0) put(from + i, numbers.readUInt32LE(i * 4), 1);
    };
    some(own, 0, 12);
    const more = own.readUInt32LE(48);
    if (wanted > 12 && more !== 0) some(this.exactly(more * this.block, this.block), 12, this.block / 4);
  }

  /** Folders that are hashed can be read from the front to the back as well. */
  private entry(folder: Buffer, name: string): number | null {
    if (typeOf(folder) !== aDirectory) return null;
    const bytes = this.content(folder, longestFolder);
    const wanted = Buffer.from(name);
    for (let at = 0; at + 8 <= bytes.length;) {
      const length = bytes.readUInt16LE(at + 4);
      if (length < 8) return null;
      if (bytes.readUInt32LE(at) !== 0 && bytes.subarray(at + 8, at + 8 + bytes[at + 6]!).equals(wanted)) return bytes.readUInt32LE(at);
      at += length;
    }
    return null;
  }

  find(path: string): Found | null {
    let links = 0;
    let rest = path.split('/').filter(Boolean);
    let above = [rootInode];
    while (rest.length > 0) {
      const [name = '', ...others] = rest;
      rest = others;
      if (name === '.') continue;
      if (name === '..') {
        above = above.length > 1 ? above.slice(0, -1) : above;
        continue;
      }
      const number = this.entry(this.inode(above.at(-1)!), name);
      if (number === null) return null;
      const inode = this.inode(number);
      if (typeOf(inode) !== aLink) {
        above.push(number);
        continue;
      }
      if (++links > mostLinks) return null;
      const to = this.content(inode, 4096).toString();
      if (to.startsWith('/')) above = [rootInode];
      rest = [...to.split('/').filter(Boolean), ...rest];
    }
    const inode = this.inode(above.at(-1)!);
    const type = typeOf(inode);
    return { kind: type === aDirectory ? 'directory' : type === aFile ? 'file' : 'other', read: () => (type === aFile ? this.content(inode, longestFile) : Buffer.alloc(0)) };
  }
}
