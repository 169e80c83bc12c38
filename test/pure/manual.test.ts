import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { engineTable, page, pageWith } from '../../scripts/engines.ts';
import { auditPage, machineManual } from '../../scripts/manual.ts';

test('the manual of the machine file is the one that the code gives', () => {
  assert.equal(readFileSync(new URL('../../docs/machine-file.md', import.meta.url), 'utf8'), machineManual(), 'npm run generate writes it');
});

test('the page on audit has the rules that the code has', () => {
  const text = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  assert.equal(text, auditPage(text), 'npm run generate writes it');
  assert.match(text, /\| `host-ids` \| there is no user namespace/);
});

test('the table of what each engine can do is the one that the code gives', () => {
  const text = readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8');
  assert.equal(text, pageWith(text, engineTable()), 'npm run generate writes it');
});
