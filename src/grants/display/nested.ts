import * as v from 'valibot';
import { lacks, lacksProgram } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { displayNumber, freeDisplay, hostCookie, oneEach, ownDisplay } from '../../displays.ts';
import { line, says, size } from '../../schema.ts';

export default defineGrant({
  summary: 'an X server of its own in a window of the host: it draws there and sees nothing else',
  options: v.strictObject({
    size: v.optional(v.pipe(size, says('Size of the window in pixels; it can be resized.')), '1280x800'),
    title: v.optional(v.pipe(line, says('Title of the window; the name of the machine if absent.'))),
    fullscreen: v.optional(v.pipe(v.boolean(), says('Cover the whole screen.')), false),
  }),

  needs: (_, { facts }) => [
    ...(facts.programs.Xephyr ? [] : [lacksProgram('Xephyr', 'open a screen in a window', facts)]),
    ...(facts.x11 ? [] : [lacks('there is no X display to open the window on', 'run nestbox from a graphical session, or use display = "headless"')]),
    ...(facts.x11 && displayNumber(facts) === null ? [lacks(`the display '${facts.x11.display}' is on another computer`, 'use display = "headless"')] : []),
  ],

  edits({ size, title, fullscreen }, context) {
    const display = freeDisplay(context);
    const cookie = hostCookie(context);
    const edits = ownDisplay(context, display, {
      name: 'xephyr',
      argv: ['Xephyr', `:${display}`, ...(fullscreen ? ['-fullscreen'] : ['-screen', size, '-resizeable']), '-title', title ?? context.machine],
      environment: { DISPLAY: `:${displayNumber(context.facts)}`, XAUTHORITY: cookie.path },
    });
    return { ...edits, before: [...edits.before, cookie] };
  },

  exposes: () => [{ can: 'own', what: 'programs inside can read the keys and windows of one another; keys typed into other windows of the host never reach them', smaller: oneEach }],
});
