import { Complaint, NeedsRoot } from '../errors.ts';
import { enter, type Entry } from '../host/enter.ts';
import { linux } from '../host/linux.ts';
import { findRunning, mustRun, type RunningMachine } from '../host/running.ts';
import { programPath } from '../places.ts';
import { probe } from '../probe.ts';
import { findServed, somebody } from '../service.ts';
import run from './run.ts';
import { execInside, loginInside, olderLoginInside, opensTerminals } from '../units/inside.ts';

/** Runs a program in a machine that runs already; its exit status is nestbox's. */
export default async function exec([name, ...program]: string[], { start, ...options }: { user?: string; root?: boolean; start?: boolean }): Promise<number> {
  if (!name || program.length === 0) throw new Complaint('which machine, and which program?', 'nestbox exec NAME -- PROGRAM [ARGUMENT]...');
  if (start && options.user === undefined && !options.root && !(await runs(name))) return run([name, ...program], {});
  return enterMachine(name, options, { program });
}

const runs = async (name: string): Promise<boolean> => findRunning(name) !== null || (await findServed(name, probe(process.env))) !== null;

/** As the machine's user unless it is said otherwise, with a terminal of its own where we have one. */
export async function enterMachine(name: string, { user, root }: { user?: string; root?: boolean }, does: Exclude<Entry['does'], { open: string } | 'try'>): Promise<number> {
  if (user !== undefined && root) throw new Complaint('--user and --root name two users', 'leave one of the two out');
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can go into machines', `sudo nestbox ${process.argv.slice(2).join(' ')}`);
  const served = await findServed(name, facts);
  const running = served?.running ?? mustRun(name);
  const terminal = Boolean(process.stdin.isTTY && process.stdout.isTTY);
  const who = root ? 'root' : (user ?? userOf(running));
  const able = opensTerminals(facts.systemd);
  if (served?.machine.boot === 'systemd' && served.machine.engine === 'nspawn' && (does === 'login' || !terminal || able)) {
    // By its own init, which makes a session of a login, and keeps an account of what runs.
    const { machine } = served;
    const somebodyInside = somebody(machine, served.facts, who);
    const kind = facts.terminal ?? 'vt220';
    const argv = does !== 'login' ? execInside(machine, somebodyInside, does.program, terminal ? kind : null) : (able ? loginInside : olderLoginInside)(machine, somebodyInside, kind);
    return linux(facts.programs).foreground(argv);
  }
  return enter(facts.programs, running, { user: who, environment: environmentFor(running, who, facts.terminal), terminal, does });
}

export const userOf = ({ state }: RunningMachine): string => state.inside.user ?? 'root';

/** What the machine's own programs have, and what systemd-nspawn gives besides. Its run folder is that of the machine's user alone. */
function environmentFor(running: RunningMachine, user: string, terminal: string | null): Record<string, string> {
  const { XDG_RUNTIME_DIR, ...environment } = running.state.inside.environment;
  return {
    PATH: programPath, container: 'systemd-nspawn', ...environment,
    ...(XDG_RUNTIME_DIR !== undefined && user === userOf(running) && { XDG_RUNTIME_DIR }), ...(terminal && { TERM: terminal }),
  };
}
