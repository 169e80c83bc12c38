import { Complaint } from '../errors.ts';
import { enterMachine } from './exec.ts';

/** The login shell of a user, in a machine that runs already. */
export default async function shell([name, user, ...more]: string[]): Promise<number> {
  if (!name || more.length > 0) throw new Complaint('which machine?', 'nestbox shell NAME [USER]');
  return enterMachine(name, user === undefined ? {} : { user }, 'login');
}
