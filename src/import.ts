import { basename, dirname, join } from 'node:path/posix';
import { Complaint } from './errors.ts';
import { readBefore, readCommand, type Word } from './import/command.ts';
import { readDistrobox } from './import/distrobox.ts';
import { readLxc } from './import/lxc.ts';
import { nameOfFile, readNspawn, readUnit } from './import/nspawn.ts';
import { isOwn, ownSettings } from './import/own.ts';
import { machineNameOf, sayingOf } from './import/say.ts';
import type { Foreign, Setting } from './import/settings.ts';
import { readShell } from './import/shell.ts';
import { plainLines } from './import/text.ts';
import { wholeOf } from './import/whole.ts';
import { machineFile } from './import/write.ts';
import { listed } from './words.ts';

/** What other programs' files say, as machine files. Everything here is pure: texts come in, texts go out, and nothing of a text is run. */

/** What a text is. */
export const kinds = ['nspawn', 'unit', 'shell', 'lxc', 'distrobox'] as const;
export type Kind = (typeof kinds)[number];

/** A text, and where it was: the path also tells names. */
export interface Source {
  file: string;
  text: string;
}

export interface Imported {
  /** A name for its file. */
  name: string;
  text: string;
  foreign: Foreign;
}

const inWords: Record<Kind, string> = { nspawn: 'a .nspawn file', unit: 'a unit', shell: 'a command line of systemd-nspawn', lxc: 'a configuration of LXC', distrobox: 'a file of distrobox' };

