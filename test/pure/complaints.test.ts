import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import { plan } from '../../src/plan.ts';
import { positionOf } from '../../src/positions.ts';
import { readSpec } from '../../src/spec.ts';
import { here, meetStored, once, storedHost } from './hosts.ts';

/** Bad machine files, each with what the person is told: complaints/NAME.toml and .txt. UPDATE_GOLDEN=1 writes the latter. */

const folder = here('complaints/');
const names = readdirSync(folder).filter((name) => name.endsWith('.toml')).map((name) => name.replace('.toml', '')).sort();
const textOf = (name: string): string => readFileSync(new URL(`${name}.toml`, folder), 'utf8');

/** What the file is refused with, as it is printed; null: it is not refused. A first line '# on HOST' names a stored host that it meets. */
const complaintOf = once((text: string): string | null => {
  const file = 'machine.toml';
  const host = /^# on (\S+)/.exec(text)?.[1];
  const place = (at: (string | number)[]) => {
    const { line, column } = positionOf(text, at);
    return `${file}:${line}:${column}: ${at.join('.')}: `;
  };
  try {
    const spec = readSpec(text, file);
    if (!host) return null;
    const stored = storedHost(host);
    const nothing = new Proxy(stored.paths, { has: () => true });
    const { machine, facts } = meetStored(spec, { ...stored, paths: nothing }, file);
    plan(machine, facts, place);
    return null;
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    return `${error.message}\n${error.hint ? `${error.hint.replace(/^/gm, '  ')}\n` : ''}`;
  }
});

test('every bad machine file is refused with exactly the words that are stored', () => {
  assert.ok(names.length >= 60);
  const failures: string[] = [];
  for (const name of names) {
    const file = new URL(`${name}.txt`, folder);
    const found = complaintOf(textOf(name)) ?? 'not refused\n';
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, found);
    if (found !== readFileSync(file, 'utf8')) failures.push(`${name}:\n${found}instead of\n${readFileSync(file, 'utf8')}`);
  }
  assert.deepEqual(failures, []);
});

test('every bad machine file is refused', () => {
  assert.deepEqual(names.filter((name) => complaintOf(textOf(name)) === null), []);
});

test('every complaint about a file says its line and column, and none shows a stack or the words of a library', () => {
  for (const name of names) {
    const found = complaintOf(textOf(name))!;
    if (!name.startsWith('host-')) assert.match(found, /^machine\.toml:\d+:\d+: /, name);
    assert.doesNotMatch(found, /Invalid|undefined|\[object|Error:|node_modules|NaN/, name);
    assert.doesNotMatch(found, /\p{Cc}(?<!\n)/u, name);
  }
});

test('a complaint points at a place in the file that has what it is about', () => {
  for (const name of names.filter((candidate) => !candidate.startsWith('toml-'))) {
    const lines = textOf(name).split('\n');
    for (const [, line, column, path] of complaintOf(textOf(name))!.matchAll(/^machine\.toml:(\d+):(\d+): (?:([\w.-]+): )?/gm)) {
      const rest = lines[Number(line) - 1]?.slice(Number(column) - 1);
      assert.ok(rest !== undefined, `${name}: line ${line}`);
      const last = path?.split('.').filter((part) => !/^\d+$/.test(part)).at(-1);
      if (last && Number(line) > 1 && !/^\d+$/.test(path!.split('.').at(-1)!)) assert.ok(lines[Number(line) - 1]!.includes(last) || /is missing/.test(complaintOf(textOf(name))!), `${name}: ${path} is not in '${rest}'`);
    }
  }
});
