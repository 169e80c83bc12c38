import { readdirSync, readFileSync } from 'node:fs';
import { resolve as absolute } from 'node:path';
import { Complaint } from './errors.ts';
import type { CdiFile, Claim, Facts, SeatFacts, TakenPort, Terminals } from './facts.ts';
import { digest } from './digest.ts';
import { readState } from './host/session.ts';
import { isImageName, nameOfImage } from './names.ts';
import { classesOf, layersOf, type Machine, meetsInside, meetsSeats, namesCdi, namesPorts, pathsOf, resolve, wantsTerminal, type Way, withAttached } from './machine.ts';
import { engines } from './engines/index.ts';
import { nativeArchitectures } from './foreign/binfmt.ts';
import { readArchitecture, readBinfmt, readSystemd } from './host/foreign.ts';
import { readSeats } from './host/seats.ts';
import { readTools } from './host/tools.ts';
import { claimOf } from './seats.ts';
import { positionOf } from './positions.ts';
import { portsOf } from './ports.ts';
import { look, probe, isImage, readAccounts, readCdiTexts, readInit, readInside, readInsideImage, readListening, readRootLinks, readTerminals, readVolume } from './probe.ts';
import { roots } from './roots/index.ts';
import { readSpec, type Spec } from './spec.ts';
import { store } from './store.ts';
import { imageFolder, mountPointOf } from './volumes.ts';
import { nearest } from './words.ts';

/** A machine file that has been read, and where it came from. */
export interface MachineFile {
  file: string;
  text: string;
  spec: Spec;
  /** "file:line:column: key: " for a path of keys: what a complaint about it begins with. */
  place(path: (string | number)[]): string;
}

/** A path, or the name of a machine: installed under /etc/nestbox, or made from a file before. A disk, or an image, is a machine as well. */
export function readMachineFile(argument: string, facts: Facts): MachineFile {
  if (isImageName(argument) || (/[./]/.test(argument) && !argument.endsWith('.toml') && isImage(argument))) return imageFile(absolute(argument), facts);
  const named = !argument.includes('/') && !argument.endsWith('.toml');
  const known = facts.store.machines.find(({ name }) => name === argument);
  const installed = named ? read(`${store.files}/${argument}.toml`) : null;
  const file = !named ? absolute(argument) : installed !== null || !known ? `${store.files}/${argument}.toml` : known.file;
  const text = installed ?? read(file);
  if (text === null) {
    const meant = nearest(argument, facts.store.machines.map(({ name }) => name));
    throw named
      ? new Complaint(`there is no machine '${argument}'`, meant ? `did you mean '${meant}'?` : `neither ${file} nor a machine made before; a path has a / or ends in .toml`)
      : new Complaint(`there is no file ${file}`);
  }
  return machineFile(text, file, named ? file : argument);
}

/** Text of a machine file, from the path `file`, which complaints call `shown`. */
export const machineFile = (text: string, file: string, shown: string): MachineFile => ({
  file, text, spec: readSpec(text, shown),
  place(path) {
    const { line, column } = positionOf(text, path);
    return `${shown}:${line}:${column}: ${path.join('.')}: `;
  },
});

/** A machine for one image, as a rescue needs it: a shell, the network, and nothing of the host besides. Nothing is kept of it. */
function imageFile(path: string, { store: { machines } }: Facts): MachineFile {
  const plain = nameOfImage(path);
  // One that is made, or runs from another image of that name, has the name.
  const isTaken = machines.some(({ name }) => name === plain) || (readState(plain)?.file ?? path) !== path;
  const name = isTaken ? `${plain.slice(0, 54).replace(/-$/, '')}-${digest(path).toString('hex').slice(0, 8)}` : plain;
  const text = `name = "${name}"\n\n[root]\nimage = ${JSON.stringify(path)}\n`;
  return { file: path, text, spec: { ...readSpec(text, path), fleeting: true }, place: () => '' };
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new Complaint(`cannot read ${path}: ${code === 'EISDIR' ? 'it is a folder' : code === 'EACCES' ? 'permission denied' : code}`);
  }
}

/** Where a machine may have links to what it has of an image: of a run, and of a service. */
export const imageFolders = (name: string): string[] => [store.run(name), store.serviceRun(name)].map(imageFolder);

/** What a machine's meeting with the host needs of all the others, and of all processes. Each is read when the first machine asks: to look at many machines must not read the files of all for each of them. */
export interface Others {
  terminals(): Terminals | null;
  seats(): SeatFacts;
  ports(): TakenPort[];
}

