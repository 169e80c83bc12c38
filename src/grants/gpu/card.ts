import * as v from 'valibot';
import { defineGrant } from '../../grant.ts';
import { cardOption, freeCards, needsCard, needsFree, withoutCard } from '../../graphics.ts';
import { nodeEdit } from '../../nodes.ts';
import { nvidiaCards, nvidiaEdits, nvidiaPaths } from '../../nvidia.ts';

export default defineGrant({
  summary: 'a whole graphics card: its render node, and the node that sets what is on the screen',
  options: v.strictObject({ card: cardOption }),

  paths: (_, { nvidia }) => nvidiaPaths(nvidia),

  needs: ({ card }, { facts, machine }) => [...needsCard(facts, card, () => true, 'graphics card'), ...needsFree(facts, machine, card)],

  edits({ card }, { facts, machine }) {
    const cards = freeCards(facts, machine, card);
    const { devices = [], ...libraries } = nvidiaEdits(facts, nvidiaCards(cards), 'host');
    return { devices: [...cards.flatMap(({ card: node, render }) => [node, ...(render ? [render] : [])]).map((path) => nodeEdit(facts, path)), ...devices], ...libraries };
  },

  exposes: () => [
    { can: 'driver', what: "the kernel's graphics driver takes commands straight from programs inside", smaller: withoutCard },
    { can: 'display', what: 'programs inside become master of the screen when nobody else is, and then decide what it shows', smaller: { say: 'gpu = "render"', loses: 'drawing on the screen itself' } },
  ],
});
