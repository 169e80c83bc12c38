import * as v from 'valibot';
import { lacks } from '../../errors.ts';
import type { Facts } from '../../facts.ts';
import { defineGrant } from '../../grant.ts';
import { nodeEdit } from '../../nodes.ts';
import { line, says } from '../../schema.ts';
import { listed } from '../../words.ts';

const cardOf = ({ sound }: Facts, card: string | number | undefined) =>
  card === undefined ? sound.cards[0] : sound.cards.find(({ index, id }) => index === card || id === card);

export default defineGrant({
  summary: "a sound card itself, without a sound server; nobody else on the host may be using it",
  options: v.strictObject({
    card: v.optional(v.pipe(v.union([v.pipe(v.number(), v.integer('expected a whole number')), line], 'expected the number or the name of a card'), says('Number or name of the card, as in /proc/asound/cards; the first if absent.'))),
    record: v.optional(v.pipe(v.boolean(), says('Its microphones as well.')), false),
  }),

  needs({ card }, { facts }) {
    if (cardOf(facts, card)) return [];
    const there = facts.sound.cards.map(({ index, id }) => `${index} (${id})`);
    return [{ ...lacks(`the host has no sound card${card === undefined ? '' : ` '${card}'`}`, there.length > 0 ? `there is ${listed(there)}` : 'see /proc/asound/cards; without a card, audio = "playback" plays into the void or a file'), at: card === undefined ? [] : ['card'] }];
  },

  edits({ card, record }, { facts }) {
    const { index } = cardOf(facts, card)!;
    const wanted = new RegExp(`^/dev/snd/(timer|seq|controlC${index}|hwC${index}D\\d+|pcmC${index}D\\d+${record ? '[pc]' : 'p'})$`);
    return {
      devices: Object.keys(facts.nodes).filter((path) => wanted.test(path)).sort().map((path) => nodeEdit(facts, path)),
      environment: { ALSA_CARD: `${index}` },
    };
  },

  exposes: ({ record }) => [
    { risk: 'medium', what: "the kernel's sound driver takes commands straight from programs inside, and the mixer of the card is theirs" },
    ...(record ? [{ risk: 'high' as const, what: 'programs inside can listen to the microphones of the card' }] : []),
  ],
});
