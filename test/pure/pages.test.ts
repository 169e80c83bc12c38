import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import test from 'node:test';
import { manualPages, release } from '../../scripts/pages.ts';
import { plain, sentence, synopsis } from '../../scripts/roff.ts';
import { commands, help } from '../../src/cli.ts';
import { shapeOf } from '../../src/completion/shape.ts';
import { words } from '../../src/completion/words.ts';
import { topics } from '../../src/grants/index.ts';
import { groups } from '../../src/groups.ts';
import { meaning } from '../../src/meaning.ts';
import { splitWords } from '../../src/words.ts';

const changelog = readFileSync(new URL('../../packaging/changelog', import.meta.url), 'utf8');

test('each command is in one group, and its examples are lines that it takes', () => {
  assert.deepEqual(groups.flatMap((group) => Object.keys(group.commands)).sort(), Object.keys(commands).sort(), 'src/groups.ts has all of src/cli.ts');
  for (const [name, examples] of groups.flatMap((group) => Object.entries(group.commands))) {
    assert.ok(examples.length > 0, name);
    for (const [line] of examples) {
      const argv = splitWords(line.replace(/ [|>] .*| \d< .*/, '')).slice(line.startsWith('sudo ') ? 1 : 0);
      assert.deepEqual(argv.slice(0, 2), ['nestbox', name], line);
      const own = argv.slice(2);
      const end = commands[name]!.own === undefined ? own.length : own.findIndex((word, i) => !word.startsWith('-') && i > 0 && !own[i - 1]!.startsWith('-')) + 1;
      assert.doesNotThrow(() => parseArgs({ args: own.slice(0, end), options: commands[name]!.options, allowPositionals: true }), line);
    }
    assert.ok(help(name, commands[name]!).includes(`Examples:\n  ${examples[0]![0]}`), name);
  }
});

test('the manual has every command, option and word, and no text of the tables is taken for a request', () => {
  const pages = manualPages(changelog);
  const unescaped = (path: string) => pages[path]!.replaceAll(/\\f[BIR]|\\&/g, '').replaceAll('\\-', '-');
  for (const group of groups) for (const name of Object.keys(group.commands)) {
    const text = unescaped(`man1/nestbox-${group.name}.1`);
    for (const option of Object.keys(commands[name]!.options)) assert.ok(text.includes(`--${option}`), `${name} --${option}`);
    assert.ok(unescaped('man1/nestbox.1').includes(`\n${name}`), name);
    if (name !== group.name) assert.equal(pages[`man1/nestbox-${name}.1`], `.so man1/nestbox-${group.name}.1\n`);
  }
  const file = unescaped('man5/nestbox.toml.5');
  for (const [topic, kinds] of Object.entries(topics)) for (const [kind, { summary }] of Object.entries(kinds)) assert.ok(file.includes(`.SS "${kind}: ${summary.slice(0, 12)}`.replaceAll("'", '\\(aq')), `${topic}.${kind}`);
  for (const [path, text] of Object.entries(pages)) for (const line of text.split('\n'))
    if (/^[.']/.test(line)) assert.match(line, /^\.(TH|SH|SS|PP|TP|RS|RE|EX|EE|B|br|so|\\")( |$)/, path);
  assert.equal(plain(".so 'x' a-b \\n\n.TH"), '\\&.so \\(aqx\\(aq a\\-b \\en\n\\&.TH');
  assert.equal(sentence('say `a-b`, or well-known --x'), 'say \\fBa\\-b\\fR, or well-known \\-\\-x');
  assert.equal(synopsis('NAME [USER] a|b /dev/...'), '\\fINAME\\fR [\\fIUSER\\fR] \\fBa\\fR|\\fBb\\fR \\fB/dev/\\fR...');
  assert.equal(synopsis('[-- PROGRAM]'), '[\\-\\- \\fIPROGRAM\\fR]');
});

test('the package, the manual and the program have one version', () => {
  const own = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string; man: string[] };
  assert.equal(release(changelog).version, own.version);
  assert.deepEqual([...own.man].sort(), Object.entries(manualPages(changelog)).filter(([, text]) => !text.startsWith('.so ')).map(([path]) => `dist/man/${path}`).sort(), 'npm links these');
  assert.throws(() => release('nonsense'), /deb-changelog/);
});

test('help knows each word of the machine file, and no other', () => {
  for (const word of words()) assert.match(meaning(word) ?? '', /^.+\n/, word);
  for (const word of ['nonsense', 'display.nonsense', 'display.nested.size', 'files.path', 'root.nonsense', 'toString', 'display.toString', 'root.toString', '']) assert.equal(meaning(word), null, word);
  assert.match(meaning('display.nested')!, /\n {2}size {13}Size of the window.*\n[\s\S]*\nWhat it opens:\n {2}/);
  assert.match(meaning('files')!, /\n {2}write {12}Whether/);
});

test('what stands where in a command line is read off the table of commands', () => {
  const shape = (name: string) => shapeOf(commands[name]!, ['run', 'stop']);
  assert.deepEqual(shape('stop'), { places: [{ sorts: ['machine'], words: [] }], rest: { sorts: ['machine'], words: [] }, programAt: null, programAfterDashes: false });
  assert.deepEqual(shape('run').places, [{ sorts: ['file', 'machine'], words: [] }]);
  assert.ok(shape('run').programAfterDashes);
  assert.equal(shape('exec').programAt, 1);
  assert.deepEqual(shape('plan').places, [{ sorts: ['machine-file', 'machine'], words: [] }]);
  assert.deepEqual(shape('why').places, [{ sorts: ['machine-file', 'machine'], words: [] }, { sorts: ['device'], words: [] }]);
  assert.deepEqual(shape('screenshot').places[1], { sorts: ['file'], words: [] });
  assert.deepEqual(shape('image').places[0]!.words, ['info', 'check', 'grow', 'shrink', 'compress', 'mount', 'unmount']);
  assert.deepEqual(shape('help').places[0]!.words.slice(0, 2), ['run', 'stop']);
  assert.deepEqual(shape('list'), { places: [], rest: null, programAt: null, programAfterDashes: false });
});
