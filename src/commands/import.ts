import { closeSync, fstatSync, openSync, readdirSync, readSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path/posix';
import { Complaint, reasons } from '../errors.ts';
import { imported, type Imported, type Kind, kinds, readArguments, readForeign, type Source } from '../import.ts';
import { nameOfFile } from '../import/nspawn.ts';
import { wholeOf } from '../import/whole.ts';
import { longest } from '../import/text.ts';
import { onHost } from '../host/held.ts';
import { probe } from '../probe.ts';
import { note } from '../text.ts';
import { pasteable } from '../words.ts';

interface Options {
  output?: string;
  name?: string;
  as?: string;
  json?: boolean;
}

/** Prints the machine file that says what other programs' files say. Nothing of them is run. */
export default async function command(sources: string[], { output, name, as, json }: Options): Promise<number> {
  if (sources.length === 0) throw new Complaint('what is to be read?', 'nestbox import FILE..., or nestbox import -- systemd-nspawn OPTION...');
  if (as !== undefined && !(kinds as readonly string[]).includes(as)) throw new Complaint(`'${as}' is nothing that nestbox import knows`, `--as ${kinds.join(', ')}`);
  const all = read(sources, (as ?? null) as Kind | null, name ?? null);
  const chosen = name !== undefined && all.length > 1 ? all.filter((one) => one.name === name) : all;
  if (chosen.length === 0) throw new Complaint(`there is no '${name}' in ${sources.join(' ')}`, `--name ${all.map((one) => one.name).join(', ')}`);
  if (json) console.log(JSON.stringify(chosen.map(({ name: machine, text, foreign }) => ({ machine, text, ...wholeOf(foreign) })), null, 2));
  else if (output !== undefined && isFolder(output)) for (const { name: of, text } of chosen) write(join(output, `${of}.toml`), text);
  else if (chosen.length > 1) throw new Complaint(`there are ${chosen.length} machines in ${sources.join(' ')}, and a machine file is for one`, `--name ${chosen.map((one) => one.name).join(', ')}; or --output FOLDER for a file of each`);
  else if (output !== undefined) write(output, chosen[0]!.text);
  else process.stdout.write(chosen[0]!.text);
  return 0;
}

function read(sources: readonly string[], kind: Kind | null, name: string | null): Imported[] {
  const folder = process.cwd();
  // The command itself, in words or as one text.
  if (sources.length > 1 && sources.some((word) => basename(word) === 'systemd-nspawn')) return [imported(readArguments(sources), [pasteable(sources)], { folder, name })];
  if (sources.length === 1 && /systemd-nspawn\s/.test(sources[0]!)) return readForeign([{ file: 'the command line', text: sources[0]! }], 'shell').map((foreign) => imported(foreign, ['a command line'], { folder, name }));
  const files = sources.flatMap((source) => (source === '-' ? [{ file: 'standard input', text: bounded(0, 'standard input') }] : found(source)));
  const found_ = readForeign(files, kind, probe(process.env).language);
  return found_.map((foreign) => imported(foreign, files.map(({ file }) => file), { folder, name: found_.length === 1 ? name : null }));
}

/** A path, or the name of a machine of systemd's or of LXC's; with a .nspawn file come the drop-ins of its unit, and nestbox's own units. */
function found(source: string): Source[] {
  const places = source.includes('/') || source.includes('.') ? [source] : [source, `/etc/systemd/nspawn/${source}.nspawn`, `/run/systemd/nspawn/${source}.nspawn`, `/var/lib/lxc/${source}/config`];
  for (const file of places) {
    const text = readText(file, file === places.at(-1));
    if (text === null) continue;
    const machine = /^\/(etc|run)\/systemd\/nspawn\//.test(file) ? nameOfFile(file) : null;
    return [{ file, text }, ...(machine === null ? [] : dropIns(machine))];
  }
  throw new Complaint(`there is no file ${source}`);
}

function dropIns(machine: string): Source[] {
  const own = new RegExp(`^nestbox-${machine.replace(/\W/g, '\\$&')}(\\..*)?\\.service$`); // what nestbox itself has beside it
  return ['/etc/systemd/system', '/run/systemd/system'].flatMap((base) => [
    ...listed(`${base}/systemd-nspawn@${machine}.service.d`, /\.conf$/), ...listed(base, own),
  ]).flatMap((file) => {
    note(`reading ${file} as well`);
    const text = readText(file, false);
    return text === null ? [] : [{ file, text }];
  });
}

function listed(folder: string, names: RegExp): string[] {
  try {
    return readdirSync(folder).filter((name) => names.test(name)).sort().map((name) => `${folder}/${name}`);
  } catch {
    return []; // there is none, or it may not be read
  }
}

/** null: there is no such file, or with `must` a Complaint. */
function readText(file: string, must: boolean): string | null {
  try {
    const descriptor = openSync(file, 'r');
    try {
      if (fstatSync(descriptor).isDirectory()) {
        if (must) throw new Complaint(`${file} is a folder`, 'name the files in it');
        return null;
      }
      return bounded(descriptor, file);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof Complaint) throw error;
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!must && code === 'ENOENT') return null;
    throw new Complaint(`cannot read ${file}: ${reasons[code] ?? code}`);
  }
}

/** Reads no more than a file of this kind can have: a device would never end. */
function bounded(descriptor: number, file: string): string {
  const bytes = Buffer.alloc(longest + 1);
  let length = 0;
  for (let count = -1; count !== 0 && length < bytes.length; length += count) count = readSync(descriptor, bytes, length, bytes.length - length, null);
  if (length > longest) throw new Complaint(`${file} is too large to be a configuration`);
  const text = bytes.toString('utf8', 0, length);
  if (text.includes('\0')) throw new Complaint(`${file} is no text`);
  return text;
}

const isFolder = (path: string): boolean => {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
};

/** Never over a file that is there: it may be one that somebody has worked on. */
function write(path: string, text: string): void {
  try {
    onHost(path, (way) => writeFileSync(way, text, { flag: 'wx' }));
    note(`wrote ${path}`);
  } catch (error) {
    if (error instanceof Complaint) throw error;
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new Complaint(`cannot write ${path}: ${reasons[code] ?? code}`, code === 'EEXIST' ? 'name another file, or move that one away' : undefined);
  }
}
