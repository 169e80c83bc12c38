import { apply, describe, undo } from '../../apply.ts';
import { Complaint, NeedsRoot } from '../../errors.ts';
import { unable } from '../../host/distribution.ts';
import type { Facts } from '../../facts.ts';
import { type OpenImage, openImage, usesOfImage } from '../../host/images.ts';
import { linux } from '../../host/linux.ts';
import { Interrupted } from '../../host/processes.ts';
import { Busy, openSession, type Session } from '../../host/session.ts';
import { inspect } from '../../image/inspect.ts';
import { type Change, wayOfImage, type Subject } from '../../image/plan.ts';
import { imageSession as sessionName } from '../../names.ts';
import type { Step } from '../../step.ts';
import { mountOf, programsOf } from '../../steps/images.ts';
import { note, sizeOf } from '../../text.ts';
import type { ImageOptions } from '../image.ts';

/** What `grow` and `shrink` have in common: an image is looked at, a plan made and told, and its steps taken. */

export const numberOf = ({ partition }: ImageOptions): number | null => {
  if (partition === undefined) return null;
  if (!/^[1-9]\d{0,2}$/.test(partition)) throw new Complaint(`--partition ${partition}: it is a number, such as 2`);
  return Number(partition);
};

export const subjectOf = ({ file, kind, size, read }: OpenImage): Subject => ({ file, kind, read, layout: inspect(read, size) });

/** Complains about an image that somebody has; waits for nobody. */
export function mustBeFree({ file }: OpenImage): void {
  const uses = usesOfImage(file);
  if (uses.length > 0) throw new Complaint(`${file.path} is in use: ${uses.join(', ')}`, 'stop what uses it, and try again');
}

const told = ({ number, before, after }: Change, path: string): string[] => [
  before.image === after.image ? `${path}: ${sizeOf(before.image)}` : `${path}: ${sizeOf(before.image)} becomes ${sizeOf(after.image)} (${after.image} bytes)`,
  ...(number === null || before.partition === after.partition ? [] : [`  partition ${number}: ${sizeOf(before.partition)} becomes ${sizeOf(after.partition)}`]),
  ...(before.fileSystem === after.fileSystem ? [] : [`  its file system: ${sizeOf(before.fileSystem)} becomes ${sizeOf(after.fileSystem)}`]),
];

/** `make` gives the plan for an image as it is; it complains about what cannot be. */
export async function change(named: string, options: ImageOptions, facts: Facts, make: (image: OpenImage, host: ReturnType<typeof linux>) => Promise<Change>): Promise<number> {
  const host = linux(facts.programs, note);
  const { 'dry-run': dry, verbose } = options;
  const tell = (step: Step) => (verbose ? note(describe(step)) : undefined);
  let image = openImage(named);
  const { path } = image.file;
  let session: Session | null = null;
  try {
    mustBeFree(image);
    if (!dry) {
      if (!facts.root) throw new NeedsRoot('only root can work on the file systems in an image', 'sudo puts it right; --dry-run tells what would be done');
      session = openSessionOf(path, facts);
      if (await session.interrupted()) {
        note(wayOfImage(await session.journal.entries()));
        await undo(host, session.journal, tell);
        image.close();
        image = openImage(named);
      }
    } else if (((await host.read(`/var/lib/nestbox/journal/${sessionName(path)}`)) ?? '') !== '') throw new Complaint(`a change of ${path} was cut off`, 'nestbox clean sees to it');
    const plan = await make(image, host);
    if (plan.steps.length === 0) {
      show(plan, path, options, `${path} has that size already, and its file system fills it`);
      return 0;
    }
    for (const step of plan.steps) {
      for (const program of programsOf(step)) if (!facts.programs[program]) throw unable(program, 'change the file system in an image');
      await mustMount(step, path, plan, host, facts);
    }
    show(plan, path, options, told(plan, path).join('\n'));
    if (dry) {
      if (!options.json) for (const step of plan.steps) console.log(describe(step));
      return 0;
    }
    await host.images.keep(image.file);
    return await take(plan.steps, session!, host, path, tell);
  } finally {
    session?.close();
    image.close();
  }
}

/** The right to change an image. */
export function openSessionOf(path: string, facts: Facts): Session {
  try {
    return openSession(sessionName(path), facts.programs);
  } catch (error) {
    if (error instanceof Busy) throw new Complaint(`${path} is being changed by another nestbox`, 'wait for its end');
    throw error;
  }
}

/** A kernel that does not know the file system is found out before anything is done. */
async function mustMount(step: Step, path: string, { before }: Change, host: ReturnType<typeof linux>, facts: Facts): Promise<void> {
  const type = mountOf(step);
  if (!type || !facts.root || step.kind !== 'image-resize' || step.image.path !== path) return;
  const extent = { start: step.extent.start, size: Math.min(step.extent.size, before.partition) };
  const { code, stderr } = await host.images.work(step.image, extent, { mount: type, write: false }, ['sync', '--version']);
  if (code !== 0) throw new Complaint(`the file system (${type}) in ${step.image.path} cannot be mounted, and only then does its size change`, stderr.trim());
}

function show(plan: Change, path: string, { json, 'dry-run': dry }: ImageOptions, text: string): void {
  const { steps, ...rest } = plan;
  console.log(json ? JSON.stringify({ image: path, ...rest, ...(dry && { steps: steps.map((step) => ({ step, does: describe(step) })) }) }, null, 2) : text);
}

/** What fails or is stopped is not left in between: it is taken back, or finished, as `nestbox clean` would. */
async function take(steps: readonly Step[], session: Session, host: ReturnType<typeof linux>, path: string, tell: (step: Step) => void): Promise<number> {
  host.takeSignals();
  try {
    await apply(steps, host, session.journal, tell);
    await session.journal.clear();
    return 0;
  } catch (error) {
    const entries = await session.journal.entries();
    if (entries.length > 0) {
      note(entries.flat().some(({ kind }) => kind === 'onward') ? `${path}: finishing what was begun` : `${path}: taking back what was done`);
      await undo(host, session.journal, tell).catch((left: unknown) => note(`${(left as Error).message}\nnestbox clean tries again`));
    }
    if (!(error instanceof Interrupted)) throw error;
    return error.status;
  }
}
