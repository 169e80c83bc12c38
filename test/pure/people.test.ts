import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { describe } from '../../src/apply.ts';
import { commands } from '../../src/cli.ts';
import type { PathFact } from '../../src/facts.ts';
import { plan } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { splitWords } from '../../src/words.ts';
import { allPages, blocksOf, isSaid, pageText, peoplePages, typedIn } from '../pages.ts';
import { hostNames, meetStored, storedHost } from './hosts.ts';

/** The pages of docs/, as far as they can be followed on paper. */

const folder: PathFact = { kind: 'directory', uid: 0, gid: 0, mode: 0o755, size: 4096, modified: 0 };

/** A stored host that has all folders of which a page speaks, and what seats need. */
const furnished = (host: string) => {
  const stored = storedHost(host);
  return { ...stored, nodes: { ...stored.nodes, '/dev/uinput': { type: 'c' as const, major: 10, minor: 223, uid: 0, gid: 0, mode: 0o600 } }, paths: new Proxy(stored.paths, { has: () => true, get: (paths, path: string) => paths[path] ?? folder }) };
};

test('each machine file that a page shows as a whole can be read, and those for each kind of person run on a stored host', () => {
  let planned = 0;
  for (const path of allPages) for (const { language, file, text, line } of blocksOf(pageText(path))) {
    if (language !== 'toml' || !/^name\b/m.test(text)) continue;
    const spec = readSpec(text, `${path}:${line}`);
    if (!file) continue;
    const met = hostNames.map((host) => meetStored(spec, furnished(host), `/etc/nestbox/${file}`));
    const runs = met.find(({ machine }) => !machine.problems.some(({ fatal }) => fatal));
    assert.ok(runs, `${path}:${line}: ${met.flatMap(({ machine }) => machine.problems.map(({ what }) => what)).join('; ')}`);
    const { opening, lasting, passing } = plan(runs.machine, runs.facts, (at) => `${file}: ${at.join('.')}: `);
    assert.ok([...opening, ...lasting, ...passing].map(({ step }) => describe(step)).join('\n').includes(spec.name!), path);
    planned++;
  }
  assert.ok(planned >= peoplePages.length, `${planned}`);
  assert.equal(peoplePages.length, 5);
});

test('each command that a page has typed is one, with options that it takes', () => {
  let found = 0;
  for (const path of allPages) for (const block of blocksOf(pageText(path))) for (const { command, line } of typedIn(block)) {
    const words = splitWords(command.replace(/ &$/, '').replace(/^sudo /, ''));
    if (words[0] !== 'nestbox') continue;
    const known = commands[words[1]!];
    assert.ok(known, `${path}:${line}: ${command}`);
    const own = words.slice(2);
    const end = known.own === undefined ? own.length : own.findIndex((word, i) => i > 0 && !word.startsWith('-')) + 1;
    assert.doesNotThrow(() => parseArgs({ args: own.slice(0, end), options: known.options, allowPositionals: true }), `${path}:${line}: ${command}`);
    found++;
  }
  assert.ok(found > 30, `${found}`);
});

test('each file that a page names is there', () => {
  const missing = allPages.flatMap((path) => {
    const text = pageText(path);
    const named = [...text.matchAll(/(?<![\w/.])((?:docs|examples|bench|schema)\/[\w./-]+\.(?:md|toml|json|png))/g)].map(([, name]) => name!);
    const linked = [...text.matchAll(/\]\(([\w./-]+)\)/g)].map(([, name]) => `${path.startsWith('docs/') ? 'docs/' : ''}${name}`);
    return [...named, ...linked].filter((name) => !existsSync(new URL(`../../${name}`, import.meta.url))).map((name) => `${path}: ${name}`);
  });
  assert.deepEqual(missing, []);
});

test('what a page shows as said is compared line by line, but for what it leaves out', () => {
  assert.ok(isSaid([], 'anything'));
  assert.ok(isSaid(['a (b)', '...', 'z'], 'a (b)\nc\nd\nz\n'));
  assert.ok(isSaid(['...'], ''));
  assert.ok(isSaid(['a ... z', 'b, ...'], 'a 1 z\nb, 2\n'));
  assert.ok(!isSaid(['a'], 'a\nb\n'));
  assert.ok(!isSaid(['a', '...', 'z'], 'a\nb\n'));
  assert.ok(!isSaid(['a.b'], 'axb\n'));
});
