import { goesOn } from '../ini.ts';

/** Lines of configuration files as people keep and pass them on: with marks of a patch, of a quotation, of a fence. */

/** More is nothing that somebody has written. */
export const longest = 2 ** 20;

/**
 * Its lines as the program that reads them would see them. What a patch takes away is an empty line, what it adds is itself; a fence of
 * Markdown, the mark of a quotation and a byte order mark are gone. The numbers of the lines stay.
 */
export function plainLines(text: string): string[] {
  const lines = text.slice(0, longest).replace(/^\ufeff/, '').split(/\r\n|\n|\r/).map((line) => (/^\s*(```|~~~)\w*\s*$/.test(line) ? '' : line));
  const said = lines.filter((line) => line.trim() !== '');
  if (said.length > 0 && said.every((line) => /^\s*>/.test(line))) return lines.map((line) => line.replace(/^\s*> ?/, ''));
  if (!isPatch(said)) return lines;
  return lines.map((line) => (/^(---|\+\+\+|@@|diff |index |-|\\ No newline)/.test(line) ? '' : line.replace(/^[+ ]/, '')));
}

/** It has the marks of a patch, or each of its lines has one of +, - and a space before it, some of them a +. */
const isPatch = (said: readonly string[]): boolean =>
  said.some((line) => /^@@ -\d+/.test(line)) || (said.length > 0 && said.every((line) => /^[+ -]/.test(line)) && said.some((line) => /^\+[^+]/.test(line)));

export interface IniLine {
  section: string;
  key: string;
  value: string;
  /** Of its first line, from 1 on. */
  line: number;
}

/**
 * The assignments of a file in the dialect of systemd.syntax(7): a line that ends in a backslash goes on in the next one that is no
 * comment; # and ; begin a comment at the beginning of a line alone.
 */
export function iniLines(text: string): IniLine[] {
  const found: IniLine[] = [];
  let section = '';
  let begun: { text: string[]; line: number } | null = null;
  const end = () => {
    if (!begun) return;
    const whole = begun.text.join(' ').trim();
    const head = /^\[([^\]]*)\]/.exec(whole);
    const equals = whole.indexOf('=');
    if (head) section = head[1]!;
    else if (equals > 0) found.push({ section, key: whole.slice(0, equals).trim(), value: whole.slice(equals + 1).trim(), line: begun.line });
    else if (whole !== '') found.push({ section, key: '', value: whole, line: begun.line });
    begun = null;
  };
  plainLines(text).forEach((raw, i) => {
    const line = raw.trim();
    if (/^[#;]/.test(line)) return; // also in the middle of a line that goes on
    const more = goesOn(line);
    begun ??= { text: [], line: i + 1 };
    begun.text.push(more ? line.slice(0, -1) : line);
    if (!more) end();
  });
  end();
  return found;
}

/** Yes and no as systemd has them: parse_boolean(). */
export const boolean = (text: string): boolean | null => (/^(1|y|yes|t|true|on)$/i.test(text) ? true : /^(0|n|no|f|false|off)$/i.test(text) ? false : null);

/**
 * Words as systemd splits a list in a .nspawn file (extract_first_word() with quotes taken off and backslashes left), or with `escapes`
 * as in a unit, where a backslash makes the next character one like others.
 */
export function iniWords(text: string, escapes = false): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (escapes && c === '\\' && i + 1 < text.length) word = `${word ?? ''}${unescaped(text[++i]!)}`;
    else if (quote) {
      if (c === quote) quote = '';
      else word = `${word ?? ''}${c}`;
    } else if (c === '"' || c === "'") [quote, word] = [c, word ?? ''];
    else if (/\s/.test(c)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = `${word ?? ''}${c}`;
  }
  return word === null ? words : [...words, word];
}

const unescaped = (c: string): string => ({ n: '\n', t: '\t', r: '\r', s: ' ' })[c] ?? c;

/** The parts of PATH:PATH:OPTIONS: a backslash makes a colon one of a path. */
export function colonParts(text: string): string[] {
  const parts = [''];
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '\\' && i + 1 < text.length) parts[parts.length - 1] += text[++i]!;
    else if (c === ':') parts.push('');
    else parts[parts.length - 1] += c;
  }
  return parts;
}

const powers: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** 512M, 2G, 1073741824 as systemd and the kernel take them; null: no such number, infinity or a part of all there is. */
export function bytesOf(text: string): number | null {
  const [, digits, unit] = /^(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim()) ?? [];
  return digits === undefined ? null : Math.round(Number(digits) * powers[unit!.toUpperCase()]!);
}
