import type { Facts } from './facts.ts';
import { digest } from './digest.ts';
import { type Made, masksOf, type Unmasked } from './masks.ts';

/** The name of a template: readable, and another one as soon as anything differs that it is built from. */
export const templateKey = (source: string, label: string, from: Record<string, unknown>): string =>
  `${source}-${label.replace(/[^a-zA-Z0-9.-]/g, '').slice(0, 40)}-${digest(JSON.stringify(from)).toString('hex').slice(0, 16)}`;

/** The key of a root that may boot, and what is left out in it. A machine that is made keeps its template, whatever is left out by now. */
export function bootsFrom(keyOf: (more: Record<string, unknown>) => string, boots: boolean, unmasked: Unmasked | undefined, { store: { machines } }: Facts, machine: string): { key: string; masks: Made[] } {
  const own = machines.find(({ name }) => name === machine)?.template ?? null;
  const before = keyOf({});
  if (!boots || own === before) return { key: before, masks: [] };
  const masks = masksOf(unmasked ?? []);
  const asked = keyOf({ masks: unmasked === undefined ? true : unmasked === 'all' ? 'all' : [...unmasked].sort() });
  if (own !== null && `${own}-`.startsWith(`${asked}-`)) return { key: own, masks };
  return { key: masks.length === 0 ? asked : `${asked}-${digest(JSON.stringify(masks.map(({ why: _, ...made }) => made))).toString('hex').slice(0, 8)}`, masks };
}
