import type * as v from 'valibot';
import type { Edits, Exposure } from './edits.ts';
import type { Acceptable, Problem } from './errors.ts';
import type { Facts } from './facts.ts';
import type { Owner } from './step.ts';

/** What a grant is told besides its options. */
export interface Context {
  machine: string;
  facts: Facts;
  /** The machine's own folder under /run, there before any step of a grant. */
  run: string;
  /** First id of the host that the machine's ids are shown as; 0: the host's own ids. */
  shift: number;
  /** The machine's user, in ids of the host and with its name inside. */
  inside: Owner & { name: string; home: string };
  /** Who runs the host's programs for this machine: the person, or where that is root an id that owns nothing. */
  helper: Owner;
  /** An id that owns nothing and is let in nowhere. */
  nobody: Owner;
  accept: readonly Acceptable[];
  /** Whether the machine shares the host's network. */
  sharesNetwork: boolean;
  /** Whether the root's own init is started, and not a program. */
  boots: boolean;
  /** Whether the programs in its root are for another processor, and run by an emulator. */
  emulated: boolean;
  /** Whether programs of the host that serve it may share memory with what is inside: nestbox makes the IPC namespace for both. */
  sharesMemory: boolean;
  /** The unit of systemd's in which it runs, where systemd-machined does not know it. */
  unit: string | null;
}

/** What decides how far a program inside gets with what it is given. */
export interface Exposed {
  /** Whether root inside is root of the host. */
  isHostRoot: boolean;
  sharesNetwork: boolean;
  /** Whether root inside may talk to hardware past the drivers (CAP_SYS_RAWIO over the host): the kernel lets nobody else open /dev/mem. */
  touchesHardware: boolean;
}

/** What may be supposed of a machine of which nothing is known: all of it. */
export const allExposed: Exposed = { isHostRoot: true, sharesNetwork: true, touchesHardware: true };

/** The facts that are known before any path is looked at. */
export type KnownFirst = Pick<Facts, 'person' | 'cdi' | 'nvidia' | 'store' | 'kernel'>;

type OptionsSchema = v.GenericSchema<unknown, unknown>;

/** One thing of the host that a machine may be given. One file below grants/ is one of these, and it does nothing itself. */
export interface Grant<Schema extends OptionsSchema = OptionsSchema> {
  /** One line: what the machine gets. */
  summary: string;
  /** Its value, where that is a list of words: as it stands in a machine file. */
  example?: string;
  /** It is something of an init: a machine that runs a program has no use for it. */
  onlyBooted?: true;
  /** Its table in the machine file, each key with a description: help and the JSON Schema are read off it. */
  options: Schema;
  /** Paths of the host that must be looked at before anything can be said. */
  paths?(options: v.InferOutput<Schema>, facts: KnownFirst): string[];
  /** Classes of devices whose nodes must be looked for, such as char-alsa. */
  classes?(options: v.InferOutput<Schema>): string[];
  /** What this host lacks for it; a problem's `at` is relative to the grant's own table. */
  needs(options: v.InferOutput<Schema>, context: Context): Problem[];
  /** Only asked for when nothing fatal is lacking. */
  edits(options: v.InferOutput<Schema>, context: Context): Partial<Edits>;
  /** `facts` and `machine` are left out where it is to be told in general, as in the manual. */
  exposes(options: v.InferOutput<Schema>, facts?: Facts, machine?: Exposed): Exposure[];
}

export const defineGrant = <Schema extends OptionsSchema>(grant: Grant<Schema>): Grant<Schema> => grant;
