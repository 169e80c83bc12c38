import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, fchmodSync, fchownSync, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, readSync, realpathSync, renameSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Complaint, packages, type ProgramName, reasons } from '../errors.ts';
import { unable } from './distribution.ts';
import type { Facts, VolumeFact } from '../facts.ts';
import type { Images } from '../host.ts';
import type { Read } from '../image/table.ts';
import { programFolders, readVolume } from '../probe.ts';
import type { ImageFile } from '../step.ts';
import { onHost, openHeld } from './held.ts';
import { lockOn } from './session.ts';

/** Disk images: files, and block devices. */

/** Seconds in which a program that was killed with its nestbox is gone. */
const patience = 10;

/** An image that is open to be read. */
export interface OpenImage {
  /** Without links. */
  file: ImageFile;
  kind: 'file' | 'block';
  /** Bytes. */
  size: number;
  /** Bytes that the file takes of its disk; of a device all. */
  allocated: number;
  read: Read;
  /** Names that the file has. */
  links: number;
  /** Bytes that are free on the disk that the file is on, for whoever is not root too. */
  free: number;
  close(): void;
}

/** The length of a device, as the kernel has it: sectors of 512 bytes, whatever it has itself. */
function deviceSize(path: string): number {
  const { rdev } = statSync(path);
  const name = readVolume(path, '/').device;
  const size = name ? Number(readFileSync(`/sys/class/block/${name}/size`, 'utf8')) * 512 : Number.NaN;
  if (!Number.isFinite(size)) throw new Complaint(`the kernel does not say how large ${path} is (device ${rdev})`);
  return size;
}

const readerOf = (file: number): Read => (offset, length) => {
  const bytes = Buffer.alloc(length);
  let got = 0;
  while (got < length) {
    const count = readSync(file, bytes, got, length - got, offset + got);
    if (count === 0) break;
    got += count;
  }
  return bytes.subarray(0, got);
};

/** Opens an image to be read; a Complaint for what is none. */
export function openImage(named: string): OpenImage {
  let path: string;
  let file: number;
  try {
    path = realpathSync(named);
    const stat = statSync(path);
    if (stat.isDirectory()) throw new Complaint(`${named} is a folder`, 'name a disk image, or a block device');
    if (!stat.isFile() && !stat.isBlockDevice()) throw new Complaint(`${named} is no file and no block device`, 'name a disk image, or a block device');
    file = openHeld(path, constants.O_RDONLY);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!code) throw error;
    throw new Complaint(`cannot read ${named}: ${reasons[code] ?? code}`);
  }
  const stat = statSync(path);
  const kind = stat.isFile() ? 'file' : 'block';
  const { bavail, bsize } = statfsSync(path);
  const size = kind === 'file' ? stat.size : deviceSize(path);
  return {
    file: { path, inode: kind === 'file' ? stat.ino : null }, kind, size, allocated: kind === 'file' ? stat.blocks * 512 : size, read: readerOf(file), links: stat.nlink, free: bavail * bsize,
    close: () => closeSync(file),
  };
}

/** Who has the device, or a part of it, or what is made of it: each in a person's words. */
function usesOfDevice(path: string, { device, devices, mounted, swaps }: VolumeFact): string[] {
  if (!device) return [];
  const above = (below: string): string[] => Object.entries(devices).filter(([, { of, disk }]) => of.includes(below) || disk === below).flatMap(([name]) => [name, ...above(name)]);
  const all = [...new Set([device, ...above(device)])];
  const loops = Object.keys(devices).filter((name) => name.startsWith('loop') && all.some((one) => backingOf(name) === `/dev/${one}`));
  return all.flatMap((name) => [
    ...mounted.filter((one) => one.device === name).map(({ at }) => (at === '/' ? `it holds the running system (/dev/${name} is mounted on /)` : `/dev/${name} is mounted on ${at}`)),
    ...(swaps.includes(name) ? [`/dev/${name} is swap space of this host`] : []),
    ...(devices[name]?.mapper ? [`it is open as /dev/mapper/${devices[name].mapper.name}`] : name !== device && !devices[name]?.disk ? [`/dev/${name} is made of it`] : []),
  ]).concat(loops.map((name) => `/dev/${name} is over ${path}`));
}

