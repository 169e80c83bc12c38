import type * as v from 'valibot';
import type { Problem } from './errors.ts';
import type { Facts } from './facts.ts';
import type { Packing } from './image/packed.ts';
import type { Made } from './masks.ts';
import type { Step } from './step.ts';
import type { Volume } from './volumes.ts';

/** Where a machine's root file system comes from, once the host is known. */
export type Source =
  /** Built once into a template that machines share; `key` names everything that it is built from. `seen` is the target where any user can reach it. `masks`: what is left out in it of an init that is made for computers. */
  | { kind: 'template'; key: string; masks?: Made[]; build: (target: string, seen: string) => Step[] }
  /** A directory used where it is: the person's, a copy of another machine's that is made with this one, or where a volume is mounted. `unpack`: it is on an image that is packed still. */
  | { kind: 'directory'; path: string; copy?: { of: string; from: string }; volume?: Volume; unpack?: { from: string; to: string; as: Packing } }
  /** A copy of what another machine has changed, over the same template. */
  | { kind: 'clone'; of: string; template: string; top: string }
  /** The running system, seen through overlays over some folders of its root; others are links. */
  | { kind: 'host'; folders: string[]; links: Record<string, string> };

type OptionsSchema = v.GenericSchema<unknown, unknown>;

/** One source of root file systems. One file in roots/ is one of these; its name is a key of the [root] table. */
export interface Root<Schema extends OptionsSchema = OptionsSchema> {
  summary: string;
  /** The whole [root] table: the key that names the source, and those that may stand beside it. */
  options: Schema;
  /** It changes all the time: a machine is made from what it was then, and is not asked about it again. */
  once?: boolean;
  /** For which processor it is built, as Debian calls it; undefined: this host's own, or it is not said. */
  architecture?(options: v.InferOutput<Schema>): string | undefined;
  /** The options with what a root needs to boot. */
  booted?(options: v.InferOutput<Schema>): v.InferOutput<Schema>;
  /** The block device, or file, that it is on. */
  volume?(options: v.InferOutput<Schema>): string;
  /** That is a disk image: what it holds is looked at. */
  isImage?: true;
  /** Paths of the host that must be looked at before anything can be said. */
  paths(options: v.InferOutput<Schema>): string[];
  needs(options: v.InferOutput<Schema>, facts: Facts): Problem[];
  /** `own`: where the machine keeps a directory of its own, if it has one. */
  source(options: v.InferOutput<Schema>, facts: Facts, own: string, machine: string): Source;
}

export const defineRoot = <Schema extends OptionsSchema>(root: Root<Schema>): Root<Schema> => root;
