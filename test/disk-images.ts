import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { detach, listing, says } from './roots.ts';

/** Disk images as they are downloaded, made without a network and without mounting anything. */

export const MiB = 2 ** 20;

/** The result of a program with a text on its standard input; fails when that does. */
function feed(input: string, program: string, ...words: string[]): string {
  return execFileSync(program, words, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] });
}

/** Some hundred files, some of them large, some programs, some links. */
export function smallTree(path: string): string {
  for (const name of ['usr/bin', 'usr/lib', 'etc', 'srv/data', 'home/pi']) mkdirSync(`${path}/${name}`, { recursive: true });
  cpSync('/bin/busybox', `${path}/usr/bin/busybox`);
  writeFileSync(`${path}/usr/lib/os-release`, 'PRETTY_NAME="Raspberry Pi OS (a test of nestbox)"\nID=raspbian\n');
  for (let i = 0; i < 300; i++) writeFileSync(`${path}/srv/data/${i}`, randomBytes((i * 7919) % 20_000));
  writeFileSync(`${path}/home/pi/large`, randomBytes(3 * MiB));
  says('ln', '-s', 'usr/bin', `${path}/bin`);
  says('ln', `${path}/srv/data/1`, `${path}/srv/data/one`);
  says('chown', '1000:1000', `${path}/home/pi/large`);
  return path;
}

export interface Made {
  path: string;
  /** Of the root partition, in bytes. */
  start: number;
  number: number;
}

export type Kind = 'mbr' | 'gpt' | 'extended' | 'bare';
export type FileSystem = 'ext4' | 'ext3' | 'ext2' | 'btrfs' | 'xfs' | 'f2fs';

const scripts: Record<Exclude<Kind, 'bare'>, (end: number) => string> = {
  mbr: () => 'label: dos\nlabel-id: 0x6c586e13\nstart=2048,size=16384,type=c,bootable\nstart=18432,type=83\n',
  gpt: () => 'label: gpt\nlabel-id: 5DF7CF46-FD1F-A34E-A37E-167EA94FAE55\nstart=2048,size=16384,type=uefi,name=EFI\nstart=18432,type=linux,name="the root"\n',
  extended: (end) => `label: dos\nlabel-id: 0x6c586e13\nstart=2048,size=16384,type=c,bootable\nstart=18432,size=${end - 18432},type=5\nstart=20480,size=8192,type=83\nstart=30720,size=${end - 30720},type=83\n`,
};
const places: Record<Kind, { sector: number; number: number }> = { mbr: { sector: 18432, number: 2 }, gpt: { sector: 18432, number: 2 }, extended: { sector: 30720, number: 6 }, bare: { sector: 0, number: 0 } };

/** An image of `size` bytes with a FAT boot partition and a root with `tree` in it. */
export function diskImage(path: string, tree: string, { kind = 'mbr', format = 'ext4', size = 64 * MiB, block = 0 }: { kind?: Kind; format?: FileSystem; size?: number; block?: number } = {}): Made {
  truncateSync(existsSync(path) ? path : (writeFileSync(path, ''), path), 0);
  truncateSync(path, size);
  const { sector, number } = places[kind];
  const start = sector * 512;
  if (kind !== 'bare') {
    feed(scripts[kind](size / 512), 'sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', path);
    says('mkfs.vfat', '-F', '12', '-n', 'BOOTFS', '--offset', '2048', path, '8192');
    feed('console=serial0 root=PARTUUID=6c586e13-02\n', 'mcopy', '-i', `${path}@@1048576`, '-', '::cmdline.txt');
  }
  const length = kind === 'bare' ? size : sizeOfPartition(path, number);
  if (format.startsWith('ext')) says('mke2fs', '-q', '-F', '-t', format, ...(block ? ['-b', `${block}`] : []), '-d', tree, '-E', `offset=${start}`, path, `${length / 1024}k`);
  else onLoop({ path, start }, length, (device) => {
    if (format === 'f2fs') {
      says('mkfs.f2fs', '-q', '-f', device);
      says('sload.f2fs', '-f', tree, device);
      return;
    }
    says(`mkfs.${format}`, '-q', '-f', ...(format === 'btrfs' ? ['--rootdir', tree] : []), device);
    if (format === 'xfs') mounted(device, format, 'rw', (at) => says('cp', '-a', `${tree}/.`, at));
  });
  return { path, start, number };
}

export function sizeOfPartition(path: string, number: number): number {
  const { partitiontable } = JSON.parse(says('sfdisk', '--json', path)) as { partitiontable: { partitions: { node: string; size: number }[] } };
  return partitiontable.partitions.find(({ node }) => node.endsWith(`${path.match(/\d$/) ? 'p' : ''}${number}`))!.size * 512;
}

/** A loop device over a partition, for as long as `work` takes. */
function onLoop<T>({ path, start }: { path: string; start: number }, length: number | null, work: (device: string) => T): T {
  const device = says('losetup', '--find', '--show', '--offset', `${start}`, ...(length === null ? [] : ['--sizelimit', `${length}`]), path).trim();
  try {
    return work(device);
  } finally {
    detach(device);
  }
}

function mounted<T>(device: string, format: string, options: string, work: (at: string) => T): T {
  const at = mkdtempSync('/var/tmp/nestbox-mount.');
  try {
    says('mount', '-t', format, '-o', options, device, at);
    try {
      return work(at);
    } finally {
      says('umount', at);
    }
  } finally {
    rmdirSync(at);
  }
}

/** All files of a root, with their contents, as one digest. Nothing is written to the image for that; an ext that is not clean is read without its journal. */
export function digestOf(made: Made, format: FileSystem = 'ext4', length: number | null = null): string {
  const options = format.startsWith('ext') ? 'ro,noload' : format === 'xfs' ? 'ro,norecovery,nouuid' : 'ro';
  return onLoop(made, length, (device) => mounted(device, format.startsWith('ext') ? 'ext4' : format, options, (at) => {
    const files = listing(at).filter((line) => !/^(lost\+found)?\|/.test(line)).map((line) => line.replace(/\|\d+(?=\|[\d.]+\|)/, ''));
    const contents = spawnSync('sh', ['-c', 'find . -type f -print0 | sort -z | xargs -0 sha256sum'], { cwd: at, encoding: 'utf8' }).stdout;
    return createHash('sha256').update(files.join('\n')).update(contents).digest('hex');
  }));
}

/** Of the boot partition, which nobody touches. */
export const bootOf = (path: string): string => says('mtype', '-i', `${path}@@1048576`, '::cmdline.txt');

/** Of the whole file; and when it was written to. */
export function hashOf(path: string): string {
  const { mtimeMs, size, ino } = statSync(path);
  return `${createHash('sha256').update(readFileSync(path)).digest('hex')} ${mtimeMs} ${size} ${ino}`;
}

/** e2fsck -fn of the root; its exit status and words. */
export function looked({ path, start }: Made, length: number): { status: number | null; said: string } {
  return onLoop({ path, start }, length, (device) => {
    const { status, stdout, stderr } = spawnSync('e2fsck', ['-f', '-n', device], { encoding: 'utf8' });
    return { status, said: `${stdout}${stderr}` };
  });
}

export const copySparse = (from: string, to: string): void => void says('cp', '--sparse=always', '--reflink=auto', from, to);