const backingOf = (loop: string): string => {
  try {
    return readFileSync(`/sys/class/block/${loop}/loop/backing_file`, 'utf8').trim();
  } catch {
    return '';
  }
};

const isLeaving = (loop: string): boolean => {
  try {
    return readFileSync(`/sys/class/block/${loop}/loop/autoclear`, 'utf8').trim() === '1';
  } catch {
    return true;
  }
};

/** What uses an image, in a person's words: mounts, loop devices, locks (of virtual machines, and of other nestboxes). Nothing in here writes to it. */
export function usesOfImage({ path, inode }: ImageFile): string[] {
  const fact = readVolume(path, '/');
  if (inode === null) return [...usesOfDevice(path, fact), ...exclusive(path)].slice(0, 5);
  const loops = Object.keys(fact.devices).filter((name) => {
    const backing = name.startsWith('loop') ? backingOf(name) : '';
    const stat = backing ? statSync(backing, { throwIfNoEntry: false }) : undefined;
    return backing === path || (stat?.ino === inode && stat.dev === statSync(path).dev);
  });
  const mounts = loops.flatMap((name) => usesOfDevice(`/dev/${name}`, { ...fact, device: name }));
  // One that goes with its last user is perhaps going: nestbox-native waits for these, and refuses what stays.
  const staying = loops.filter((name) => !isLeaving(name) || mounts.length > 0);
  return [...staying.map((name) => `/dev/${name} is over it`), ...mounts, ...swapFiles(path), ...locks(inode)];
}

const swapFiles = (path: string): string[] => (readFileSync('/proc/swaps', 'utf8').split('\n').some((line) => line.split(/\s/)[0] === path) ? ['it is swap space of this host'] : []);

/** proc(5): TYPE ADVISORY WRITE PID MAJOR:MINOR:INODE. */
const locks = (inode: number): string[] => readFileSync('/proc/locks', 'utf8').split('\n').map((line) => line.split(/\s+/)).filter((fields) => fields.includes('WRITE') && fields.some((field) => field.endsWith(`:${inode}`)))
  .map((fields) => {
    const pid = fields[4] ?? '';
    try {
      return `process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}) has locked it`;
    } catch {
      return 'a program has locked it';
    }
  });

/** The kernel's own word, for what is mounted where we do not see it: a device with a user is opened by no other alone. */
function exclusive(path: string): string[] {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_EXCL));
    return [];
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBUSY' ? ['the kernel says that it is in use'] : [];
  }
}

/** Bytes of a file in an ext file system that are read, and how long that may take: it may be a hostile one. */
const [longestInside, patienceInside] = [2 ** 16, 5000];

/** The beginning of a file in an ext file system at `start` of an image, without mounting it; empty: it is not there. Links at the end of the name are not followed. */
export function readInsideExt(debugfs: string, path: string, start: number, name: string): Buffer {
  const file = openHeld(path, constants.O_RDONLY);
  try {
    const { stdout } = spawnSync(debugfs, ['-R', `cat ${name}`, `/proc/self/fd/3?offset=${start}`], { env: { PATH: programFolders.join(':'), LANG: 'C.UTF-8', DEBUGFS_PAGER: 'none' }, stdio: ['ignore', 'pipe', 'ignore', file], timeout: patienceInside, maxBuffer: longestInside, cwd: '/' });
    return stdout?.subarray(0, longestInside) ?? Buffer.alloc(0);
  } finally {
    closeSync(file);
  }
}

/** open(2): a file without a name. The number is that of all processors that Node runs on. */
const nameless = 0o20000000 | constants.O_DIRECTORY;

const packingEnd = '.packing';