/** What a text is, told by what is in it; null: nothing that is known here. */
export function kindOf({ file, text }: Source): Kind | null {
  const plain = plainLines(text).join('\n');
  const has = (pattern: RegExp) => pattern.test(plain);
  const first = plain.split('\n').find((line) => /^\s*[^\s#;]/.test(line))?.trim() ?? '';
  const isScript = plain.startsWith('#!') || (!first.startsWith('[') && !first.startsWith('lxc.'));
  if (isScript && plain.includes('systemd-nspawn') && !file.endsWith('.nspawn')) return 'shell';
  if (file.endsWith('.nspawn') || (has(/^\s*\[(Exec|Files|Network)\]/m) && !has(/^\s*\[Match\]/m))) return 'nspawn';
  if (has(/^\s*\[Service\]/m)) return 'unit';
  if (has(/^\s*lxc\.[a-z_]+(\.[\w.-]+)?\s*[=:]/m) || file.endsWith('/lxc/config')) return 'lxc';
  if (has(/^\s*\[[^\]]+\]/m) && has(/^\s*(image|clone)\s*=/m)) return 'distrobox';
  return null;
}

/** What `nestbox render` prints, as the files that it is made of. */
export function parted({ file, text }: Source): Source[] {
  const heads = [...text.matchAll(/^# (\/\S+\.(?:nspawn|service|conf))$/gm)];
  if (heads.length < 2) return [{ file, text }];
  return heads.map(({ 1: path, index }, i) => ({ file: path!, text: text.slice(text.indexOf('\n', index) + 1, heads[i + 1]?.index ?? text.length) }));
}

/** Of a text with sections of both, those of one alone; the numbers of the lines stay. */
function sectionsOf(text: string, mine: (section: string) => boolean): string {
  let on = true;
  return plainLines(text).map((line) => {
    const section = /^\s*\[([^\]]*)\]/.exec(line)?.[1];
    if (section !== undefined) on = mine(section);
    return on ? line : '';
  }).join('\n');
}

const ofUnit = (section: string): boolean => ['Unit', 'Service', 'Install', 'Scope'].includes(section);

/**
 * One or more machines of another program. `kind`: what all the texts are, where it cannot be told; `language`: that of this host, which nestbox's own
 * files have. Throws a Complaint where nothing is known of a text.
 */
export function readForeign(sources: readonly Source[], kind: Kind | null = null, language = 'C.UTF-8'): Foreign[] {
  const parts = sources.flatMap(parted).map((source) => ({ ...source, kind: kind ?? kindOf(source) }));
  for (const { file, kind: known } of parts) if (!known) throw new Complaint(`${file}: this is nothing that nestbox import knows`, `it reads ${listed(kinds.map((one) => inWords[one]))}; --as ${listed(kinds, 'or')} says which it is`);
  const of = (...wanted: Kind[]) => parts.filter((part) => wanted.includes(part.kind!));
  const systemd = of('nspawn', 'unit', 'shell');
  const found: Foreign[] = [...(systemd.length > 0 ? [readSystemd(systemd as (Source & { kind: Kind })[], language)] : []), ...(of('lxc').length > 0 ? [{ way: 'lxc' as const, settings: of('lxc').flatMap(({ text, file }) => readLxc(text, file)) }] : [])];
  return [...found, ...of('distrobox').flatMap(({ text, file }) => readDistrobox(text, file)).map(({ settings }): Foreign => ({ way: 'distrobox', settings }))];
}

/** A .nspawn file and the units around it, or a command that may stand in a script or in a unit. What stands on a command line comes last. */
function readSystemd(parts: readonly (Source & { kind: Kind })[], language: string): Foreign {
  const settings: Setting[] = [];
  const instance = parts.map(({ file }) => nameOfFile(file)).find((name) => name !== null) ?? null;
  const scripts = parts.filter(({ kind }) => kind === 'shell').map(({ text, file }) => readShell(text, file));
  const written = scripts.some(({ found }) => found.length > 0) ? [] : scripts.flatMap(({ writes }) => writes).map(({ path, text, line }) => ({ file: path, text, kind: kindOf({ file: path, text }), before: line - 1 }));
  const files = [...parts.map((part) => ({ ...part, before: 0 })), ...written];
  const add = (found: readonly Setting[], before: number): void => {
    for (const one of found) settings.push(before === 0 ? one : { ...one, at: { ...one.at, line: one.at.line + before } });
  };
  let runs = scripts.some(({ found }) => found.length > 0);
  for (const { text, file, kind, before } of files) if (kind === 'nspawn') add(readNspawn(sectionsOf(text, (section) => !ofUnit(section)), file), before);
  for (const { text, file, kind, before } of files) {
    if (kind !== 'unit' && !(kind === 'nspawn' && /^\s*\[Service\]/m.test(plainLines(text).join('\n')))) continue;
    const unit = readUnit(sectionsOf(text, (section) => kind === 'unit' || ofUnit(section)), file, instance);
    add(unit.settings, before);
    runs ||= unit.runs;
  }
  const own = parts.filter(({ text }) => isOwn(text));
  if (own.some(({ kind }) => kind === 'nspawn')) {
    const isOurs = ({ at }: Setting) => own.some(({ file }) => file === at.file);
    return { way: 'unit', settings: [...ownSettings(own, settings.filter(isOurs), instance ?? '', language), ...settings.filter((one) => !isOurs(one))] };
  }
  if (!runs && !files.some(({ kind }) => kind === 'nspawn' || kind === 'unit')) throw new Complaint(`${parts[0]!.file}: there is no command systemd-nspawn in it that could be read`, 'nestbox import -- systemd-nspawn ... reads the command itself');
  return { way: runs ? 'nspawn' : 'unit', settings: [...settings, ...scripts.flatMap((script) => (runs ? script.settings : []))] };
}

/** The words of a command line, as a person has typed them behind `nestbox import --`. */
export function readArguments(words: readonly string[]): Foreign {
  const file = 'the command line';
  const all = words.map((text): Word => ({ text, line: 1, unknown: null }));
  const at = words.findIndex((word) => basename(word) === 'systemd-nspawn');
  return { way: 'nspawn', settings: [...readBefore(all.slice(0, Math.max(at, 0)), file), ...readCommand(all.slice(at + 1), file)] };
}

/** Where a path that does not begin with / is looked for, and how the machine is to be called where nothing says it. */
export interface Circumstances {
  folder: string;
  name: string | null;
}

/** Foreign -> the text of a machine file. `from`: what it was read from, in a few words. */
export function imported(foreign: Foreign, from: readonly string[], { folder, name }: Circumstances): Imported {
  const files = [...new Set(foreign.settings.map(({ at: { file } }) => file))];
  const whole = wholeOf({ ...foreign, settings: foreign.settings.map((one) => placed(one, folder)) });
  if (name !== null) whole.name = { what: 'name', name, at: { file: '--name', line: 1 }, text: name };
  // systemd-nspawn calls a machine as its root folder is called.
  const saying = sayingOf(whole, whole.root?.path ? basename(whole.root.path).replace(/\.(raw|img)$/, '') : fallbackName(files[0] ?? from[0] ?? ''));
  return { name: machineNameOf(String(saying.top[0]!.value)), text: machineFile(saying, from), foreign };
}

/** A path that is relative is one below the folder in which the command is run. */
function placed(setting: Setting, folder: string): Setting {
  const absolute = (path: string) => (path === '' || /^[/~$]/.test(path) ? path : join(folder, path));
  if (setting.what === 'root' && ['directory', 'image', 'volume'].includes(setting.kind)) return { ...setting, path: absolute(setting.path) };
  if (setting.what === 'bind') return { ...setting, from: absolute(setting.from) };
  return setting;
}

/** /var/lib/lxc/NAME/config, NAME.sh */
const fallbackName = (file: string): string => (basename(file) === 'config' ? basename(dirname(file)) : basename(file).replace(/\.[a-z]+$/, ''));
