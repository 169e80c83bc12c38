import type * as v from 'valibot';
import type { Problem } from './errors.ts';
import type { Facts } from './facts.ts';
import type { Step } from './step.ts';

/** Where a machine's root file system comes from, once the host is known. */
export type Source =
  /** Built once into a template that machines share; `key` names everything that it is built from. */
  | { kind: 'template'; key: string; build: (target: string) => Step[] }
  /** A directory of the person's, used where it is. */
  | { kind: 'directory'; path: string }
  /** A copy of what another machine has changed, over the same template. */
  | { kind: 'clone'; template: string; top: string }
  /** The running system, seen through overlays over some of its folders. */
  | { kind: 'host'; folders: string[] };

type OptionsSchema = v.GenericSchema<unknown, unknown>;

/** One source of root file systems. One file in roots/ is one of these; its name is a key of the [root] table. */
export interface Root<Schema extends OptionsSchema = OptionsSchema> {
  summary: string;
  /** The whole [root] table: the key that names the source, and those that may stand beside it. */
  options: Schema;
  /** Paths of the host that must be looked at before anything can be said. */
  paths(options: v.InferOutput<Schema>): string[];
  needs(options: v.InferOutput<Schema>, facts: Facts): Problem[];
  source(options: v.InferOutput<Schema>, facts: Facts): Source;
}

export const defineRoot = <Schema extends OptionsSchema>(root: Root<Schema>): Root<Schema> => root;
