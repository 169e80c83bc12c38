import { Complaint, NeedsRoot } from '../errors.ts';
import { linux } from '../host/linux.ts';
import { readState } from '../host/session.ts';
import { probe, readTerminals } from '../probe.ts';
import { recordOf } from '../service.ts';
import { store } from '../store.ts';
import { hostTerminal } from '../terminals.ts';
import { note } from '../text.ts';
import { listed } from '../words.ts';

/** Brings a machine's screen, or the host's, to be seen. Whoever has it now is asked to let go of it, and if it does not answer, it is taken away. */
export default async function switchTo([name, ...more]: string[]): Promise<number> {
  if (!name || more.length > 0) throw new Complaint('to whose screen?', 'nestbox switch NAME|host');
  const facts = probe(process.env);
  const terminals = readTerminals(facts);
  if (!terminals) throw new Complaint('this computer has no virtual terminals');
  if (!facts.root) throw new NeedsRoot('only root can switch screens from here', `sudo nestbox switch ${name}; Ctrl, Alt and F1 to F12 do it on the keyboard`);
  const host = linux(facts.programs, note);
  const runs = (machine: string) => readState(machine) !== null || Boolean(recordOf(machine, facts)?.leader);
  const before = terminals.machines.find(({ number }) => number === terminals.active);
  const number = name === 'host' ? hostTerminal(terminals, before ? await notedBy(before.name) : null) : terminals.machines.find((machine) => machine.name === name && runs(name))?.number;
  if (number === undefined) {
    const there = terminals.machines.filter((machine) => runs(machine.name)).map((machine) => machine.name);
    throw new Complaint(runs(name) ? `'${name}' has no screen of its own` : `there is no machine '${name}' that runs`, there.length > 0 ? `${listed([...there, 'host'])} can be switched to` : '[display.vt] gives a machine a screen of its own');
  }
  const { code, stdout, stderr } = await host.run(['nestbox-native', 'console', 'show', `${number}`]);
  if (code !== 0) throw new Complaint(stderr.trim().replace('nestbox-native: ', ''));
  if (stdout.trim() === 'taken') note(`${before ? `'${before.name}'` : `the program on terminal ${terminals.active}`} did not let go of the screen, and it was taken away: what it draws may not come back before it is started again, going on`);
  return 0;

  async function notedBy(machine: string): Promise<number | null> {
    for (const run of [store.run(machine), store.serviceRun(machine)]) {
      const text = await host.read(`${run}/terminal`);
      if (text !== null) return Number.parseInt(text, 10) || null;
    }
    return null;
  }
}
