import { closeSync, constants, fstatSync, lstatSync, opendirSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { type Binfmt, binfmtFolder, type Emulator, emulatorPaths, parseEntry, qemuOf } from '../foreign/binfmt.ts';
import { type Architecture, architectureOf, architectures, interpreterOf } from '../foreign/elf.ts';

/** What a root's programs are for, and what this host has to run them. No program is run. */

/** In every root there is one of these at least. */
const wellKnown = ['/usr/lib/systemd/systemd', '/lib/systemd/systemd', '/bin/sh', '/usr/bin/env', '/sbin/init', '/bin/busybox', '/usr/bin/bash'];

/** For which processor the programs of a root are; null: none of those that are looked at can be read. */
export function readArchitecture(layers: readonly string[]): Architecture | null {
  for (const path of wellKnown) {
    const found = findInside(layers, path);
    const architecture = found && architectureOf(beginning(found));
    if (architecture) return architecture;
  }
  return null;
}

/** How much of a program tells: its headers, and mostly the name of its linker. */
const enough = 4096;

/** A root may be hostile: plain files alone, and no more of them than that. */
function beginning(path: string): Buffer {
  return attempt(() => {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const bytes = Buffer.alloc(enough);
      return fstatSync(file).isFile() ? bytes.subarray(0, readSync(file, bytes, 0, enough, 0)) : Buffer.alloc(0);
    } finally {
      closeSync(file);
    }
  }, Buffer.alloc(0));
}

/** Where a file of a root is, seen from the host: its links lead where they do inside, uppermost layer first. null: nowhere, or in a circle. */
export function findInside(layers: readonly string[], path: string): string | null {
  let [at, rest, links] = ['', path.split('/').filter(Boolean), 0];
  while (rest.length > 0) {
    const [part = '', ...more] = rest;
    rest = more;
    if (part === '.') continue;
    if (part === '..') {
      at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
      continue;
    }
    const next = `${at}/${part}`;
    const found = uppermost(layers, next);
    if (!found) return null;
    if (!found.isLink) {
      at = next;
      continue;
    }
    if (++links > 40) return null;
    const to = attempt(() => readlinkSync(found.path), '');
    if (to.startsWith('/')) at = '';
    rest = [...to.split('/').filter(Boolean), ...rest];
  }
  return uppermost(layers, at)?.path ?? null;
}

function uppermost(layers: readonly string[], path: string): { path: string; isLink: boolean } | null {
  for (const layer of layers) {
    const found = `${layer === '/' ? '' : layer}${path}`;
    const stat = attempt(() => lstatSync(found), null);
    if (!stat) continue;
    return stat.isCharacterDevice() ? null : { path: found, isLink: stat.isSymbolicLink() }; // a whiteout: deleted in an upper layer
  }
  return null;
}

/** The version of a root's systemd, by the name of its library. */
export function readSystemd(layers: readonly string[]): number | null {
  const folders = layers.flatMap((layer) => ['/usr/lib', '/lib'].flatMap((lib) => attempt(() => readdirSync(`${layer}${lib}`), []).filter((name) => /-linux-gnu/.test(name)).map((name) => `${layer}${lib}/${name}/systemd`)));
  const versions = [...folders, ...layers.flatMap((layer) => [`${layer}/usr/lib/systemd`, `${layer}/usr/lib64/systemd`])].flatMap((folder) => attempt(() => readdirSync(folder), [])).flatMap((name) => /^libsystemd-shared-(\d+)/.exec(name)?.[1] ?? []);
  return versions.length > 0 ? Math.max(...versions.map(Number)) : null;
}

/** What the kernel knows of emulators, and which there are; `architecture`: that the versions of its emulators are told, null: of none. */
export function readBinfmt(architecture: string | null): Binfmt {
  const text = (name: string) => attempt(() => readFileSync(`${binfmtFolder}/${name}`, 'utf8'), '');
  const qemu = architecture && qemuOf(architecture);
  const named = (of: string) => emulatorPaths(of).flatMap((path) => emulatorAt(path, of === qemu) ?? []);
  const names = inOrder();
  return {
    mounted: names.includes('register'),
    off: text('status').trim() === 'disabled',
    entries: names.filter((name) => name !== 'register' && name !== 'status').map((name) => parseEntry(name, text(name))).map((entry) => ({ ...entry, file: emulatorAt(entry.interpreter, entry.interpreter.includes(qemu || ' ')) })),
    emulators: qemu ? named(qemu) : [...new Set(architectures.flatMap(({ name }) => qemuOf(name) ?? []))].flatMap(named),
    namespaced: !/^\s*0\s+0\s+4294967295$/m.test(attempt(() => readFileSync('/proc/self/uid_map', 'utf8'), '')),
  };
}

/** The kernel lists what was made last first, and tries it first; readdir() of Node sorts by name. */
function inOrder(): string[] {
  return attempt(() => {
    const folder = opendirSync(binfmtFolder);
    const names: string[] = [];
    for (let entry = folder.readSync(); entry; entry = folder.readSync()) names.push(entry.name);
    folder.closeSync();
    return names;
  }, []);
}

/** What is at an emulator's path, its own links followed. */
function emulatorAt(path: string, versioned: boolean): Emulator | null {
  const stat = attempt(() => statSync(path), null);
  if (!stat?.isFile()) return null;
  const bytes = attempt(() => {
    const file = openSync(path, 'r');
    try {
      const start = Buffer.alloc(enough);
      return start.subarray(0, readSync(file, start, 0, enough, 0));
    } finally {
      closeSync(file);
    }
  }, Buffer.alloc(0));
  const linker = interpreterOf(bytes);
  return { path, static: linker === undefined ? null : linker === null, safe: stat.uid === 0 && (stat.mode & 0o022) === 0, version: versioned && stat.size < 2 ** 27 ? versionOf(path) : null };
}

/** "qemu-aarch64 version 7.2.22 (Debian ...)": what it would print is among its bytes. */
const versionOf = (path: string): string | null => attempt(() => {
  const bytes = readFileSync(path);
  for (let at = bytes.indexOf(' version '); at >= 0; at = bytes.indexOf(' version ', at + 1)) {
    const found = /^qemu-\w+ version (\d+\.\d+(\.\d+)?)/.exec(bytes.toString('latin1', bytes.lastIndexOf('\0', at) + 1, at + 40))?.[1];
    if (found) return found;
  }
  return null;
}, null);
