import { readdirSync, readFileSync } from 'node:fs';

/** Pages of docs/ as people follow them: the files that they show, and the commands that they have typed. */

/** What stands between two lines of ```: what follows these on the first is its language, and the name of the file that it is. */
export interface Block {
  language: string;
  file: string | null;
  text: string;
  /** Of its first line in the page, from 1 on. */
  line: number;
}

const source = new URL('../', import.meta.url);

/** The pages for each kind of person, without `.md`. */
export const peoplePages: string[] = readdirSync(new URL('docs/', source)).filter((name) => /^for-.*\.md$/.test(name)).map((name) => name.replace('.md', '')).sort();

/** README.md, and all of docs/, by their path. */
export const allPages: string[] = ['README.md', ...readdirSync(new URL('docs/', source)).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];

export const pageText = (path: string): string => readFileSync(new URL(path, source), 'utf8');

export const blocksOf = (page: string): Block[] =>
  [...page.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gms)].map(({ 1: language, 2: file, 3: text, index }) => ({ language: language!, file: file ?? null, text: text!, line: page.slice(0, index).split('\n').length + 1 }));

/** A file that a page of docs/ shows; fails where it shows none of that name. */
export function fileOf(page: string, name: string): string {
  const block = blocksOf(pageText(`docs/${page}.md`)).find(({ file }) => file === name);
  if (!block) throw new Error(`docs/${page}.md shows no file ${name}`);
  return block.text;
}

/** A line that is typed, after `$ `, and what is said then. A line `...` stands for any others, or none; within a line it stands for the rest of it, or some of it. */
export interface Typed {
  command: string;
  said: string[];
  line: number;
}

export function typedIn({ language, text, line }: Block): Typed[] {
  if (language !== 'console') return [];
  const typed: Typed[] = [];
  for (const [row, words] of text.trimEnd().split('\n').entries()) {
    if (words.startsWith('$ ')) typed.push({ command: words.slice(2).replace(/ +# .*/, ''), said: [], line: line + row });
    else typed.at(-1)?.said.push(words);
  }
  return typed;
}

/** Whether that was said: all lines in their order, with anything at a `...`, and anything at all where the page shows nothing. */
export function isSaid(said: readonly string[], found: string): boolean {
  const escape = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  const lines = said.map((line) => (line.trim() === '...' ? '(.*\\n)*' : `${escape(line).replaceAll('\\.\\.\\.', '.*')}\\n`)).join('');
  return said.length === 0 || new RegExp(`^${lines}$`).test(found);
}
