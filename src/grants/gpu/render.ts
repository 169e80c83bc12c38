import * as v from 'valibot';
import { defineGrant } from '../../grant.ts';
import { cardOption, chosenCards, needsCard } from '../../graphics.ts';
import { nodeEdit } from '../../nodes.ts';

export default defineGrant({
  summary: 'video acceleration: the render node of a graphics card, for OpenGL, Vulkan and VA-API',
  options: v.strictObject({ card: cardOption }),

  needs: ({ card }, { facts }) => needsCard(facts, card, ({ render }) => render !== null, 'render node'),

  edits: ({ card }, { facts }) => ({
    devices: chosenCards(facts, card).flatMap(({ render }) => (render ? [nodeEdit(facts, render)] : [])),
  }),

  exposes: () => [{ risk: 'medium', what: "the kernel's graphics driver takes commands straight from programs inside" }],
});
