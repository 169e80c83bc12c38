import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { imported, readArguments, readForeign, type Source } from '../../src/import.ts';
import { readSpec } from '../../src/spec.ts';
import { splitWords } from '../../src/words.ts';
import { here } from './hosts.ts';

/**
 * import/NAME.txt: texts as people have them, each below a line `>>> PATH`, or a command line behind `$`; below `<<<` the machine file that comes
 * of it. UPDATE_GOLDEN=1 writes that anew: read the difference.
 */

const folder = here('import/');
const names = readdirSync(folder).filter((name) => name.endsWith('.txt')).sort();

interface Case {
  sources: Source[];
  command: string[] | null;
  given: string;
  expected: string;
}

function readCase(name: string): Case {
  const [given = '', expected = ''] = readFileSync(new URL(name, folder), 'utf8').split(/^<<<\n/m);
  const parts = given.split(/^>>> (.*)\n/m).slice(1);
  const sources = parts.flatMap((file, i) => (i % 2 === 0 ? [{ file, text: parts[i + 1]! }] : []));
  return { sources, command: given.startsWith('$ ') ? splitWords(given.slice(2)) : null, given, expected };
}

const circumstances = { folder: '/home/carol', name: null };

const machinesOf = ({ sources, command }: Case): string[] =>
  command ? [imported(readArguments(command), ['a command line'], circumstances).text] : readForeign(sources).map((foreign) => imported(foreign, sources.map(({ file }) => file), circumstances).text);

test('what people have becomes the machine file that is expected', () => {
  const differing: string[] = [];
  for (const name of names) {
    const one = readCase(name);
    const found = machinesOf(one).join('');
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(new URL(name, folder), `${one.given}<<<\n${found}`);
    else if (found !== one.expected) differing.push(`${name}: line ${found.split('\n').findIndex((line, i) => line !== one.expected.split('\n')[i]) + 1} of the machine file`);
  }
  assert.deepEqual(differing, [], 'UPDATE_GOLDEN=1 writes them anew');
  assert.ok(names.length >= 40, `${names.length} texts`);
});

test('each of them is a machine file that nestbox takes', () => {
  for (const name of names) for (const text of machinesOf(readCase(name))) assert.ok(readSpec(text, name).name, name);
});
