import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseAccounts } from '../accounts.ts';
import { attempt } from '../attempt.ts';
import { cdiPaths } from '../cdi.ts';
import { readCdi } from '../cdi/read.ts';
import { canRun, examine, type Patient, report } from '../doctor.ts';
import { namesOf as devicesOf } from '../doctor/cdi.ts';
import { judge } from '../foreign/binfmt.ts';
import { architectures } from '../foreign/elf.ts';
import { readCondition } from '../host/condition.ts';
import { readBinfmt } from '../host/foreign.ts';
import { uinput } from '../inputs.ts';
import { namesOf, withoutNames } from '../nameless.ts';
import { look, probe, readCdiTexts, readTerminals } from '../probe.ts';

/** Tells what works on this host, what is missing, for which words of machine files that matters, and what mends it. Exit status 3: no machine can run here. */
export default async function doctor(_: string[], { json }: { json?: boolean }): Promise<number> {
  const patient = await seen(process.env);
  if (!json) {
    const findings = examine(patient);
    process.stdout.write(report(findings, patient));
    return canRun(findings) ? 0 : 3;
  }
  const text = (path: string) => attempt(() => readFileSync(path, 'utf8'), '');
  // What is said is said of the facts without the names, so that it cannot have any.
  const { facts, condition } = withoutNames(patient, namesOf(hostname(), parseAccounts(text('/etc/passwd'), text('/etc/group'))));
  const findings = examine({ facts, condition });
  const table = architectures.map(({ name }) => {
    const { runs, by, problems } = judge(name, facts);
    return { name, runs, by, remedy: problems[0]?.mend ?? null };
  });
  console.log(JSON.stringify({ ...facts, condition, architectures: table, findings }, null, 2));
  return canRun(findings) ? 0 : 3;
}

/** All that is asked of this host. */
async function seen(env: NodeJS.ProcessEnv): Promise<Patient> {
  const known = probe(env);
  const cdi = readCdiTexts().map(({ path, text }) => readCdi(path, text));
  const facts = { ...look({ ...known, cdi }, [uinput, ...cdi.flatMap((file) => cdiPaths(devicesOf(file), [file]))]), binfmt: readBinfmt(null), terminals: readTerminals(known) };
  return { facts, condition: await readCondition(facts, env) };
}
