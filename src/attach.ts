import { ruleLine } from './devices.ts';
import type { Device } from './edits.ts';
import { modeInside } from './nodes.ts';
import type { Leader, Place, Step } from './step.ts';

/** What is done to give a device to a machine that runs already (pure). */

export interface Running {
  leader: Leader;
  place: Place;
  /** First id of the host that its ids are shown as. */
  shift: number;
  /** Of its user, inside. */
  account: { uid: number; gid: number };
}

/** Where udev keeps what it knows of a device, also for libudev inside: sd_device_get_device_id() in libsystemd. */
export const udevEntry = ({ type, major, minor }: Pick<Device, 'type' | 'major' | 'minor'>): string => `/run/udev/data/${type}${major}:${minor}`;

/**
 * The rule, the node, and what udev knows (null: nothing). A program that runs already cannot be put into another group: so a
 * node that the group on the host may open belongs to the machine's user here, where the plan relies on the group alone.
 */
export function attaching({ leader, place, shift, account }: Running, device: Device, udev: string | null): Step[] {
  const { path, type, major, minor, group } = device;
  return [
    { kind: 'device-allow', place, rule: ruleLine({ type, major, minor, rights: 'rw' }), path },
    { kind: 'node-inside', leader, path, type, major, minor, mode: modeInside(device), owner: { uid: shift + (group === null ? 0 : account.uid), gid: shift + (group ?? 0) } },
    ...(udev === null ? [] : [{ kind: 'file-inside' as const, leader, path: udevEntry(device), text: udev }]),
  ];
}

/** The device that a way back is about; undefined: it is about none, or a file beside it. */
export const deviceOf = (step: Step): string | undefined => (step.kind === 'device-forbid' || (step.kind === 'remove-inside' && step.device) ? step.path : undefined);
