import * as v from 'valibot';
import { lacks, warns } from '../../errors.ts';
import type { Facts } from '../../facts.ts';
import { defineGrant } from '../../grant.ts';
import { nodeEdit } from '../../nodes.ts';
import { line, says } from '../../schema.ts';
import { seatOfSound, soundOf } from '../../seats.ts';
import { listed, nearest } from '../../words.ts';

/** By its number, by its short name (PCH), or by the longer one that mixers show (HDA Intel PCH); the first that no other machine's seat has. */
const cardOf = (facts: Facts, machine: string, card: string | number | undefined) =>
  card === undefined ? facts.sound.cards.find((one) => !seatOfSound(facts, machine, one)) : soundOf(facts, card);

/** Where programs inside look for the default card; alsa.conf of alsa-lib reads it. */
const settings = '/etc/asound.conf';

const playback = { say: 'audio = "playback"', loses: 'the card itself: the shortest delay, its mixer, MIDI' };

export default defineGrant({
  summary: "a sound card itself, without a sound server; nobody else on the host may be using it",
  options: v.strictObject({
    card: v.optional(v.pipe(v.union([v.pipe(v.number(), v.integer('expected a whole number')), line], 'expected the number or the name of a card'), says('Number or name of the card, either name of /proc/asound/cards; the first if absent.'))),
    record: v.optional(v.pipe(v.boolean(), says('Its microphones as well.')), false),
  }),

  needs({ card }, { facts, machine }) {
    const found = cardOf(facts, machine, card);
    const owner = found && seatOfSound(facts, machine, found);
    if (owner) return [{ ...lacks(`the seat of the machine '${owner.machine}' has that sound card`, 'nestbox seats shows what is free'), at: ['card'] }];
    if (found) return facts.inside?.asound ? [warns(`the machine has an ${settings} of its own, which decides on its default card`, 'ALSA_CARD names the granted one for programs that heed it, going on')] : [];
    const { cards } = facts.sound;
    const there = cards.map(({ index, id, name }) => `${index} (${id}${name && name !== id ? `, ${name}` : ''})`);
    const names = cards.flatMap(({ id, name }) => [id, ...(name ? [name] : [])]);
    const meant = typeof card === 'string' ? (nearest(card, names) ?? names.find((name) => name.toLowerCase().includes(card.toLowerCase()))) : undefined;
    return [{ ...lacks(`the host has no sound card${card === undefined ? '' : ` '${card}'`}`, meant ? `did you mean '${meant}'?` : there.length > 0 ? `there is ${listed(there)}` : 'see /proc/asound/cards; without a card, audio = "playback" plays into the void or a file'), at: card === undefined ? [] : ['card'] }];
  },

  edits({ card, record }, { facts, machine, run }) {
    const { index, id } = cardOf(facts, machine, card)!;
    const file = `${run}/asound.conf`;
    const isCovered = !facts.inside?.asound; // one of the root's own says more than which card
    const wanted = new RegExp(`^/dev/snd/(timer|seq|controlC${index}|hwC${index}D\\d+|pcmC${index}D\\d+${record ? '[pc]' : 'p'})$`);
    return {
      ...(isCovered && {
        before: [{ kind: 'write', path: file, text: `defaults.pcm.!card "${id}"\ndefaults.ctl.!card "${id}"\n`, mode: 0o644 }],
        binds: [{ from: file, to: settings, write: false, owner: 'as-is', passes: true }],
      }),
      devices: Object.keys(facts.nodes).filter((path) => wanted.test(path)).sort().map((path) => nodeEdit(facts, path)),
      environment: { ALSA_CARD: `${index}` },
    };
  },

  exposes: ({ record }) => [
    { can: 'driver', what: "the kernel's sound driver takes commands straight from programs inside, and the mixer of the card is theirs", smaller: playback },
    ...(record ? [{ can: 'microphone' as const, what: 'programs inside can listen to the microphones of the card', at: ['record'], smaller: { say: 'leave record out', loses: 'recording' } }] : []),
  ],
});
