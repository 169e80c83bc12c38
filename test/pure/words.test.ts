import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import { listed, nearest, pasteable, splitWords } from '../../src/words.ts';

test('the nearest word is one of a few mistakes away, or there is none', () => {
  const words = ['display', 'devices', 'audio', 'user', 'users', 'files'];
  assert.deepEqual(['dispaly', 'DISPLAY', 'device', 'file', 'usr', 'xyz', 'wayland', ''].map((given) => nearest(given, words)), ['display', 'display', 'devices', 'files', 'user', undefined, undefined, undefined]);
  assert.equal(nearest('a', []), undefined);
});

test('a command line is split as a shell would, less its expansions', () => {
  const cases: [string, string[]][] = [
    ['steam -beta', ['steam', '-beta']], ["  sh  -c 'a b'  ", ['sh', '-c', 'a b']], ['a "b c"d', ['a', 'b cd']], ['a\\ b', ['a b']], ['"a\\"b"', ['a"b']], ["'a\\'", ['a\\']], ["a ''", ['a', '']], ['', []], ['   ', []],
    ['echo $HOME `x` $(y) *', ['echo', '$HOME', '`x`', '$(y)', '*']], ['a;b|c', ['a;b|c']], ["it''s", ['its']],
  ];
  for (const [line, words] of cases) assert.deepEqual(splitWords(line), words, line);
  for (const line of ["a 'b", 'a "b']) assert.throws(() => splitWords(line), Complaint);
});

test('an argument list that is shown can be pasted into a shell', () => {
  const argv = ['a b', "it's", '', '$HOME', '`x`', '*', 'a\\b', '"', '~', '--option=x y', '!', '#', 'ü', 'plain-word_1.2:/%+@,='];
  const printed = execFileSync('/bin/sh', ['-c', `for word in ${pasteable(argv)}; do printf '%s\\0' "$word"; done`], { encoding: 'utf8' });
  assert.deepEqual(printed.split('\0').slice(0, -1), argv);
  assert.deepEqual(splitWords(pasteable(argv)), argv);
});

test('words are listed as in a sentence', () => {
  assert.deepEqual([listed([]), listed(['a']), listed(['a', 'b']), listed(['a', 'b', 'c'], 'or')], ['', 'a', 'a and b', 'a, b or c']);
});
