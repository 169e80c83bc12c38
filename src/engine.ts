import * as v from 'valibot';
import type { Exposure } from './edits.ts';
import type { Problem } from './errors.ts';
import type { Facts } from './facts.ts';
import type { Section } from './ini.ts';
import type { Machine } from './machine.ts';
import { says } from './schema.ts';
import type { Spec } from './spec.ts';
import type { Step } from './step.ts';
import { type Want, wanted, wantNames } from './wants.ts';

/** What an engine cannot do, or cannot hold a machine to. */
export interface Lack {
  /** The reason, such as 'a chroot shares the network of the host'. */
  why: string;
  /** What the person can do instead. */
  mend: string;
  /** The word in `[ENGINE] accept` by which the machine runs without it. Absent: it is always refused. */
  accept?: string;
  /** What a hostile program inside gains where it is accepted. */
  exposes?: Exposure;
}

export type Lacks = Partial<Record<Want, Lack>>;

type OptionsSchema = v.GenericSchema<unknown, unknown>;

/** What a machine is for systemd by its engine: units/files.ts has what is the same for all. */
export interface EngineUnits {
  /** What its unit goes by. */
  files: { path: string; text: string }[];
  /** Done at each start, after what the machine is given. */
  steps: Step[];
  /** Lines of its unit. */
  lines: Section[1];
  /** Whether its link is there before it, or made by it. */
  link: 'before' | 'by it';
  /** Where machinectl(1) looks for the machine's root, and where that is; null: it knows nothing of this one. */
  image: { path: string; to: string } | null;
  /** What nestbox did not make is in the way of it; null: that of a file alone. */
  folder: string | null;
}

/** A program that runs containers. One file in engines/ is one of these. */
export interface Engine<Schema extends OptionsSchema = OptionsSchema> {
  summary: string;
  /** Its own table in the machine file, [NAME], as engineOptions() makes it. Tables of other engines than the machine's may stand in the file too. */
  options: Schema;
  /** Each is refused with its reason at the key that wants it, unless it is accepted by name. The table of docs/engines.md is made of it. */
  lacks: Lacks;
  /**
   * It mounts as root inside does. So nestbox makes its /dev, as no node can be opened in one that was mounted with other ids; what lies in a folder that is closed is
   * bound beforehand; and where the root has links on the way to a place, that is where they lead: these engines follow none.
   */
  mountsInside?: true;
  /** The unit of systemd's that runs a machine. Absent: systemd-nspawn@NAME.service. */
  service?: (machine: string) => string;
  /** Absent: systemd runs none of its machines. `comment`: what its files begin with. */
  units?: (machine: Machine, facts: Facts, comment: readonly string[]) => EngineUnits;
  needs(machine: Machine, facts: Facts, options: v.InferOutput<Schema>): Problem[];
  /** The last steps of a run, the container at their end: everything that the machine was given is in place by then. */
  start(machine: Machine, facts: Facts, options: v.InferOutput<Schema>): Step[];
}

export const defineEngine = <Schema extends OptionsSchema>(engine: Engine<Schema>): Engine<Schema> => engine;

/** Every word that can be accepted of an engine that lacks this. */
export const acceptWords = (lacks: Lacks): string[] => [...new Set(Object.values(lacks).flatMap(({ accept }) => accept ?? []))].sort();

/** Options of an engine: `accept`, if anything of it can be accepted, and more of its own. */
export const engineOptions = <Entries extends v.ObjectEntries>(lacks: Lacks, entries: Entries) => {
  const words = acceptWords(lacks);
  const accept = v.optional(v.pipe(v.array(v.picklist(words)), says('What the engine cannot enforce, and is understood: each is refused unless it is named here.')), []);
  return v.strictObject({ accept, ...entries });
};

/** What is accepted in the options of an engine. */
export const acceptedIn = (options: unknown): readonly string[] => (options as { accept?: string[] }).accept ?? [];

const accepts = (lack: Lack, options: unknown): boolean => lack.accept !== undefined && acceptedIn(options).includes(lack.accept);

/** The spec without what its engine cannot do and the person has accepted to lose: everything that is decided later goes by that. */
export function withoutLacks(spec: Spec, { lacks }: Pick<Engine, 'lacks'>, options: unknown): Spec {
  return wantNames.reduce((left, want) => {
    const lack = lacks[want];
    const { without } = wanted[want];
    return lack && without && accepts(lack, options) && wanted[want].at(left, nothingDecided) !== null ? without(left) : left;
  }, spec);
}

/** What can be left out beforehand goes by the spec alone. */
const nothingDecided = {} as Machine;

/** Where a machine wants what its engine lacks: refused, or told where it is accepted; with what it opens then. */
export function lacking(name: string, { lacks }: Pick<Engine, 'lacks'>, options: unknown, spec: Spec, machine: Machine): { problem: Problem; exposure: Exposure | null }[] {
  return wantNames.flatMap((want) => {
    const lack = lacks[want];
    const at = lack ? wanted[want].at(spec, machine) : null;
    if (!lack || at === null) return [];
    const accepted = accepts(lack, options);
    const mend = accepted ? 'going on' : `${lack.mend}${lack.accept ? `, or say accept = ["${lack.accept}"] in [${name}]` : ''}`;
    return [{ problem: { what: lack.why, mend, fatal: !accepted, at, lack: want }, exposure: accepted ? (lack.exposes ?? null) : null }];
  });
}
