import { Complaint, NeedsRoot } from '../errors.ts';
import { linux } from '../host/linux.ts';
import { exportedOf, menuOf } from '../host/exports.ts';
import { openSession } from '../host/session.ts';
import type { Host } from '../host.ts';
import { type Journal, keptJournal, parseJournal } from '../journal.ts';
import { takeBackKept } from '../kept.ts';
import { imageFolders } from '../meet.ts';
import { probe, readVolume } from '../probe.ts';
import { mustNotServe, recordOf, stop } from '../service.ts';
import { apply, describe, undo } from '../apply.ts';
import type { Step } from '../step.ts';
import { store } from '../store.ts';
import { note } from '../text.ts';
import { isInside, isThere, mountPointOf, opening, renewed, type Volume } from '../volumes.ts';
import { nearest } from '../words.ts';
import { type Asks, mustBeOne, passphraseOf } from './run.ts';

/** Removes machines with all that they have changed. What they were made from stays: templates, and directories of the person's. */
export default async function rm(names: string[], options: Asks): Promise<number> {
  if (names.length === 0) throw new Complaint('which machine?', 'nestbox rm NAME...');
  mustBeOne(names, options);
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can remove machines', `sudo nestbox rm ${names.join(' ')}`);
  const host = linux(facts.programs, note, passphraseOf(options));
  const tell = (step: Step) => (options.verbose ? note(describe(step)) : undefined);
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
      await takeBackKept(name, host, tell);
      const service = recordOf(name, facts);
      if (service) await stop(name, { ...service, enabled: false }, host, tell);
      // First the refusal, while all is still there: nothing is ever deleted through a live mount.
      const path = `${store.machine(name)}/undo`;
      await host.mustBeUnmounted(store.machine(name));
      const lines = (await host.read(path)) ?? '';
      const volume = facts.store.machines.find((machine) => machine.name === name)?.volume;
      const kept = volume ? await openFor(name, volume, lines, host, session.journal, tell) : lines;
      await undo(host, keptJournal(kept), tell);
      await undo(host, session.journal, tell);
      await host.removeTree(store.machine(name));
      if ((await host.kind(installed)) !== null) await host.remove(installed);
      await host.removeLeftover(store.files);
      if (exportedOf(name, menuOf(facts.person)).length > 0) note(`programs of '${name}' are in your menu still: nestbox export ${name} --remove takes them out, going on`);
    } finally {
      await undo(host, session.journal, tell).finally(() => session.close());
    }
  }
  return 0;
}

/** What was put into a root on a volume can only be taken out while that is open. Returns the ways back that can be gone: where the volume is not there any more, those in it cannot. */
async function openFor(name: string, volume: Volume, lines: string, host: Host, journal: Journal, tell: (step: Step) => void): Promise<string> {
  const all = parseJournal(lines);
  if (!all.flat().some((step) => isInside(name, step))) return lines;
  const stays = `what was put into the root of '${name}' stays in it, going on`;
  const without = all.map((steps) => `${JSON.stringify(steps.filter((step) => !isInside(name, step)))}\n`).join('');
  const fact = readVolume(volume.path, mountPointOf(name), volume.image ? imageFolders(name) : null);
  if (!isThere(volume, fact)) {
    note(`${volume.path} is not there, or holds something else by now: ${stays}`);
    return without;
  }
  for (const step of opening(name, renewed(volume, fact), store.run(name)))
    try {
      await apply([step], host, journal, tell);
    } catch (error) {
      if (step.kind !== 'check-file-system' || !(error instanceof Complaint)) throw error;
      note(`${error.message}: ${stays}`); // who wants to be rid of it need not repair it
      return without;
    }
  return lines;
}
