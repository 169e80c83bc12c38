import type { Device } from './edits.ts';
import type { Facts } from './facts.ts';

/** The edit that gives the device node at `path`, which must be one of the facts. Where the world may do all on the host, no group is needed inside. */
export function nodeEdit({ nodes }: Facts, path: string): Device {
  const { type, major, minor, gid, mode } = nodes[path]!;
  return { path, type, major, minor, mode, group: (mode & 0o006) === 0o006 || gid === 0 ? null : gid };
}

/** Permissions of a node inside: its group may all, as the plan has a member of it open it; the world may what it may on the host. */
export const modeInside = ({ group, mode }: Pick<Device, 'group' | 'mode'>): number => 0o600 | (group === null ? (mode & 0o006) << 3 : 0o060) | (mode & 0o006);
