import { Complaint } from '../errors.ts';
import { probe } from '../probe.ts';

/** Prints what is known of this host. */
export default async function doctor(_: string[], { json }: { json?: boolean }): Promise<number> {
  if (!json) throw new Complaint('doctor prints facts as JSON only, so far', 'nestbox doctor --json');
  console.log(JSON.stringify(probe(process.env), null, 2));
  return 0;
}
