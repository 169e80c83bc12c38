import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, realpathSync, type Stats } from 'node:fs';
import { basename, dirname, resolve } from 'node:path/posix';
import { attempt } from '../attempt.ts';
import { Complaint } from '../errors.ts';
import { leadsOutside } from '../layers.ts';

/**
 * Files in folders that somebody else can change meanwhile. Whatever is done to one is done by way of its folder, which is held open: the folders on
 * the way are opened one after the other, so that nobody can put a link in the way between a look and an act. It is what RESOLVE_NO_SYMLINKS and
 * RESOLVE_BENEATH do in openat2(2), which Node does not have; native/held.c does the same.
 */

/** open(2): nothing of the file is opened, so that no pipe is waited for and no device notices. The number is that of all processors that Node runs on. */
const path_ = 0o10000000;
const folderFlags = path_ | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** path_resolution(7). */
const mostLinks = 40;

/** Paths below a descriptor are those of openat(2): nobody can put a link in their way. */
export const below = (folder: number, name: string): string => `/proc/self/fd/${folder}/${name}`;

const failure = (code: string, path: string): NodeJS.ErrnoException => Object.assign(new Error(`${code}: ${path}`), { code, path });

interface Rules {
  /** Throws where a link may not be followed. */
  link(link: Stats, folder: number, name: string, to: string): void;
  /** What becomes of '..' at the beginning. */
  above(): void;
  circle(): never;
}

/** The folder that a path leads to from `top`, opened; `top` is closed. */
function walk(top: number, path: string, rules: Rules): number {
  const way = [top];
  let names = path.split('/');
  let links = 0;
  try {
    while (names.length > 0) {
      const name = names.shift()!;
      if (name === '' || name === '.') continue;
      const at = way.at(-1)!;
      if (name === '..') {
        if (way.length === 1) rules.above();
        else closeSync(way.pop()!);
        continue;
      }
      const stat = lstatSync(below(at, name));
      if (!stat.isSymbolicLink()) {
        way.push(openSync(below(at, name), folderFlags));
        continue;
      }
      if (++links > mostLinks) rules.circle();
      const to = readlinkSync(below(at, name));
      rules.link(stat, at, name, to);
      if (to.startsWith('/')) while (way.length > 1) closeSync(way.pop()!);
      names = [...to.split('/'), ...names];
    }
    return way.pop()!;
  } finally {
    for (const folder of way) closeSync(folder);
  }
}

/** Nobody but root can have put the link there, nor can put another one in its place. Who is not root has no more rights than the link's maker could use. */
function isTrusted(link: Stats, folder: number): boolean {
  if (process.geteuid!() !== 0) return true;
  const { uid, gid, mode } = fstatSync(folder);
  const isClosed = (mode & 0o002) === 0 && ((mode & 0o020) === 0 || gid === 0);
  return link.uid === 0 && uid === 0 && (isClosed || (mode & 0o1000) !== 0);
}

const top = (): number => openSync('/', folderFlags);

/** A folder of the host, opened: links are followed that are root's own. */
const folderOf = (path: string): number => walk(top(), path, {
  link(link, folder, name) {
    if (isTrusted(link, folder)) return;
    const at = `${attempt(() => readlinkSync(`/proc/self/fd/${folder}`), '...').replace(/\/$/, '')}/${name}`;
    const real = attempt(() => realpathSync(path), null);
    throw new Complaint(`${at} is a link that others than root can change: nothing is done by way of it`, `name the place itself${real ? `: ${real}` : ''}`);
  },
  above() {},
  circle() {
    throw failure('ELOOP', path);
  },
});

/** A folder of a root, opened: links are followed within the root alone. Throws leadsOutside(). */
function folderIn(root: string, path: string): number {
  const isHost = root === '/';
  const refuse = (to: string | null) => {
    throw leadsOutside(path, to);
  };
  return walk(folderOf(root), path, {
    link: (_, folder, name, to) => void (to.startsWith('/') && !isHost && refuse(attempt(() => realpathSync(below(folder, name)), to))),
    above: () => void (isHost || refuse(null)),
    circle: () => refuse(null),
  });
}

/** Where things are done: a way to a file, by its folder, that is good as long as `use` runs (which must not wait for anything). */
export type Way = <T>(path: string, use: (way: string) => T) => T;

const by = (open: (folder: string) => number): Way => (path, use) => {
  const name = basename(path);
  if (name === '' || name === '..') throw failure('EISDIR', path);
  const folder = open(dirname(path));
  try {
    return use(below(folder, name));
  } finally {
    closeSync(folder);
  }
};

/** To files of the host. Throws as open(2) does, or a Complaint for a link that others than root can change. */
export const onHost: Way = (path, use) => by(folderOf)(resolve(path), use);

/** To files of a root, or of a layer of one, which may be hostile; paths are those in it. */
export const inRoot = (root: string): Way => by((folder) => folderIn(root, folder));

/** Opens a file and no link, and waits for no pipe; a terminal does not become ours. */
export const openHeld = (path: string, flags: number, mode?: number): number => onHost(path, (way) => openSync(way, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY, mode));

/** The file itself, whatever it is, without opening it: a path that leads to it alone, whoever has its name by then. */
export function withItself<T>(way: string, use: (self: string) => T): T {
  const file = openSync(way, path_ | constants.O_NOFOLLOW);
  try {
    return use(`/proc/self/fd/${file}`);
  } finally {
    closeSync(file);
  }
}
