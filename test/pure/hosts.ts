import { readdirSync, readFileSync } from 'node:fs';
import { readCdi } from '../../src/cdi/read.ts';
import { nativeArchitectures } from '../../src/foreign/binfmt.ts';
import type { Tools } from '../../src/foreign/tools.ts';
import type { Accounts, CdiFile, Facts, Inside, VolumeFact } from '../../src/facts.ts';
import { layersOf, type Machine, meetsInside, namesCdi, pathsOf, resolve, type Way } from '../../src/machine.ts';
import { roots } from '../../src/roots/index.ts';
import { readSpec, type Spec } from '../../src/spec.ts';

/** The stored hosts: `nestbox doctor --json` of computers that are not at hand, with what is at each path that an example names. */

const folder = new URL('hosts/', import.meta.url);

export const hostNames: string[] = readdirSync(folder).filter((name) => name.endsWith('.json')).map((name) => name.replace('.json', '')).sort();

/** What `make` gives for each key, made once. */
export function once<Key extends string[], T>(make: (...key: Key) => T): (...key: Key) => T {
  const made = new Map<string, T>();
  return (...key) => {
    const name = key.join('\n');
    if (!made.has(name)) made.set(name, make(...key));
    return made.get(name)!;
  };
}

/** Nobody can change it, as others have the same; only a Proxy of `paths` may say that there is more. */
export const storedHost = once((name: string) => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'), (key, value) => (key === 'paths' ? value : Object.freeze(value))) as Facts);

/** What is known of a volume there: `blocks` and `volumes` of a stored host; one that these do not name is a logical volume that is not active. */
function storedVolume(stored: Facts, path: string, isImage: boolean): VolumeFact {
  const { blocks, volumes } = stored as Facts & { blocks?: Pick<VolumeFact, 'devices' | 'mounted' | 'swaps'>; volumes?: Record<string, Pick<VolumeFact, 'kind' | 'device' | 'format' | 'image'>> };
  return { devices: {}, mounted: [], swaps: [], ...blocks, kind: null, device: null, format: null, ...(isImage && { image: { path, packed: null, backing: null, own: {}, drivers: [], content: null } }), ...volumes?.[path], there: 'nothing' };
}

export const here = (path: string): URL => new URL(path, import.meta.url);

const examplesFolder = new URL('../../examples/', import.meta.url);

export const exampleNames: string[] = readdirSync(examplesFolder).filter((name) => name.endsWith('.toml')).map((name) => name.replace('.toml', '')).sort();

export const exampleText = once((name: string) => readFileSync(new URL(`${name}.toml`, examplesFolder), 'utf8'));

/** An example, for all alike: nobody can change it. */
export const exampleSpec = once((name: string) => frozen(readSpec(exampleText(name), `${name}.toml`)));

/** With all that is in it. */
export function frozen<T extends object>(value: T): T {
  for (const one of Object.values(value)) if (typeof one === 'object' && one !== null) frozen(one);
  return Object.freeze(value);
}

/** The accounts of a root that is there already: the host's own, those of the machine 'steam' as it was left, or a Debian without people. */
function accountsOf(spec: Spec, { accounts, person, groups }: Facts): Accounts | null {
  if (spec.root.source === 'host') return { users: [{ name: 'root', uid: 0, gid: 0, home: '/root' }, person], groups: Object.entries(groups).map(([gid, name]) => ({ name, gid: Number(gid), members: [] })) };
  if (spec.name === 'steam' || spec.root.source === 'clone') return accounts;
  return accounts && { users: accounts.users.filter(({ name }) => name !== 'steam'), groups: accounts.groups.filter(({ members, name }) => name !== 'steam' && members.length === 0) };
}

const storedCdiFile = once((path: string, name: string) => frozen(readCdi(path, readFileSync(here(`cdi/good/${name}`), 'utf8'))));

/** The files of the host that describe devices: `cdiFiles` of a stored host names them by their place there and in cdi/good/. */
export const storedCdi = (stored: Facts): CdiFile[] =>
  Object.entries((stored as Facts & { cdiFiles?: Record<string, string> }).cdiFiles ?? {}).map(([path, name]) => storedCdiFile(path, name));

/** A Debian root's linker knows its own C library, of either kind of program. */
const insideDebian: Inside = {
  linkerCache: [{ soname: 'libc.so.6', path: '/lib/x86_64-linux-gnu/libc.so.6', flags: 0x303 }, { soname: 'libz.so.1', path: '/lib/x86_64-linux-gnu/libz.so.1', flags: 0x303 }], asound: false, nvidia: [],
};

/** What a Debian has for a root that is for another processor. */
const debianTools: Tools = {
  chooser: '/usr/lib/nestbox/nestbox-native', loader: '/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
  programs: ['dpkg-deb', 'tar'].map((name) => ({ name, path: `/usr/bin/${name}` })),
  libraries: ['libc.so.6', 'liblzma.so.5', 'libzstd.so.1'].map((name) => ({ name, path: `/usr/lib/x86_64-linux-gnu/${name}` })),
};

/** What meet() does, with a stored host instead of this one. */
export function meetStored(spec: Spec, host: Facts, file: string, way: Way = 'run'): { machine: Machine; facts: Facts } {
  const stored: Facts = namesCdi(spec) ? { ...host, cdi: storedCdi(host) } : host;
  const asked = pathsOf(spec, stored);
  const unknown = asked.filter((path) => !(path in stored.paths));
  if (unknown.length > 0) throw new Error(`the stored host does not say what is at ${unknown.join(', ')}`);
  const volume = roots[spec.root.source]!.volume?.(spec.root.options);
  const facts: Facts = { ...stored, ...(volume && { volume: storedVolume(stored, volume, roots[spec.root.source]!.isImage ?? false) }), paths: Object.fromEntries(asked.map((path) => [path, stored.paths[path] ?? null])), accounts: null, init: null };
  const there = roots[spec.root.source]!.needs(spec.root.options, facts).every(({ fatal }) => !fatal) && layersOf(spec, facts).length > 0;
  const rootArchitecture = roots[spec.root.source]!.architecture?.(spec.root.options) ?? null;
  const met: Facts = { ...facts, accounts: there ? accountsOf(spec, stored) : null, init: there ? 'systemd' as const : null, ...(meetsInside(spec) && { inside: there ? (stored.inside ?? insideDebian) : null }), rootArchitecture, tools: rootArchitecture !== null && !nativeArchitectures(facts).includes(rootArchitecture) ? debianTools : null };
  return { machine: resolve(spec, met, file, way), facts: met };
}
