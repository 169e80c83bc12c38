import { Complaint } from './errors.ts';

/** The word of `known` that `given` was probably meant to be, or undefined when none is near. */
export function nearest(given: string, known: readonly string[]): string | undefined {
  const farthest = Math.max(2, Math.floor(given.length / 3));
  // What differs more in its length is farther in any case, and a word may be as long as a file.
  const ranked = known.filter((word) => Math.abs(word.length - given.length) <= farthest).map((word) => ({ word, far: distance(given.toLowerCase(), word.toLowerCase()) })).sort((a, b) => a.far - b.far);
  const best = ranked[0];
  return best && best.far <= farthest ? best.word : undefined;
}

/** Edits between two words: insertions, deletions, replacements (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** A command line to words, with single and double quotes and backslashes; nothing is expanded and no shell is involved. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    if (quote === "'" ? c !== "'" : quote === '"' ? c !== '"' && c !== '\\' : !/[\s'"\\]/.test(c)) word = (word ?? '') + c;
    else if (c === '\\') word = (word ?? '') + (line[++i] ?? '');
    else if (c === quote) quote = '';
    else if (c === '"' || c === "'") [quote, word] = [c, word ?? ''];
    else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (quote) throw new Complaint(`a ${quote} is never closed`);
  return word === undefined ? words : [...words, word];
}

/** An argument list as a line that can be pasted into a shell. */
export const pasteable = (argv: readonly string[]): string =>
  argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');

/** "a, b and c" */
export const listed = (words: readonly string[], last = 'and'): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`;
