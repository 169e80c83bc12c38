import { Complaint, type ProgramName } from '../errors.ts';
import type { Host } from '../host.ts';
import { reversed } from '../image/edit.ts';
import { type Format, formatNames, isExt, recognise } from '../image/filesystems.ts';
import { inspect } from '../image/inspect.ts';
import type { Kinds, Step } from '../step.ts';
import { sizeOf } from '../text.ts';
import { pasteable } from '../words.ts';
import { never, nothing } from './common.ts';

type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** Disk images: their length, their table, and the file systems in them. */

/** A program's argument list, what it is mounted as for that, and which exit statuses are a success. */
interface Work {
  argv: string[];
  mount?: string;
  bare?: boolean;
  good?: number[];
}

/** Looks through all of it, or repairs what can be repaired without being asked; null: the kernel sees to that when it is mounted. */
function checkWork(format: Format, mend: Of<'image-check'>['mend']): Work | null {
  if (isExt(format)) return mend ? { argv: ['e2fsck', '-f', mend === 'safe' ? '-p' : '-y', '{}'], good: [0, 1] } : { argv: ['e2fsck', '-f', '-n', '{}'], bare: true };
  if (format === 'xfs') return mend ? null : { argv: ['xfs_repair', '-n', '{}'] };
  if (format === 'btrfs') return mend ? null : { argv: ['btrfs', 'check', '--readonly', '{}'] };
  if (format === 'f2fs') return { argv: mend ? ['fsck.f2fs', '-a', '{}'] : ['fsck.f2fs', '--dry-run', '{}'] };
  return null;
}

/** Programs of the host that a step runs. */
export function programsOf(step: Step): ProgramName[] {
  const works = step.kind === 'image-check' ? [checkWork(step.format, step.mend)] : step.kind === 'image-resize' ? [resizeWork(step)] : [];
  return [...works.flatMap((work) => (work ? [work.argv[0] as ProgramName] : [])), ...(step.kind === 'onward' ? step.steps.flatMap(programsOf) : [])];
}

/** What the kernel has to mount for a step. */
export const mountOf = (step: Step): string | null => (step.kind === 'image-resize' ? (resizeWork(step).mount ?? null) : null);

/** Whether it can be looked through at all. */
export const canCheck = (format: Format): boolean => checkWork(format, false) !== null;

/** Through a device alone: resize2fs cuts a file off to the length of the file system. xfs and f2fs take all that there is. It has been looked through just before: resize2fs -f does not ask for that again. */
function resizeWork({ format, to }: Of<'image-resize'>): Work {
  if (isExt(format)) return { argv: ['resize2fs', '-f', '{}', `${Math.floor(to / 512)}s`] };
  if (format === 'xfs') return { argv: ['xfs_growfs', '{}'], mount: 'xfs' };
  if (format === 'btrfs') return { argv: ['btrfs', 'filesystem', 'resize', `${to}`, '{}'], mount: 'btrfs' };
  return { argv: ['resize.f2fs', '{}'] };
}

const gone = async ({ image }: { image: Of<'image-length'>['image'] }, host: Host): Promise<boolean> => (await host.images.length(image)) === null;

/** The file system in words: with the number of its partition where it has one. */
const called = ({ number, format, image }: Pick<Of<'image-check'>, 'number' | 'format' | 'image'>): string => `the file system (${formatNames[format]})${number === null ? '' : ` in partition ${number}`} of ${image.path}`;

const exactly = (bytes: number): string => `${sizeOf(bytes)} (${bytes} bytes)`;

async function does(host: Host, step: Of<'image-check'> | Of<'image-resize'>, { argv, mount, bare, good = [0] }: Work, write: boolean, wrong: string): Promise<void> {
  const { code, stdout, stderr } = await host.images.work(step.image, step.extent, { ...(mount && { mount }), ...(bare && { bare }), write }, argv);
  if (good.includes(code)) return;
  const said = `${stdout}\n${stderr}`.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !/^(Pass \d|e2fsck \d|resize2fs \d|Phase \d)/.test(line));
  throw new Complaint(`${wrong}: ${pasteable(argv)} ended with ${code}`, said.slice(-6).join('\n'));
}

