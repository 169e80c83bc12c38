import type { Bind } from './edits.ts';
import { lacks, type Problem, warns } from './errors.ts';
import type { Facts, ImageVolume } from './facts.ts';
import { formatNames } from './image/filesystems.ts';
import { type Beside, besides } from './image/fstab.ts';
import { type Inside, type Part, partName } from './image/parts.ts';
import { rootPart } from './roots/image.ts';
import type { Spec } from './spec.ts';
import { type Besides, driverOf, imageFolder, linkOf } from './volumes.ts';

/** Machines whose root is in a disk image: what comes with the root (pure). */

/** What could be read of a root without opening it. */
export const insideOfPart = (part: Part | null): Inside | null => (part && part.root !== 'unknown' ? part.root : null);

const chosen = ({ root }: Spec, facts: Facts): Part | null => rootPart(facts.volume?.image, root.options as { partition?: number; 'logical-volume'?: string });

/** What can be mounted besides a root, by formats. */
const mountable = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs', 'fat'];

/** The other partitions that can be mounted, where the image's own fstab has them; and what is not where it should be. */
export function besidesIn(inside: Inside | null, image: ImageVolume, root: Part, kernel: string): { mounts: Beside[]; problems: Problem[] } {
  const { mounts, lost } = besides(inside?.fstab ?? '', image.content?.parts ?? [], root);
  const tells = (what: string, at: string): Problem => ({ ...warns(what, `${/^\/boot(\/|$)/.test(at) ? 'a kernel that is installed inside does not get there: it would not be started' : `what is written to ${at} stays in the root`}, going on`), at: ['root', 'image'] });
  const problems = lost.filter(({ options }) => !options.includes('nofail')).map(({ what, at }) => tells(`etc/fstab in ${image.path} wants ${what} on ${at}, and there is no such partition in it`, at));
  const found = mounts.filter(({ part, at }) => {
    const { content } = part;
    const why = !content ? 'there is nothing on it that nestbox knows'
      : part.apart ? `it is a logical volume that cannot be opened here: ${part.apart}`
        : !mountable.includes(content.format) ? `it holds ${formatNames[content.format]}`
        : content.complaints.length > 0 ? `it is damaged: ${content.complaints.join('; ')}`
          : !image.drivers.includes(driverOf(content.format)) ? `this kernel (${kernel}) has no driver for ${driverOf(content.format)}` : null;
    if (why) problems.push(tells(`${partName(part, image.path)} belongs on ${at} and is not mounted: ${why}`, at));
    return why === null;
  });
  return { mounts: found, problems };
}

/** The same for a machine: as its root is where it is open, else as it could be read without opening it. */
export function besidesOf(spec: Spec, facts: Facts, run: string): { mounts: Besides[]; problems: Problem[] } {
  const image = facts.volume?.image;
  const root = chosen(spec, facts);
  if (!image || !root) return { mounts: [], problems: [] };
  const { mounts, problems } = besidesIn(facts.insideImage ?? insideOfPart(root), image, root, facts.kernel);
  const kept = spec.ephemeral ? mounts.map(({ part, at }): Problem => ({ ...warns(`${partName(part, image.path)} is read-only on ${at}`, 'ephemeral = true keeps no changes, and has no layer for it, going on'), at: ['ephemeral'] })) : [];
  return {
    mounts: mounts.map(({ part, part: { number, volume, start, size }, at }) => ({ number, ...(volume !== undefined && { volume }), start, size, to: at, from: `${imageFolder(run)}/at-${linkOf(part)}`, write: !spec.ephemeral })),
    problems: [...problems, ...kept],
  };
}

/** Packages start their services when they are installed, unless this says no (invoke-rc.d(8)): the program is not there to run a system. */
export function policyOf(spec: Spec, facts: Facts): Bind[] {
  const program = facts.programs['nestbox-native'];
  // It says no under this name. No script of ours would do: what is below /run can often not be started (noexec).
  return program && (facts.insideImage ?? insideOfPart(chosen(spec, facts)))?.dpkg ? [{ from: program, to: '/usr/sbin/policy-rc.d', write: false, owner: 'as-is', passes: true }] : [];
}

/** What was opened must be one. */
export const needsOfInside = ({ insideImage, volume }: Facts): Problem[] =>
  insideImage === null ? [{ ...lacks(`there is no root file system in what was opened of ${volume?.image?.path}`, 'partition = N in [root] takes another partition; a subvolume of btrfs cannot be named yet'), at: ['root', 'image'] }] : [];
