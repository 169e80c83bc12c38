import { execFileSync } from 'node:child_process';
import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { Complaint, reasons } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { type Journal, type JournalFile, journalOn, parseJournal } from '../journal.ts';
import { unable } from './distribution.ts';
import type { Place } from '../step.ts';
import { store } from '../store.ts';
import { mountsBelow } from './files.ts';

/** What a running nestbox leaves in the machine's folder for the others: /run/nestbox/NAME/state.json. */
export interface RunState {
  pid: number;
  /** Milliseconds since 1970. */
  started: number;
  file: string;
  argv: string[];
  /** Key of the template that its root is a layer over, if it is. */
  template: string | null;
  /** The directory that its root is, or is a layer over, if it is. */
  directory: string | null;
  /** Number of the X display that belongs to this machine alone, and the file with the key to it. */
  display: { number: number; key: string } | null;
  /** Its virtual terminal. */
  terminal: number | null;
  /** What those need who go into it, or change its devices, while it runs. */
  inside: {
    /** Whose programs run in it by default; null: root's. */
    user: string | null;
    account: { uid: number; gid: number };
    /** First id of the host that its ids are shown as; 0: the host's own. */
    shift: number;
    environment: Record<string, string>;
    place: Place;
  };
}

/** Another nestbox has the session of the machine. */
export class Busy extends Complaint {}

/** The right to change one machine: held by one nestbox at a time, and let go by the kernel when that ends in any way. */
export interface Session {
  journal: Journal;
  /** Whether an earlier run was cut off before it could take everything back. */
  interrupted(): Promise<boolean>;
  /** What has been done so far is for this session alone: what is kept later is kept without it. */
  hold(): Promise<void>;
  /** Whether anything has been done besides. */
  hasMore(): Promise<boolean>;
  /** So that no two machines that are made at once get the same ids: one at a time chooses them, and tells the others which it has (0: none of its own), until its session ends. */
  choosing<T>(choose: () => Promise<T>, idsOf: (chosen: T) => number): Promise<T>;
  /** Keeps what the journal says has been done: the ways back go to the machine, for the day that it is removed. */
  keep(): Promise<void>;
  /** The same of what systemd has been given, for the day that it is stopped and not to be started again. `held` is forgotten where the units take it back. */
  keepService(held?: 'back' | 'forgotten'): Promise<void>;
  /** The same of a root whose mounts stay, until the machine is stopped. */
  keepMounts(): Promise<void>;
  close(): void;
}

const tryRemove = (path: string): boolean => {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'; // else in use: it stays
  }
};

/** Opens the session of a machine, or complains that somebody else has it, or waits until they let go. */
export function openSession(name: string, programs: Facts['programs'], busy: 'complain' | 'wait' = 'complain'): Session {
  const folder = store.run(name);
  const lock = takeLock(folder, name, programs, busy);
  try {
    for (const [path, mode] of storeFolders) mkdirUnlessThere(path, mode);
    rmSync(store.ids(name), { force: true }); // of one that was cut off
  } catch (error) {
    for (const path of [folder, store.runs]) tryRemove(path);
    closeSync(lock);
    removeEmptyStore();
    throw error;
  }
  const file = fileOf(store.journal(name));
  const journal = journalOn(file);
  let held = 0; // characters at the beginning of the journal
  /** What is not held goes to the end of another journal. Twice in the journals after a crash in between is harmless; in neither would lose the way back. */
  const move = async (to: string | null, forget = false): Promise<void> => {
    const text = await file.read();
    if (to !== null) await fileOf(to).append(text.slice(held), true);
    if (held === 0 || forget) await file.remove();
    else await file.cut(Buffer.byteLength(text.slice(0, held)));
    if (forget) held = 0;
  };
  return {
    journal,
    interrupted: async () => (await journal.entries()).length > 0,
    async hold() {
      held = (await file.read()).length;
    },
    async choosing(choose, idsOf) {
      const all = openSync(store.machines, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        if (!lockOn(all, programs, 'wait')) throw new Busy('another nestbox chooses the ids of a machine', 'try again');
        const chosen = await choose();
        const ids = idsOf(chosen);
        if (ids !== 0) writeFileSync(store.ids(name), `${ids}`, { mode: 0o600 });
        return chosen;
      } finally {
        closeSync(all);
      }
    },
    hasMore: async () => parseJournal((await file.read()).slice(held)).length > 0,
    keep: () => move(statSync(store.machine(name), { throwIfNoEntry: false }) ? `${store.machine(name)}/undo` : null),
    keepService: (back = 'back') => move(store.undoOfService(name), back === 'forgotten'),
    async keepMounts() {
      if ((await file.read()) === '') return;
      // At once, so that no crash leaves them in both; the second time what is in both is taken back twice, which is harmless.
      if (textOf(store.kept(name)) === '') file.rename(store.kept(name));
      else await move(store.kept(name));
    },
    close() {
      // All in there is the machine's own: logs, sockets, what its host programs have left.
      if (mountsBelow(folder).length === 0 && textOf(store.journal(name)) === '' && textOf(store.kept(name)) === '') for (const entry of readdirSync(folder)) rmSync(`${folder}/${entry}`, { recursive: true, force: true });
      for (const path of [folder, store.runs]) tryRemove(path);
      closeSync(lock);
    },
  };
}

