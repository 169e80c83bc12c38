import { chmodSync, chownSync, closeSync, constants, fchmodSync, fchownSync, fstatSync, ftruncateSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, realpathSync, renameSync, rmdirSync, type Stats, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { Complaint, reasons } from '../errors.ts';
import type { Changes, Host, Stat } from '../host.ts';
import { readMounts } from '../probe.ts';
import type { Owner } from '../step.ts';
import { inRoot, onHost, type Way, withItself } from './held.ts';

/** Small things, one after the other: a call of the system here and now takes a tenth of the time that it takes by way of Node's threads. */

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/** What `read` gives, or `otherwise` where nothing is there. */
function unlessAbsent<T, U>(read: () => T, otherwise: U): T | U {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return otherwise;
    throw error;
  }
}

/** A failure of the system in a person's words: what was done to which file, and why it was refused. */
async function told<T>(what: string, doing: () => T | Promise<T>): Promise<T> {
  try {
    return await doing();
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (!code) throw error;
    const more = path && !path.startsWith('/proc/self/fd/') && !what.includes(path) ? ` (${path})` : ''; // the way by a folder that is held tells nobody anything
    throw new Complaint(`cannot ${what}${more}: ${reasons[code] ?? code}`, undefined, { cause: error });
  }
}

const kindOf = (stat: Stats): Stat['kind'] =>
  stat.isDirectory() ? 'directory' : stat.isFile() ? 'file' : stat.isSymbolicLink() ? 'link' : stat.isSocket() ? 'socket' : 'other';

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // what went wrong before is to be told
  }
}

/** At once under its own name: a kill leaves nothing under one that no way back knows. */
function writeNew(path: string, data: string | Uint8Array, mode: number, owner?: Owner): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(file, data);
    if (owner) fchownSync(file, owner.uid, owner.gid);
    fchmodSync(file, mode);
  } finally {
    closeSync(file);
  }
}

function write(way: string, data: string | Uint8Array, mode: number, owner?: Owner): void {
  if (data.length === 0 && !lstatSync(way, { throwIfNoEntry: false })) {
    writeNew(way, data, mode, owner); // a place that is to be covered, in somebody's root
    return;
  }
  const partial = `${way}.${process.pid}.new`;
  const file = openSync(partial, 'wx', 0o600); // narrow until it has its owner
  try {
    try {
      writeFileSync(file, data);
      if (owner) fchownSync(file, owner.uid, owner.gid);
      fchmodSync(file, mode);
    } finally {
      closeSync(file);
    }
    renameSync(partial, way);
  } catch (error) {
    removeQuietly(partial);
    throw error;
  }
}

/** What is in a plain file, or in one of the kernel's; null: nothing is there, or something else, which could keep us waiting. `flags`: whether a link is followed. */
function textOf(way: string, flags: number): string | null {
  const file = openSync(way, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | flags);
  try {
    return fstatSync(file).isFile() ? readFileSync(file, 'utf8') : null;
  } finally {
    closeSync(file);
  }
}

/** Whether a living process still uses the file: as the one whose number is in it, as its listener, or by a lock. */
function isHeld(path: string, way: string, stat: Stats): boolean {
  if (stat.isSocket()) return readFileSync('/proc/net/unix', 'utf8').split('\n').some((line) => line.endsWith(` ${path}`));
  if (!stat.isFile()) return false;
  const locks = readFileSync('/proc/locks', 'utf8');
  if (locks.split('\n').some((line) => line.split(/\s+/)[5]?.endsWith(`:${stat.ino}`))) return true;
  const number = stat.size < 64 ? Number.parseInt(unlessAbsent(() => textOf(way, constants.O_NOFOLLOW), null) ?? '', 10) : Number.NaN;
  if (!Number.isInteger(number) || number <= 0) return false;
  const state = unlessAbsent(() => readFileSync(`/proc/${number}/stat`, 'utf8'), null);
  return state !== null && !/^\d+ \(.*\) Z/s.test(state); // one that is dead and not yet collected holds nothing
}

function removeLeftover(path: string, way: string): void {
  const stat = unlessAbsent(() => lstatSync(way), null);
  if (!stat || (!stat.isDirectory() && isHeld(path, way, stat))) return;
  try {
    if (stat.isDirectory()) rmdirSync(way);
    else unlinkSync(way);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(codeOf(error))) throw error;
  }
}

/** Mount points at or below `path`, deepest last. */
export const mountsBelow = (path: string): string[] => readMounts().map(({ at }) => at).filter((at) => at === path || at.startsWith(`${path}/`));

