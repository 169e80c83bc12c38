import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { Complaint } from '../errors.ts';

/** Control groups: who is in them, and their end. */

function members(folder: string): number[] {
  try {
    const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap((entry) => members(`${folder}/${entry.name}`));
    return [...below, ...readFileSync(`${folder}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number)];
  } catch {
    return [];
  }
}

/** Version 1 of control groups tells nobody when one is empty: it is asked, at growing intervals. */
export async function signalUntilEmpty(folders: readonly string[], signal: NodeJS.Signals, milliseconds: number, once: boolean): Promise<void> {
  const limit = Date.now() + milliseconds;
  const told = new Set<number>();
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const pids = folders.flatMap(members).filter((pid) => pid !== 0); // 0: a process of another process namespace
    if (pids.length === 0) return;
    for (const pid of pids)
      if (!once || !told.has(pid)) {
        told.add(pid);
        try {
          process.kill(pid, signal);
        } catch {
          // it has ended in the meantime
        }
      }
    if (Date.now() > limit) {
      if (once) return;
      throw new Complaint(`processes ${[...new Set(pids)].join(', ')} do not end`, 'a process that waits for a device cannot be killed: nestbox clean tries again');
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

export async function removeGroup(folder: string): Promise<void> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) await removeGroup(`${folder}/${entry.name}`);
  for (let pause = 1; ; pause *= 2)
    try {
      return rmdirSync(folder);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY' || pause > 1000) throw new Complaint(`cannot remove the control group ${folder}: ${code}`);
      await new Promise((resolve) => setTimeout(resolve, pause)); // its last process is gone but not yet forgotten
    }
}
