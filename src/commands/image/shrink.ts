import { Complaint, NeedsRoot } from '../../errors.ts';
import { isExt } from '../../image/filesystems.ts';
import { leastMargin, readSize, shrinking, toShrink } from '../../image/plan.ts';
import { probe } from '../../probe.ts';
import { sizeOf } from '../../text.ts';
import type { ImageOptions } from '../image.ts';
import { change, numberOf, subjectOf } from './change.ts';

/** The kernel makes no btrfs smaller than this: btrfs_ioctl_resize() in its fs/btrfs/ioctl.c. */
const leastBtrfs = 2 ** 28;

/** Makes an image smaller: what is used, and a margin. */
export default async function shrink([file, size, ...more]: string[], options: ImageOptions): Promise<number> {
  if (!file || more.length > 0) throw new Complaint('which image?', 'nestbox image shrink FILE [SIZE]');
  const wanted = size === undefined ? null : readSize(size);
  const margin = options.margin === undefined ? null : readSize(options.margin).bytes;
  const number = numberOf(options);
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can ask the file system in an image how small it can be', 'sudo puts it right');
  return change(file, options, facts, async (image, host) => {
    const subject = subjectOf(image);
    const chosen = toShrink(subject, number);
    const { part, content } = chosen;
    const { argv, ...how } = isExt(content.format) ? { argv: ['resize2fs', '-P', '{}'] } : { argv: ['btrfs', 'inspect-internal', 'min-dev-size', '{}'], mount: 'btrfs' };
    const { code, stdout, stderr } = await host.images.work(image.file, { start: part.start, size: part.size }, { ...how, write: false }, argv);
    // "Estimated minimum size of the filesystem: 1234", in blocks; "109051904 bytes (104.00MiB)"
    const [, said] = /(?:filesystem: |^)(\d+)(?: bytes.*)?$/m.exec(stdout.trim()) ?? [];
    if (code !== 0 || said === undefined) throw new Complaint(`it cannot be told how small the file system in ${image.file.path} can be`, `${stdout}\n${stderr}`.trim().split('\n').slice(-5).join('\n'));
    const least = isExt(content.format) ? Number(said) * content.block! : Math.max(Number(said), leastBtrfs);
    const plan = shrinking(subject, chosen, least, wanted, margin);
    if (image.links > 1) throw new Complaint(`${image.file.path} has ${image.links} names: only this one would become smaller`, 'cp makes a file of its own');
    const needed = plan.steps.length > 0 ? image.allocated + leastMargin : 0;
    if (needed > image.free) throw new Complaint(`there is too little room for a copy on the disk that ${image.file.path} is on: ${sizeOf(image.free)} are free, and ${sizeOf(needed)} are needed`);
    return plan;
  });
}
