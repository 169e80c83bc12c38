import assert from 'node:assert/strict';
import type { Report, Row } from '../../src/verify.ts';
import type { Computer } from './computer.ts';

/** What `nestbox verify` finds to be otherwise than a machine's file says. `environment`: VARIABLE=VALUE, of who asks. */
export async function differencesOf(computer: Computer, name: string, environment: readonly string[] = []): Promise<{ status: number; bad: Row[]; said: string }> {
  const { status, stdout, stderr } = await computer.run('env', ...environment, 'nestbox', 'verify', '--json', name);
  assert.ok(stdout !== '', stderr);
  const bad = (JSON.parse(stdout) as Report).rows.filter(({ verdict }) => verdict === 'difference');
  return { status, bad, said: bad.map(({ layer, what, found }) => `${layer}: ${what}: ${found}`).join('; ') };
}

/** All of their grants and denials are as their files say. */
export async function verified(computer: Computer, ...names: string[]): Promise<void> {
  for (const name of names) {
    const { status, said } = await differencesOf(computer, name);
    assert.deepEqual([status, said], [0, ''], name);
  }
}