/** A new file in the folder of `to`, that is not there under that name yet, and what gives it the name: never over what is there by then. It is gone with us until then, where its file system has files without a name; else `clear` removes it. */
function unnamed(programs: Facts['programs'], to: string): { file: number; give(): void; clear(): void } {
  try {
    const file = onHost(to, (way) => openSync(dirname(way), constants.O_WRONLY | nameless, 0o600));
    const give = () => {
      // linkat(2) with AT_SYMLINK_FOLLOW; Node has link(2) alone.
      const { status, stderr } = onHost(to, (way) => spawnSync(programs.ln!, ['--logical', '--no-target-directory', '/proc/self/fd/3', way.replace('self', `${process.pid}`)], { env: { PATH: programFolders.join(':'), LANG: 'C.UTF-8' }, stdio: ['ignore', 'ignore', 'pipe', file], encoding: 'utf8', cwd: '/' }));
      if (status !== 0) throw new Complaint(`${to} cannot be made`, stderr.trim());
    };
    return { file, give, clear: () => {} };
  } catch (error) {
    // EISDIR: a kernel, EOPNOTSUPP: a file system (FAT, NFS) that has none.
    if (!['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  // Always the same name: what was cut off is written over by the next.
  const partial = `${to}${packingEnd}`;
  const file = openHeld(partial, constants.O_WRONLY | constants.O_CREAT, 0o600);
  const stat = fstatSync(file);
  if (!stat.isFile() || stat.nlink !== 1) {
    closeSync(file);
    throw new Complaint(`${partial} is there already, and is not what was left of a file that was cut off`, 'move it away');
  }
  if (!lockOn(file, programs)) {
    closeSync(file);
    throw new Complaint(`${partial} is being written by another nestbox`, 'wait for its end');
  }
  ftruncateSync(file, 0);
  const give = () => {
    if (existsSync(to)) throw new Complaint(`${to} is there already`, 'move it away');
    onHost(to, (way) => renameSync(`${way}${packingEnd}`, way));
  };
  return { file, give, clear: () => onHost(partial, (way) => rmSync(way, { force: true })) };
}

/** Writes what a program makes of an image to `to`, whole or not at all; returns its size. The file has the image's owner. */
export async function pack(programs: Facts['programs'], argv: readonly string[], { file }: OpenImage, to: string): Promise<number> {
  const source = openHeld(file.path, constants.O_RDONLY);
  const { file: target, give, clear } = unnamed(programs, to);
  let stopped: NodeJS.Signals | null = null;
  try {
    const child = spawn(programs['nestbox-native']!, ['launch', '--die-with', `${process.pid}`, '--', programs[argv[0] as ProgramName]!, ...argv.slice(1)], { env: { PATH: programFolders.join(':'), LANG: 'C.UTF-8' }, stdio: [source, target, 'pipe'], cwd: '/' });
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => { said += text; });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { stopped = signal; child.kill(); });
    const code = await new Promise<number | null>((resolve, reject) => { child.once('error', reject); child.once('close', resolve); });
    if (stopped) throw new Complaint(`stopped by ${stopped}: nothing is left of it`);
    if (code !== 0) throw new Complaint(`${file.path} is not packed: ${argv[0]} ended with ${code}`, said.trim().split('\n').slice(-3).join('\n'));
    const { uid, gid, mode } = statSync(file.path);
    fchownSync(target, uid, gid);
    fchmodSync(target, mode & 0o666);
    fsyncSync(target);
    give();
    return statSync(to).size;
  } finally {
    clear();
    closeSync(target);
    closeSync(source);
  }
}

export function imagesOf(programs: Facts['programs']): Images {
  /** Path -> descriptor of those that are written to. Locked by whoever is first to need it: what is started for one has the lock too, and it is there as long as any of them is. */
  const held = new Map<string, { file: number; locked: boolean }>();

  const open = (image: ImageFile): { file: number; locked: boolean } => {
    const known = held.get(image.path);
    if (known) return known;
    let file: number;
    try {
      file = openHeld(image.path, constants.O_RDWR);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Complaint(`cannot write ${image.path}: ${reasons[code!] ?? code}`);
    }
    const stat = fstatSync(file);
    // A copy is ours alone: with a second name it is another file, which somebody has put there.
    if (image.inode === null ? stat.isFile() && stat.nlink !== 1 : stat.ino !== image.inode) throw new Complaint(`another file has the name ${image.path} by now`);
    const made = { file, locked: false };
    held.set(image.path, made);
    return made;
  };

  const hold = (image: ImageFile): number => {
    const one = open(image);
    if (!one.locked && !lockOn(one.file, programs, patience)) throw new Complaint(`${image.path} is in use: another program has locked it`, 'wait for its end');
    one.locked = true;
    return one.file;
  };

  const told = <T>(image: ImageFile, doing: () => T): T => {
    try {
      return doing();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!code) throw error;
      throw new Complaint(`cannot write ${image.path}: ${code === 'EFBIG' ? 'its file system has no files of that size' : (reasons[code] ?? code)}`);
    }
  };

  const find = (name: ProgramName): string => {
    if (!Object.hasOwn(packages, name)) throw new Error(`'${name}' is not in the table of programs`);
    const path = programs[name];
    if (!path) throw unable(name, 'work on a disk image');
    return path;
  };

  return {
    async length({ path, inode }) {
      const stat = statSync(path, { throwIfNoEntry: false });
      if (!stat) return null;
      if (stat.isBlockDevice()) return inode === null ? deviceSize(path) : null;
      return stat.isFile() && (inode === null || stat.ino === inode) ? stat.size : null;
    },
    reader(image) {
      const file = held.get(image.path)?.file;
      if (file !== undefined) return readerOf(file);
      return (offset, length) => {
        const once = openHeld(image.path, constants.O_RDONLY);
        try {
          return readerOf(once)(offset, length);
        } finally {
          closeSync(once);
        }
      };
    },
    keep: async (image) => void open(image),
    resize: async (image, length) => told(image, () => {
      const file = hold(image);
      ftruncateSync(file, length);
      fsyncSync(file);
    }),
    write: async (image, changes) => told(image, () => {
      const file = hold(image);
      for (const { at, after } of changes) {
        const bytes = Buffer.from(after, 'base64');
        if (writeSync(file, bytes, 0, bytes.length, at) !== bytes.length) throw new Complaint(`cannot write ${image.path}: the disk takes no more`);
        fdatasyncSync(file);
      }
    }),
    async copy(image, copy) {
      hold(image);
      const argv = [find('nestbox-native'), 'launch', '--die-with', `${process.pid}`, '--', find('cp'), '--preserve=all', '--reflink=auto', '--sparse=always', '--remove-destination', '--no-target-directory', image.path, `./${basename(copy)}`];
      // It begins in the folder of the copy, which is held until it is there.
      const { code, stderr } = await onHost(copy, (way) => ran(spawn(argv[0]!, argv.slice(1), { env: { PATH: programFolders.join(':'), LANG: 'C.UTF-8' }, stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: dirname(way) })));
      if (code !== 0) throw new Complaint(`${image.path} cannot be copied to ${copy}`, stderr.trim());
      hold({ path: copy, inode: null });
    },
    replace: async (image, copy) => told(image, () => {
      fsyncSync(hold({ path: copy, inode: null }));
      onHost(copy, (way) => onHost(image.path, (old) => renameSync(way, old)));
      const folder = openSync(dirname(image.path), constants.O_RDONLY);
      fsyncSync(folder);
      closeSync(folder);
    }),
    work(image, { start, size }, { mount, write, bare }, argv) {
      const own = write || held.has(image.path) ? null : openHeld(image.path, constants.O_RDONLY);
      const ours = own === null ? open(image) : null;
      const words = ['partition', '3', `${start}`, `${size}`, ...(ours && !ours.locked ? ['--lock'] : []), ...(bare ? ['--bare'] : []), ...(write ? [] : ['--read-only']), ...(mount ? ['--mount', mount] : []), '--die-with', `${process.pid}`, '--', find(argv[0] as ProgramName), ...argv.slice(1)];
      // A session of its own: Ctrl-C is for us, and none of these programs likes to be stopped in between.
      const child = spawn(find('nestbox-native'), words, { env: { PATH: programFolders.join(':'), LANG: 'C.UTF-8' }, stdio: ['ignore', 'pipe', 'pipe', own ?? ours!.file], detached: true, cwd: '/' });
      return ran(child).then((result) => {
        if (result.code === busy) throw new Complaint(`${image.path}: ${result.stderr.trim().split('\n')[0]}`, result.stderr.trim().split('\n').slice(1).join('\n'));
        if (ours) ours.locked = true;
        return result;
      }).finally(() => {
        if (own !== null) closeSync(own);
      });
    },
  };
}

/** Exit status of nestbox-native where somebody else has the image. */
const busy = 200;

/** Of what a program says: its last words. */
const longestSaid = 2 ** 16;

function ran(child: ChildProcess): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => { stdout = (stdout + text).slice(-longestSaid); });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => { stderr = (stderr + text).slice(-longestSaid); });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: signal ? 137 : (code ?? 1), stdout, stderr }));
  });
}
