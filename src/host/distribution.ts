import { readFileSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { Complaint, lacksProgram, type ProgramName } from '../errors.ts';
import type { Facts } from '../facts.ts';

/** Which distribution this host is, by os-release(5). */
export function readDistribution(): Facts['distribution'] {
  const text = attempt(() => readFileSync('/etc/os-release', 'utf8'), '');
  const value = (key: string): string => new RegExp(`^${key}=["']?([^"'\\n]*)`, 'm').exec(text)?.[1] ?? '';
  const like = value('ID_LIKE').split(' ').filter(Boolean);
  return { id: value('ID'), version: value('VERSION_ID'), ...(like.length > 0 && { like }) };
}

/** What is said where a program of this host is asked for and is not there. */
export function unable(name: ProgramName, reason: string): Complaint {
  const { what, mend } = lacksProgram(name, reason, { distribution: readDistribution() });
  return new Complaint(what, mend);
}