/** Made when the first machine is, and shared by all: only removeEmptyStore() takes them away. */
const storeFolders: [path: string, mode: number][] = [[store.base, 0o711], [store.journals, 0o700], [store.scratches, 0o700], [store.services, 0o700], [store.machines, 0o700], [store.templates, 0o700]];

/** Removes the folders that machines share when there is no machine, no template and nothing running. */
export function removeEmptyStore(): void {
  // Who has a session has a folder there, and is about to write its journal.
  if (tryRemove(store.runs) && tryRemove(store.journals)) for (const [path] of [...storeFolders].reverse()) tryRemove(path);
}

function mkdirUnlessThere(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code === 'ENOENT') throw error;
    throw new Complaint(`cannot create ${path}/: ${reasons[code!] ?? code}`);
  }
}

/** flock(2) on an open file, until that is closed; false: somebody else has it, and it was not to be waited for (so many seconds). */
export function lockOn(file: number, programs: Facts['programs'], busy: 'complain' | 'wait' | number = 'complain'): boolean {
  if (!programs.flock) throw unable('flock', 'keep two runs of one machine apart');
  try {
    execFileSync(programs.flock, [...(busy === 'complain' ? ['--nonblock'] : typeof busy === 'number' ? ['--timeout', `${busy}`] : []), '3'], { stdio: ['ignore', 'ignore', 'ignore', file] });
    return true;
  } catch {
    return false;
  }
}

/** How long a lock may be one that is only looked at, in s: `doctor` and `list` have it for as long as flock(1) takes. */
const glance = 0.2;

/** flock(2) on the machine's own folder: taken by flock(1) on a descriptor that is shared with us, and ours when it has ended. */
function takeLock(folder: string, name: string, programs: Facts['programs'], busy: 'complain' | 'wait'): number {
  for (;;) {
    let file: number;
    try {
      mkdirUnlessThere(store.runs, 0o711);
      mkdirUnlessThere(folder, 0o711);
      file = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue; // removed by another nestbox that has just ended
      tryRemove(store.runs);
      throw error;
    }
    if (!lockOn(file, programs, busy === 'complain' && !readState(name) ? glance : busy)) {
      closeSync(file);
      const state = readState(name);
      throw new Busy(`the machine '${name}' is ${state ? `running (process ${state.pid})` : 'being changed by another nestbox'}`, `wait for its end, or stop it: nestbox stop ${name}`);
    }
    // The folder that is locked must still be the one that the path leads to.
    if (statSync(folder, { throwIfNoEntry: false })?.ino === fstatSync(file).ino) return file;
    closeSync(file);
  }
}

export function fileOf(path: string): JournalFile & { cut(length: number): Promise<void>; rename(to: string): void } {
  let file: number | null = null;
  return {
    async append(line, sync) {
      try {
        file ??= openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o600);
        writeSync(file, line);
        if (sync) fsyncSync(file);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        throw new Complaint(`cannot write ${path}: ${reasons[code!] ?? code}`, 'nothing is done that could not be taken back');
      }
    },
    read: async () => textOf(path),
    rename(to) {
      if (file !== null) closeSync(file);
      file = null;
      renameSync(path, to);
    },
    async cut(length) {
      if (file !== null) ftruncateSync(file, length);
    },
    async remove() {
      if (file !== null) closeSync(file);
      file = null;
      rmSync(path, { force: true });
    },
  };
}

/** Whether a nestbox has the session of a machine. The lock is asked for shared, for as long as flock(1), which is at this path, takes, so that two who look do not see each other. */
export function isHeld(name: string, flock: string | undefined): boolean {
  if (readState(name)) return true;
  const folder = attempt(() => openSync(store.run(name), constants.O_RDONLY | constants.O_DIRECTORY), null);
  if (folder === null) return false;
  try {
    return flock !== undefined && attempt(() => (execFileSync(flock, ['--shared', '--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', folder] }), false), true);
  } finally {
    closeSync(folder);
  }
}

/**
 * Names of all that a nestbox has the session of, or had when it was cut off. In a machine, what the host has mounted there for it is beside them: files, the folder of the
 * sound server's gate, and one with nothing but mounted files in it (src/foreign/tools.ts).
 */
export function sessionNames(): string[] {
  const entries = (path: string) => attempt(() => readdirSync(path, { withFileTypes: true }), []);
  const folders = entries(store.runs).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (folders.length === 0) return [];
  const mounted = new Set(mountsBelow(store.runs));
  const isOfHost = (folder: string): boolean => {
    const inside = entries(folder);
    return inside.length > 0 && inside.every((entry) => (entry.isDirectory() ? isOfHost(`${folder}/${entry.name}`) : mounted.has(`${folder}/${entry.name}`)));
  };
  return folders.filter((name) => mounted.size === 0 || !(mounted.has(store.run(name)) || isOfHost(store.run(name))));
}

/** What the nestbox that runs this machine has written down, or null where none does. */
export function readState(name: string): RunState | null {
  try {
    const state = JSON.parse(readFileSync(`${store.run(name)}/state.json`, 'utf8')) as RunState;
    return statSync(`/proc/${state.pid}`, { throwIfNoEntry: false }) ? state : null;
  } catch {
    return null;
  }
}

export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
