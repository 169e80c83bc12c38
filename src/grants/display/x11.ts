import * as v from 'valibot';
import { lacks, type Problem, warns } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { clientCookie, displayFolder, displayNumber, insideCookie, opensDisplay, socketOf } from '../../displays.ts';
import { says } from '../../schema.ts';

const nested = { say: 'display = "nested"', loses: 'windows among those of the host, and its OpenGL' };

export default defineGrant({
  summary: "the host's own display",
  options: v.strictObject({
    access: v.optional(v.pipe(
      v.picklist(['trusted', 'untrusted', 'xhost']),
      says('trusted: a key of its own. untrusted: the same with the X SECURITY extension, under which many programs do not run. xhost: no key at all for its user id.'),
    ), 'trusted'),
  }),

  needs({ access }, { facts, accept }): Problem[] {
    if (!facts.x11) return [lacks('there is no X display to share', 'run nestbox from a graphical session, or use display = "headless"')];
    if (displayNumber(facts) === null) return [lacks(`the display '${facts.x11.display}' is on another computer`, 'use display = "headless"')];
    if (access === 'untrusted') return [warns('an untrusted program sees two X extensions of some twenty: no OpenGL, no RANDR, no XInput 2; many programs fail, and Xwayland has no untrusted keys', 'use display = "nested" where it does, going on')];
    if (access !== 'xhost') return [];
    const accepted = accept.includes('xhost');
    const mend = accepted ? 'going on' : 'leave access out: a key of its own does the same; or say accept = ["xhost"]';
    return [{ what: 'access = "xhost" lets every program of that user id on this host read all keys and windows, without a key', mend, fatal: !accepted, at: ['access'], accept: 'xhost' }];
  },

  edits({ access }, context) {
    const { facts, inside } = context;
    const number = displayNumber(facts)!;
    const socket = socketOf(number);
    const authority = facts.x11!.authority;
    const environment = { DISPLAY: `:${number}` };
    const binds = [{ from: socket, to: socket, write: false, owner: 'as-is' as const }];
    if (access === 'xhost') return { before: [{ kind: 'admit', socket, number, authority, user: `#${inside.uid}` }], binds, environment };
    const path = clientCookie(context);
    return {
      before: [displayFolder(context), { kind: 'authorize', socket, number, authority, trusted: access === 'trusted', path, owner: inside }],
      binds: [...binds, { from: path, to: insideCookie, write: false, owner: 'as-is' }],
      environment: { ...environment, XAUTHORITY: insideCookie },
    };
  },

  exposes: ({ access }) => access === 'untrusted'
    ? [{ can: 'windows', what: 'programs inside see the titles of all windows of the host', at: ['access'], smaller: { ...nested, loses: 'windows among those of the host' } }]
    : opensDisplay.map((exposure) => ({ ...exposure, smaller: nested })),
});
