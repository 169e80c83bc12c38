import { lstatSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { attempt } from '../attempt.ts';
import { store } from '../store.ts';

/** A run that Node has looked at and written down goes on without it: in the same process, so that whoever waits for it, or stops it, need not know. */

/** Says that native code has given this run back. */
const byNode = 'NESTBOX_BY_NODE';

/** Whether this run is Node's to the end. Asked once: programs on the host do not hear of it. */
export function isByNode(): boolean {
  const is = process.env[byNode] !== undefined;
  delete process.env[byNode];
  return is;
}

/** Whether a nestbox has the session of the machine, or had it when it was cut off. */
export const isTaken = (name: string): boolean => [store.run(name), store.journal(name)].some((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);

/** Becomes native/front.c, which does the run of a machine that is written down. Returns where it cannot. */
export function handOver(name: string, program: readonly string[]): void {
  const own = dirname(realpathSync(process.argv[1]!));
  const addon: { exports: unknown } = { exports: {} };
  attempt(() => process.dlopen(addon, `${own}/become.node`), undefined); // it was built for another processor, or not at all
  if (typeof addon.exports === 'function') addon.exports(`${own}/nestbox`, ['nestbox', '--met', name, `${program.length}`, ...program, ...process.argv.slice(2)]);
}