export const images: Kinds<'image-length' | 'image-table' | 'image-check' | 'image-resize' | 'image-copy' | 'image-replace' | 'onward'> = {
  'image-length': {
    describe: ({ image, from, to }) => `make ${image.path} ${to > from ? 'longer' : 'shorter'}: ${exactly(from)} becomes ${exactly(to)}`,
    done: async ({ image, to }, host) => [null, to].includes(await host.images.length(image)),
    inverse: async (step) => [{ ...step, from: step.to, to: step.from }],
    async do(step, host) {
      if (step.to < step.from) mustNotCut(host, step);
      await host.images.resize(step.image, step.to);
    },
  },
  'image-table': {
    describe: ({ image, what, changes }) => `in the partition table of ${image.path}: ${what}\n  ${changes.map(({ at, after }) => `${Buffer.from(after, 'base64').length} bytes at ${at}`).join(', ')}`,
    done: async ({ image, changes }, host) => (await gone({ image }, host)) || isThere(host, image, changes, 'after'),
    inverse: async (step) => [{ ...step, what: `${step.what}: taken back`, changes: reversed(step.changes) }],
    async do({ image, changes }, host) {
      for (const change of changes)
        if (!change.free && !isThere(host, image, [change], 'before') && !isThere(host, image, [change], 'after')) throw new Complaint(`somebody else has changed the partition table of ${image.path}, at byte ${change.at}: it is left as it is`, `nestbox image info ${image.path} tells what is there`);
      await host.images.write(image, changes);
    },
  },
  'image-check': {
    describe: ({ mend, ...step }) => `${mend ? 'check and repair' : 'check'} ${called(step)}\n  ${pasteable(checkWork(step.format, mend)?.argv ?? ['true'])}`,
    done: async (step, host) => checkWork(step.format, step.mend) === null || gone(step, host),
    inverse: nothing,
    do: (step, host) => does(host, step, checkWork(step.format, step.mend)!, step.mend !== false, `${called(step)} ${step.mend ? 'cannot be repaired without being asked' : 'has errors, and is left as it is'}`),
  },
  'image-resize': {
    describe: (step) => `make ${called(step)} ${step.to > step.from ? 'larger' : 'smaller'}: ${exactly(step.from)} becomes ${exactly(step.to)}\n  ${pasteable(resizeWork(step).argv)}`,
    done: gone,
    inverse: nothing, // larger than before it is finished when it is cut off; smaller is a copy
    async do(step, host) {
      await does(host, step, resizeWork(step), true, `${called(step)} keeps its size`);
      const { image, extent, from, to, format } = step;
      const found = look(host, image, extent);
      if (!found || found.format !== format || found.size === null || (to > from ? found.size <= from && to - from > 2 ** 20 : found.size > to)) throw new Complaint(`${called(step)} has ${found?.size ?? 'no'} bytes, and should have ${to}`);
      if (found.complaints.length > 0) throw new Complaint(found.complaints.join('\n'));
    },
  },
  'image-copy': {
    describe: ({ image, copy }) => `copy ${image.path} to ${copy}`,
    done: never,
    inverse: async ({ copy }, host) => {
      if ((await host.kind(copy)) !== null) throw new Complaint(`${copy} is there already`, 'move it away');
      return [{ kind: 'remove', path: copy }];
    },
    do: ({ image, copy }, host) => host.images.copy(image, copy),
  },
  'image-replace': {
    describe: ({ image, copy }) => `put ${copy} in the place of ${image.path}`,
    done: never,
    inverse: nothing, // there is no copy any more from then on, which would be removed
    do: ({ image, copy }, host) => host.images.replace(image, copy),
  },
  onward: {
    describe: () => 'from here on, what is cut off is finished and not taken back',
    done: never,
    inverse: async (step) => [step, ...step.steps],
    do: async () => {},
  },
};

function look(host: Host, image: Of<'image-length'>['image'], { start, size }: Of<'image-check'>['extent']) {
  return recognise(host.images.reader(image), start, size);
}

function isThere(host: Host, image: Of<'image-length'>['image'], changes: Of<'image-table'>['changes'], which: 'before' | 'after'): boolean {
  const read = host.images.reader(image);
  return changes.every(({ at, [which]: text }) => {
    const wanted = Buffer.from(text, 'base64');
    const found = Buffer.alloc(wanted.length);
    read(at, wanted.length).copy(found);
    return found.equals(wanted);
  });
}

/** Whatever has gone wrong before, no byte is cut off that a table or a file system counts on. */
function mustNotCut(host: Host, { image, from, to }: Of<'image-length'>): void {
  const whole = host.images.reader(image);
  const { complaints } = inspect((offset, length) => whole(offset, Math.max(0, Math.min(length, to - offset))), to);
  if (complaints.length > 0) throw new Complaint(`${image.path} keeps its ${from} bytes: of ${to} it could not be said that they are whole\n${complaints.join('\n')}`);
}
