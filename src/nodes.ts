import type { Device } from './edits.ts';
import type { Facts } from './facts.ts';

/** The edit that gives the device node at `path`, which must be one of the facts. Open to all on the host: open to all inside. */
export function nodeEdit({ nodes }: Facts, path: string): Device {
  const { type, major, minor, gid, mode } = nodes[path]!;
  return { path, type, major, minor, mode, group: mode & 0o006 || gid === 0 ? null : gid };
}

/** Permissions of a node inside: open to the group alone, as on the host; what the world may do there is left to the world inside. */
export const modeInside = ({ group, mode }: Pick<Device, 'group' | 'mode'>): number => (group === null ? (mode & 0o006 ? 0o666 : 0o600) : 0o660);
