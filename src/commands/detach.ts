import { undo } from '../apply.ts';
import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { attachedTo, openAttachments } from '../host/attachments.ts';
import { meet, readMachineFile } from '../meet.ts';
import { note } from '../text.ts';
import { keep, read, type When } from './attach.ts';

/** Takes back what attach gave: from the machine that runs, or from its next start on. */
export default async function detach(words: string[], when: When): Promise<number> {
  const { name, path, facts, host, running, record, now } = await read('detach', words, when);
  const kept = record?.devices?.includes(path) ?? false;
  if (when.always && !kept) throw new Complaint(`'${name}' is not given ${path} at its start by attach`, await hint(name, path, facts));
  if (now) {
    const attachments = openAttachments(name, facts.programs);
    try {
      const journal = attachments.find(path);
      if (!journal) throw new Complaint(`${path} has not been attached to '${name}' since it started`, kept ? 'it was given at the start: --always takes it from the next one' : await hint(name, path, facts));
      await undo(host, journal);
    } finally {
      attachments.close();
    }
    note(`a program in '${name}' that has ${path} open keeps it until it closes it`);
  }
  if (when.always) await keep(host, name, running, facts.programs, (devices) => devices.filter((device) => device !== path));
  return 0;
}

/** Where else it may come from. */
async function hint(name: string, path: string, facts: Facts): Promise<string | undefined> {
  const attached = attachedTo(name);
  try {
    const file = readMachineFile(name, facts);
    const { machine } = await meet(file.spec, file.file, facts);
    const device = machine.edits.devices.find((candidate) => candidate.path === path);
    const by = device && machine.origin.get(device);
    if (by) return `${file.place(by.split('.'))}gives it: take it out there`;
  } catch {
    // a file that cannot be read any more gives nothing
  }
  return attached.length > 0 ? `attached are ${attached.join(', ')}` : undefined;
}
