import type { Facts } from './facts.ts';
import type { Barrier } from './firewall.ts';
import { installing, known, type PackageName } from './packages.ts';
import cdi from './doctor/cdi.ts';
import cgroups from './doctor/cgroups.ts';
import display from './doctor/display.ts';
import drivers from './doctor/drivers.ts';
import engines from './doctor/engines.ts';
import firewall from './doctor/firewall.ts';
import foreign from './doctor/foreign.ts';
import groups from './doctor/groups.ts';
import kernel from './doctor/kernel.ts';
import leftovers from './doctor/leftovers.ts';
import mapping from './doctor/mapping.ts';
import network from './doctor/network.ts';
import programs from './doctor/programs.ts';
import root from './doctor/root.ts';
import screens from './doctor/screens.ts';
import sound from './doctor/sound.ts';

/** What works on a host, what is missing, for which words of the machine file that matters, and what mends it (pure). */

/** What of a host decides on its health and is no fact that plans are made from. */
export interface Condition {
  /** Kinds of namespaces that the kernel has: namespaces(7). */
  namespaces: string[];
  /** How many user namespaces there may be (user.max_user_namespaces); null: the kernel has none. */
  userNamespaces: number | null;
  /** Whether the modules of the kernel that runs are there; `others`: only those of another one. */
  modules: 'there' | 'others' | 'none';
  /** Drivers and file systems of the kernel that machines may need. */
  drivers: Record<string, DriverState>;
  /** Whether the kernel has filters of system calls: seccomp(2). */
  callFilters: boolean;
  /** Whether it has programs that decide on devices, which lists of devices are in version 2 of control groups; null: it does not tell what it was built with. */
  deviceFilters: boolean | null;
  /** How the command came to root's rights; null: it has none, or root asked. */
  through: 'sudo' | 'pkexec' | null;
  /** Why the X display of the person's lets nobody in with their key; null: it does, or there is none on this host. */
  closed: string | null;
  /** Whether somebody listens at the socket of the person's sound server, if there is one. */
  listens: boolean;
  /** A socket of a Wayland compositor of the person's. */
  wayland: string | null;
  /** Graphics cards on the PCI bus that no driver has taken, with their vendor's number. */
  undriven: { pci: string; vendor: string }[];
  /** Versions of NVIDIA's libraries on the host. */
  nvidiaLibraries: string[];
  /** By which chains of the host's firewall nothing of machines gets through; null: only root can tell, or a program that shows the rules is not there. */
  barriers: Barrier[] | null;
  /** Whose ways back are still to be gone; null: only root can tell. */
  left: Left[] | null;
}

/** `unknown`: not loaded, and nothing says whether it could be. */
export type DriverState = 'there' | 'loadable' | 'missing' | 'unknown';

export interface Left {
  name: string;
  /** `run`: cut off; `service`: it has ended by itself; `volume`: it is still open; `image`: a change of a disk image; `owners`: nestbox unshift. */
  kind: 'run' | 'service' | 'volume' | 'image' | 'owners';
}

/** A host as it is examined. */
export interface Patient {
  facts: Facts;
  condition: Condition;
}

/** `limited`: it works in part, or with a disadvantage; `untold`: it takes root to tell. */
export type State = 'works' | 'limited' | 'missing' | 'untold';

export interface Finding {
  state: State;
  what: string;
  /** Words of the machine file, or commands, for which it matters; empty: all machines. */
  words: string[];
  /** A command, or what else is to be done. */
  mend?: string;
  /** Packages of Debian's that would help, to be installed all at once. */
  packages?: PackageName[];
}

/** One file in doctor/ is one of these. */
export interface Check {
  title: string;
  look(patient: Patient): Finding[];
}

/** In the order in which they are told: the reason before what follows from it. */
export const checks: Record<string, Check> = { engines, root, kernel, cgroups, mapping, programs, network, firewall, display, sound, drivers, screens, groups, cdi, foreign, leftovers };

export type Told = Finding & { check: string };

export const examine = (patient: Patient): Told[] => Object.entries(checks).flatMap(([check, { look }]) => look(patient).map((found) => ({ check, ...found })));

/** Whether there is an engine by which any machine could run. */
export const canRun = (findings: readonly Told[]): boolean => findings.some(({ check, state, words }) => check === 'engines' && state !== 'missing' && words.some((word) => word.startsWith('engine = ')));

const heading: Record<State, string> = { works: 'works', limited: 'limited', missing: 'missing', untold: 'not told' };

/** The findings as a person reads them. */
export function report(findings: readonly Told[], { facts }: Pick<Patient, 'facts'>): string {
  const indent = ' '.repeat(12);
  const told = Object.entries(checks).flatMap(([check, { title }]) => {
    const own = findings.filter((one) => one.check === check);
    return own.length === 0 ? [] : [`${title}:`, ...own.flatMap(({ state, what, words, mend }) => [
      `  ${heading[state].padEnd(8)}  ${what.replaceAll('\n', `\n${indent}`)}`,
      ...(state === 'works' || words.length === 0 ? [] : [`${indent}for ${words.join(', ')}`]),
      ...(mend === undefined ? [] : [`${indent}${mend}`]),
    ]), ''];
  });
  const count = (state: State): number => findings.filter((one) => one.state === state).length;
  const wanted = known([...new Set(findings.flatMap(({ packages = [] }) => packages))].sort(), facts);
  return [
    ...told, `${count('works')} work, ${count('limited')} limited, ${count('missing')} missing, ${count('untold')} that only root can tell.`,
    ...(canRun(findings) ? [] : ['No machine can run on this host.']),
    ...(findings.some(({ mend }) => mend !== undefined) ? ['The commands are for root, and words with a = are for the machine file.'] : []),
    ...(wanted.length > 1 ? [`All packages at once: ${installing(wanted, facts)}`] : []), '',
  ].join('\n');
}

/** A finding of what is as it should be. */
export const works = (what: string, ...words: string[]): Finding => ({ state: 'works', what, words });
