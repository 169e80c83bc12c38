import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { machineManual } from '../../scripts/manual.ts';

test('the manual of the machine file is the one that the code gives', () => {
  assert.equal(readFileSync(new URL('../../docs/machine-file.md', import.meta.url), 'utf8'), machineManual(), 'npm run generate writes it');
});
