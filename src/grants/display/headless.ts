import * as v from 'valibot';
import { lacksProgram } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { freeDisplay, oneEach, ownDisplay } from '../../displays.ts';
import { says, size } from '../../schema.ts';

export default defineGrant({
  summary: 'an X server of its own that draws into memory: for servers, tests and screenshots',
  options: v.strictObject({
    size: v.optional(v.pipe(size, says('Size of the screen in pixels.')), '1280x800'),
    depth: v.optional(v.pipe(v.picklist([16, 24]), says('Bits of colour of a pixel.')), 24),
  }),

  needs: (_, { facts }) => (facts.programs.Xvfb ? [] : [lacksProgram('Xvfb', 'give the machine a screen in memory', facts)]),

  edits: ({ size, depth }, context) => {
    const display = freeDisplay(context);
    return ownDisplay(context, display, {
      name: 'xvfb', argv: ['Xvfb', `:${display}`, '-screen', '0', `${size}x${depth}`], environment: {},
    });
  },

  exposes: () => [{ can: 'own', what: 'programs inside can read the keys and windows of one another, and of nothing else', smaller: oneEach }],
});
