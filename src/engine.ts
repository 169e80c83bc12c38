import type { Problem } from './errors.ts';
import type { Facts } from './facts.ts';
import type { Machine } from './machine.ts';
import type { Step } from './step.ts';

/** A program that runs containers. One file in engines/ is one of these. */
export interface Engine {
  summary: string;
  needs(machine: Machine, facts: Facts): Problem[];
  /** The last steps of a run, the container at their end: everything that the machine was given is in place by then. */
  start(machine: Machine, facts: Facts): Step[];
}
