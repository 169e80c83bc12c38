import * as v from 'valibot';
import { lacks } from '../../errors.ts';
import type { Facts } from '../../facts.ts';
import { defineGrant } from '../../grant.ts';
import { cardOption, chosenCards, withoutCard } from '../../graphics.ts';
import { nodeEdit } from '../../nodes.ts';
import { nvidiaCards, nvidiaEdits, nvidiaNeeds, nvidiaPaths } from '../../nvidia.ts';
import { says } from '../../schema.ts';
import { listed } from '../../words.ts';

const chosen = (facts: Facts, card: string | number | undefined) => nvidiaCards(chosenCards(facts, card));

export default defineGrant({
  summary: "a card with NVIDIA's own driver, for OpenGL, Vulkan, video and CUDA: its nodes, and the driver's libraries",
  options: v.strictObject({
    card: cardOption,
    libraries: v.optional(v.pipe(v.picklist(['host', 'inside']), says("host: this host's libraries of the driver are seen inside. inside: the machine has its own, which must be of the version that the host's kernel runs.")), 'host'),
  }),

  paths: ({ libraries }, { nvidia }) => (libraries === 'host' ? nvidiaPaths(nvidia) : []),

  needs({ card, libraries }, { facts }) {
    const cards = chosen(facts, card);
    if (cards.length > 0) return facts.nvidia ? nvidiaNeeds(facts, cards, libraries) : nvidiaNeeds(facts, cards, libraries).map((problem) => lacks(problem.what, 'modprobe nvidia'));
    const there = facts.graphics.map(({ index, pci, driver }) => `${index} (${[pci, driver].filter(Boolean).join(', ')})`);
    return [{ ...lacks(`the host has no card${card === undefined ? '' : ` '${card}'`} with NVIDIA's own driver`, there.length > 0 ? `there is ${listed(there)}: gpu = "render" gives cards with other drivers` : 'see /dev/dri'), at: card === undefined ? [] : ['card'] }];
  },

  edits({ card, libraries }, { facts }) {
    const cards = chosen(facts, card);
    const { devices = [], ...more } = nvidiaEdits(facts, cards, libraries);
    return { devices: [...cards.flatMap(({ render }) => (render ? [nodeEdit(facts, render)] : [])), ...devices], ...more };
  },

  exposes: () => [{ can: 'driver', what: "the kernel's part of NVIDIA's driver takes commands straight from programs inside", smaller: withoutCard }],
});
