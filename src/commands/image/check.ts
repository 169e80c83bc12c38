import { Complaint, NeedsRoot } from '../../errors.ts';
import { openImage } from '../../host/images.ts';
import { linux } from '../../host/linux.ts';
import { formatNames } from '../../image/filesystems.ts';
import { mustBeWhole } from '../../image/plan.ts';
import { probe } from '../../probe.ts';
import type { Step } from '../../step.ts';
import { canCheck, images, programsOf } from '../../steps/images.ts';
import { note } from '../../text.ts';
import type { ImageOptions } from '../image.ts';
import { mustBeFree, numberOf, openSessionOf, subjectOf } from './change.ts';

/** Looks through the table of an image and the file systems in it; changes nothing, unless it is asked to repair what can be without a loss. */
export default async function check([file, ...more]: string[], options: ImageOptions): Promise<number> {
  if (!file || more.length > 0) throw new Complaint('which image?', 'nestbox image check FILE');
  const number = numberOf(options);
  const facts = probe(process.env);
  const host = linux(facts.programs, note);
  const image = openImage(file);
  const session = options.repair && facts.root ? openSessionOf(image.file.path, facts) : null;
  try {
    if (session && (await session.interrupted())) throw new Complaint(`a change of ${image.file.path} was cut off`, 'nestbox clean sees to it');
    const subject = subjectOf(image);
    mustBeFree(image);
    mustBeWhole(subject);
    if (!facts.root) throw new NeedsRoot('only root can look through the file systems in an image', 'sudo puts it right');
    for (const remark of subject.layout.table.remarks) note(`${remark}, going on`);
    const wrong: string[] = [];
    for (const { partition, start, size, content } of subject.layout.parts) {
      if (number !== null && partition?.number !== number) continue;
      const name = partition ? `partition ${partition.number}` : image.file.path;
      const step: Extract<Step, { kind: 'image-check' }> | null = content && canCheck(content.format) ? { kind: 'image-check', image: image.file, extent: { start, size }, number: partition?.number ?? null, format: content.format, mend: options.repair ? 'safe' : false } : null;
      if (!step || !content) {
        console.log(`${name}: ${content ? formatNames[content.format] : 'nothing that is known'}, not looked through`);
        continue;
      }
      const missing = programsOf(step).find((program) => !facts.programs[program]);
      if (missing) {
        console.log(`${name}: ${formatNames[content.format]}, not looked through: '${missing}' is not installed`);
        continue;
      }
      try {
        await images['image-check'].do(step, host);
        console.log(`${name}: ${formatNames[content.format]}, ${options.repair ? 'in order' : 'no errors'}`);
      } catch (error) {
        if (!(error instanceof Complaint)) throw error;
        wrong.push(error.message, ...(error.hint ? error.hint.split('\n').map((line) => `  ${line}`) : []));
      }
    }
    if (wrong.length > 0) throw new Complaint(wrong.join('\n'));
    return 0;
  } finally {
    session?.close();
    image.close();
  }
}
