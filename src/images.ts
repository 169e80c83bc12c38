import type { Text } from './edits.ts';
import { lacks, type Problem, warns } from './errors.ts';
import type { Facts } from './facts.ts';
import { formatNames } from './image/filesystems.ts';
import { besides } from './image/fstab.ts';
import { type Inside, type Part, partName } from './image/parts.ts';
import { rootPart } from './roots/image.ts';
import type { Spec } from './spec.ts';
import { type Besides, driverOf, imageFolder } from './volumes.ts';

/** Machines whose root is in a disk image: what comes with the root (pure). */

/** What the root holds: as it is where it is open, else as it could be read without opening it. */
const insideOf = (facts: Facts, part: Part | null): Inside | null => facts.insideImage ?? (part && part.root !== 'unknown' ? part.root : null);

const partition = ({ root }: Spec): number | null => (root.options as { partition?: number }).partition ?? null;

/** What can be mounted besides a root, by formats. */
const mountable = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs', 'fat'];

/** The other partitions, where the image's own fstab has them; and what is not where it should be. */
export function besidesOf(spec: Spec, facts: Facts, run: string): { mounts: Besides[]; problems: Problem[] } {
  const { kernel } = facts;
  const image = facts.volume?.image;
  const root = rootPart(image, partition(spec));
  const inside = insideOf(facts, root);
  if (!image?.content || !root || !inside) return { mounts: [], problems: [] };
  const { mounts, lost } = besides(inside.fstab, image.content.parts, root);
  const tells = (what: string, at: string): Problem => ({ ...warns(what, `${/^\/boot(\/|$)/.test(at) ? 'a kernel that is installed inside does not get there: it would not be started' : `what is written to ${at} stays in the root`}, going on`), at: ['root', 'image'] });
  const problems = lost.filter(({ options }) => !options.includes('nofail')).map(({ what, at }) => tells(`etc/fstab in ${image.path} wants ${what} on ${at}, and there is no such partition in it`, at));
  const found = mounts.flatMap(({ part, at }): Besides[] => {
    const { content, number, start, size } = part;
    if (number === null) return [];
    const name = partName(part, image.path);
    const why = !content ? 'there is nothing on it that nestbox knows'
      : !mountable.includes(content.format) ? `it holds ${formatNames[content.format]}`
        : content.complaints.length > 0 ? `it is damaged: ${content.complaints.join('; ')}`
          : !image.drivers.includes(driverOf(content.format)) ? `this kernel (${kernel}) has no driver for ${driverOf(content.format)}` : null;
    if (why) problems.push(tells(`${name} belongs on ${at} and is not mounted: ${why}`, at));
    if (!why && spec.ephemeral) problems.push({ ...warns(`${name} is read-only on ${at}`, 'ephemeral = true keeps no changes, and has no layer for it, going on'), at: ['ephemeral'] });
    return why ? [] : [{ number, start, size, to: at, from: `${imageFolder(run)}/at-${number}`, write: !spec.ephemeral }];
  });
  return { mounts: found, problems };
}

/** Packages start their services when they are installed, unless this says no (invoke-rc.d(8)): the program is not there to run a system. */
export const policyOf = (spec: Spec, facts: Facts): Text[] =>
  insideOf(facts, rootPart(facts.volume?.image, partition(spec)))?.dpkg ? [{ path: '/usr/sbin/policy-rc.d', text: '#!/bin/sh\n# There for the run alone.\nexit 101\n', executable: true }] : [];

/** What was opened must be one. */
export const needsOfInside = ({ insideImage, volume }: Facts): Problem[] =>
  insideImage === null ? [{ ...lacks(`there is no root file system in what was opened of ${volume?.image?.path}`, 'partition = N in [root] takes another partition; a subvolume of btrfs cannot be named yet'), at: ['root', 'image'] }] : [];
