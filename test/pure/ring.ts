import './unhooked.ts'; // before anything loads node:test
import { readdirSync } from 'node:fs';

/** These take as long as all others. */
const laws = ['images.test.ts', 'laws.test.ts', 'units.test.ts'];

/** All tests of a half of the ring in one process: to load what they have in common takes longer than most of them. There are two halves, as most computers have two cores. */
export async function runHalf(half: 'laws' | 'others'): Promise<void> {
  const names = readdirSync(new URL('.', import.meta.url)).filter((name) => name.endsWith('.test.ts') && laws.includes(name) === (half === 'laws'));
  for (const name of names.sort()) await import(`./${name}`);
}
