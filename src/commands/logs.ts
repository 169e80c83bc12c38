import { Complaint } from '../errors.ts';
import { linux } from '../host/linux.ts';
import { readState } from '../host/session.ts';
import { readMachineFile } from '../meet.ts';
import { serviceOf, unitsPattern } from '../names.ts';
import { probe } from '../probe.ts';
import { recordOf, serviceNameOf } from '../service.ts';
import { enterMachine } from './exec.ts';

interface Options {
  follow?: boolean;
  lines?: string;
  host?: boolean;
}

/** Shows what a machine that systemd runs has written: the journal inside where it has booted, else the output of its program. */
export default async function logs([name, ...more]: string[], { follow, lines, host: ofHost }: Options): Promise<number> {
  if (!name || more.length > 0) throw new Complaint('which machine?', 'nestbox logs NAME');
  if (lines !== undefined && !/^\d+$/.test(lines)) throw new Complaint(`'${lines}' is no number of lines`);
  const facts = probe(process.env);
  const service = recordOf(name, facts);
  if (!service && readState(name)) throw new Complaint(`'${name}' was not started as a service: it writes to where it was started`);
  const { spec } = readMachineFile(name, facts);
  const inside = spec.boot && !ofHost;
  if (inside && !service?.leader) throw new Complaint(`'${name}' does not run: its own journal is inside`, `nestbox logs --host ${name} shows what this host has of it`);
  const words = ['journalctl', '--quiet', ...(follow ? ['--follow'] : []), ...(lines === undefined ? [] : [`--lines=${lines}`])];
  if (!follow && !inside) await linux(facts.programs).run(['journalctl', '--sync']); // what has just been written is on its way; who may not ask for that sees it a moment later
  const unit = serviceNameOf(spec);
  if (inside && unit !== serviceOf(name)) return enterMachine(name, { root: true }, { program: words }); // systemd-machined does not know it
  return linux(facts.programs).foreground([...words, ...(inside ? [`--machine=${name}`] : [`--unit=${unit}`, ...(ofHost ? [`--unit=${unitsPattern(name)}`] : [])])]);
}
