import * as v from 'valibot';
import { lacks, type Problem, warns } from './errors.ts';
import type { Facts, GraphicsCard } from './facts.ts';
import { nvidiaCards, nvidiaNeeds } from './nvidia.ts';
import { line, says } from './schema.ts';
import { seatOfCard } from './seats.ts';
import { listed } from './words.ts';

/** What the kinds of graphics have in common: which card. */

export const cardOption = v.optional(v.pipe(
  v.union([v.pipe(v.number(), v.integer('expected a whole number')), line], 'expected the number of a card or its PCI address'),
  says('Which card: its number, as in /dev/dri/card0, or its PCI address, such as "0000:01:00.0". All if absent.'),
));

export const chosenCards = ({ graphics }: Facts, card: string | number | undefined): GraphicsCard[] =>
  card === undefined ? graphics : graphics.filter(({ index, pci }) => index === card || pci === card || pci === `0000:${card}`);

/** Of the cards that are meant, those that no other machine's seat has for itself. */
export const freeCards = (facts: Facts, machine: string, card: string | number | undefined): GraphicsCard[] => chosenCards(facts, card).filter((one) => !seatOfCard(facts, machine, one));

/** Whose seat has the card that is meant, or all there are. */
export function needsFree(facts: Facts, machine: string, card: string | number | undefined): Problem[] {
  const chosen = chosenCards(facts, card);
  const owner = chosen[0] && freeCards(facts, machine, card).length === 0 ? seatOfCard(facts, machine, chosen[0]) : undefined;
  return owner ? [{ ...lacks(`the seat of the machine '${owner.machine}' has ${card === undefined ? 'the graphics card' : 'that graphics card'}`, 'nestbox seats shows what is free'), at: card === undefined ? [] : ['card'] }] : [];
}

export function needsCard(facts: Facts, card: string | number | undefined, wanted: (card: GraphicsCard) => boolean, what: string): Problem[] {
  const chosen = chosenCards(facts, card).filter(wanted);
  // Its other nodes and its libraries come with an NVIDIA card, as it is of no use without; a machine runs without them all the same.
  if (chosen.length > 0) return nvidiaNeeds(facts, nvidiaCards(chosen), 'host').map((problem) => (problem.fatal ? warns(problem.what, `${problem.mend}; programs inside draw without the card, going on`) : problem));
  const there = facts.graphics.filter(wanted).map(({ index, pci, driver }) => `${index} (${[pci, driver].filter(Boolean).join(', ')})`);
  return [{ ...lacks(`the host has no ${what}${card === undefined ? '' : what.endsWith('card') ? ` '${card}'` : ` on card '${card}'`}`, there.length > 0 ? `there is ${listed(there)}` : 'see /dev/dri; programs draw without one too, more slowly: gpu = "none"'), at: card === undefined ? [] : ['card'] }];
}

/** What would do where graphics need not be fast. */
export const withoutCard = { say: 'gpu = "none"', loses: 'graphics by the card: the processor draws' };
