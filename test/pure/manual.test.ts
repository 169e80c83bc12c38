import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { engineTable, pages, pageWith } from '../../scripts/engines.ts';
import { auditPage, machineManual } from '../../scripts/manual.ts';

test('the manual of the machine file is the one that the code gives', () => {
  assert.equal(readFileSync(new URL('../../docs/machine-file.md', import.meta.url), 'utf8'), machineManual(), 'npm run generate writes it');
});

test('the page on audit has the rules that the code has', () => {
  const page = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  assert.equal(page, auditPage(page), 'npm run generate writes it');
  assert.match(page, /\| `host-ids` \| there is no user namespace/);
});

test('the tables of what each engine can do are those that the code gives', () => {
  const table = engineTable();
  for (const page of pages) {
    const text = readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8');
    assert.equal(text, pageWith(text, table), `${page}: npm run generate writes it`);
  }
});
