import { constants, type Stats } from 'node:fs';
import { chmod, chown, lchown, lstat, mkdir, open, readdir, readFile, realpath, rename, rmdir, symlink, unlink, writeFile } from 'node:fs/promises';
import { Complaint, reasons } from '../errors.ts';
import type { Host, Stat } from '../host.ts';
import { readMounts } from '../probe.ts';
import type { Owner } from '../step.ts';

/** What `read` gives, or `otherwise` where nothing is there. */
async function unlessAbsent<T, U>(read: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await read;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return otherwise;
    throw error;
  }
}

/** A failure of the system in a person's words: what was done to which file, and why it was refused. */
async function told<T>(what: string, doing: Promise<T>): Promise<T> {
  try {
    return await doing;
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (!code) throw error;
    throw new Complaint(`cannot ${what}${path && !what.includes(path) ? ` (${path})` : ''}: ${reasons[code] ?? code}`, undefined, { cause: error });
  }
}

const kindOf = (stat: Stats): Stat['kind'] =>
  stat.isDirectory() ? 'directory' : stat.isFile() ? 'file' : stat.isSymbolicLink() ? 'link' : stat.isSocket() ? 'socket' : 'other';

async function write(path: string, data: string | Uint8Array, mode: number, owner?: Owner): Promise<void> {
  const partial = `${path}.${process.pid}.new`;
  const file = await open(partial, 'wx', 0o600); // narrow until it has its owner
  try {
    await file.writeFile(data);
    if (owner) await file.chown(owner.uid, owner.gid);
    await file.chmod(mode);
    await file.close();
    await rename(partial, path);
  } catch (error) {
    await file.close().catch(() => {});
    await unlink(partial).catch(() => {});
    throw error;
  }
}

/** Whether a living process still uses the file: as the one whose number is in it, as its listener, or by a lock. */
async function isHeld(path: string, stat: Stats): Promise<boolean> {
  if (stat.isSocket()) return (await readFile('/proc/net/unix', 'utf8')).split('\n').some((line) => line.endsWith(` ${path}`));
  if (!stat.isFile()) return false;
  const locks = await readFile('/proc/locks', 'utf8');
  if (locks.split('\n').some((line) => line.split(/\s+/)[5]?.endsWith(`:${stat.ino}`))) return true;
  const number = stat.size < 64 ? Number.parseInt(await readFile(path, 'utf8'), 10) : Number.NaN;
  if (!Number.isInteger(number) || number <= 0) return false;
  const state = await unlessAbsent(readFile(`/proc/${number}/stat`, 'utf8'), null);
  return state !== null && !/^\d+ \(.*\) Z/s.test(state); // one that is dead and not yet collected holds nothing
}

async function removeLeftover(path: string): Promise<void> {
  const stat = await unlessAbsent(lstat(path), null);
  if (!stat || (!stat.isDirectory() && (await isHeld(path, stat)))) return;
  await (stat.isDirectory() ? rmdir(path) : unlink(path)).catch((error: NodeJS.ErrnoException) => {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(error.code ?? '')) throw error;
  });
}

/** Mount points at or below `path`, deepest last. */
export const mountsBelow = (path: string): string[] => readMounts().map(({ at }) => at).filter((at) => at === path || at.startsWith(`${path}/`));

type Files = Pick<Host, 'stat' | 'kind' | 'list' | 'resolve' | 'read' | 'write' | 'set' | 'copy' | 'mkdir' | 'own' | 'symlink' | 'rename' | 'remove' | 'removeLeftover' | 'isMounted'>;

export const files: Files = {
  async stat(path) {
    const stat = await unlessAbsent(lstat(path), null);
    return stat && { kind: kindOf(stat), uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777 };
  },
  kind: async (path) => (await files.stat(path))?.kind ?? null,
  list: (path) => unlessAbsent(readdir(path), []),
  resolve: (path) => unlessAbsent(realpath(path), null),
  read: (path) => unlessAbsent(readFile(path, 'utf8'), null),
  write: (path, data, mode, owner) => told(`write ${path}`, write(path, data, mode, owner)),
  set: (path, value) => told(`set ${path} to '${value}'`, writeFile(path, value, { flag: 'r+' })),
  copy: (from, to, mode, owner) => told(`copy ${from} to ${to}`, (async () => {
    // Not through a link: the source may be in a folder of somebody else's, and we are root.
    const source = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      await write(to, await source.readFile(), mode, owner);
    } finally {
      await source.close();
    }
  })()),
  mkdir: (path, mode, owner) => told(`create ${path}/`, (async () => {
    await mkdir(path, { mode: 0o700 });
    if (owner) await chown(path, owner.uid, owner.gid);
    await chmod(path, mode); // mkdir's own mode is cut by the umask
  })()),
  own: (path, mode, owner) => told(`give ${path} its owner`, (async () => {
    await lchown(path, owner.uid, owner.gid);
    await chmod(path, mode);
  })()),
  symlink: (to, path) => told(`link ${path} to ${to}`, symlink(to, path)),
  rename: (from, to) => told(`rename ${from} to ${to}`, rename(from, to)),
  remove: (path) => told(`remove ${path}`, (async () => {
    const stat = await lstat(path);
    // A folder that has gained something since is somebody else's too: it stays.
    if (stat.isDirectory()) return rmdir(path).catch((error: NodeJS.ErrnoException) => (error.code === 'ENOTEMPTY' ? undefined : Promise.reject(error)));
    return unlink(path);
  })()),
  removeLeftover: (path) => told(`remove ${path}`, removeLeftover(path)),
  isMounted: async (path) => readMounts().some(({ at }) => at === path),
};

