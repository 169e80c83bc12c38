import { existsSync, readdirSync } from 'node:fs';
import { Complaint, NeedsRoot } from '../errors.ts';
import { endedServices, openVolumes } from '../host/leftovers.ts';
import { linux } from '../host/linux.ts';
import { Busy, openSession, removeEmptyStore, type Session, sessionNames } from '../host/session.ts';
import { wayOfImage } from '../image/plan.ts';
import { probe } from '../probe.ts';
import { recordOf, stop } from '../service.ts';
import { apply, describe, undo } from '../apply.ts';
import type { Step } from '../step.ts';
import { store } from '../store.ts';
import { note } from '../text.ts';
import { closing } from '../volumes.ts';

/** Takes back what runs that were cut off have left, of one machine or of all. */
export default async function clean(names: string[], { verbose }: { verbose?: boolean }): Promise<number> {
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can take back what root has done', `sudo nestbox clean ${names.join(' ')}`.trimEnd());
  const list = (folder: string) => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  };
  const host = linux(facts.programs, note);
  const tell = (step: Step) => (verbose ? note(describe(step)) : undefined);
  const services = endedServices(facts).map(({ name }) => name);
  const open = openVolumes(facts).map(({ name }) => name);
  const all = names.length > 0 ? names : [...new Set([...list(store.journals), ...sessionNames(), ...services, ...open])].sort();
  const failures: string[] = [];
  for (const name of all) {
    let session: Session | null = null;
    try {
      session = openSession(name, facts.programs);
      if (await session.interrupted()) note(name.startsWith('image.') ? wayOfImage(await session.journal.entries()) : name.includes('.') ? 'an earlier nestbox unshift was cut off: finishing it' : `'${name}': taking back what was left`);
      await undo(host, session.journal, tell);
      // Its units have a folder as long as they want the volume open.
      if (open.includes(name) && !existsSync(store.serviceRun(name))) await apply(closing(name, facts.store.machines.find((machine) => machine.name === name)!.volume!), host, null, tell);
      if (services.includes(name)) await stop(name, recordOf(name, facts)!, host, tell);
    } catch (error) {
      if (error instanceof Busy && names.length === 0) continue; // it runs, or is being made
      failures.push(`'${name}': ${(error as Error).message}`);
    } finally {
      session?.close();
    }
  }
  if (names.length === 0) removeEmptyStore();
  if (failures.length > 0) throw new Complaint(failures.join('\n'));
  return 0;
}
