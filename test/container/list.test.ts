import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

/** `nestbox list` without Node says what Node would say: test/listed.ts makes up the hosts and compares. */

const source = new URL('../..', import.meta.url).pathname;

/** How many hosts were listed without Node. */
function listed(...words: string[]): number {
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', process.execPath, '--import', 'tsx', 'test/listed.ts', ...words], { cwd: source, encoding: 'utf8', env, timeout: 300_000 });
  assert.equal(status, 0, stderr);
  return Number(/: (\d+) without Node\n$/.exec(stdout)?.[1]);
}

test('machines in all states are listed without Node, byte by byte as with it', (t) => {
  const seed = `${Date.now() % 2 ** 31}`;
  t.diagnostic(`seed ${seed}`);
  assert.equal(listed('usual', seed, '60'), 60);
});

test('what is not as nestbox writes it is listed as Node does, or by Node', () => {
  assert.ok(listed('odd') >= 30);
});

test('JSON that was spoiled is what it is to Node, or left to Node', () => {
  assert.ok(listed('mutated', '7', '100') >= 3);
});

test('readers that go, full disks, terminals and other words are met as by Node', () => {
  listed('ways');
});
