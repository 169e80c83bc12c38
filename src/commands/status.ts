import { Complaint } from '../errors.ts';
import { attachedTo } from '../host/attachments.ts';
import { isHeld, readState } from '../host/session.ts';
import { parseJournal } from '../journal.ts';
import { readMachineFile } from '../meet.ts';
import { probe } from '../probe.ts';
import { recordOf } from '../service.ts';
import { describe } from '../apply.ts';
import { linux } from '../host/linux.ts';
import { store } from '../store.ts';
import { pasteable } from '../words.ts';

/** What one machine is made of, whether it runs, and what would be taken back at its end. Exit status 3: it does not run. */
export default async function status([name, ...more]: string[], { json }: { json?: boolean }): Promise<number> {
  if (!name || more.length > 0) throw new Complaint('which machine?', 'nestbox status NAME');
  const facts = probe(process.env);
  const record = facts.store.machines.find((machine) => machine.name === name) ?? null;
  const running = readState(name);
  const host = linux(facts.programs);
  const service = recordOf(name, facts);
  const left = parseJournal((await host.read(store.journal(name))) ?? '').flat();
  const mounted = parseJournal((await host.read(store.kept(name))) ?? '').flat();
  if (!record && !running && !service && left.length + mounted.length === 0) readMachineFile(name, facts); // complains unless it is installed
  if (json) console.log(JSON.stringify({ name, running, service, record, attached: running || service?.leader ? attachedTo(name) : [], toTakeBack: [...mounted, ...left] }, null, 2));
  else {
    console.log(`${name}: ${running ? `running, process ${running.pid}, since ${new Date(running.started).toISOString()}` : service?.leader ? 'running, as a service of systemd' : left.length > 0 && isHeld(name, facts.programs.flock) ? 'changing: another nestbox makes it, starts it or takes it back' : left.length > 0 ? `cut off; nestbox clean ${name} takes back what is left` : mounted.length > 0 ? `mounted; nestbox stop ${name} takes that back` : record ? 'ready' : 'not made'}`);
    if (service) console.log(`  service: ${service.unit}${service.leader ? `, running, its first process is ${service.leader}` : ', not running'}${service.enabled ? '; it comes up with the host' : ''}`);
    console.log(`  file: ${running?.file ?? record?.file ?? `${store.files}/${name}.toml`}`);
    if (record) console.log(`  root: ${record.template ? store.template(record.template) : record.volume ? `${record.volume.path}, mounted on ${record.directory} while it runs` : record.directory}${record.shift ? `, ids from ${record.shift}` : ", the host's ids"}`);
    if (running) console.log(`  runs: ${pasteable(running.argv)}`);
    if (running?.display) console.log(`  display: :${running.display.number}`);
    if (record?.devices) console.log(`  attached at each start: ${record.devices.join(', ')}`);
    if ((running || service?.leader) && attachedTo(name).length > 0) console.log(`  attached until it ends: ${attachedTo(name).join(', ')}`);
    for (const step of [...mounted, ...left].reverse()) console.log(`  at its end: ${describe(step)}`);
  }
  return running || service?.leader ? 0 : 3;
}
