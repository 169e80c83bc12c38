import * as v from 'valibot';
import { defineGrant } from '../../grant.ts';
import { cardOption, chosenCards, needsCard, withoutCard } from '../../graphics.ts';
import { nodeEdit } from '../../nodes.ts';
import { nvidiaCards, nvidiaEdits, nvidiaPaths } from '../../nvidia.ts';

export default defineGrant({
  summary: 'video acceleration: the render node of a graphics card, for OpenGL, Vulkan and VA-API',
  options: v.strictObject({ card: cardOption }),

  paths: (_, { nvidia }) => nvidiaPaths(nvidia),

  needs: ({ card }, { facts }) => needsCard(facts, card, ({ render }) => render !== null, 'render node'),

  edits({ card }, { facts }) {
    const chosen = chosenCards(facts, card).filter(({ render }) => render !== null);
    const { devices = [], ...libraries } = nvidiaEdits(facts, nvidiaCards(chosen), 'host');
    return { devices: [...chosen.map(({ render }) => nodeEdit(facts, render!)), ...devices], ...libraries };
  },

  exposes: () => [{ can: 'driver', what: "the kernel's graphics driver takes commands straight from programs inside", smaller: withoutCard }],
});
