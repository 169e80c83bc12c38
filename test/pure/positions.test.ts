import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'smol-toml';
import { positionOf } from '../../src/positions.ts';
import { exampleNames, exampleText } from './hosts.ts';

const at = (text: string, ...path: (string | number)[]): string => {
  const { line, column } = positionOf(text, path);
  return `${line}:${column}`;
};

test('a key of a table is found under its header, wherever tables stand', () => {
  const text = 'name = "a"\n\n[display.nested]\n  size = "1x1"\n\n[root]\ndebian = "x"\n';
  assert.deepEqual([at(text, 'name'), at(text, 'display'), at(text, 'display', 'nested'), at(text, 'display', 'nested', 'size'), at(text, 'root', 'debian')], ['1:1', '3:1', '3:1', '4:3', '7:1']);
});

test('an element of an array is found, over several lines, with comments and a comma at the end', () => {
  const text = 'files = [ # the games\n  "/a", # [not this]\n  "/b",\n\n  { path = "/c",\n    to = "/d" },\n]\nnext = 1\n';
  assert.deepEqual([at(text, 'files', 0), at(text, 'files', 1), at(text, 'files', 2), at(text, 'files', 2, 'to'), at(text, 'next')], ['2:3', '3:3', '5:3', '6:5', '8:1']);
});

test('arrays of tables count each on its own', () => {
  const text = '[[files]]\npath = "/a"\n[[files]]\npath = "/b"\n[files.more]\nx = 1\n[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n';
  assert.deepEqual([at(text, 'files', 0, 'path'), at(text, 'files', 1), at(text, 'files', 1, 'path'), at(text, 'a', 'b', 1, 'c')], ['2:1', '3:1', '4:1', '10:1']);
  assert.equal(at(text, 'files', 1, 'more', 'x'), '6:1');
  assert.deepEqual(['2:1', '4:1', '6:1'], [at('[[a]]\n[[a.b]]\nc=1\n[[a]]\n[[a.b]]\nc=2\n', 'a', 0, 'b', 0), at('[[a]]\n[[a.b]]\nc=1\n[[a]]\n[[a.b]]\nc=2\n', 'a', 1), at('[[a]]\n[[a.b]]\nc=1\n[[a]]\n[[a.b]]\nc=2\n', 'a', 1, 'b', 0, 'c')]);
});

test('dotted keys, also quoted and with blanks around the dots, are paths', () => {
  const text = 'limits.memory = "1G"\nenvironment . "A.B" = "1"\n\'x y\'.z = 1\n"tab\\there" = 2\n"\\u0041" = 3\n';
  assert.deepEqual([at(text, 'limits', 'memory'), at(text, 'environment', 'A.B'), at(text, 'x y', 'z'), at(text, 'tab\there'), at(text, 'A')], ['1:1', '2:1', '3:1', '4:1', '5:1']);
});

test('brackets, hashes, quotes and equals signs within strings mean nothing', () => {
  const text = 'a = "] # } = \\" ["\nb = \'\\\'\nc = """\n[root]\nname = "no"\n"""\nd = \'\'\'\n# " \'\' = [\n\'\'\'\nname = "yes"\n';
  assert.equal((parse(text) as { name: string }).name, 'yes');
  assert.deepEqual([at(text, 'b'), at(text, 'c'), at(text, 'd'), at(text, 'name')], ['2:1', '3:1', '7:1', '10:1']);
});

test('a text of three quotes may end in more quotes', () => {
  const text = 'a = """x"""""\nb = 1\n';
  assert.equal(at(text, 'b'), '2:1');
});

test('inline tables within inline tables are found', () => {
  const text = 'display = { nested = { size = "1x1" }, headless = {} }\nx = 1';
  assert.deepEqual([at(text, 'display', 'nested', 'size'), at(text, 'display', 'headless'), at(text, 'x')], ['1:24', '1:40', '2:1']);
});

test('what is not there is at the nearest thing around it, and nothing at the beginning', () => {
  const text = 'name = "a"\n[root]\ndebian = "x"\n';
  assert.deepEqual([at(text, 'root', 'tar'), at(text, 'root', 'tar', 0), at(text, 'nothing'), at(text)], ['2:1', '2:1', '1:1', '1:1']);
});

test('line ends of Windows do not shift the columns', () => {
  assert.equal(at('a = 1\r\n[b]\r\nc = 2\r\n', 'b', 'c'), '3:1');
});

test('every key and element of every example is found, and where it is said to be', () => {
  for (const name of exampleNames) {
    const text = exampleText(name);
    const lines = text.split('\n');
    const walk = (value: unknown, path: (string | number)[]): void => {
      const last = path.at(-1);
      if (typeof last === 'string') {
        const { line, column } = positionOf(text, path);
        assert.ok(lines[line - 1]!.slice(column - 1).includes(last), `${name}: ${path.join('.')} is not at ${line}:${column}`);
      }
      if (typeof value === 'object' && value !== null) for (const [key, inner] of Object.entries(value)) walk(inner, [...path, Array.isArray(value) ? Number(key) : key]);
    };
    walk(parse(text), []);
  }
});

test('a text that is no TOML after all ends the walk all the same', () => {
  for (const text of ['[', '= = =', 'a', '"', 'a = [', 'a = {', '[[', ']', 'a = [[[', '\u0000', '{}{}{}', 'a.b.', '"""']) assert.match(at(text, 'a'), /^\d+:\d+$/);
});

test('keys that lie deeper than any of a machine file take little memory and time', () => {
  const deep = 'a.'.repeat(20_000);
  const before = process.resourceUsage().maxRSS;
  assert.equal(at(`x = 1\n${deep}b = 1\ny = 2\n`, 'a', 'a', 'a'), '2:1');
  assert.equal(at(`[${deep}b]\n[[${deep}c]]\nd = 1\n[e]\nf = 1`, 'e', 'f'), '5:1');
  assert.equal(at(`${deep}b = 1\n`, ...deep.split('.')), '1:1');
  assert.ok(process.resourceUsage().maxRSS - before < 100_000, `${process.resourceUsage().maxRSS - before} KiB more`);
});
