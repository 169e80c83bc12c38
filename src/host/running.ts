import { readFileSync, statSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { readMounts } from '../probe.ts';
import type { Leader } from '../step.ts';
import { store } from '../store.ts';
import { descendants, isFirst, namespace } from './inside.ts';
import { readState, type RunState } from './session.ts';

/** The one place that knows where a running machine is: every command that goes into one asks here. */

export interface RunningMachine {
  name: string;
  /** By `nestbox run`, which holds its session, or by systemd. */
  how: 'foreground' | 'service';
  state: Pick<RunState, 'file' | 'inside'>;
  leader: Leader;
  /** Folders of the control groups that its first process is in, one for each tree. */
  groups: string[];
}

/** Field 22 of /proc/PID/stat, proc(5): ticks since the boot. With the number of a process it is never another one's. */
export function startOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

/** Where a process is in each tree of control groups. */
export function groupsOf(pid: number): string[] {
  const mounts = readMounts().filter(({ type }) => type === 'cgroup' || type === 'cgroup2');
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n').filter(Boolean);
  return lines.flatMap((line) => {
    const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const mount = mounts.find(({ type, options }) => (controllers === '' ? type === 'cgroup2' : type === 'cgroup' && controllers.split(',').every((name) => options.split(',').includes(name))));
    return mount ? [`${mount.at}${path}`.replace(/\/$/, '')] : [];
  });
}

/** The machine of that name as it runs now, or null. Complains while it is only about to run, or about to end. */
export function findRunning(name: string): RunningMachine | null {
  const state = readState(name);
  if (!state) return null;
  const pid = descendants(state.pid).find((below) => namespace(below, 'pid') !== namespace('self', 'pid') && isFirst(below));
  const started = pid === undefined ? null : startOf(pid);
  if (pid === undefined || started === null) throw new Complaint(`the machine '${name}' is just being started, or is just ending`, 'try again');
  const groups = groupsOf(pid);
  const { place } = state.inside;
  // Its device rights and limits are those of our groups: what is not in them any more must get no company.
  const left = place.kind === 'cgroup' ? place.folders.find((folder) => statSync(folder, { throwIfNoEntry: false }) && !groups.some((group) => group === folder || group.startsWith(`${folder}/`))) : undefined;
  if (left) throw new Complaint(`the machine '${name}' has left its control group ${left}`, 'stop it: something on this host has moved it');
  return { name, how: 'foreground', state, leader: { pid, started }, groups };
}

/** The same, which must be there. */
export function mustRun(name: string): RunningMachine {
  const running = findRunning(name);
  if (!running) throw new Complaint(`the machine '${name}' does not run`, `nestbox run ${name} starts it; nestbox list shows those that do`);
  return running;
}

/** What systemd was given of the machine's display. Who asks may sit at another one by now, or at none. */
export function displayGiven(name: string): Record<string, string> {
  const files = [`/etc/systemd/nspawn/${name}.nspawn`, `${store.lxc}/${name}/config`].map((path) => attempt(() => readFileSync(path, 'utf8'), ''));
  return Object.fromEntries([...files.join('\n').matchAll(/\b(DISPLAY|XAUTHORITY)=([^\s"]+)/g)].map(([, key, value]) => [key, value]));
}

/** The machine's own display is in use because it runs: it is to be given the same one again. */
export function withoutOwnDisplay(name: string, facts: Facts): Facts {
  const own = readState(name)?.display?.number ?? Number(displayGiven(name).DISPLAY?.slice(1) ?? -1);
  return { ...facts, displaysInUse: facts.displaysInUse.filter((number) => number !== own) };
}
