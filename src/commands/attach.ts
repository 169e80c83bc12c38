import { apply, undo } from '../apply.ts';
import { attaching, udevEntry } from '../attach.ts';
import { isClass } from '../classes.ts';
import { isInEveryContainer } from '../devices.ts';
import { Complaint, NeedsRoot } from '../errors.ts';
import type { Facts } from '../facts.ts';
import type { Host } from '../host.ts';
import { openAttachments } from '../host/attachments.ts';
import { linux } from '../host/linux.ts';
import { findRunning, type RunningMachine } from '../host/running.ts';
import { openSession } from '../host/session.ts';
import { readMachineFile } from '../meet.ts';
import { nodeEdit } from '../nodes.ts';
import { look, probe, readStore } from '../probe.ts';
import { findServed, refresh } from '../service.ts';
import { store } from '../store.ts';
import { note } from '../text.ts';

export interface When {
  now?: boolean;
  always?: boolean;
}

/** Gives a device to a machine: to the one that runs, until it ends; or to each one that is started from now on. */
export default async function attach(words: string[], when: When): Promise<number> {
  const { name, path, facts, host, running, now } = await read('attach', words, when);
  const node = facts.nodes[path];
  if (!node) throw new Complaint(`there is no device ${path} on this host`, isClass(path) ? 'devices = [...] in the machine file gives whole classes' : 'plug the device in, or load its driver');
  if (isInEveryContainer(node)) throw new Complaint(`every machine has ${path}`);
  if (now) {
    const { leader, state: { inside: { place, shift, account } } } = running!;
    const device = nodeEdit(facts, path);
    const attachments = openAttachments(name, facts.programs);
    try {
      const journal = attachments.journal(device);
      await apply(attaching({ leader, place, shift, account }, device, await host.read(udevEntry(device))), host, journal).catch(async (error: unknown) => {
        await undo(host, journal).catch(() => {}); // what went wrong first is to be told; detach tries again
        throw error;
      });
      if ((await journal.entries()).length === 0) note(`'${name}' has ${path} already`);
      else if (device.group === null && (device.mode & 0o006) !== 0o006 && account.uid !== 0) note(`on this host root alone may do all with ${path}: so it is inside`);
    } finally {
      attachments.close();
    }
  }
  if (when.always) await keep(host, name, running, facts.programs, (kept) => [...kept, path]);
  return 0;
}

/** What attach and detach have in common: whom they are about, and whether that can be. */
export async function read(command: string, [name, path, ...more]: string[], { now, always }: When) {
  if (!name || !path || more.length > 0) throw new Complaint('which machine, and which device?', `nestbox ${command} NAME /dev/...`);
  if (!/^\/dev\/./.test(path) && !isClass(path)) throw new Complaint(`${path} is not a path below /dev`, `nestbox ${command} ${name} /dev/...`);
  if (/\p{Cc}|\/\.{0,2}(\/|$)/u.test(path)) throw new Complaint('a path with //, . or .. in it is not taken', 'write it out');
  const base = probe(process.env);
  if (!base.root) throw new NeedsRoot(`only root can ${command} devices`, `sudo nestbox ${process.argv.slice(2).join(' ')}`);
  const facts = look(base, [path]);
  const running = (await findServed(name, base))?.running ?? findRunning(name);
  const record = facts.store.machines.find((machine) => machine.name === name) ?? null;
  if (!running && !record) readMachineFile(name, facts); // complains unless it is installed
  if (now && !running) throw new Complaint(`the machine '${name}' does not run`, '--always gives a device to each start');
  if (!running && !always) throw new Complaint(`the machine '${name}' does not run`, `nestbox ${command} ${name} ${path} --always is for its next start`);
  if (always && !record) throw new Complaint(`'${name}' keeps nothing between two runs`, `devices = ["${path}"] in its file`);
  return { name, path, facts, host: linux(facts.programs), running, record, now: running !== null && (now === true || !always) };
}

/** Changes which devices the machine is given at each start. While it does not run, nobody else may be changing it. */
export async function keep(host: Host, name: string, running: RunningMachine | null, programs: Facts['programs'], change: (kept: string[]) => string[]): Promise<void> {
  const lock = running ? openAttachments(name, programs) : openSession(name, programs);
  try {
    const record = readStore().machines.find((machine) => machine.name === name);
    if (!record) throw new Complaint(`the machine '${name}' has been removed`);
    const { devices = [], ...rest } = record;
    const kept = [...new Set(change(devices))];
    await host.write(`${store.machine(name)}/machine.json`, `${JSON.stringify({ ...rest, ...(kept.length > 0 && { devices: kept }) })}\n`, 0o600);
  } finally {
    lock.close();
  }
  await refresh(name, host);
}
