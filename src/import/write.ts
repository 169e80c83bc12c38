import { shown } from '../mistakes.ts';
import { listed } from '../words.ts';
import type { Left, Line, Saying } from './say.ts';
import { placeOf } from './settings.ts';

/** The text of a machine file: keys, what is to be known of them above each, and at the end what it does not say. */

/** One line of a comment, whatever is in it. */
const comment = (text: string): string => `# ${text.replace(/\p{Cc}/gu, '\ufffd').trimEnd()}`;

/** Text, number, list or table in one line. Everything in it has been found to be a value of its key. */
export function tomlValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(', ')}]`;
  if (typeof value === 'object' && value !== null) return `{ ${Object.entries(value).map(([key, one]) => `${tomlKey(key)} = ${tomlValue(one)}`).join(', ')} }`;
  return typeof value === 'string' ? JSON.stringify(value.replace(/\p{Cs}/gu, '\ufffd')) : Number.isInteger(value) && !Number.isSafeInteger(value) ? (value as number).toExponential() : `${value}`; // TOML's integers have 64 bits, and are read as JavaScript's
}

const tomlKey = (key: string): string => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key));

/** Lists that are long for one line have an item a line. */
function written(value: unknown): string {
  const line = tomlValue(value);
  return Array.isArray(value) && line.length > 100 ? `[\n${value.map((one) => `  ${tomlValue(one)},\n`).join('')}]` : line;
}

function block(lines: readonly Line[]): string[] {
  const width = Math.max(0, ...lines.map(({ key }) => tomlKey(key).length));
  return lines.flatMap(({ key, value, notes }) => [...notes.map(comment), `${tomlKey(key).padEnd(width)} = ${written(value)}`]);
}

function told(left: readonly Left[], title: string): string[] {
  if (left.length === 0) return [];
  const byWhy = new Map<string, Left[]>();
  for (const one of left) {
    const same = byWhy.get(one.why);
    if (same) same.push(one);
    else byWhy.set(one.why, [one]);
  }
  return ['', comment(title), ...[...byWhy].flatMap(([why, lines]) => {
    const places = [...new Set(lines.map(({ by }) => by))].flatMap((by) => (by ? [`  ${placeOf(by)}: ${shown(by.text)}`] : []));
    return [...new Set(places), `${places.length > 0 ? '    ' : '  '}${shownWhole(why)}`].map(comment);
  })];
}

/** Not cut off, as it is ours for the most part. */
const shownWhole = (text: string): string => (text.length > 400 ? `${text.slice(0, 399)}…` : text);

/** `from`: what it was made of, each in a few words. */
export function machineFile({ top, tables, left }: Saying, from: readonly string[]): string {
  return [
    comment(`Written by nestbox import from ${listed(from.map(shown))}. Read it before you run it.`), '',
    ...block(top),
    ...tables.flatMap(({ name, lines, notes }) => ['', ...notes.map(comment), `[${name}]`, ...block(lines)]),
    ...told(left.filter(({ safe }) => !safe), 'Not said by this file:'),
    ...told(left.filter(({ safe }) => safe), 'Left out, and nothing is lost by it:'),
    '',
  ].join('\n');
}
