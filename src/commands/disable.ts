import { apply, describe } from '../apply.ts';
import { Complaint, NeedsRoot } from '../errors.ts';
import { linux } from '../host/linux.ts';
import { openSession } from '../host/session.ts';
import { enabledLink } from '../names.ts';
import { probe } from '../probe.ts';
import { recordOf, stop, takeBack } from '../service.ts';
import type { Step } from '../step.ts';
import { note } from '../text.ts';

/** Lets machines not come up with the host any more. One that runs goes on until it is stopped. */
export default async function disable(names: string[], { verbose, now }: { verbose?: boolean; now?: boolean }): Promise<number> {
  if (names.length === 0) throw new Complaint('which machine?', 'nestbox disable NAME...');
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can disable machines', `sudo nestbox disable ${names.join(' ')}`);
  const host = linux(facts.programs, note);
  const tell = (step: Step) => (verbose ? note(describe(step)) : undefined);
  for (const name of names) {
    const record = recordOf(name, facts);
    if (!record?.enabled) {
      note(`'${name}' does not come up with the host`);
      continue;
    }
    const session = openSession(name, facts.programs);
    try {
      await apply([{ kind: 'remove', path: enabledLink(record.unit) }, { kind: 'reload', on: 'way' }], host, null, tell);
      if (now) await stop(name, { ...record, enabled: false }, host, tell);
      else if (!record.leader) await takeBack(name, host, tell);
    } finally {
      session.close();
    }
  }
  return 0;
}
