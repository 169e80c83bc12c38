import type { Facts } from './facts.ts';
import { digest } from './digest.ts';
import { type Made, masksOf, type Unmasked } from './masks.ts';

/** The name of a template: readable, and another one as soon as anything differs that it is built from. */
export const templateKey = (source: string, label: string, from: Record<string, unknown>): string =>
  `${source}-${label.replace(/[^a-zA-Z0-9.-]/g, '').slice(0, 40)}-${digest(JSON.stringify(from)).toString('hex').slice(0, 16)}`;

/** The key of a root that may boot, and what is left out in it. A machine that was made before anything was left out keeps its template. */
export function bootsFrom(keyOf: (more: Record<string, unknown>) => string, boots: boolean, unmasked: Unmasked | undefined, { store: { machines } }: Facts, machine: string): { key: string; masks: Made[] } {
  const before = keyOf({});
  if (!boots || machines.some(({ name, template }) => name === machine && template === before)) return { key: before, masks: [] };
  return { key: keyOf({ masks: unmasked === undefined ? true : unmasked === 'all' ? 'all' : [...unmasked].sort() }), masks: masksOf(unmasked ?? []) };
}
