import { Complaint } from '../errors.ts';
import { readMachineFile } from '../meet.ts';
import { probe } from '../probe.ts';
import { recordOf } from '../service.ts';
import { type Asks, mustBeOne } from './run.ts';
import start from './start.ts';
import stop from './stop.ts';

/** Stops machines and starts them again, as their files say now. */
export default async function restart(words: string[], options: Asks): Promise<number> {
  if (words.length === 0) throw new Complaint('which machine?', 'nestbox restart FILE|NAME...');
  mustBeOne(words, options);
  for (const argument of words) {
    const facts = probe(process.env);
    const { name } = readMachineFile(argument, facts).spec; // first what could be wrong with it: else it would be stopped for nothing
    if (recordOf(name, facts)?.leader) await stop([name], options);
    await start([argument], options);
  }
  return 0;
}
