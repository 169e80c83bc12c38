import { smallerEnd } from './names.ts';
import type { Step } from './step.ts';
import { machinesFolder } from './volumes.ts';

/** What a machine's journal is stored on: a file of lines, only ever added to. */
export interface JournalFile {
  append(line: string, sync: boolean): Promise<void>;
  read(): Promise<string>;
  remove(): Promise<void>;
}

/** The ways back of the steps taken so far, kept where a crash does not lose them. */
export interface Journal {
  append(inverse: Step[]): Promise<void>;
  entries(): Promise<Step[][]>;
  clear(): Promise<void>;
}

/** Steps whose effects are on the disk after a power cut: their way back must be there too. The others end with the boot. */
const outlastsPower = (inverse: Step[]): boolean => inverse.some((step) => step.kind === 'remove-tree' || step.kind === 'accounts-end' || step.kind === 'owners' || ('layer' in step && step.layer.startsWith(`${machinesFolder}/`)) || step.kind === 'onward' || step.kind.startsWith('image-') || (step.kind === 'remove' && (step.path.startsWith('/etc/') || step.path.endsWith(smallerEnd))));

export const journalOn = (file: JournalFile): Journal => ({
  append: (inverse) => file.append(`${JSON.stringify(inverse)}\n`, outlastsPower(inverse)),
  entries: async () => parseJournal(await file.read()),
  clear: () => file.remove(),
});

/** Ways back that were kept as these lines, to be gone once more: it is for whoever kept them to forget them. */
export const keptJournal = (lines: string): Journal => journalOn({ append: async () => {}, read: async () => lines, remove: async () => {} });

/** A line that is cut off in the middle was written when the crash came: its step had not begun. */
export const parseJournal = (text: string): Step[][] =>
  text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Step[]);
