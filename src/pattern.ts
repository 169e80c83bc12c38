import { attempt } from './attempt.ts';
import type { Facts } from './facts.ts';
import type { Machine } from './machine.ts';
import { plan } from './plan.ts';
import { readSpec, type Spec } from './spec.ts';
import type { Step } from './step.ts';
import { store } from './store.ts';
import { isWatched, watched, type Witnesses } from './warm.ts';

/**
 * What makes the next machine over a template without Node, from the same file but for the name (pure). native/create.c does it; host/pattern.ts writes it down.
 */
export interface Pattern {
  from: Pick<Witnesses, 'same' | 'like' | 'texts'>;
  template: string;
  /** The machine file, before its name and behind it. */
  around: { before: string; after: string };
  /** With itsName and itsShift in the place of what each machine has another of; what is in its layer is to come behind the folder of that. */
  steps: Making[];
  layer: string;
}

export type Making = Extract<Step, { kind: 'mkdir' | 'write' | 'symlink' | 'workspace' }>;

const makes = (step: Step): step is Making => step.kind === 'mkdir' || step.kind === 'write' || step.kind === 'workspace';

/** What puts something into the layer. */
const fillsLayer = ({ kind }: Step): boolean => kind === 'mount-point' || kind === 'accounts' || kind === 'places';

/** They stand for the machine's name and the first of its ids. No value of a machine file has a control character in it. */
export const itsName = '\x7fn';
const itsShift = '\x7fs';

/** A machine file at its name, as native/create.c cuts it; null where that is said in another way. */
export function cutAtName(text: string): { before: string; name: string; after: string } | null {
  const found = /^name[ \t]*=[ \t]*"([a-z0-9-]+)"/m.exec(text);
  if (!found || text.includes('\x7f')) return null;
  const [begin, end] = [found.index + found[0].length - 1 - found[1]!.length, found.index + found[0].length - 1];
  return { before: text.slice(0, begin), name: text.slice(begin, end), after: text.slice(end) };
}

/** Whether the name is all that another name in its place changes. */
function isName({ before, name, after }: { before: string; name: string; after: string }): boolean {
  const [one, other] = [name, name === 'other' ? 'another' : 'other'].map((word) => attempt(() => readSpec(`${before}${word}${after}`, ''), null));
  if (!one || !other || one.name !== name) return false;
  const renamed = { ...one, name: other.name, ...(one.hostname === name && other.hostname === other.name && { hostname: other.name }) };
  return JSON.stringify(renamed) === JSON.stringify(other);
}

interface Met {
  machine: Machine;
  facts: Facts;
}

const lastingOf = ({ machine, facts }: Met): Step[] => {
  const { opening, lasting } = plan(machine, facts);
  // JSON within a step: the only place that has the number.
  return opening.length > 0 ? [] : lasting.map(({ step }) => (step.kind === 'write' ? { ...step, text: step.text.replace(`"shift":${machine.shift},`, `"shift":${itsShift},`) } : step));
};

/** Of a machine that was made of this text, as if it were not there yet, and of one called itsName; null: what may be different for the next one is not watched. */
export function patternOf(text: string, spec: Spec, made: Met, next: Met, programFolders: readonly string[]): Pattern | null {
  const { machine, facts } = next;
  const around = cutAtName(text);
  if (!around || !isWatched(machine, spec) || machine.source.kind !== 'template' || [machine, made.machine].some(({ problems }) => problems.some(({ fatal }) => fatal)) || !isName(around)) return null;
  const lasting = lastingOf(next);
  if (JSON.stringify(lasting).replaceAll(itsName, made.machine.name) !== JSON.stringify(lastingOf(made))) return null;
  const [first, ...making] = lasting.filter((step) => !fillsLayer(step));
  if (first?.kind !== 'verify' || !making.every(makes)) return null;
  const { same, like, texts } = watched(spec, facts, programFolders);
  return {
    from: { same: [...new Set(same)], like: [...new Set([...like, store.base])], texts }, template: first.key, around,
    steps: [
      { kind: 'mkdir', path: store.files, mode: 0o755 }, { kind: 'write', path: machine.file, text: `${around.before}${itsName}${around.after}`, mode: 0o644, fresh: true },
      ...making,
    ],
    layer: machine.layers[0]!,
  };
}
