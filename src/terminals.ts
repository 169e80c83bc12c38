import type { Edits } from './edits.ts';
import type { Facts } from './facts.ts';

/** Virtual terminals: which machine has which, and where the host's own screen is. */

/** systemd starts logins on the first six when they come to be visible: NAutoVTs= of logind.conf(5). */
export const lastLogin = 6;

/** On the one after those, display managers of the host begin. A machine gets one of the others, if any is free. */
const first = lastLogin + 2;

/** MAX_NR_CONSOLES in linux/vt.h. While there are seats it is the one that is shown in place of the host's text terminals: native/seats.c. */
export const lastTerminal = 63;

/** The terminal that a machine gets: the one that it has, or the first that nobody does; null: all are taken. */
export function freeTerminal({ terminals }: Pick<Facts, 'terminals'>, machine: string): number | null {
  if (!terminals) return null;
  const { active, used, machines } = terminals;
  const own = machines.find(({ name }) => name === machine);
  if (own) return own.number;
  const taken = new Set([active, ...used.map(({ number }) => number), ...machines.map(({ number }) => number)]);
  for (let number = first; number < lastTerminal; number++) if (!taken.has(number)) return number;
  return null;
}

/** The terminal that is asked for with these edits, or null. */
export function terminalIn({ before }: Pick<Edits, 'before'>): number | null {
  const found = before.find(({ kind }) => kind === 'terminal');
  return found?.kind === 'terminal' ? found.number : null;
}

/** Where the host itself is seen: where it was before a machine took the screen, or where somebody is logged in, or the first. `before`: what the machine that has the screen has noted. */
export function hostTerminal({ active, used, machines }: NonNullable<Facts['terminals']>, before: number | null): number {
  const isMachines = (number: number) => machines.some((machine) => machine.number === number);
  const candidates = [active, ...(before ? [before] : []), ...used.map(({ number }) => number)];
  return candidates.find((number) => !isMachines(number)) ?? 1;
}
