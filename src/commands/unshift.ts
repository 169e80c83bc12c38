import { dirname, resolve as absolute } from 'node:path';
import { apply, describe, undo } from '../apply.ts';
import { digest } from '../digest.ts';
import { Complaint, NeedsRoot } from '../errors.ts';
import type { Facts } from '../facts.ts';
import type { Host } from '../host.ts';
import { linux } from '../host/linux.ts';
import { Interrupted } from '../host/processes.ts';
import { openSession, readState, type Session } from '../host/session.ts';
import { usesOf } from '../host/uses.ts';
import { parseJournal } from '../journal.ts';
import { readMachineFile } from '../meet.ts';
import { busyIds, shiftOf } from '../names.ts';
import { probe } from '../probe.ts';
import { findServed, mustNotServe } from '../service.ts';
import { store } from '../store.ts';
import { note } from '../text.ts';
import { listed } from '../words.ts';

interface Options {
  'dry-run'?: boolean;
  from?: string;
  json?: boolean;
  verbose?: boolean;
}

/** What `nestbox-native owners preview` counts. */
export interface Preview {
  directory: string;
  /** First of the ids that are given back; those from 0 on come in their place. */
  from: number;
  /** All files, and those that get other ids. */
  files: number;
  pending: number;
  /** Of the latter: set-user-id and set-group-id programs, those with capabilities; and files whose access lists name ids that change. */
  programs: number;
  capabilities: number;
  lists: number;
  /** Files with ids that are neither among those given back nor among the 65536 from 0 on. */
  outside: number;
  /** Files that cannot be changed: chattr(1), i and a. */
  fixed: number;
  examples: { of: 'outside' | 'fixed'; owner: string; path: string }[];
  /** First id of each 65536 that occur -> number of files. */
  ranges: Record<string, number>;
}

/** Gives the files of a root the host's own ids back. */
export default async function unshift([argument, ...more]: string[], options: Options): Promise<number> {
  if (!argument || more.length > 0) throw new Complaint('which root?', 'nestbox unshift NAME|DIRECTORY');
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can give files other owners', `sudo nestbox unshift ${argument}`);
  const host = linux(facts.programs, note);
  const directory = await directoryOf(argument, facts, host);
  const sharing = await machinesOn(directory, facts);
  // The directory's own, whichever name it was called by; a dot is in no machine's name.
  const name = `unshift.${digest(directory).toString('hex').slice(0, 12)}`;
  const cutOff = parseJournal((await host.read(store.journal(name))) ?? '').flat().find((step) => step.kind === 'owners');
  mustBeUnused(directory);
  const found = cutOff ? await preview(host, directory, cutOff.from) : await look(host, directory, options.from);
  if (options['dry-run']) {
    show(found, options, 'get');
    return 0;
  }
  const sessions: Session[] = [];
  let began = false;
  try {
    const session = openSession(name, facts.programs);
    sessions.push(session);
    for (const machine of sharing) {
      const other = openSession(machine, facts.programs); // complains while it runs
      sessions.push(other);
      if (await other.interrupted()) throw new Complaint(`a run of '${machine}' was cut off, and has not been taken back`, `nestbox clean ${machine}`);
    }
    host.takeSignals();
    began = true;
    const tell = (step: Parameters<typeof describe>[0]) => (options.verbose ? note(describe(step)) : undefined);
    if (await session.interrupted()) {
      note('an earlier nestbox unshift was cut off: finishing it');
      await undo(host, session.journal, tell);
    } else if (found.pending + found.capabilities + found.lists > 0) {
      await apply([{ kind: 'owners', directory, from: found.from, to: 0, notes: store.owners(name), onward: true }], host, session.journal, tell);
      await session.journal.clear();
    }
  } catch (error) {
    if (began) note(`some files of ${directory}/ have their owners back, some may not: nestbox unshift ${argument} goes on where it was, and so does nestbox clean`);
    if (!(error instanceof Interrupted)) throw error;
    return error.status;
  } finally {
    for (const session of sessions.reverse()) session.close();
  }
  show(found, options, 'got');
  await warnOfPrograms(host, found);
  return 0;
}

/** The directory that is meant, without links; a Complaint for what is none, or is a root whose files have the owners that nestbox gave them. */
async function directoryOf(argument: string, facts: Facts, host: Host): Promise<string> {
  const named = !argument.includes('/') || argument.endsWith('.toml');
  const record = named ? facts.store.machines.find(({ name }) => name === argument) : undefined;
  const options = named && !record ? (readMachineFile(argument, facts).spec.root.options as { directory?: string }) : {};
  const path = record ? record.directory : named ? (options.directory ?? null) : absolute(argument);
  if (path === null) throw new Complaint(`the root of '${argument}' is no directory of its own: its files have the owners that they were made with`, 'name the directory');
  const directory = await host.resolve(path);
  if (directory === null || (await host.kind(directory)) !== 'directory') throw new Complaint(`${path} is not a directory on this host`, 'name a directory that holds a root file system');
  if (directory === '/' || ((await host.kind(`${directory}/usr`)) === null && (await host.kind(`${directory}/etc`)) === null))
    throw new Complaint(`${directory} holds no root file system of a machine`, 'name a directory that does: there is a usr/ or an etc/ in it');
  return directory;
}

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** The machines that are made of the directory. Complains about one that runs on it, or whose own ids its files have. */
async function machinesOn(directory: string, facts: Facts): Promise<string[]> {
  const shares = (path: string | null | undefined) => path !== null && path !== undefined && (isWithin(path, directory) || isWithin(directory, path));
  const host = linux(facts.programs);
  const records = facts.store.machines.filter((record) => shares(record.directory));
  const shifted = records.find((record) => record.shifted);
  if (shifted) throw new Complaint(`the files of ${shifted.directory} have the ids that '${shifted.name}' was given them for (users = "shift")`, `nestbox rm ${shifted.name} gives them back`);
  for (const name of await host.list(store.runs)) if (shares(readState(name)?.directory)) openSession(name, facts.programs).close(); // complains: it runs
  for (const { name, leader } of facts.store.services) {
    const served = leader === null ? null : await findServed(name, facts);
    if (served?.machine.source.kind === 'directory' && shares(served.machine.source.path)) mustNotServe(name, facts);
  }
  return records.map(({ name }) => name);
}

