import { Complaint } from '../errors.ts';
import { linux } from '../host/linux.ts';
import { openSession } from '../host/session.ts';
import { keptJournal } from '../journal.ts';
import { probe } from '../probe.ts';
import { mustNotServe, recordOf, stop } from '../service.ts';
import { describe, undo } from '../apply.ts';
import type { Step } from '../step.ts';
import { store } from '../store.ts';
import { note } from '../text.ts';
import { nearest } from '../words.ts';

/** Removes machines with all that they have changed. What they were made from stays: templates, and directories of the person's. */
export default async function rm(names: string[], { verbose }: { verbose?: boolean }): Promise<number> {
  if (names.length === 0) throw new Complaint('which machine?', 'nestbox rm NAME...');
  const facts = probe(process.env);
  if (!facts.root) throw new Complaint('only root can remove machines', `sudo nestbox rm ${names.join(' ')}`);
  const host = linux(facts.programs, note);
  const tell = (step: Step) => (verbose ? note(describe(step)) : undefined);
  for (const name of names) {
    const installed = `${store.files}/${name}.toml`;
    if (!facts.store.machines.some((machine) => machine.name === name) && (await host.kind(installed)) === null) {
      const meant = nearest(name, facts.store.machines.map((machine) => machine.name));
      throw new Complaint(`there is no machine '${name}'`, meant ? `did you mean '${meant}'?` : 'nestbox list shows them');
    }
    mustNotServe(name, facts);
    const session = openSession(name, facts.programs);
    try {
      await undo(host, session.journal, tell);
      const service = recordOf(name, facts);
      if (service) await stop(name, { ...service, enabled: false }, host, tell);
      // First the refusal, while all is still there: nothing is ever deleted through a live mount.
      const path = `${store.machine(name)}/undo`;
      await host.mustBeUnmounted(store.machine(name));
      const lines = (await host.read(path)) ?? '';
      await undo(host, keptJournal(lines), tell);
      await host.removeTree(store.machine(name));
      if ((await host.kind(installed)) !== null) await host.remove(installed);
      await host.removeLeftover(store.files);
    } finally {
      session.close();
    }
  }
  return 0;
}
