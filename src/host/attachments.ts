import { closeSync, constants, existsSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { deviceOf } from '../attach.ts';
import type { Device } from '../edits.ts';
import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { type Journal, journalOn, parseJournal } from '../journal.ts';
import { store } from '../store.ts';
import { fileOf, lockOn, textOf } from './session.ts';

/**
 * Devices that have been given to a machine while it ran. Its session is held by the nestbox that runs it, so these have a
 * lock and journals of their own, in the folder of the run. What they are about ends with the container, by the kernel: its
 * control group, its /dev and its /run; and the journals end with that folder. (Of one that systemd runs, also its drop-ins: native/service.c.)
 */
export interface Attachments {
  /** What has been done for one device. */
  journal(device: Pick<Device, 'type' | 'major' | 'minor'>): Journal;
  /** What has been done for the device that is at this path inside; null: nothing. */
  find(path: string): Journal | null;
  close(): void;
}

const folderOf = (name: string): string => `${existsSync(store.serviceRun(name)) ? store.serviceRun(name) : store.run(name)}/attached`;

/** Complains while another nestbox gives or takes a device of the same machine, and when the machine has ended. */
export function openAttachments(name: string, programs: Facts['programs']): Attachments {
  const folder = folderOf(name);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Complaint(`the machine '${name}' has ended`);
    if (code !== 'EEXIST') throw error;
  }
  const lock = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  if (!lockOn(lock, programs)) {
    closeSync(lock);
    throw new Complaint(`another nestbox is changing the devices of '${name}'`, 'try again');
  }
  const journal = (file: string) => journalOn(fileOf(`${folder}/${file}`));
  return {
    journal: ({ type, major, minor }) => journal(`${type}${major}:${minor}`),
    find(path) {
      const file = entries(name).find(({ paths }) => paths.includes(path))?.file;
      return file === undefined ? null : journal(file);
    },
    close: () => closeSync(lock),
  };
}

function entries(name: string): { file: string; paths: string[] }[] {
  const folder = folderOf(name);
  try {
    return readdirSync(folder).sort().map((file) => ({ file, paths: [...new Set(parseJournal(textOf(`${folder}/${file}`)).flat().flatMap((step) => deviceOf(step) ?? []))] }));
  } catch {
    return []; // none has ever been attached, or the machine has just ended
  }
}

/** The devices that a running machine has been given since it started. */
export const attachedTo = (name: string): string[] => [...new Set(entries(name).flatMap(({ paths }) => paths))];
