import * as v from 'valibot';
import { lacks, type Problem, warns } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { kernelIsAtLeast } from '../../facts.ts';
import { clientCookie, displayFolder, displayNumber, freeDisplay, insideCookie, opensDisplay, socketOf } from '../../displays.ts';
import { says } from '../../schema.ts';
import type { Owner, Step } from '../../step.ts';

const nested = { say: 'display = "nested"', loses: 'windows among those of the host, and its OpenGL' };

export default defineGrant({
  summary: "the host's own display",
  options: v.strictObject({
    access: v.optional(v.pipe(
      v.picklist(['trusted', 'untrusted', 'xhost']),
      says('trusted: a key of its own. untrusted: the same with the X SECURITY extension, under which many programs do not run. xhost: no key at all for its user id.'),
    ), 'trusted'),
    'shared-memory': v.optional(v.pipe(v.boolean(), says("Let pictures reach the display by shared memory (MIT-SHM): many times faster, and programs that insist on it run. See docs/isolation.md.")), false),
  }),

  needs({ access, 'shared-memory': memory }, { facts, accept, boots, emulated, sharesMemory }): Problem[] {
    if (!facts.x11) return [lacks('there is no X display to share', 'run nestbox from a graphical session, or use display = "headless"')];
    if (displayNumber(facts) === null) return [lacks(`the display '${facts.x11.display}' is on another computer`, 'use display = "headless"')];
    if (memory && access !== 'trusted') return [{ ...lacks('shared-memory = true needs access = "trusted": no other lets in what comes through a gate', 'leave one of them out'), at: ['shared-memory'] }];
    const without = boots ? 'a machine that boots' : emulated ? 'a machine whose programs are emulated' : !sharesMemory ? 'a machine that a systemd before 248 starts' : !kernelIsAtLeast(facts, 5, 9) ? 'Linux before 5.9' : null;
    if (memory && without !== null) return [{ ...lacks(`there is no shared-memory for ${without}`, 'leave it out'), at: ['shared-memory'] }];
    if (access === 'untrusted') return [warns('an untrusted program sees two X extensions of some twenty: no OpenGL, no RANDR, no XInput 2; many programs fail, and Xwayland has no untrusted keys', 'use display = "nested" where it does, going on')];
    if (access !== 'xhost') return [];
    const accepted = accept.includes('xhost');
    const mend = accepted ? 'going on' : 'leave access out: a key of its own does the same; or say accept = ["xhost"]';
    return [{ what: 'access = "xhost" lets every program of that user id on this host read all keys and windows, without a key', mend, fatal: !accepted, at: ['access'], accept: 'xhost' }];
  },

  edits({ access, 'shared-memory': memory }, context) {
    const { facts, inside, nobody, run } = context;
    const number = displayNumber(facts)!;
    const socket = socketOf(number);
    const authority = facts.x11!.authority;
    // Another number: to that of the host a program that shares its network comes by the abstract socket, past the gate.
    const shown = memory ? freeDisplay(context) : number;
    const [gate, key] = [`${run}/display/gate`, `${run}/display/own`];
    const binds = [{ from: memory ? `${gate}/X${shown}` : socket, to: socketOf(shown), write: false, owner: 'as-is' as const }];
    const environment = { DISPLAY: `:${shown}` };
    if (access === 'xhost') return { before: [{ kind: 'admit', socket, number, authority, user: `#${inside.uid}` }], binds, environment };
    const path = clientCookie(context);
    const authorize = (path: string, as: number, owner: Owner): Step => ({ kind: 'authorize', socket, number, authority, trusted: access === 'trusted', path, as, owner });
    return {
      before: [displayFolder(context), authorize(path, shown, inside), ...(memory ? [authorize(key, number, { uid: 0, gid: 0 }), { kind: 'mkdir' as const, path: gate, mode: 0o700, owner: nobody }] : [])],
      // As nobody: the server takes it for the client, and may let in the person without a key.
      services: memory ? [{ name: 'x11', argv: ['nestbox-native', 'x11-gate', `${gate}/X${shown}`, socket], environment: {}, user: nobody, ready: `${gate}/X${shown}`, leaves: [], input: key, memory: 'opens' }] : [],
      binds: [...binds, { from: path, to: insideCookie, write: false, owner: 'as-is' }],
      environment: { ...environment, XAUTHORITY: insideCookie },
    };
  },

  exposes: ({ access }) => access === 'untrusted'
    ? [{ can: 'windows', what: 'programs inside see the titles of all windows of the host', at: ['access'], smaller: { ...nested, loses: 'windows among those of the host' } }]
    : opensDisplay.map((exposure) => ({ ...exposure, smaller: nested })),
});