/** What is read when it is asked for, and not again. */
export function once<T>(read: () => T): () => T {
  let known: { is: T } | null = null;
  return () => {
    known ??= { is: read() };
    return known.is;
  };
}

/** Of the host as it is now. */
export function othersOn(facts: Pick<Facts, 'store'>): Others {
  return { terminals: once(() => readTerminals(facts)), seats: once(() => seatsNow(facts)), ports: once(() => [...readListening(), ...portsOfAll(facts)]) };
}

/** A spec meets this host as it is now; `others`: as many machines have met it before. */
export async function meet(written: Spec, file: string, base: Facts = probe(process.env), way: Way = 'run', others: Others = othersOn(base)): Promise<{ machine: Machine; facts: Facts }> {
  const spec = withAttached(written, base);
  const known = namesCdi(spec) ? { ...base, cdi: await readCdiFiles() } : base;
  let facts = look(wantsTerminal(spec) ? { ...known, terminals: others.terminals() } : known, pathsOf(spec, known), classesOf(spec));
  const root = roots[spec.root.source]!;
  const volume = root.volume?.(spec.root.options);
  if (volume) facts = { ...facts, volume: readVolume(volume, mountPointOf(spec.name), root.isImage ? imageFolders(spec.name) : null) };
  if (root.needs(spec.root.options, facts).every(({ fatal }) => !fatal)) {
    const layers = layersOf(spec, facts);
    facts = { ...facts, accounts: readAccounts(layers), init: readInit(layers), ...(meetsInside(spec) && { inside: readInside(layers) }), ...(engines[spec.engine]!.mountsInside && { rootLinks: readRootLinks(layers) }), ...(root.isImage && layers[0] && { insideImage: readInsideImage(layers[0]) }), ...processorOf(spec, facts, layers) };
  }
  if (meetsSeats(spec)) facts = { ...facts, seats: others.seats() };
  if (namesPorts(spec)) facts = { ...facts, ports: others.ports().filter(({ machine }) => machine !== spec.name) };
  return { machine: resolve(spec, facts, file, way), facts };
}

/** For which processor a root is, and where it is not this host's, what there is to run it. */
function processorOf(spec: Spec, facts: Facts, layers: readonly string[]): Pick<Facts, 'rootArchitecture' | 'rootSystemd' | 'binfmt' | 'tools'> {
  if (spec.root.source === 'host') return {};
  const root = roots[spec.root.source]!;
  const rootArchitecture = (layers.length > 0 ? readArchitecture(layers)?.name : root.architecture?.(spec.root.options)) ?? null;
  if (rootArchitecture === null || nativeArchitectures(facts).includes(rootArchitecture)) return { rootArchitecture };
  return { rootArchitecture, rootSystemd: spec.boot ? readSystemd(layers) : null, binfmt: readBinfmt(rootArchitecture), tools: readTools(layers, facts.programs['nestbox-native']) };
}

/** The ports of the host that machines' files name. One that cannot be read now is told of when its machine is run. */
function portsOfAll({ store: { machines } }: Pick<Facts, 'store'>): TakenPort[] {
  return machines.flatMap(({ name: machine, file }) => {
    try {
      const { grants } = readSpec(read(file) ?? '', file);
      return grants.filter(({ topic }) => topic === 'network').flatMap(({ options }) => portsOf(options).map(({ protocol, host: port }): TakenPort => ({ protocol, port, machine })));
    } catch {
      return [];
    }
  });
}

/** What seats can be made of, and which machines have what of it: those that are made, and those whose files are installed. */
export const seatsNow = ({ store: { machines } }: Pick<Facts, 'store'>): SeatFacts => ({ ...readSeats(), claims: claimsOf(machines) });

function claimsOf(machines: Facts['store']['machines']): Claim[] {
  const installed = namesIn(store.files).filter((name) => name.endsWith('.toml')).map((name) => `${store.files}/${name}`);
  const files = new Set([...installed, ...machines.map(({ file }) => file), ...namesIn(store.runs).flatMap((name) => readState(name)?.file ?? [])]);
  return [...files].flatMap((file) => {
    try {
      return claimOf(readSpec(read(file) ?? '', file)) ?? [];
    } catch {
      return []; // its own run tells what is wrong with it
    }
  }).filter(({ machine }, i, all) => all.findIndex((other) => other.machine === machine) === i);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The reader of YAML is loaded when there is something to be read: it takes as long as all else that is loaded. */
async function readCdiFiles(): Promise<CdiFile[]> {
  const texts = readCdiTexts();
  if (texts.length === 0) return [];
  const { readCdi } = await import('./cdi/read.ts');
  return texts.map(({ path, text }) => readCdi(path, text));
}