/** A folder that nobody has put another one in the place of before it has its owner. */
function makeFolder(way: string, mode: number, owner?: Owner): void {
  mkdirSync(way, { mode: 0o700 });
  const folder = openSync(way, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    if (owner) fchownSync(folder, owner.uid, owner.gid);
    fchmodSync(folder, mode); // mkdir's own mode is cut by the umask
  } finally {
    closeSync(folder);
  }
}

function remove(way: string): void {
  if (!lstatSync(way).isDirectory()) {
    unlinkSync(way);
    return;
  }
  try {
    rmdirSync(way);
  } catch (error) {
    if (codeOf(error) !== 'ENOTEMPTY') throw error; // a folder that has gained something since is somebody else's too: it stays
  }
}

/** `by`: the way to a file; `named`: what people know it as. */
function changes(by: Way, named: (path: string) => string): Changes {
  const statOf = (path: string): Stat | null => {
    const stat = unlessAbsent(() => by(path, (way) => lstatSync(way)), null);
    return stat && { kind: kindOf(stat), uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777 };
  };
  return {
    stat: async (path) => statOf(path),
    kind: async (path) => statOf(path)?.kind ?? null,
    read: async (path) => unlessAbsent(() => by(path, (way) => textOf(way, constants.O_NOFOLLOW)), null),
    readLink: async (path) => unlessAbsent(() => by(path, (way) => (lstatSync(way).isSymbolicLink() ? readlinkSync(way) : null)), null),
    write: (path, data, mode, owner) => told(`write ${named(path)}`, () => by(path, (way) => write(way, data, mode, owner))),
    mkdir: (path, mode, owner) => told(`create ${named(path)}/`, () => by(path, (way) => makeFolder(way, mode, owner))),
    own: (path, mode, owner) => told(`give ${named(path)} its owner`, () => by(path, (way) => withItself(way, (self) => {
      chownSync(self, owner.uid, owner.gid);
      chmodSync(self, mode);
    }))),
    symlink: (to, path) => told(`link ${named(path)} to ${to}`, () => by(path, (way) => symlinkSync(to, way))),
    remove: (path) => told(`remove ${named(path)}`, () => by(path, remove)),
  };
}

/**
 * Writes to a file that a person names, whatever was in it; it is made where there is none. Root writes by way of no link, into no pipe and into no file that has other names: each of
 * these could be somebody else's doing. Throws a Complaint.
 */
export const overwrite = (path: string, data: Uint8Array): Promise<void> => told(`write ${path}`, () => {
  if (process.geteuid!() !== 0 || path === '/dev/stdout') return writeFileSync(path, data);
  return onHost(path, (way) => {
    const file = openSync(way, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY, 0o644);
    try {
      const stat = fstatSync(file);
      if (!stat.isFile() || stat.nlink !== 1) throw new Complaint(`${path} is not a file with this one name: root does not write to it`, 'name another file, or write as yourself');
      ftruncateSync(file, 0);
      writeFileSync(file, data);
    } finally {
      closeSync(file);
    }
  });
});

type Files = Changes & Pick<Host, 'within' | 'writeNew' | 'list' | 'resolve' | 'set' | 'rename' | 'removeLeftover' | 'isMounted' | 'mountsBelow'>;

export const files: Files = {
  ...changes(onHost, (path) => path),
  within: (root) => changes(inRoot(root), (path) => (root === '/' ? path : `${root}${path}`)),
  writeNew: (path, data, mode, owner) => told(`write ${path}`, () => onHost(path, (way) => writeNew(way, data, mode, owner))),
  // What is only looked at is looked at by whatever way leads there.
  async stat(path) {
    const stat = unlessAbsent(() => lstatSync(path), null);
    return stat && { kind: kindOf(stat), uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777 };
  },
  kind: async (path) => (await files.stat(path))?.kind ?? null,
  read: async (path) => unlessAbsent(() => textOf(path, 0), null),
  readLink: async (path) => ((await files.kind(path)) === 'link' ? unlessAbsent(() => readlinkSync(path), null) : null),
  list: async (path) => unlessAbsent(() => readdirSync(path), []),
  resolve: async (path) => unlessAbsent(() => realpathSync.native(path), null),
  set: (path, value) => told(`set ${path} to '${value}'`, () => writeFileSync(path, value, { flag: 'r+' })),
  rename: (from, to) => told(`rename ${from} to ${to}`, () => onHost(from, (old) => onHost(to, (way) => renameSync(old, way)))),
  removeLeftover: (path) => told(`remove ${path}`, () => unlessAbsent(() => onHost(path, (way) => removeLeftover(path, way)), undefined)),
  mountsBelow: async (path) => mountsBelow(path),
  isMounted: async (path) => readMounts().some(({ at }) => at === path),
};
