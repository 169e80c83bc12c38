import { existsSync, fstatSync, writeFileSync } from 'node:fs';
import { resolve as absolute } from 'node:path';
import { Complaint, NeedsRoot } from '../errors.ts';
import type { Facts } from '../facts.ts';
import type { Host } from '../host.ts';
import { linux } from '../host/linux.ts';
import { Interrupted, type Processes } from '../host/processes.ts';
import { openSession, type RunState, type Session } from '../host/session.ts';
import { handOver, isByNode, isTaken } from '../host/hand-over.ts';
import { isNoted, writeWarm, type Written } from '../host/warm.ts';
import { clientCookie } from '../displays.ts';
import type { Journal } from '../journal.ts';
import { type Machine, templateOf, variablesInside, volumeOf, type Way, withAttached } from '../machine.ts';
import { type MachineFile, meet, readMachineFile } from '../meet.ts';
import { type Plan, plan, steps } from '../plan.ts';
import { probe, readStore } from '../probe.ts';
import { roots } from '../roots/index.ts';
import type { Spec } from '../spec.ts';
import { mustNotServe, recordOf } from '../service.ts';
import { apply, describe, undo } from '../apply.ts';
import type { Step } from '../step.ts';
import { store } from '../store.ts';
import { asksForWatched } from '../warm.ts';
import { terminalIn } from '../terminals.ts';
import { note } from '../text.ts';
import { isInside, mountPointOf, opening } from '../volumes.ts';

export interface Asks {
  'passphrase-fd'?: string;
  verbose?: boolean;
}

interface Options extends Asks {
  partition?: string;
  'record-audio'?: string;
}

/** Runs a machine's program in the foreground; returns its exit status. */
export default async function run([argument, ...argv]: string[], options: Options): Promise<number> {
  if (!argument) throw new Complaint('which machine?', 'nestbox run FILE [-- PROGRAM [ARGUMENT]...]');
  const since = Date.now();
  const facts = probe(process.env);
  const read = readMachineFile(argument, facts);
  const file: MachineFile = { ...read, spec: { ...withPartition(withRecording(read.spec, options['record-audio']), options.partition), ...(argv.length > 0 && { run: argv, boot: false }) } };
  const written = (machine: Machine, facts: Facts, planned: Plan): Written => ({ machine, facts, spec: withAttached(file.spec, facts), plan: planned, notes: warnings(machine, file), state: stateOf(machine, file), program: read.spec.boot ? null : read.spec.run, since });
  if (!isByNode() && Object.keys(options).length === 0 && mayBeWarm(file.spec, facts)) {
    const { machine, facts: met } = await meet(file.spec, file.file, facts);
    if (await isNoted(written(machine, met, plan(machine, met, file.place)), linux(facts.programs, note, null), (work) => locked(file.spec.name, facts, work))) handOver(file.spec.name, argv);
  }
  return inSession(file, facts, options, async (session, host, tell, base) => {
    mustNotServe(file.spec.name, base);
    const { machine, facts } = (await make(file, base, session, host, tell)) ?? await meet(file.spec, file.file);
    warn(machine, file);
    const planned = plan(machine, facts, file.place);
    const { passing } = planned;
    writeState(machine, file);
    if (machine.record) await writeWarm(written(machine, facts, planned), host);
    await apply(steps(passing), host, session.journal, tell);
    if (passing.some(({ step }) => step.kind === 'chroot-mounts')) {
      // The mounts alone stay: the device list of a control group that has others in it cannot be written anew.
      if (machine.place.kind === 'cgroup') await apply([{ kind: 'cgroup-end', folders: machine.place.folders }], host, null, tell);
      await session.keepMounts();
    }
    return host.status;
  });
}

function locked(name: string, { programs }: Facts, work: () => void): void {
  const session = openSession(name, programs);
  try {
    work();
  } finally {
    session.close();
  }
}

/** Nothing has to be made for it, and native code does what such machines ask for. Whether it is warm is told when it has met the host. */
const mayBeWarm = (spec: Spec, { root, store: { machines } }: Facts): boolean =>
  root && asksForWatched(spec) && machines.some(({ name }) => name === spec.name) && !isTaken(spec.name);

/** `--record-audio out.wav` is [audio.playback] record = "out.wav". */
function withRecording(spec: Spec, path: string | undefined): Spec {
  if (path === undefined) return spec;
  if (!spec.grants.some(({ topic, kind }) => topic === 'audio' && kind === 'playback'))
    throw new Complaint('--record-audio needs the sound server that belongs to the machine alone', 'audio = "playback"');
  return { ...spec, grants: spec.grants.map((grant) => (grant.kind === 'playback' ? { ...grant, options: { ...(grant.options as object), record: absolute(path) } } : grant)) };
}

/** `--partition 2` is partition = 2 in [root]. */
function withPartition(spec: Spec, number: string | undefined): Spec {
  if (number === undefined) return spec;
  if (spec.root.source !== 'image') throw new Complaint('--partition is of a disk image', 'nestbox run IMAGE --partition 2, or [root] image = "..."');
  if (!/^[1-9]\d{0,2}$/.test(number)) throw new Complaint(`'${number}' is no number of a partition`, 'they count from 1 on');
  return { ...spec, root: { ...spec.root, options: { ...(spec.root.options as object), partition: Number(number) } } };
}

