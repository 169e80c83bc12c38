import type { Problem } from './errors.ts';
import type { Facts } from './facts.ts';
import type { Machine } from './machine.ts';
import type { Step } from './step.ts';

/** A program that runs containers. One file in engines/ is one of these. */
export interface Engine {
  summary: string;
  needs(machine: Machine, facts: Facts): Problem[];
  /** The last step of a run: everything that the machine was given is in place by then. */
  container(machine: Machine, facts: Facts): Extract<Step, { kind: 'container' }>;
}