function mustBeUnused(directory: string): void {
  const uses = usesOf(directory);
  if (uses.length > 0) throw new Complaint(`${directory}/ is in use: ${uses.join(', ')}`, 'stop what uses it, and try again');
}

/** What there is to do. `given`: the first id, where the person has named it. */
async function look(host: Host, directory: string, given: string | undefined): Promise<Preview> {
  const ids = shiftOf((await host.stat(directory))!);
  if (given !== undefined) {
    const from = Number(given);
    if (!/^\d+$/.test(given) || from % 0x10000 !== 0 || from === 0 || from > busyIds) throw new Complaint(`--from ${given}: it is the first of 65536 ids, such as ${0x80000}`);
    return usable(await preview(host, directory, from));
  }
  if (ids === null) {
    const { uid, gid } = (await host.stat(directory))!;
    throw new Complaint(`${directory}/ belongs to ${uid}:${gid}, which are not of the same 65536 ids: systemd-nspawn has not given these`, `nestbox unshift --from ID ${directory} names the first of those that its files have`);
  }
  const found = await preview(host, directory, ids === 'half' || ids === 0 ? busyIds : ids);
  if (typeof ids === 'number' && ids !== 0) return usable(found);
  // The root folder does not tell: what is in it does.
  const others = Object.keys(found.ranges).map(Number).filter((first) => first !== 0 && first !== busyIds);
  if (ids === 'half' && others.length === 1) return usable(await preview(host, directory, others[0]!));
  if (others.length > 0 && (ids === 'half' || found.pending > 0))
    throw new Complaint(`some files of ${directory}/ have other owners than the rest: ${listed(others.map((first) => `${found.ranges[first]} have ids from ${first}`))}`, others.map((first) => `nestbox unshift --from ${first} ${directory}`).join('\n'));
  if (ids === 0 && others.length > 0) note(`${directory}/ is root's own, and ${listed(others.map((first) => `${found.ranges[first]} of its files have ids from ${first}`))}: --from gives these back, going on`);
  return usable(found);
}

function usable(found: Preview): Preview {
  if (found.fixed === 0) return found;
  throw new Complaint(`${found.fixed} files of ${found.directory}/ cannot be given another owner:\n${examplesOf(found, 'fixed')}`, 'chattr -i -a makes them changeable');
}

async function preview(host: Host, directory: string, from: number): Promise<Preview> {
  const { code, stdout, stderr } = await host.run(['nestbox-native', 'owners', 'preview', directory, `${from}`, '0']);
  if (code !== 0) throw new Complaint(`it cannot be told what is in ${directory}/`, stderr.trim());
  const lines = stdout.trimEnd().split('\n').map((line) => line.split(' '));
  const numberOf = (name: string) => Number(lines.find(([first]) => first === name)?.[1]);
  return {
    directory, from, files: numberOf('files'), pending: numberOf('pending'), programs: numberOf('programs'), capabilities: numberOf('capabilities'), lists: numberOf('lists'), outside: numberOf('outside'), fixed: numberOf('fixed'),
    examples: lines.filter(([first]) => first === 'example').map(([, of, owner = '', ...path]) => ({ of: of as 'outside' | 'fixed', owner, path: path.join(' ') })),
    ranges: Object.fromEntries(lines.filter(([first]) => first === 'range').map(([, first = '', count]) => [first, Number(count)])),
  };
}

const examplesOf = ({ examples }: Preview, wanted: 'outside' | 'fixed'): string => examples.filter(({ of }) => of === wanted).map(({ owner, path }) => `  ${owner} ${path}`).join('\n');

/** One line, then what a person wants to be sure of. */
function show(found: Preview, { json }: Options, did: 'get' | 'got'): void {
  const { directory, from, files, pending, programs, capabilities, lists, outside } = found;
  const lines = [
    pending === 0 ? `${directory}/: none of ${files} files has an owner to be given back` : `${directory}/: ${pending} of ${files} files ${did} their owners back, ids from ${from} ${did === 'get' ? 'become' : 'became'} those from 0`,
    ...(pending === 0 ? [] : [`  with their rights: ${programs} set-user-id or set-group-id programs, ${capabilities} with capabilities, ${lists} with access lists that name ids`]),
    ...(outside === 0 ? [] : [`  ${outside} ${did === 'get' ? 'stay' : 'stayed'} as they are, with ids of their own:`, examplesOf(found, 'outside')]),
  ];
  console.log(json ? JSON.stringify(found, null, 2) : lines.join('\n'));
}

/** A set-user-id program of root's inside is root's on the host from now on: whoever made it inside must not reach it from outside. */
async function warnOfPrograms(host: Host, { directory, programs, capabilities }: Preview): Promise<void> {
  if (programs + capabilities === 0) return;
  for (let at = directory; at !== '/'; at = dirname(at)) if (((await host.stat(at))!.mode & 0o001) === 0) return;
  note(`everybody on this host can reach the set-user-id programs in ${directory}/, which are root's own now; chmod 0700 ${dirname(directory)} keeps them out, going on`);
}
