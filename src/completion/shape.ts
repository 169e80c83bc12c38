import type { Command } from '../cli.ts';
import { words as machineWords } from './words.ts';

/** What stands where in a command line, read off the table of commands (pure): all three shells are told the same. */

/** Sorts of words that a shell finds by itself. */
export type Sort = 'machine' | 'machine-file' | 'file' | 'folder' | 'device' | 'user' | 'program' | 'template';

/** What one word of a command line can be. */
export interface Place {
  sorts: Sort[];
  words: string[];
}

export interface Shape {
  places: Place[];
  /** What all further words can be; null: there are none. */
  rest: Place | null;
  /** From this word on it is another program with its own words; null: there is none without `--` before it. */
  programAt: number | null;
  /** Whether a program can follow after `--`. */
  programAfterDashes: boolean;
}

/** What the words in capitals stand for; one that is not here is not completed: a SIZE, a NUMBER. */
const sorts: Record<string, Sort> = {
  NAME: 'machine', FILE: 'file', IMAGE: 'file', ARCHIVE: 'file', FOLDER: 'folder', DIRECTORY: 'folder', '/dev/...': 'device', USER: 'user', PROGRAM: 'program', TEMPLATE: 'template',
};

/** `FILE|NAME` or `info|check`: a file beside a machine's name is a machine file, unless an image may stand there too. */
function placeOf(token: string, commands: readonly string[]): Place {
  const words = token.replaceAll(/[[\]]/g, '').split('|');
  const isMachine = words.includes('NAME') && !words.includes('IMAGE');
  return {
    sorts: [...new Set(words.flatMap((word) => (word === 'FILE' && isMachine ? ['machine-file' as const] : sorts[word.replace(/\.\w+$/, '')] ?? sorts[word] ?? [])))],
    words: words.flatMap((word) => (word === 'COMMAND' ? commands : word === 'TOPIC' ? machineWords() : /^[a-z][a-z-]*$/.test(word) ? [word] : [])),
  };
}

const both = (a: Place | undefined, b: Place): Place => ({ sorts: [...new Set([...(a?.sorts ?? []), ...b.sorts])], words: [...new Set([...(a?.words ?? []), ...b.words])] });

/** `takes` of the table: forms with commas between them, words with spaces. `commands`: the names of all. */
export function shapeOf({ takes, own }: Pick<Command, 'takes' | 'own'>, commands: readonly string[]): Shape {
  const shape: Shape = { places: [], rest: null, programAt: own ?? null, programAfterDashes: /-- PROGRAM/.test(takes) };
  // A form that begins with dashes has the words of another program, or an option alone.
  for (const form of takes.split(', ').filter((one) => !/^(or )?--/.test(one))) {
    const tokens = form.replace(/\[?--\]? PROGRAM.*/, '').split(' ').filter(Boolean);
    for (const [i, token] of tokens.entries()) {
      const repeats = token.endsWith('...') && !token.endsWith('/...');
      const place = placeOf(repeats ? token.slice(0, -3) : token, commands);
      shape.places[i] = both(shape.places[i], place);
      if (repeats) shape.rest = place;
    }
  }
  return shape;
}

/** What the value of an option can be, by what it is called in help: FILE.wav, xz|zst|gz. */
export const valueOf = (takes: string): Place => placeOf(takes, []);
