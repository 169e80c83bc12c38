import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path/posix';
import { below } from './held.ts';

/**
 * Files of a machine's root, which may be hostile and may be running: each folder on the way is opened by itself, and no link is followed but
 * within the root. `layers`: its folders, uppermost first, as an overlay shows them.
 */

type Found = { file: number } | { link: string } | 'gone' | 'absent';

/** As far as one layer tells. A file that is opened is the caller's to close. */
function openIn(layer: string, path: string, folder: boolean): Found {
  const names = path.split('/').filter(Boolean);
  let at = openSync(layer, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const [i, name] of names.entries()) {
      const stat = lstatSync(below(at, name), { throwIfNoEntry: false });
      if (!stat) return 'absent';
      if (stat.isSymbolicLink()) {
        const to = readlinkSync(below(at, name));
        return { link: join('/', ...(to.startsWith('/') ? [] : names.slice(0, i)), to, ...names.slice(i + 1)) };
      }
      if (stat.isCharacterDevice() && stat.rdev === 0) return 'gone'; // an overlay's word for it
      const isLast = i === names.length - 1;
      if (isLast && !folder ? !stat.isFile() : !stat.isDirectory()) return 'gone';
      const next = openSync(below(at, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | (isLast && !folder ? 0 : constants.O_DIRECTORY));
      closeSync(at);
      at = next;
    }
    const found = at;
    at = -1;
    return { file: found };
  } catch {
    return 'gone'; // it has been changed meanwhile
  } finally {
    if (at >= 0) closeSync(at);
  }
}

/** Whether `path` is there; follows links as programs inside would. */
function open(layers: readonly string[], path: string, links = 20): number | null {
  for (const layer of layers) {
    const found = openIn(layer, path, false);
    if (found === 'absent') continue;
    if (found === 'gone') return null;
    if ('link' in found) return links === 0 ? null : open(layers, found.link, links - 1);
    return found.file;
  }
  return null;
}

/** What is in a file; null: there is none, or it is larger than `limit` bytes. */
export function readInRoot(layers: readonly string[], path: string, limit: number): Buffer | null {
  const file = open(layers, path);
  if (file === null) return null;
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > limit) return null;
    const bytes = Buffer.alloc(stat.size);
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(file);
  }
}

/** Names in a folder, in any of the layers; what an upper layer says is gone is not there when it is opened. */
export function listInRoot(layers: readonly string[], path: string): string[] {
  const names = layers.flatMap((layer) => {
    const found = openIn(layer, path, true);
    if (typeof found === 'string' || 'link' in found) return [];
    try {
      return readdirSync(`/proc/self/fd/${found.file}`);
    } finally {
      closeSync(found.file);
    }
  });
  return [...new Set(names)].sort();
}