/** Does what is to be done with the lock of the machine held, and takes back whatever is in the journal at the end. */
export async function inSession(
  { spec, file }: MachineFile, facts: Facts, options: Asks,
  work: (session: Session, host: Host & Processes, tell: (step: Step) => void, facts: Facts) => Promise<number>,
): Promise<number> {
  if (!facts.root) throw new NeedsRoot('only root can start machines', `sudo nestbox ${process.argv.slice(2).join(' ')}`);
  const host = linux(facts.programs, note, passphraseOf(options));
  const { name } = spec;
  const session = openSession(name, facts.programs);
  const tell = (step: Step) => (options.verbose ? note(describe(step)) : undefined);
  host.takeSignals();
  try {
    if (!(await session.interrupted())) {
      if ((await host.kind(store.owners(name))) !== null) throw new Complaint(`nestbox rm ${name} was cut off: some files of the root have their owners back, some do not`, `nestbox rm ${name} finishes it`);
      return await work(session, host, tell, facts);
    }
    note(`an earlier run of '${name}' was cut off: taking back what it left`);
    await reopen(spec, file, host, session.journal);
    await undo(host, session.journal, tell);
    return await work(session, host, tell, probe(process.env));
  } catch (error) {
    if (error instanceof Interrupted) return error.status;
    throw error;
  } finally {
    await undo(host, session.journal, tell).finally(() => session.close());
  }
}

/** After a power cut what was made in an image for a run is still in it, and can be taken out while it is open: the same way back closes it again. */
async function reopen(spec: Spec, file: string, host: Host, journal: Journal): Promise<void> {
  const { name } = spec;
  if (!roots[spec.root.source]!.isImage || !(await journal.entries()).flat().some((step) => isInside(name, step)) || (await host.isMounted(mountPointOf(name)))) return;
  const { machine: { source, problems } } = await meet(spec, file);
  const volume = volumeOf(source);
  if (!volume || volume.luks || problems.some(({ fatal }) => fatal)) return;
  try {
    await apply(opening(name, volume, store.run(name)), host, null);
  } catch (error) {
    note(`${(error as Error).message}: what was put into it for a run stays in it, going on`);
  }
}

/** Makes the root and the machine unless they are there; `before` is done first, and kept with them. What it returns holds; null when it has changed the host. */
export async function make(file: MachineFile, base: Facts, session: Session, host: Host, tell: (step: Step) => void, way: Way = 'run', before: Step[] = []): Promise<Awaited<ReturnType<typeof meet>> | null> {
  if (way === 'service' && file.spec.fleeting) throw new Complaint('systemd runs machines that are made', `nestbox create ${file.file}; then nestbox start ${file.spec.name}`);
  const choose = () => meet(file.spec, file.file, { ...base, store: readStore() }, way);
  const isMade = existsSync(`${store.machine(file.spec.name)}/machine.json`); // then it has its ids
  let met = isMade ? await choose() : await session.choosing(choose, ({ machine }) => machine.shift);
  if (met.machine.source.kind === 'directory' && met.machine.source.unpack) {
    await apply(steps(plan(met.machine, met.facts, file.place).opening), host, session.journal, tell);
    met = await meet(file.spec, file.file, probe(process.env), way); // now it can be told what is in it
  }
  const { opening } = plan(met.machine, met.facts, file.place);
  const serves = recordOf(file.spec.name, met.facts)?.leader; // then it is open, and not ours to close
  if (opening.length > 0 && !serves) {
    await apply(steps(opening), host, session.journal, tell);
    await session.hold();
    met = await meet(file.spec, file.file, probe(process.env), way); // now its root can be read
  }
  const { lasting }: Plan = plan(met.machine, met.facts, file.place);
  const all = [...before, ...steps(lasting)];
  if (all.length === 0) return met;
  await apply(all, host, session.journal, tell);
  if (!(await session.hasMore())) return met; // all of it was there
  // The template was not there to be read when the accounts were planned: with it they are others.
  if (!met.machine.accounts.known) {
    const again = await meet(file.spec, file.file, probe(process.env), way);
    await apply(steps(plan(again.machine, again.facts, file.place).lasting), host, session.journal, tell);
  }
  await session.keep();
  return null;
}

/** The descriptor that a passphrase is read from: one that was opened for us. null: it is asked for. */
export function passphraseOf({ 'passphrase-fd': word }: Asks): number | null {
  if (word === undefined) return null;
  const descriptor = /^\d{1,9}$/.test(word) ? Number(word) : -1;
  try {
    fstatSync(descriptor);
    return descriptor;
  } catch {
    throw new Complaint(`--passphrase-fd ${word}: no such descriptor is open`, 'nestbox ... --passphrase-fd 3 3< FILE');
  }
}

/** One passphrase opens one volume. */
export function mustBeOne(words: string[], options: Asks): void {
  if (words.length > 1 && options['passphrase-fd'] !== undefined) throw new Complaint('--passphrase-fd is for one machine at a time');
}

const warnings = ({ problems }: Machine, { place }: MachineFile): string[] => problems.flatMap(({ what, mend, fatal, at }) => (fatal ? [] : [`${at && at.length > 0 ? place(at) : ''}${what}; ${mend}`]));

export function warn(machine: Machine, file: MachineFile): void {
  for (const line of warnings(machine, file)) note(line);
}

function stateOf(machine: Machine, { file }: MachineFile): Omit<RunState, 'pid' | 'started' | 'argv'> {
  const { run, edits, source, user, account: { uid, gid }, shift, place } = machine;
  const own = edits.before.some(({ kind }) => kind === 'cookie');
  return {
    file, template: templateOf(source), terminal: terminalIn(edits), directory: source.kind === 'directory' ? source.path : null,
    inside: { user, account: { uid, gid }, shift, environment: variablesInside(machine), place },
    display: own ? { number: Number(edits.environment.DISPLAY!.slice(1)), key: clientCookie({ run }) } : null,
  };
}

function writeState(machine: Machine, file: MachineFile): void {
  const state: RunState = { pid: process.pid, started: Date.now(), argv: machine.argv, ...stateOf(machine, file) };
  writeFileSync(`${machine.run}/state.json`, JSON.stringify(state), { mode: 0o600 });
}

