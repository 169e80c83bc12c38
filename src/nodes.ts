import type { Device } from './edits.ts';
import type { Facts } from './facts.ts';

/** The edit that gives the device node at `path`, which must be one of the facts. Open to all on the host: open to all inside. */
export function nodeEdit({ nodes }: Facts, path: string): Device {
  const { type, major, minor, gid, mode } = nodes[path]!;
  return { path, type, major, minor, mode, group: mode & 0o006 || gid === 0 ? null : gid };
}
