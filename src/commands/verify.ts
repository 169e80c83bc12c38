import { Complaint, NeedsRoot } from '../errors.ts';
import { mustRun, withoutOwnDisplay } from '../host/running.ts';
import { tryAll } from '../host/verify.ts';
import { placeIn } from '../known/machine.ts';
import { meet, readMachineFile } from '../meet.ts';
import { plan } from '../plan.ts';
import { lookAtAllNodes, probe } from '../probe.ts';
import { findServed, recordOf } from '../service.ts';
import { attempts, report, type Subject, tell } from '../verify.ts';
import { userOf } from './exec.ts';

/** Tries all that a machine that runs was given, and all that it was not. Exit status 3: something differs from its file, or could not be tried. */
export default async function verify([name, ...more]: string[], { json, all }: { json?: boolean; all?: boolean }): Promise<number> {
  if (!name || more.length > 0) throw new Complaint('which machine?', 'nestbox verify NAME');
  const base = probe(process.env);
  if (!base.root) throw new NeedsRoot('only root can go into machines', `sudo nestbox verify ${name}`);
  const known = withoutOwnDisplay(name, base);
  const served = recordOf(name, base)?.leader ? await findServed(name, base) : null;
  const running = served?.running ?? mustRun(name);
  const file = readMachineFile(running.state.file, known);
  const { machine, facts } = served ?? await meet(file.spec, file.file, known);
  plan(machine, facts, file.place); // what cannot be started now gives nothing, and says why
  const subject: Subject = {
    machine, facts: lookAtAllNodes(facts),
    place(key) {
      const { line } = placeIn({ shown: file.file, text: file.text }, key);
      return line === null ? 'default' : `${file.file}:${line}`;
    },
  };
  const tries = attempts(subject);
  const found = report(tries, await tryAll(tries, running, facts, userOf(running)), subject);
  console.log(json ? JSON.stringify(found, null, 2) : tell(found, tries, all ?? false));
  return found.differences + found.untried > 0 ? 3 : 0;
}
