import { undo } from './apply.ts';
import type { Host } from './host.ts';
import { keptJournal } from './journal.ts';
import type { Step } from './step.ts';
import { store } from './store.ts';

/** Roots whose mounts stay on the host after a run ([chroot] keep). */

/** Whether there are such mounts of that machine; after the host was started anew there are none. */
export const isKept = async (name: string, host: Host): Promise<boolean> => (await host.kind(store.kept(name))) !== null;

/** Takes them away; false: there were none. What fails is told, and stays to be tried again. */
export async function takeBackKept(name: string, host: Host, tell: (step: Step) => void): Promise<boolean> {
  const lines = await host.read(store.kept(name));
  if (lines === null) return false;
  await undo(host, keptJournal(lines), tell);
  await host.remove(store.kept(name));
  return true;
}
