import { Complaint } from '../errors.ts';
import { linux } from '../host/linux.ts';
import { execInside } from '../units/inside.ts';
import { servedMachine, somebody } from '../service.ts';

/** Runs a program in a machine that runs; returns its exit status. */
export default async function exec([name, ...argv]: string[], { user }: { user?: string }): Promise<number> {
  if (!name || argv.length === 0) throw new Complaint('which machine, and which program?', 'nestbox exec NAME -- PROGRAM [ARGUMENT]...');
  const { machine, facts } = servedMachine(name);
  const terminal = process.stdin.isTTY && process.stdout.isTTY ? (facts.terminal ?? 'vt220') : null;
  return linux(facts.programs).foreground(execInside(machine, somebody(machine, facts, user), argv, terminal));
}
