import { apply } from '../apply.ts';
import { Complaint } from '../errors.ts';
import { writeStamp } from '../host/stamp.ts';
import { volumeOf } from '../machine.ts';
import { meet, readMachineFile } from '../meet.ts';
import { probe } from '../probe.ts';
import { install, recordOf, serviceNameOf, stopAsking, unit } from '../service.ts';
import { note } from '../text.ts';
import { type Asks, inSession, make, mustBeOne, warn } from './run.ts';

/** Has systemd run a machine: returns when the machine says that it is ready, and nothing of nestbox stays behind it. */
export default async function start(words: string[], options: Asks): Promise<number> {
  if (words.length === 0) throw new Complaint('which machine?', 'nestbox start FILE|NAME...');
  mustBeOne(words, options);
  for (const argument of words) {
    const since = Date.now();
    const facts = probe(process.env);
    const file = readMachineFile(argument, facts);
    const { name } = file.spec;
    await inSession(file, facts, options, async (session, host, tell, base) => {
      if (recordOf(name, base)?.leader) {
        note(`'${name}' runs already`);
        return 0;
      }
      await stopAsking(file.spec, base, host, tell);
      const { machine, facts: met } = (await make(file, base, session, host, tell, 'service')) ?? (await meet(file.spec, file.file, probe(process.env), 'service'));
      warn(machine, file);
      const units = await install(machine, met, file.place, session, host, tell);
      await apply([unit(name, serviceNameOf(machine), 'started')], host, session.journal, tell);
      await session.keepService('forgotten'); // a volume that was opened for it is closed by its unit
      if (!volumeOf(machine.source)) writeStamp(name, file.file, units, since); // else nestbox is to look into the root at each start
      return 0;
    });
  }
  return 0;
}
