import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { type Needs, needsOf } from '../elf.ts';
import { toolNames, toolPlaces, type Tools } from '../foreign/tools.ts';
import { type CacheEntry, readCache } from '../linker.ts';
import { programFolders } from '../probe.ts';
import { findInside } from './foreign.ts';

const read = (path: string): Needs | null => attempt(() => {
  const file = openSync(path, 'r');
  try {
    return needsOf((offset, length) => {
      const bytes = Buffer.alloc(Math.min(length, 2 ** 20));
      return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, offset));
    });
  } finally {
    closeSync(file);
  }
}, null);

/** Whoever is inside owns nothing of the host's. */
const isForAll = (path: string): boolean => (statSync(path).mode & 0o005) === 0o005;

/** What of a Debian's packaging tools this host has for a root, which is for another processor; null: nothing, or the root is still to be made. All under the names that stay when the host's packages are upgraded. No program is run. */
export function readTools(layers: readonly string[], chooser: string | undefined): Tools | null {
  if (layers.length === 0 || !chooser || !findInside(layers, '/etc/apt/apt.conf.d') || !findInside(layers, '/usr/bin/dpkg-deb')) return null;
  const cache = attempt(() => readCache(readFileSync('/etc/ld.so.cache')), null) ?? [];
  const libraries = new Map<string, string>();
  let loader: string | null = null;
  const programs = toolNames.flatMap((name) => {
    const place = toolPlaces[name];
    const path = (place ? [place] : programFolders.map((folder) => `${folder}/${name}`)).find((found) => attempt(() => isForAll(found), false));
    // What the root does not have is not there inside either.
    if (!path || !(place ? [place] : [`/usr/bin/${name}`, `/bin/${name}`]).some((own) => findInside(layers, own))) return [];
    const needs = read(path);
    const linker = needs?.interpreter;
    const all = needs && librariesOf(needs, cache);
    if (!linker || !all || (loader !== null && loader !== linker)) return [];
    // Packages of today's distributions are packed with zstd: a dpkg-deb that cannot unpack these is too old.
    if (name === 'dpkg-deb' && ![...all.keys()].some((library) => library.startsWith('libzstd.so.'))) return [];
    loader = linker;
    for (const [soname, library] of all) libraries.set(soname, library);
    return [{ name, path }];
  });
  if (loader === null || !programs.some(({ name }) => name === 'dpkg-deb')) return null;
  return { chooser, loader, programs, libraries: [...libraries].map(([name, path]) => ({ name, path })).sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** Name -> file of all libraries that it needs, and these need; null: one is not there. */
function librariesOf(needs: Needs, cache: readonly CacheEntry[]): Map<string, string> | null {
  const found = new Map<string, string>();
  const wanted = [...needs.libraries];
  for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
    if (found.has(name)) continue;
    const entry = cache.find(({ soname, flags }) => soname === name && flags === needs.flags);
    if (!entry || !existsSync(entry.path)) {
      if (/^ld-linux.*\.so/.test(name)) continue; // the linker itself
      return null;
    }
    found.set(name, entry.path);
    wanted.push(...(read(entry.path)?.libraries ?? []));
  }
  // Before glibc 2.34 owners' names are looked up by this one, which is asked for at run time.
  const names = cache.find(({ soname, flags }) => soname === 'libnss_files.so.2' && flags === needs.flags);
  if (names && existsSync(names.path)) found.set(names.soname, names.path);
  return found;
}
