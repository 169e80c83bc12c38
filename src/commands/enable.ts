import { Complaint } from '../errors.ts';
import { writeStamp } from '../host/stamp.ts';
import { volumeOf } from '../machine.ts';
import { meet, readMachineFile } from '../meet.ts';
import { plan, steps } from '../plan.ts';
import { probe } from '../probe.ts';
import { enable as enableService, install, recordOf, serviceNameOf } from '../service.ts';
import { type Asks, inSession, make, mustBeOne, warn } from './run.ts';
import start from './start.ts';

/** Lets machines come up with the host. */
export default async function enable(words: string[], options: Asks & { now?: boolean }): Promise<number> {
  if (words.length === 0) throw new Complaint('which machine?', 'nestbox enable FILE|NAME...');
  mustBeOne(words, options);
  for (const argument of words) {
    const since = Date.now();
    const facts = probe(process.env);
    const file = readMachineFile(argument, facts);
    await inSession(file, facts, options, async (session, host, tell, base) => {
      const record = recordOf(file.spec.name, base);
      const { machine, facts: met } = (await make(file, base, session, host, tell, 'service')) ?? (await meet(file.spec, file.file, probe(process.env), 'service'));
      warn(machine, file);
      const units = record?.leader ? null : await install(machine, met, file.place, session, host, tell); // one that runs has its units
      if (!record?.enabled) await enableService(file.spec.name, serviceNameOf(machine), steps(plan(machine, met, file.place).passing), session, host, tell);
      await session.keepService();
      if (units && !volumeOf(machine.source)) writeStamp(file.spec.name, file.file, units, since);
      return 0;
    });
    if (options.now) await start([argument], options);
  }
  return 0;
}
