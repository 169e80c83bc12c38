import { Complaint, lacksProgram, type ProgramName } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { commandLine } from '../ini.ts';

/** The argument list with the absolute path of its program. */
export function found(facts: Facts, [name = '', ...words]: readonly string[]): string[] {
  const path = facts.programs[name as ProgramName];
  if (path) return [path, ...words];
  const { what, mend } = lacksProgram(name as ProgramName, 'prepare the machine at each start', facts);
  throw new Complaint(what, mend);
}

/** The same as a line of a unit has it. */
export const commandOf = (facts: Facts, argv: readonly string[]): string => commandLine(found(facts, argv));
