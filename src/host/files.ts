import { chmodSync, chownSync, closeSync, fchmodSync, fchownSync, lchownSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, realpathSync, renameSync, rmdirSync, type Stats, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { Complaint, reasons } from '../errors.ts';
import type { Host, Stat } from '../host.ts';
import { readMounts } from '../probe.ts';
import type { Owner } from '../step.ts';

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
    throw new Complaint(`cannot ${what}${path && !what.includes(path) ? ` (${path})` : ''}: ${reasons[code] ?? code}`, undefined, { cause: error });
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

/** At once under its own name: a place that is to be covered is made in somebody's root, where a kill must leave nothing under a name that no way back knows. */
function writeEmpty(path: string, mode: number, owner?: Owner): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    if (owner) fchownSync(file, owner.uid, owner.gid);
    fchmodSync(file, mode);
  } finally {
    closeSync(file);
  }
}

function write(path: string, data: string | Uint8Array, mode: number, owner?: Owner): void {
  if (data.length === 0 && !lstatSync(path, { throwIfNoEntry: false })) {
    writeEmpty(path, mode, owner);
    return;
  }
  const partial = `${path}.${process.pid}.new`;
  const file = openSync(partial, 'wx', 0o600); // narrow until it has its owner
  try {
    try {
      writeFileSync(file, data);
      if (owner) fchownSync(file, owner.uid, owner.gid);
      fchmodSync(file, mode);
    } finally {
      closeSync(file);
    }
    renameSync(partial, path);
  } catch (error) {
    removeQuietly(partial);
    throw error;
  }
}

/** Whether a living process still uses the file: as the one whose number is in it, as its listener, or by a lock. */
function isHeld(path: string, stat: Stats): boolean {
  if (stat.isSocket()) return readFileSync('/proc/net/unix', 'utf8').split('\n').some((line) => line.endsWith(` ${path}`));
  if (!stat.isFile()) return false;
  const locks = readFileSync('/proc/locks', 'utf8');
  if (locks.split('\n').some((line) => line.split(/\s+/)[5]?.endsWith(`:${stat.ino}`))) return true;
  const number = stat.size < 64 ? Number.parseInt(readFileSync(path, 'utf8'), 10) : Number.NaN;
  if (!Number.isInteger(number) || number <= 0) return false;
  const state = unlessAbsent(() => readFileSync(`/proc/${number}/stat`, 'utf8'), null);
  return state !== null && !/^\d+ \(.*\) Z/s.test(state); // one that is dead and not yet collected holds nothing
}

function removeLeftover(path: string): void {
  const stat = unlessAbsent(() => lstatSync(path), null);
  if (!stat || (!stat.isDirectory() && isHeld(path, stat))) return;
  try {
    if (stat.isDirectory()) rmdirSync(path);
    else unlinkSync(path);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(codeOf(error))) throw error;
  }
}

/** Mount points at or below `path`, deepest last. */
export const mountsBelow = (path: string): string[] => readMounts().map(({ at }) => at).filter((at) => at === path || at.startsWith(`${path}/`));

type Files = Pick<Host, 'stat' | 'kind' | 'list' | 'resolve' | 'read' | 'readLink' | 'write' | 'set' | 'mkdir' | 'own' | 'symlink' | 'rename' | 'remove' | 'removeLeftover' | 'isMounted' | 'mountsBelow'>;

export const files: Files = {
  async stat(path) {
    const stat = unlessAbsent(() => lstatSync(path), null);
    return stat && { kind: kindOf(stat), uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777 };
  },
  kind: async (path) => (await files.stat(path))?.kind ?? null,
  list: async (path) => unlessAbsent(() => readdirSync(path), []),
  resolve: async (path) => unlessAbsent(() => realpathSync.native(path), null),
  read: async (path) => unlessAbsent(() => readFileSync(path, 'utf8'), null),
  readLink: async (path) => ((await files.kind(path)) === 'link' ? unlessAbsent(() => readlinkSync(path), null) : null),
  write: (path, data, mode, owner) => told(`write ${path}`, () => write(path, data, mode, owner)),
  set: (path, value) => told(`set ${path} to '${value}'`, () => writeFileSync(path, value, { flag: 'r+' })),
  mkdir: (path, mode, owner) => told(`create ${path}/`, () => {
    mkdirSync(path, { mode: 0o700 });
    if (owner) chownSync(path, owner.uid, owner.gid);
    chmodSync(path, mode); // mkdir's own mode is cut by the umask
  }),
  own: (path, mode, owner) => told(`give ${path} its owner`, () => {
    lchownSync(path, owner.uid, owner.gid);
    chmodSync(path, mode);
  }),
  symlink: (to, path) => told(`link ${path} to ${to}`, () => symlinkSync(to, path)),
  rename: (from, to) => told(`rename ${from} to ${to}`, () => renameSync(from, to)),
  remove: (path) => told(`remove ${path}`, () => {
    if (!lstatSync(path).isDirectory()) return unlinkSync(path);
    try {
      rmdirSync(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY') throw error; // a folder that has gained something since is somebody else's too: it stays
    }
  }),
  removeLeftover: (path) => told(`remove ${path}`, () => removeLeftover(path)),
  mountsBelow: async (path) => mountsBelow(path),
  isMounted: async (path) => readMounts().some(({ at }) => at === path),
};
