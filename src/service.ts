import { apply, undo } from './apply.ts';
import { engines } from './engines/index.ts';
import { Complaint } from './errors.ts';
import type { Facts, ServiceRecord } from './facts.ts';
import type { Host } from './host.ts';
import { displayGiven, groupsOf, type RunningMachine, startOf, withoutOwnDisplay } from './host/running.ts';
import { openSession, type Session } from './host/session.ts';
import { writeStamp } from './host/stamp.ts';
import { keptJournal } from './journal.ts';
import { meet, readMachineFile } from './meet.ts';
import { type Machine, variablesInside, volumeOf } from './machine.ts';
import { enabledLink, serviceOf, unitsPattern } from './names.ts';
import { plan, preparing, steps } from './plan.ts';
import { probe, readStore } from './probe.ts';
import type { Step } from './step.ts';
import { store } from './store.ts';
import { note } from './text.ts';
import { installing, mark, type Units, unitsOf } from './units/files.ts';
import type { Somebody } from './units/inside.ts';
import { needsSession } from './units/lines.ts';
import { closing, mappingOf } from './volumes.ts';
import { listed } from './words.ts';

/** Machines that systemd runs: what commands do with their units. */

export const recordOf = (name: string, { store: { services } }: Pick<Facts, 'store'>): ServiceRecord | null => services.find((service) => service.name === name) ?? null;

/** One root cannot be in two overlays, nor two machines have one name. */
export function mustNotServe(name: string, facts: Pick<Facts, 'store'>): void {
  if (recordOf(name, facts)?.leader) throw new Complaint(`the machine '${name}' runs already, as a service of systemd`, `nestbox exec ${name} -- PROGRAM runs a program in it; nestbox stop ${name} stops it`);
}

/** The unit that runs a machine. */
export const serviceNameOf = ({ name, engine }: Pick<Machine, 'name' | 'engine'>): string => serviceOf(name, engines[engine]!);

/** The step that starts or stops it. */
export const unit = (name: string, service: string, want: 'started' | 'stopped'): Step => ({ kind: 'unit', name: service, parts: unitsPattern(name), want });

/** Gives systemd the machine's units, unless it has just these. Returns the paths of their files. */
export async function install(machine: Machine, facts: Facts, place: (at: (string | number)[]) => string, session: Session, host: Host, tell: (step: Step) => void): Promise<string[]> {
  const { name } = machine;
  const each = preparing(plan(machine, facts, place));
  const units = unitsOf(machine, facts, each);
  const record = recordOf(name, facts);
  const paths = units.files.map(({ path }) => path);
  if (record && (await isInstalled(units, host))) return paths;
  await refuseStrangers(units, host);
  if (record) await takeBack(name, host, tell);
  await apply(installing(name, units), host, session.journal, tell);
  if (record?.enabled) await enable(name, serviceNameOf(machine), steps(each), session, host, tell);
  return paths;
}

/** Writes the files of a machine's units anew, for its next start; one that runs goes on as it is. */
export async function refresh(name: string, host: Host): Promise<void> {
  const since = Date.now();
  const base = probe(process.env);
  if (!recordOf(name, base)) return;
  const file = readMachineFile(name, base);
  const { machine, facts } = await meet(file.spec, file.file, base, 'service');
  if (volumeOf(machine.source) && !machine.accounts.known) {
    note(`the root of '${name}' is closed, and its units are written when it is open: nestbox start or nestbox enable, going on`);
    return;
  }
  const { files } = unitsOf(machine, facts, preparing(plan(machine, facts, file.place)));
  const session = openSession(name, base.programs);
  try {
    await apply([{ kind: 'reload', on: 'back' }, ...files.map(({ path, text }): Step => ({ kind: 'write', path, text, mode: 0o644 })), { kind: 'reload', on: 'way' }], host, session.journal);
    await session.keepService();
    if (!volumeOf(machine.source)) writeStamp(name, file.file, files.map(({ path }) => path), since);
  } finally {
    session.close();
  }
}

/** The files are as they should be, and so is what is put in place at each start. */
async function isInstalled({ files, once }: Units, host: Host): Promise<boolean> {
  for (const { path, text } of [...files, ...once.filter((step) => step.kind === 'write')]) if ((await host.read(path)) !== text) return false;
  return true;
}

