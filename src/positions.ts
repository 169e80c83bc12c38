/** Where a value stands in a TOML text: 1-based line and column. */
export interface Position {
  line: number;
  column: number;
}

/** No key of a machine file lies deeper; what does is at the place of what is around it. The path of each would take the square of their number. */
const deepest = 16;

/** What has been walked through: the offset of every key and element, and where each line begins. */
interface Walked {
  text: string;
  places: ReadonlyMap<string, number>;
  lines: readonly number[];
}

/** The last text. Whoever asks for one place of a text mostly asks for all of them, and a walk for each would take the square of its length. */
let last: Walked | null = null;

function walked(text: string): Walked {
  if (last?.text !== text) last = { text, places: scan(text), lines: [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)] };
  return last;
}

/** The place of the value at `path`, else of the nearest thing around it. The text must have been read as TOML before. */
export function positionOf(text: string, path: readonly (string | number)[]): Position {
  const { places, lines } = walked(text);
  for (let length = Math.min(path.length, deepest); length > 0; length--) {
    const place = places.get(name(path.slice(0, length)));
    if (place !== undefined) return toPosition(lines, place);
  }
  return { line: 1, column: 1 };
}

/** Whether the text says anything at `path`. */
export const hasPosition = (text: string, path: readonly (string | number)[]): boolean => walked(text).places.has(name(path));

/** A line as it is written, counted from 1. */
export function lineOf(text: string, line: number): string {
  const { lines } = walked(text);
  return text.slice(lines[line - 1], line < lines.length ? lines[line]! - 1 : undefined);
}

const name = (path: readonly (string | number)[]): string => JSON.stringify(path.map(String));

/** The last line that begins at the offset or before it, found by halves. */
function toPosition(lines: readonly number[], offset: number): Position {
  let [low, high] = [0, lines.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (lines[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - lines[low]! + 1 };
}

/** A basic string's escapes: toml.io, "String". */
const unescaped = (text: string): string =>
  text.replace(/\\(?:u(.{4})|U(.{8})|x(.{2})|(.))/g, (_, four: string, eight: string, two: string, one: string) =>
    one === undefined ? String.fromCodePoint(Number.parseInt(four ?? eight ?? two, 16)) : ({ b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', e: '\x1b' }[one] ?? one));

/** Every key and array element of a valid TOML text -> offset. The reader of TOML keeps no positions, hence this walk. */
function scan(text: string): Map<string, number> {
  const places = new Map<string, number>();
  const counts = new Map<string, number>(); // elements seen of each [[array of tables]]
  let at = 0;
  const see = (path: (string | number)[], offset: number) => {
    for (let length = 1; length <= Math.min(path.length, deepest); length++) {
      const key = name(path.slice(0, length));
      if (!places.has(key)) places.set(key, offset);
    }
  };
  const skip = (pattern: RegExp) => {
    pattern.lastIndex = at;
    at += pattern.exec(text)?.[0].length ?? 0;
  };
  const blank = () => skip(/[ \t]*/y);
  const gap = () => skip(/(?:[\s]|#[^\n]*)*/y);

  const string = (): string => {
    const triple = text.startsWith('"""', at) || text.startsWith("'''", at);
    const quote = triple ? text.slice(at, at + 3) : text[at]!;
    let end = at + quote.length;
    while (end < text.length && !text.startsWith(quote, end)) end += quote[0] === '"' && text[end] === '\\' ? 2 : 1;
    const inside = text.slice(at + quote.length, end);
    at = end + quote.length;
    if (triple) skip(/["']{0,2}/y);
    return inside;
  };
  const keys = (): string[] => {
    const parts: string[] = [];
    do {
      if (text[at] === '.') at++;
      blank();
      if (text[at] === '"') parts.push(unescaped(string()));
      else if (text[at] === "'") parts.push(string());
      else {
        const start = at;
        skip(/[\w-]+/y);
        parts.push(text.slice(start, at));
      }
      blank();
    } while (text[at] === '.');
    return parts;
  };
  const value = (path: (string | number)[]): void => {
    const c = text[at];
    if (c === '"' || c === "'") string();
    else if (c === '[') {
      at++;
      for (let i = 0; ; i++) {
        gap();
        if (at >= text.length || text[at] === ']') break;
        see([...path, i], at);
        value([...path, i]);
        gap();
        if (text[at] === ',') at++;
      }
      at++;
    } else if (c === '{') {
      at++;
      for (;;) {
        gap();
        if (at >= text.length || text[at] === '}') break;
        pair(path);
        gap();
        if (text[at] === ',') at++;
      }
      at++;
    } else skip(/[^,\]}\n#]*/y);
  };
  const pair = (table: (string | number)[]): void => {
    const start = at;
    const path = [...table, ...keys()];
    see(path, start);
    if (text[at] !== '=') {
      at = Math.max(at, start + 1); // not TOML after all: go on, so that the walk ends
      return;
    }
    at++;
    blank();
    value(path);
  };

  let table: (string | number)[] = [];
  for (gap(); at < text.length; gap()) {
    if (text[at] !== '[') {
      pair(table);
      continue;
    }
    const start = at;
    const many = text[at + 1] === '[';
    at += many ? 2 : 1;
    table = [];
    const parts = keys();
    for (const [i, part] of parts.slice(0, deepest).entries()) {
      table.push(part);
      const seen = counts.get(name(table));
      const isNew = many && i === parts.length - 1;
      if (isNew) counts.set(name(table), (seen ?? 0) + 1);
      if (isNew || seen !== undefined) table.push(isNew ? (seen ?? 0) : seen! - 1); // [a.b] is in the last element of [[a]]
    }
    at += many ? 2 : 1;
    see(table, start);
  }
  return places;
}
