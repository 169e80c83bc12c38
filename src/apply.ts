import { Complaint } from './errors.ts';
import type { Host } from './host.ts';
import type { Journal } from './journal.ts';
import type { Kind, Kinds, Step } from './step.ts';
import { devices } from './steps/devices.ts';
import { emulators } from './steps/emulators.ts';
import { files } from './steps/files.ts';
import { images } from './steps/images.ts';
import { keys } from './steps/keys.ts';
import { mounts } from './steps/mounts.ts';
import { programs } from './steps/programs.ts';
import { roots } from './steps/roots.ts';
import { terminals } from './steps/terminals.ts';
import { units } from './steps/units.ts';
import { volumes } from './steps/volumes.ts';

/** Acting and undoing: the one place that takes steps. */

const kinds: Kinds<Step['kind']> = { ...devices, ...emulators, ...files, ...images, ...keys, ...mounts, ...programs, ...roots, ...terminals, ...units, ...volumes };

const of = (step: Step) => kinds[step.kind] as unknown as Kind<Step>;

/** A step in a person's words; further lines are indented. */
export const describe = (step: Step): string => of(step).describe(step);

/** The way back of a step, as its journal has it. */
export const inverseOf = (step: Step, host: Host): Promise<Step[]> => of(step).inverse(step, host);

/** Takes the steps in order; each way back is journalled before its step. Stops at the first that fails. */
export async function apply(steps: readonly Step[], host: Host, journal: Journal | null, tell: (step: Step) => void = () => {}): Promise<void> {
  for (const step of steps) {
    host.interrupted();
    if (await of(step).done(step, host)) continue;
    tell(step);
    const inverse = await of(step).inverse(step, host);
    if (inverse.length > 0) await journal?.append(inverse);
    await of(step).do(step, host);
  }
}

/**
 * Undoing is applying: the inverses, last first, through the same code. One that fails does not keep the others from
 * being tried: what is left is told, and stays in the journal for the next `nestbox clean`. Behind an 'onward' the way back is
 * the way on, and what was done before it is not taken back any more.
 */
export async function undo(host: Host, journal: Journal, tell?: (step: Step) => void): Promise<void> {
  const failures: unknown[] = [];
  const entries = await journal.entries();
  const turn = Math.max(0, entries.findLastIndex((inverse) => inverse.some(({ kind }) => kind === 'onward')));
  for (const inverse of entries.slice(turn).reverse())
    for (const step of inverse)
      try {
        if (await of(step).done(step, host)) continue;
        tell?.(step);
        await of(step).do(step, host);
      } catch (error) {
        failures.push(error);
        if (inverse[0]?.kind === 'onward') break; // each of these stands on the one before
      }
  if (failures.length === 0) return journal.clear();
  throw failures.length === 1 ? failures[0] : new Complaint(failures.map((error) => (error as Error).message).join('\n'), 'nestbox clean tries again');
}
