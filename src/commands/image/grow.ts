import { Complaint } from '../../errors.ts';
import { growing, readSize, roomNeeded } from '../../image/plan.ts';
import { probe } from '../../probe.ts';
import { sizeOf } from '../../text.ts';
import type { ImageOptions } from '../image.ts';
import { change, numberOf, subjectOf } from './change.ts';

/** Makes an image larger, with its partition and the file system in that. */
export default async function grow([file, size, ...more]: string[], options: ImageOptions): Promise<number> {
  if (!file || more.length > 0) throw new Complaint('which image?', 'nestbox image grow FILE [SIZE|+SIZE]');
  const wanted = size === undefined ? null : readSize(size);
  const number = numberOf(options);
  return change(file, options, probe(process.env), async (image) => {
    const subject = subjectOf(image);
    const plan = growing(subject, wanted, number);
    const content = subject.layout.parts.find(({ partition }) => (partition?.number ?? null) === plan.number)?.content ?? null;
    const needed = image.kind === 'file' ? roomNeeded(plan, content) : 0;
    if (needed > image.free) throw new Complaint(`there is too little room on the disk that ${image.file.path} is on: ${sizeOf(image.free)} are free, and ${sizeOf(needed)} are needed`);
    return plan;
  });
}
