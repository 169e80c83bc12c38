import type { Library } from './elf.ts';

/** An entry of the dynamic linker's cache: programs of the kind `flags` that ask for `soname` get `path`. */
export interface CacheEntry {
  soname: string;
  path: string;
  flags: number;
}

/** Start of the cache of glibc 2.2 and later, and where it stands in it: struct cache_file_new in sysdeps/generic/dl-cache.h. */
const magic = 'glibc-ld.so.cache1.1';
const headerSize = 48;
const entrySize = 24;

/** The entries of a cache (/etc/ld.so.cache); null: it is none. The text may be hostile: what lies outside of it is left out. */
export function readCache(bytes: Uint8Array): CacheEntry[] | null {
  const text = new TextDecoder('latin1').decode(bytes);
  const start = text.indexOf(magic); // an older cache may stand before it
  if (start < 0 || bytes.length < start + headerSize) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, bytes.length - start);
  const little = view.getUint8(28) !== 3;
  const string = (at: number) => text.slice(start + at, text.indexOf('\0', start + at));
  const count = Math.min(view.getUint32(20, little), Math.floor((view.byteLength - headerSize) / entrySize));
  return Array.from({ length: count }, (_, i) => {
    const at = headerSize + i * entrySize;
    // One for certain processors (glibc-hwcaps) is told by a table behind the entries, which is not written again: programs get the library for all of them.
    const general = view.getUint32(at + 16, little) === 0 && view.getUint32(at + 20, little) === 0;
    return general ? [{ flags: view.getUint32(at, little), soname: string(view.getUint32(at + 4, little)), path: string(view.getUint32(at + 8, little)) }] : [];
  }).flat().filter(({ soname, path }) => soname !== '' && path.startsWith('/'));
}

/** A cache with these entries, as ldconfig(8) writes it. Of two for the same name and kind the first counts. */
export function writeCache(entries: readonly CacheEntry[]): Uint8Array {
  const unique = [...new Map([...entries].reverse().map((entry) => [`${entry.soname}\0${entry.flags}`, entry])).values()];
  const sorted = unique.sort((a, b) => compareNames(b.soname, a.soname) || b.flags - a.flags); // the linker halves its way through them, from the greatest on
  const places = new Map<string, number>();
  let strings = '';
  const first = headerSize + sorted.length * entrySize;
  const place = (text: string) => {
    if (!places.has(text)) {
      places.set(text, first + strings.length);
      strings += `${text}\0`;
    }
    return places.get(text)!;
  };
  const placed = sorted.map(({ flags, soname, path }) => [flags, place(soname), place(path)]);
  const bytes = new Uint8Array(first + strings.length);
  const view = new DataView(bytes.buffer);
  const write = (text: string, at: number) => bytes.set(Uint8Array.from(text, (c) => c.charCodeAt(0)), at);
  write(magic, 0);
  view.setUint32(20, sorted.length, true);
  view.setUint32(24, strings.length, true);
  view.setUint8(28, 2); // little-endian
  for (const [i, numbers] of placed.entries()) for (const [n, number] of numbers.entries()) view.setUint32(headerSize + i * entrySize + n * 4, number, true);
  write(strings, first);
  return bytes;
}

/** _dl_cache_libcmp() of glibc: numbers in a name are compared as numbers, and come after all else. */
export function compareNames(a: string, b: string): number {
  const isDigit = (c: string | undefined) => c !== undefined && c >= '0' && c <= '9';
  let [i, j] = [0, 0];
  while (i < a.length) {
    if (isDigit(a[i])) {
      if (!isDigit(b[j])) return 1;
      const [numberA, numberB] = [/^\d+/.exec(a.slice(i))![0], /^\d+/.exec(b.slice(j))![0]];
      if (Number(numberA) !== Number(numberB)) return Number(numberA) - Number(numberB);
      i += numberA.length;
      j += numberB.length;
    } else if (isDigit(b[j])) return -1;
    else if (a[i] !== b[j]) return a.charCodeAt(i) - (j < b.length ? b.charCodeAt(j) : 0);
    else {
      i++;
      j++;
    }
  }
  return j < b.length ? -1 : 0;
}

/** Where a distribution has both, /lib leads to /usr/lib. */
const plain = (path: string): string => path.replace(/^\/usr\//, '/');

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

/** The folders in which the linker of a root looks by itself: those that its C library is in. */
export const ownFolders = (cache: readonly CacheEntry[]): Map<number, string> =>
  new Map(cache.filter(({ soname }) => /^libc\.so\.6(\.1)?$/.test(soname)).map(({ flags, path }) => [flags, folderOf(path)]));

/** The links by which programs find libraries under the names that they ask for, as `ldconfig` makes them. */
export const linksTo = (libraries: readonly (Library & { folder: string })[]): { path: string; to: string }[] =>
  libraries.filter(({ name, soname }) => soname !== name).map(({ folder, name, soname }) => ({ path: `${folder}/${soname}`, to: name }));

/**
 * The linker's cache that a root needs to find these libraries too; null: it finds them by itself, as they are in folders
 * where it looks and nothing in its own cache (null: unknown, or there is none) stands before them. `file`: the name of the
 * file, where there is no link of the name that programs ask for.
 */
export function cacheWith(cache: readonly CacheEntry[] | null, libraries: readonly (Library & { folder: string; file?: string })[]): CacheEntry[] | null {
  const ours = libraries.map(({ folder, soname, flags, file }) => ({ soname, path: `${folder}/${file ?? soname}`, flags }));
  const own = ownFolders(cache ?? []);
  const finds = ({ soname, path, flags }: CacheEntry) => {
    const there = cache?.find((entry) => entry.soname === soname && entry.flags === flags);
    const folder = own.get(flags);
    return folder !== undefined && plain(folder) === plain(folderOf(path)) && (!there || plain(there.path) === plain(path));
  };
  return ours.every(finds) ? null : [...ours, ...(cache ?? [])];
}
