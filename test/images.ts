import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { says, tinyRoot } from './roots.ts';

/** Disk images with a small root, made without mounting anything. */

const sector = 512;
const MiB = 2 ** 20;

/** Where the partitions of the images of this file begin, in bytes. */
export const bootAt = 4 * MiB;
export const rootAt = 20 * MiB;
const imageSize = 64 * MiB;

const tables = {
  mbr: `label: dos\nlabel-id: 0x6c586e13\nstart=${bootAt / sector},size=${(rootAt - bootAt) / sector},type=c,bootable\nstart=${rootAt / sector},type=83\n`,
  // The root is a logical partition, behind a record of its own.
  extended: `label: dos\nlabel-id: 0x6c586e13\nstart=${bootAt / sector},size=${(rootAt - MiB - bootAt) / sector},type=83\nstart=${(rootAt - MiB) / sector},type=5\n\nstart=${rootAt / sector},type=83\n`,
  gpt: `label: gpt\nstart=${bootAt / sector},size=${(rootAt - bootAt) / sector},type=linux,uuid=11111111-2222-3333-4444-555555555555\nstart=${rootAt / sector},size=${(imageSize - rootAt - MiB) / sector},type=linux,name=system\n`,
};

const fstabs = {
  mbr: 'PARTUUID=6c586e13-01 /boot ext4 defaults 0 2\nPARTUUID=6c586e13-02 / ext4 defaults,noatime 0 1\n',
  extended: '/dev/mmcblk0p1 /boot auto defaults 0 2\n/dev/mmcblk0p5 / ext4 defaults,noatime 0 1\n',
  gpt: 'LABEL=bootfs /boot ext4 defaults 0 2\nPARTLABEL=system / ext4 defaults 0 1\n',
};

export type TableKind = keyof typeof tables | 'none';

export interface Made {
  path: string;
  kind: TableKind;
  /** Where the root is in it, in bytes. */
  root: number;
}

/** The root as a folder, with what makes it look like a Debian: a resolv.conf that leads to where no container has anything, and the database of dpkg. */
export function tree(path: string, fstab: string): string {
  tinyRoot(path);
  for (const name of ['boot', 'usr/sbin', 'var/lib/dpkg', 'var/tmp', 'srv']) mkdirSync(`${path}/${name}`, { recursive: true });
  symlinkSync('usr/sbin', `${path}/sbin`);
  symlinkSync('usr/lib', `${path}/lib`);
  symlinkSync('../run/systemd/resolve/stub-resolv.conf', `${path}/etc/resolv.conf`);
  writeFileSync(`${path}/etc/fstab`, `proc /proc proc defaults 0 0\n${fstab}`);
  return path;
}

/** An image with a boot partition, unless it has no table, and a root. `more` may change the root's folder first. */
export function makeImage(folder: string, kind: TableKind, name = `${kind}.img`, more: (root: string) => void = () => {}): Made {
  const path = `${folder}/${name}`;
  const root = tree(`${folder}/${name}.tree`, kind === 'none' ? '' : fstabs[kind]);
  more(root);
  mkdirSync(`${folder}/${name}.boot`);
  writeFileSync(`${folder}/${name}.boot/cmdline.txt`, 'console=tty1\n');
  writeFileSync(path, '');
  truncateSync(path, imageSize);
  if (kind !== 'none') spawnSync('sfdisk', ['--quiet', path], { input: tables[kind] });
  const from = kind === 'none' ? 0 : rootAt;
  if (kind !== 'none') says('mke2fs', '-q', '-t', 'ext4', '-L', 'bootfs', '-d', `${folder}/${name}.boot`, '-E', `offset=${bootAt}`, path, `${(rootAt - bootAt - MiB) / 1024}k`);
  says('mke2fs', '-q', '-t', 'ext4', '-d', root, '-E', `offset=${from}`, path, `${(imageSize - from - MiB) / 1024}k`);
  says('rm', '-rf', root, `${folder}/${name}.boot`);
  return { path, kind, root: from };
}

/** What e2fsck finds wrong with each file system of an image; nothing: all are clean. */
export function mistakes({ path, kind, root }: Pick<Made, 'path' | 'kind' | 'root'>): string[] {
  return (kind === 'none' ? [root] : [bootAt, root]).flatMap((offset) => {
    const { status, stdout, stderr } = spawnSync('e2fsck', ['-fn', `${path}?offset=${offset}`], { encoding: 'utf8' });
    // A journal that is to be replayed is repaired at the next mount: it was not unmounted all the same.
    return status === 0 && !/recovering journal|not cleanly unmounted/.test(stdout + stderr) ? [] : [`at ${offset}: ${stdout}${stderr}`];
  });
}

/** What debugfs says of a file system in an image. */
export const asks = ({ path }: Pick<Made, 'path'>, offset: number, request: string): string => says('debugfs', '-R', request, `${path}?offset=${offset}`);

/** Names in a folder. */
export const names = (image: Pick<Made, 'path'>, offset: number, folder: string): string[] => asks(image, offset, `ls -p ${folder}`).split('\n').flatMap((line) => line.split('/')[5] ?? []).filter((name) => name !== '.' && name !== '..').sort();

export const sum = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Loop devices over a file, by losetup's word. */
export const loopsOver = (path: string): string[] => (existsSync(path) && statSync(path).isFile() ? says('losetup', '--associated', path).split('\n').filter(Boolean) : []);