/** What nestbox did not write is never written over. */
async function refuseStrangers({ files, image, folder }: Units, host: Host): Promise<void> {
  for (const { path, text: ours } of files) {
    if (!ours.startsWith(`# ${mark}`)) continue; // of a file beside one that says so
    const text = await host.read(path);
    if (text !== null && !text.startsWith(`# ${mark}`)) throw new Complaint(`${path} is there already, and nestbox did not write it`, `it says what a machine of this name is: give this one another name, or move the file away.\nnestbox import ${path} writes a machine file that says the same`);
  }
  // A container without a configuration that is ours, and what is left of one.
  if (folder !== null && (await host.kind(folder)) !== null && !((await host.read(`${folder}/config`)) ?? '').startsWith(`# ${mark}`)) throw new Complaint(`${folder}/ is there already: LXC has another container of this name`, `give this machine another name, or move the folder away.\nnestbox import ${folder}/config makes a machine file of it`);
  const there = image && (await host.stat(image.path));
  if (image && there && image.path !== image.to && !(there.kind === 'link' && (await host.resolve(image.path)) === (await host.resolve(image.to)))) throw new Complaint(`${image.path} is there already: systemd has another machine of this name`, 'give this one another name, or move that one away');
}

/** Lets it come up with the host. Not what needs somebody to be there. */
export async function enable(name: string, service: string, passing: readonly Step[], session: Session, host: Host, tell: (step: Step) => void): Promise<void> {
  if (needsSession(passing)) throw new Complaint(`'${name}' needs the display that you sit at: nobody does when the host comes up`, `nestbox start ${name} starts it while you are there; display = "headless" does without`);
  await apply([{ kind: 'reload', on: 'back' }, { kind: 'mkdir', path: '/etc/systemd/system/multi-user.target.wants', mode: 0o755 }, { kind: 'symlink', path: enabledLink(service), to: `/usr/lib/systemd/system/${service.replace(/@.*/, '@.service')}` }, { kind: 'reload', on: 'way' }], host, session.journal, tell);
}

/** Takes from systemd what it was given. The machine does not run. */
export async function takeBack(name: string, host: Host, tell: (step: Step) => void): Promise<void> {
  const lines = (await host.read(store.undoOfService(name))) ?? '';
  await undo(host, keptJournal(lines), tell);
}

/** Stops it, and takes its units back unless it is to come up with the host again. What its unit could not close is closed here: whoever is in its way is named. */
export async function stop(name: string, record: ServiceRecord, host: Host, tell: (step: Step) => void): Promise<void> {
  await apply([unit(name, record.unit, 'stopped')], host, null, tell);
  const volume = readStore().machines.find((machine) => machine.name === name)?.volume;
  if (volume) await apply(closing(name, volume), host, null, tell);
  if (!record.enabled) await takeBack(name, host, tell);
}

/** A unit that has been waiting for a passphrase since the host came up would go on waiting when the volume has been opened: it begins anew. */
export async function stopAsking({ name, engine }: Pick<Machine, 'name' | 'engine'>, { store: { machines } }: Pick<Facts, 'store'>, host: Host, tell: (step: Step) => void): Promise<void> {
  const luks = machines.find((machine) => machine.name === name)?.volume?.luks;
  if (luks && (await host.kind(store.serviceRun(name))) !== null && (await host.kind(`/dev/mapper/${mappingOf(name)}`)) === null) await apply([unit(name, serviceNameOf({ name, engine }), 'stopped')], host, null, tell);
}

export interface Served {
  machine: Machine;
  facts: Facts;
  running: RunningMachine;
}

/** The machine of that name as systemd runs it now, or null. */
export async function findServed(name: string, base: Facts): Promise<Served | null> {
  const pid = recordOf(name, base)?.leader;
  const started = pid ? startOf(pid) : null;
  if (!pid || started === null) return null;
  const known = withoutOwnDisplay(name, base);
  const file = readMachineFile(name, known);
  const { machine, facts } = await meet(file.spec, file.file, known, 'service');
  const { user, account: { uid, gid }, shift, place } = machine;
  const inside = { user, account: { uid, gid }, shift, environment: { ...variablesInside(machine), ...displayGiven(name) }, place };
  return { machine, facts, running: { name, how: 'service', state: { file: file.file, inside }, leader: { pid, started }, groups: groupsOf(pid) } };
}

/** Somebody inside, by name; the machine's user if none is named. */
export function somebody(machine: Machine, { accounts }: Facts, name: string = machine.user ?? 'root'): Somebody {
  const found = accounts?.users.find((user) => user.name === name);
  if (!found) throw new Complaint(`there is no user '${name}' in '${machine.name}'`, accounts ? `there is ${listed(accounts.users.map((user) => user.name))}` : undefined);
  return { name, home: found.home, shell: found.shell || '/bin/sh' };
}
