import { Complaint } from '../errors.ts';
import { linux } from '../host/linux.ts';
import { loginInside } from '../units/inside.ts';
import { servedMachine, somebody } from '../service.ts';

/** A login session inside, on a terminal of its own; returns the exit status of its shell. */
export default async function shell([name, user, ...more]: string[]): Promise<number> {
  if (!name || more.length > 0) throw new Complaint('which machine?', 'nestbox shell NAME [USER]');
  const { machine, facts } = servedMachine(name);
  const who = somebody(machine, facts, user);
  return linux(facts.programs).foreground(loginInside(machine, who, who.shell, facts.terminal ?? 'vt220'));
}
