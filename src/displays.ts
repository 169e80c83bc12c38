import type { Edits, Exposure, Service } from './edits.ts';
import type { Facts } from './facts.ts';
import type { Context } from './grant.ts';
import { firstDisplay } from './names.ts';
import type { Step } from './step.ts';

/** What the kinds of X display have in common. */

/** Where the key to the display is seen inside. */
export const insideCookie = '/run/nestbox/xauth';

export const socketOf = (number: number): string => `/tmp/.X11-unix/X${number}`;

export const clientCookie = ({ run }: { run: string }): string => `${run}/display/client`;

/** The folder of the keys: what is in it is readable by its owner alone. */
export const displayFolder = ({ run }: Context): Step => ({ kind: 'mkdir', path: `${run}/display`, mode: 0o711 });

/** 10 and up: below lie the displays of login managers. */
export function freeDisplay({ machine, facts }: Context): number {
  let number = firstDisplay(machine);
  while (facts.displaysInUse.includes(number)) number++;
  return number;
}

/** The number of the display that the person sits at, or null where that is not on this host. */
export function displayNumber({ x11 }: Facts): number | null {
  const found = /^(?:unix)?:(\d+)(?:\.\d+)?$/.exec(x11?.display ?? '');
  return found ? Number(found[1]) : null;
}

/** A copy of the person's key, for an X server that runs under another id and draws into a window of theirs. */
export const hostCookie = ({ run, facts, helper }: Context) => ({
  kind: 'copy-cookie' as const, number: displayNumber(facts)!, authority: facts.x11!.authority, path: `${run}/display/host`, owner: helper,
});

/** The edits of an X server that belongs to this machine alone. */
export function ownDisplay(context: Context, number: number, server: Pick<Service, 'name' | 'argv' | 'environment'>) {
  const key = `${context.run}/display/server`;
  return {
    before: [
      { kind: 'mkdir', path: '/tmp/.X11-unix', mode: 0o1777 },
      displayFolder(context),
      { kind: 'cookie', number, server: { path: key, owner: context.helper }, client: { path: clientCookie(context), owner: context.inside } },
    ] satisfies Step[] as Step[],
    services: [{
      ...server,
      // No abstract socket: a machine that shares the host's network would reach it without its key being asked for a bind.
      // MIT-SHM would be offered where shared memory cannot be: it does not cross IPC namespaces, and old programs die of that.
      argv: [...server.argv, '-auth', key, '-nolisten', 'tcp', '-nolisten', 'local', '-noreset', ...(context.sharesMemory ? [] : ['-extension', 'MIT-SHM'])],
      ...(context.sharesMemory && { memory: 'uses' as const }),
      user: context.helper,
      ready: socketOf(number),
      leaves: [socketOf(number), `/tmp/.X${number}-lock`],
    }],
    // The one socket, never its folder: a system that boots inside removes what it finds in there.
    binds: [
      { from: socketOf(number), to: socketOf(number), write: false, owner: 'as-is' as const },
      { from: clientCookie(context), to: insideCookie, write: false, owner: 'as-is' as const },
    ],
    environment: { DISPLAY: `:${number}`, XAUTHORITY: insideCookie },
  } satisfies Partial<Edits>;
}

/** What is open to whoever is let in by an X server as its own programs are. */
export const opensDisplay: Exposure[] = [
  { can: 'keys', what: 'programs inside can read every key typed on the host' },
  { can: 'typing', what: 'programs inside can type and click into any window of the host, a terminal among them' },
  { can: 'screen', what: 'programs inside can see the whole screen of the host' },
];

/** What would do where the programs inside should not see one another's windows. */
export const oneEach = { say: 'a machine for each program', loses: 'windows of one machine beside one another on one display' };

/** Files of keys as startx, gdm, sddm and the compositors that start Xwayland name them. */
const keyFile = /(^|\/)(\.?Xauthority|xauth_\w+|\.mutter-Xwaylandauth\.\w+|\.Xauth)$/;

/** Of the binds of a container those by which it has the key to the host's X server: the file, or the whole home. */
export const keysBound = <T extends { is: { from: string } }>(binds: readonly T[], home: string): T[] => binds.filter(({ is: { from } }) => keyFile.test(from) || from === home || from === '/');

/** Those by which it has the server's socket. */
export const socketsBound = <T extends { is: { from: string } }>(binds: readonly T[]): T[] => binds.filter(({ is: { from } }) => /^(\/tmp(\/\.X11-unix(\/X\d+)?)?)?\/?$/.test(from));
