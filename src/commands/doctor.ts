import { Complaint } from '../errors.ts';
import { probe, readTerminals } from '../probe.ts';

/** Prints what is known of this host. */
export default async function doctor(_: string[], { json }: { json?: boolean }): Promise<number> {
  if (!json) throw new Complaint('doctor prints facts as JSON only, so far', 'nestbox doctor --json');
  const facts = probe(process.env);
  console.log(JSON.stringify({ ...facts, terminals: readTerminals(facts) }, null, 2));
  return 0;
}
