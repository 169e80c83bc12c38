import { pasteable } from './words.ts';

/** Desktop entries: those that a machine's root has, and those made of them for the host's menu (pure). Desktop Entry Specification 1.5. */

/** What a root offers to be started. All text is a stranger's: no value has a control character in it. */
export interface Program {
  /** Name of its file without .desktop; what people call it by. */
  id: string;
  /** Keys that are carried over, with their languages: Name, Name[de], Comment ... */
  texts: [key: string, value: string][];
  name: string;
  icon: string | null;
  argv: string[];
  terminal: boolean;
}

/** Keys whose values are only shown, or looked through by a menu. MimeType is none of them: the host's files are not there inside. */
const carried = /^(Name|GenericName|Comment|Keywords|Categories|StartupWMClass|StartupNotify)(\[[\w@.-]+\])?$/;
const escapes: Record<string, string> = { s: ' ', n: '\n', t: '\t', r: '\r', '\\': '\\' };

/** Names of files that become names of files of the host. */
export const isId = (id: string): boolean => /^[A-Za-z0-9_][\w.+-]{0,99}$/.test(id);

/** The keys of its first group as they stand there; null: it is none. */
function keysOf(text: string): Map<string, string> | null {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (lines[0]?.trim() !== '[Desktop Entry]') return null;
  const end = lines.findIndex((line, i) => i > 0 && line.startsWith('['));
  return new Map(lines.slice(1, end < 0 ? undefined : end).flatMap((line) => {
    const [, key = '', value = ''] = /^([A-Za-z0-9-]+(?:\[[^\]]*\])?)\s*=\s*(.*)$/.exec(line) ?? [];
    return key === '' || /\p{Cc}/u.test(value) ? [] : [[key, value.trimEnd()] as const];
  }));
}

/** A command line to words: double quotes, and within them a backslash before " ` $ \ alone. null: a quote is not closed. */
function words(line: string): string[] | null {
  const found: string[] = [];
  for (const match of line.matchAll(/\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]+)|(.))/g)) {
    if (match[3] !== undefined && match[3].trim() !== '') return null;
    if (match[1] !== undefined) found.push(match[1].replaceAll(/\\(["`$\\])/g, '$1'));
    else if (match[2] !== undefined) found.push(match[2]);
  }
  return found;
}

/** With what stands for the entry's own name and icon in place, and without what stands for files: no file of the host is there inside. */
function withoutFieldCodes(word: string, name: string, icon: string | null): string[] {
  if (word === '%i') return icon === null ? [] : ['--icon', icon];
  if (/^%[a-zA-Z]$/.test(word) && word !== '%c') return [];
  return [word.replaceAll(/%(.)/g, (_, code: string) => (code === '%' ? '%' : code === 'c' ? name : ''))];
}

/** A program that a menu would show; null: it is none, or none that can be told. */
export function readProgram(id: string, text: string): Program | null {
  const keys = isId(id) ? keysOf(text) : null;
  const value = (key: string): string | null => keys?.get(key)?.replaceAll(/\\([sntr\\])/g, (_, c: string) => escapes[c]!) ?? null;
  const name = value('Name');
  const argv = words(value('Exec') ?? '');
  if (!keys || value('Type') !== 'Application' || value('NoDisplay') === 'true' || value('Hidden') === 'true' || !name || /\p{Cc}/u.test(name) || !argv) return null;
  const icon = value('Icon') || null;
  const plain = argv.flatMap((word) => withoutFieldCodes(word, name, icon));
  if (plain.length === 0 || plain[0] === '' || plain.some((word) => /\p{Cc}/u.test(word))) return null;
  return { id, texts: [...keys].filter(([key]) => carried.test(key)), name, icon: icon && /\p{Cc}/u.test(icon) ? null : icon, argv: plain, terminal: value('Terminal') === 'true' };
}

/** One argument of Exec. Quoting comes first, then that of all strings, which doubles each backslash; % would be a field code. */
export function execWord(word: string): string {
  const quoted = /^[\w@%+=:,./-]+$/.test(word) ? word : `"${word.replaceAll(/["`$\\]/g, '\\$&')}"`;
  return quoted.replaceAll('\\', '\\\\').replaceAll('%', '%%');
}

/** How files of the host that belong to an exported program are called. A dot is in no machine's name: no two machines have one in common. */
export const exportedName = (machine: string, id: string): string => `nestbox.${machine}.${id}`;
export const launcherName = (machine: string, { id }: Pick<Program, 'id'>): string => `${machine}-${id.split('.').at(-1)!.toLowerCase()}`;

/** What starts it from the host: in the machine as it runs, or in a run of its own. `nestbox`: the words that call nestbox. */
export const launching = (machine: string, { argv }: Pick<Program, 'argv'>, nestbox: readonly string[]): string[] => [...nestbox, 'exec', '--start', machine, '--', ...argv];

/** The entry for the host's menu. Its name says which machine it is of: a root cannot pass its program off as one of the host. */
export function entryOf(machine: string, program: Program, nestbox: readonly string[], hasIcon: boolean): string {
  const texts = program.texts.map(([key, value]) => `${key}=${key.startsWith('Name') ? `${value} (${machine})` : value}`);
  return `${['[Desktop Entry]', 'Type=Application', ...texts, `Exec=${launching(machine, program, nestbox).map(execWord).join(' ')}`, ...(hasIcon ? [`Icon=${exportedName(machine, program.id)}`] : []), ...(program.terminal ? ['Terminal=true'] : []), `X-Nestbox-Machine=${machine}`].join('\n')}\n`;
}

/** The first lines of a launcher, which tell it from a file of the person's. */
const mark = (machine: string): string => `#!/bin/sh\n# Made by nestbox export ${machine}\n`;
export const launcherOf = (machine: string, program: Program, nestbox: readonly string[]): string => `${mark(machine)}exec ${pasteable(launching(machine, program, nestbox))} "$@"\n`;
export const isLauncherOf = (machine: string, text: string): boolean => text.startsWith(mark(machine));

const sizes = [512, 256, 192, 128, 96, 64, 48, 32, 24, 22, 16];

/** Where a root may have an icon, the best first: Icon Theme Specification. */
export const iconPaths = (icon: string): string[] => icon.startsWith('/') ? [icon] : icon.includes('/') ? [] : [
  `/usr/share/icons/hicolor/scalable/apps/${icon}.svg`,
  ...sizes.map((size) => `/usr/share/icons/hicolor/${size}x${size}/apps/${icon}.png`),
  ...['.svg', '.png', ''].map((end) => `/usr/share/pixmaps/${icon}${end}`),
];

/** Where below hicolor/ a picture belongs, and how its name ends; null: it is none that menus read. A PNG says its size in its header. */
export function iconPlace(bytes: Uint8Array): { folder: string; end: '.svg' | '.png' } | null {
  const start = Buffer.from(bytes.subarray(0, 512));
  if (start.subarray(0, 8).equals(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')) && bytes.length > 24) {
    const size = sizes.find((one) => one <= start.readUInt32BE(16)) ?? sizes.at(-1)!;
    return { folder: `${size}x${size}/apps`, end: '.png' };
  }
  return /^\s*<(\?xml|svg|!--|!DOCTYPE svg)/.test(start.toString('utf8')) ? { folder: 'scalable/apps', end: '.svg' } : null;
}
