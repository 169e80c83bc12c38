import { Complaint, NeedsRoot } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { linux } from '../host/linux.ts';
import { openSession, readState } from '../host/session.ts';
import { describe, undo } from '../apply.ts';
import { isKept, takeBackKept } from '../kept.ts';
import { probe } from '../probe.ts';
import { recordOf, stop as stopService } from '../service.ts';
import { note } from '../text.ts';
import { nearest } from '../words.ts';

/** Stops machines. One that comes up with the host keeps its units for that; of any other systemd knows nothing afterwards. */
export default async function stop(names: string[], { verbose }: { verbose?: boolean }): Promise<number> {
  if (names.length === 0) throw new Complaint('which machine?', 'nestbox stop NAME...');
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can stop machines', `sudo nestbox stop ${names.join(' ')}`);
  const host = linux(facts.programs, note);
  const tell = verbose ? (step: Parameters<typeof describe>[0]) => note(describe(step)) : () => {};
  for (const name of names) {
    const state = readState(name);
    if (state) {
      process.kill(state.pid, 'SIGTERM'); // its nestbox takes everything back, and lets go of the machine then
      openSession(name, facts.programs, 'wait').close();
      continue;
    }
    const kept = await isKept(name, host);
    const record = recordOf(name, facts) ?? (kept ? null : neitherRunsNor(name, facts));
    const session = openSession(name, facts.programs);
    try {
      if (kept) {
        await undo(host, session.journal, tell); // of a run that was cut off
        await takeBackKept(name, host, tell);
      } else if (record) await stopService(name, record, host, tell);
    } finally {
      session.close();
    }
  }
  return 0;
}

/** One that is known and does not run is stopped already. */
function neitherRunsNor(name: string, { store: { machines, services } }: Facts): null {
  if (machines.some((machine) => machine.name === name)) {
    note(`'${name}' does not run`);
    return null;
  }
  const meant = nearest(name, [...machines, ...services].map((machine) => machine.name));
  throw new Complaint(`there is no machine '${name}'`, meant ? `did you mean '${meant}'?` : 'nestbox list shows them');
}
