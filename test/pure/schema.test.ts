import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { parse } from 'smol-toml';
import { machineSchema, machineSchemaText } from '../../scripts/schema.ts';
import { Complaint } from '../../src/errors.ts';
import { topics, values } from '../../src/grants/index.ts';
import { roots } from '../../src/roots/index.ts';
import { readSpec } from '../../src/spec.ts';
import { exampleNames, exampleText, here } from './hosts.ts';

const validate = new Ajv({ strict: true, strictRequired: false, allErrors: true, allowUnionTypes: true }).compile(machineSchema());

const isValid = (text: string): boolean => validate(parse(text));
const isRead = (text: string): boolean => {
  try {
    readSpec(text, 'machine.toml');
    return true;
  } catch (error) {
    if (error instanceof Complaint) return false;
    throw error;
  }
};

test('the schema in the repository is the one that the code makes', () => {
  assert.equal(readFileSync(here('../../schema/machine.schema.json'), 'utf8'), machineSchemaText(), 'npm run generate writes it');
});

test('every example begins with a line that tells editors its schema, says what it is for, and is valid', () => {
  for (const name of exampleNames) {
    const [first, second] = exampleText(name).split('\n');
    assert.equal(first, '#:schema ../schema/machine.schema.json', name);
    assert.match(second!, /^# [A-Z].*/, name);
    assert.ok(isValid(exampleText(name)), `${name}: ${JSON.stringify(validate.errors)}`);
  }
});

test('the examples together use every grant, every source of a root and every key', () => {
  const specs = exampleNames.map((name) => parse(exampleText(name)));
  const used = new Set(exampleNames.flatMap((name) => readSpec(exampleText(name), name).grants.map(({ topic, kind }) => (kind === null ? topic : `${topic}.${kind}`))));
  assert.deepEqual([...Object.entries(topics).flatMap(([topic, kinds]) => Object.keys(kinds).map((kind) => `${topic}.${kind}`)), ...Object.keys(values)].filter((name) => !used.has(name)), []);
  assert.deepEqual(Object.keys(roots).filter((source) => !specs.some(({ root }) => source in (root as object))), []);
  assert.deepEqual(Object.keys(machineSchema().properties as object).filter((key) => key !== 'engine' && !specs.some((spec) => key in spec)), []);
});

test('the schema and the reader agree about files that are right and files that are wrong', () => {
  const root = '\n[root]\ndebian = "bookworm"\n';
  const right = [
    `name = "a"${root}`, `name = "a"\ndisplay = ["nested", "headless"]${root}`, `name = "a"\naudio = "none"${root}`, `name = "a"\ndisplay.nested = { size = "10x10" }${root}`, `name = "a"\nfiles = ["/a", { path = "~/b", write = true }]${root}`,
    `name = "a"\nuser = { name = "x", uid = 5 }${root}`, `name = "a"\nrun = ["a", "b"]${root}`, `name = "a"\nlimits.memory = "1.5G"${root}`, `name = "a"\nnetwork.bridge = { name = "br0", address = "10.0.0.2/8" }${root}`,
    'name = "a"\nroot.host = true', 'name = "a"\nroot.arch = true', 'name = "a"\nroot.clone = "b"', `name = "a"\nengine = "nspawn"${root}`,
  ];
  const wrong = [
    root, 'name = "a"', `name = "A"${root}`, `name = 1${root}`, `name = "a"\ncolour = "red"${root}`, `name = "a"\ndisplay = "nestd"${root}`, `name = "a"\ndisplay = []${root}`, `name = "a"\ndisplay = ["nested", "nested"]${root}`,
    `name = "a"\ndisplay = ["nested", "none"]${root}`, `name = "a"\ndisplay.nested.sise = "1x1"${root}`, `name = "a"\ndisplay.nested.size = "large"${root}`, `name = "a"\nfiles = ["relative"]${root}`, `name = "a"\nfiles = "/a"${root}`,
    `name = "a"\nuser = { uid = 5 }${root}`, `name = "a"\nuser = { name = "x", uid = 0 }${root}`, `name = "a"\nrun = []${root}`, `name = "a"\nlimits.memory = 5${root}`, `name = "a"\nlimits.tasks = 1.5${root}`, `name = "a"\nnetwork = "bridge"${root}`,
    `name = "a"\naccept = ["everything"]${root}`, `name = "a"\nusers = "mine"${root}`, 'name = "a"\nroot = "bookworm"', 'name = "a"\n[root]\n', 'name = "a"\nroot.arch = false', 'name = "a"\n[root]\ndebian = "bookworm"\ntar = "/a"',
    'name = "a"\n[root]\ndebian = "bookworm"\nvariant = "big"', `name = "a"\n[environment]\n"A B" = "1"${root}`, `name = "a"\n[environment]\nA = 1${root}`,
  ];
  for (const text of right) assert.deepEqual([isValid(text), isRead(text)], [true, true], text);
  for (const text of wrong) assert.deepEqual([isValid(text), isRead(text)], [false, false], text);
});

test('every key of every table has a description, for the editor to show', () => {
  const silent: string[] = [];
  const walk = (schema: unknown, at: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'properties') for (const [name, property] of Object.entries(value as object)) if (!(property as { description?: string }).description) silent.push(`${at}.${name}`);
      walk(value, key === 'properties' ? at : `${at}.${key}`);
    }
  };
  walk(machineSchema(), '');
  assert.deepEqual(silent, []);
});
