import type { Part } from './parts.ts';

/** What an image itself says of where its partitions are mounted: fstab(5). A stranger has written it. */

export interface FstabLine {
  /** PARTUUID=..., UUID=..., LABEL=..., /dev/mmcblk0p1 ... */
  what: string;
  at: string;
  type: string;
  options: string[];
}

/** \040 and the like: fstab(5). */
const unescape = (word: string): string => word.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** Its lines as far as they can be read; a path without '.' and '..' and without a slash at its end. */
export const readFstab = (text: string): FstabLine[] => text.split('\n').flatMap((line) => {
  const [what, at, type = 'auto', options = 'defaults'] = line.trim().split(/\s+/).map(unescape);
  if (!what || what.startsWith('#') || !at?.startsWith('/') || /\p{Cc}/u.test(what + at) || at.split('/').some((name) => name === '..' || name === '.')) return [];
  return [{ what: what.replace(/"/g, ''), at: at.replace(/\/+/g, '/').replace(/(.)\/$/, '$1'), type, options: options.split(',') }];
});

/** The number in the name of a partition, and the disk: sda2, mmcblk0p2, nvme0n1p2, vdc2. */
function numbered(path: string): { disk: string; number: number } | null {
  const [, disk, number] = /^\/dev\/((?:mmcblk|nvme\d+n|nbd|loop|md)\d+)p(\d+)$/.exec(path) ?? /^\/dev\/([a-z]+)(\d+)$/.exec(path) ?? [];
  return disk ? { disk, number: Number(number) } : null;
}

/** What device mapper calls a logical volume: a hyphen of a name is two (lvm(8)). */
const mapped = (volume: string): string => volume.replaceAll('-', '--').replace('/', '-');

/** The partition that a line means; null: none of these. `disk`: what the image's own disk is called in it, where that is known. */
export function partOf({ what }: Pick<FstabLine, 'what'>, parts: readonly Part[], disk: string | null): Part | null {
  const [, key, value = ''] = /^(PARTUUID|PARTLABEL|UUID|LABEL)=(.+)$/.exec(what) ?? /^\/dev\/disk\/by-(partuuid|partlabel|uuid|label)\/(.+)$/.exec(what) ?? [];
  const same = (found: string | undefined) => found?.toLowerCase() === value.toLowerCase();
  switch (key?.toUpperCase()) {
    case 'PARTUUID': return parts.find(({ uuid }) => same(uuid)) ?? null;
    case 'PARTLABEL': return parts.find(({ name }) => name === value) ?? null;
    case 'UUID': return parts.find(({ content }) => same(content?.uuid)) ?? null;
    case 'LABEL': return parts.find(({ content }) => content?.label === value) ?? null;
    default: {
      const logical = parts.find(({ volume }) => volume !== undefined && (what === `/dev/${volume}` || what === `/dev/mapper/${mapped(volume)}`));
      if (logical) return logical;
      const found = numbered(what);
      return found && (disk === null || disk === found.disk) ? (parts.find(({ number, volume }) => number === found.number && volume === undefined) ?? null) : null;
    }
  }
}

/** A partition besides the root, and where it belongs. */
export interface Beside {
  part: Part;
  at: string;
}

/** What no partition of an image is mounted on, as a container has its own there; /proc and the like are none anyway. */
const own = /^\/(proc|sys|dev|run|tmp)(\/|$)/;

const isNoPartition = ({ what, type }: FstabLine): boolean => ['swap', 'tmpfs', 'proc', 'sysfs', 'devpts', 'devtmpfs', 'bind', 'overlay', 'nfs', 'nfs4', 'cifs', 'none'].includes(type) || what === 'none' || /^[^/=]+:/.test(what) || what.startsWith('//');

/** Where the other partitions are mounted, those above first, and the places of lines for which there is none. */
export function besides(fstab: string, parts: readonly Part[], root: Part): { mounts: Beside[]; lost: FstabLine[] } {
  const lines = readFstab(fstab);
  const rootLine = lines.find(({ at }) => at === '/');
  const disk = rootLine ? (numbered(rootLine.what)?.disk ?? null) : null;
  const mounts: Beside[] = [];
  const lost: FstabLine[] = [];
  for (const line of lines) {
    if (line.at === '/' || own.test(line.at) || isNoPartition(line) || line.options.includes('noauto') || line.options.includes('bind') || mounts.some(({ at }) => at === line.at)) continue;
    const part = partOf(line, parts, disk);
    if (part === root) continue; // a subvolume of the same
    if (part && !mounts.some((other) => other.part === part)) mounts.push({ part, at: line.at });
    else if (!part) lost.push(line);
  }
  return { mounts: mounts.sort((a, b) => a.at.split('/').length - b.at.split('/').length), lost };
}
