import { execFileSync } from 'node:child_process';
import { closeSync, constants, fstatSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { type Journal, type JournalFile, journalOn } from '../journal.ts';
import { store } from '../store.ts';
import { mountsBelow } from './files.ts';

/** What a running nestbox leaves in the machine's folder for the others: /run/nestbox/NAME/state.json. */
export interface RunState {
  pid: number;
  /** Milliseconds since 1970. */
  started: number;
  file: string;
  argv: string[];
  /** Number of the X display that belongs to this machine alone, and the file with the key to it. */
  display: { number: number; key: string } | null;
}

/** The right to change one machine: held by one nestbox at a time, and let go by the kernel when that ends in any way. */
export interface Session {
  journal: Journal;
  /** Whether an earlier run was cut off before it could take everything back. */
  interrupted(): Promise<boolean>;
  /** Keeps what the journal says has been done: the ways back go to the machine, for the day that it is removed. */
  keep(): Promise<void>;
  close(): void;
}

const tryRemove = (path: string): void => {
  try {
    rmdirSync(path);
  } catch {
    // somebody else's, or in use: it stays
  }
};

/** Opens the session of a machine, or complains that somebody else has it. */
export function openSession(name: string, programs: Facts['programs']): Session {
  const folder = store.run(name);
  const lock = takeLock(folder, name, programs);
  for (const path of [store.base, store.journals]) mkdirUnlessThere(path, path === store.base ? 0o711 : 0o700);
  const file = fileOf(store.journal(name));
  const journal = journalOn(file);
  return {
    journal,
    interrupted: async () => (await journal.entries()).length > 0,
    async keep() {
      const machine = store.machine(name);
      // Twice in the journals after a crash in between is harmless; in neither would lose the way back.
      if (statSync(machine, { throwIfNoEntry: false })) await fileOf(`${machine}/undo`).append(await file.read(), true);
      await file.remove();
    },
    close() {
      // All in there is the machine's own: logs, sockets, what its host programs have left.
      if (mountsBelow(folder).length === 0 && textOf(store.journal(name)) === '') for (const entry of readdirSync(folder)) rmSync(`${folder}/${entry}`, { recursive: true, force: true });
      for (const empty of [folder, store.runs, store.journals, `${store.base}/scratch`, store.machines, store.templates, store.base]) tryRemove(empty);
      closeSync(lock);
    },
  };
}

function mkdirUnlessThere(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    throw new Complaint(`cannot create ${path}/: ${code === 'EACCES' ? 'permission denied' : code}`, code === 'EACCES' ? 'run nestbox as root: sudo nestbox ...' : undefined);
  }
}

/** flock(2) on the machine's own folder: taken by flock(1) on a descriptor that is shared with us, and ours when it has ended. */
function takeLock(folder: string, name: string, programs: Facts['programs']): number {
  for (;;) {
    mkdirUnlessThere(store.runs, 0o711);
    mkdirUnlessThere(folder, 0o711);
    let file: number;
    try {
      file = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch {
      continue; // removed by another nestbox that has just ended
    }
    if (!programs.flock) throw new Complaint("'flock' is not installed; it is needed to keep two runs of one machine apart", 'apt install util-linux');
    try {
      execFileSync(programs.flock, ['--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', file] });
    } catch {
      closeSync(file);
      const state = readState(name);
      throw new Complaint(`the machine '${name}' is ${state ? `running (process ${state.pid})` : 'being changed by another nestbox'}`, 'wait for its end, or stop it: kill that process, and nestbox takes everything back');
    }
    // The folder that is locked must still be the one that the path leads to.
    if (statSync(folder, { throwIfNoEntry: false })?.ino === fstatSync(file).ino) return file;
    closeSync(file);
  }
}

function fileOf(path: string): JournalFile {
  let file: number | null = null;
  return {
    async append(line, sync) {
      try {
        file ??= openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o600);
        writeSync(file, line);
        if (sync) fsyncSync(file);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        throw new Complaint(`cannot write ${path}: ${code === 'ENOSPC' ? 'no space left on the disk' : code}`, 'nothing is done that could not be taken back: make room first');
      }
    },
    read: async () => textOf(path),
    async remove() {
      if (file !== null) closeSync(file);
      file = null;
      await rm(path, { force: true });
    },
  };
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


function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
