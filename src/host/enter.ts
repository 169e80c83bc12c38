import { type ChildProcess, spawn } from 'node:child_process';
import { constants as os } from 'node:os';
import { Complaint } from '../errors.ts';
import { unable } from './distribution.ts';
import type { Facts } from '../facts.ts';
import type { RunningMachine } from './running.ts';

/** Programs in a machine that runs already. */

export interface Entry {
  /** Name or number inside. */
  user: string;
  environment: Record<string, string>;
  /** A terminal of its own inside. */
  terminal: boolean;
  /** A program with its arguments; the login shell of the user; a device that is only to be opened; or tries that are told on standard input. */
  does: { program: string[] } | 'login' | { open: string } | 'try';
}

/** As proc(5) and the man page of nestbox-native have it: what becomes of the words of an entry. */
export function entryArguments({ leader, groups }: RunningMachine, { user, terminal, does }: Entry, parent: number): string[] {
  return [
    'enter', `${leader.pid}`, leader.started, ...groups.flatMap((group) => ['--cgroup', group]), '--user', user, '--die-with', `${parent}`, ...(terminal ? ['--terminal'] : []),
    ...(does === 'login' ? ['--login'] : does === 'try' ? ['--try'] : 'open' in does ? ['--open', does.open] : ['--', ...does.program]),
  ];
}

function start(programs: Facts['programs'], running: RunningMachine, entry: Entry, stdio: 'inherit' | ['ignore', 'pipe', 'pipe']): ChildProcess {
  const native = programs['nestbox-native'];
  if (!native) throw unable('nestbox-native', 'go into a machine');
  // In a session of its own, without a terminal: what it starts could otherwise open ours as /dev/tty.
  return spawn(native, entryArguments(running, entry, process.pid), { env: entry.environment, stdio, detached: true, cwd: '/' });
}

const passedOn = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGCONT'] as const;

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? 128 + os.signals[signal!]));
  });

/** Runs it on our own descriptors; its exit status, 128 + N where signal N ended it. Signals are passed on to it. */
export async function enter(programs: Facts['programs'], running: RunningMachine, entry: Entry): Promise<number> {
  const child = start(programs, running, entry, 'inherit');
  for (const signal of passedOn) process.on(signal, () => child.kill(signal));
  return ended(child);
}

/** What opening a device inside gives: error numbers as in errno(3), OK for none; `node` is null where nothing is at the path. */
export interface Opening {
  read: string;
  write: string;
  node: { type: string; major: number; minor: number; mode: number; uid: number; gid: number; nodev: boolean } | null;
}

/** Opens a device inside as that user, for reading and then for reading and writing, and closes it again. */
export async function tryToOpen(programs: Facts['programs'], running: RunningMachine, user: string, path: string): Promise<Opening> {
  const child = start(programs, running, { user, environment: {}, terminal: false, does: { open: path } }, ['ignore', 'pipe', 'pipe']);
  let [out, errors] = ['', ''];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => { out += text; });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => { errors += text; });
  const status = await ended(child);
  const word = (key: string) => new RegExp(`^${key} (\\w+)$`, 'm').exec(out)?.[1];
  const [read, write] = [word('read'), word('write')];
  if (!read || !write) throw new Complaint(`${path} cannot be tried inside '${running.name}'${status === 3 ? ': the machine has ended' : ''}`, errors.trim());
  const [, type = '', major, minor, mode = '', uid, gid, dev] = /^node (.) (\d+) (\d+) (\d+) (\d+) (\d+) (\w+)$/m.exec(out) ?? [];
  return { read, write, node: dev === undefined ? null : { type, major: Number(major), minor: Number(minor), mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid), nodev: dev === 'nodev' } };
}
