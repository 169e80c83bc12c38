import { Complaint } from '../errors.ts';
import { judge } from '../foreign/binfmt.ts';
import { architectures } from '../foreign/elf.ts';
import { readBinfmt } from '../host/foreign.ts';
import { probe, readTerminals } from '../probe.ts';

/** Prints what is known of this host, and the roots for which processors it can run. */
export default async function doctor(_: string[], { json }: { json?: boolean }): Promise<number> {
  if (!json) throw new Complaint('doctor prints facts as JSON only, so far', 'nestbox doctor --json');
  const known = probe(process.env);
  const facts = { ...known, binfmt: readBinfmt(null) };
  const table = architectures.map(({ name }) => {
    const { runs, by, problems } = judge(name, facts);
    return { name, runs, by, remedy: problems[0]?.mend ?? null };
  });
  console.log(JSON.stringify({ ...facts, terminals: readTerminals(facts), architectures: table }, null, 2));
  return 0;
}
