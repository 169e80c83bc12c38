import * as v from 'valibot';
import { lacks } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { defineGrant } from '../grant.ts';
import { bytes, says } from '../schema.ts';

const expectedCpu = 'expected a number of processors, such as 1.5';
const options = v.strictObject({
  cpu: v.optional(v.pipe(v.number(expectedCpu), v.finite(expectedCpu), v.minValue(0.01, 'expected at least 0.01'), says("Processors' worth of time: 1.5 is one and a half."))),
  memory: v.optional(v.pipe(bytes, says('Such as "2G".'))),
  tasks: v.optional(v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(8, 'expected at least 8'), says('Processes and threads at the same time.'))),
});

/** The controller that holds a limit, in both versions of control groups. */
const controllers = { cpu: 'cpu', memory: 'memory', tasks: 'pids' } as const;

const can = ({ cgroups }: Facts, controller: string) =>
  (cgroups.version === 1 ? cgroups.own[controller] !== undefined : cgroups.version === 2 && cgroups.controllers.includes(controller));

export default defineGrant({
  summary: 'how much of the host the machine may use',
  options,

  needs: (limits, { facts }) =>
    (Object.keys(limits) as (keyof typeof controllers)[])
      .filter((limit) => limits[limit] !== undefined && !can(facts, controllers[limit]))
      .map((limit) => ({ ...lacks(`this host has no '${controllers[limit]}' controller to limit ${limit} with`, 'mount it, or leave the limit out'), at: [limit] })),

  edits: ({ cpu, memory, tasks }) => ({ limits: { ...(cpu !== undefined && { cpu }), ...(memory !== undefined && { memory }), ...(tasks !== undefined && { tasks }) } }),

  exposes: () => [],
});
