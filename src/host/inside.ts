import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The processes of a container, as this host sees them. */

/** Which namespace a process is in; '' when it has ended. */
export const namespace = (pid: number | 'self', kind: 'net' | 'pid'): string => {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return '';
  }
};

/** Whether it is process 1 of its own process namespace: NSpid in proc(5). */
export const isFirst = (pid: number): boolean => {
  try {
    return /^NSpid:.*\s1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** All processes below one, parents before their children. */
export function descendants(pid: number): number[] {
  let children: number[] = [];
  try {
    children = readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number));
  } catch {
    // it has ended in the meantime
  }
  return children.flatMap((child) => [child, ...descendants(child)]);
}
