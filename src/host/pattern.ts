import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { inverseOf } from '../apply.ts';
import type { Host } from '../host.ts';
import { type MachineFile, meet } from '../meet.ts';
import { itsName, type Making, patternOf } from '../pattern.ts';
import { probe, programFolders, recordOf } from '../probe.ts';
import { store } from '../store.ts';
import { wordsOf } from '../warm.ts';
import { found, keep, keyOf, textOf, whereItCan } from './warm.ts';

/** How many files of machines are kept with one template. */
const most = 64;

/** Notes how this machine was made, so that the next one from such a file needs no Node. `said`: what is said of it, with itsName in it. */
export const writePattern = (file: MachineFile, said: string, host: Host): Promise<void> => whereItCan(() => write(file, said, host));

async function write({ text, spec }: MachineFile, said: string, host: Host): Promise<void> {
  const since = Date.now();
  if (!recordOf(spec.name)?.template) return;
  const base = probe(process.env);
  const fileOf = (name: string) => `${store.files}/${name}.toml`;
  const made = await meet(spec, fileOf(spec.name), { ...base, store: { ...base.store, machines: base.store.machines.filter(({ name }) => name !== spec.name) } });
  const next = await meet({ ...spec, name: itsName }, fileOf(itsName), base);
  const pattern = patternOf(text, spec, made, next, programFolders);
  const layer = pattern && stepsTo(made.machine.layers[0]!, pattern.layer);
  if (!pattern || !layer) return;
  const witnesses = found({ ...pattern.from, none: [], displays: [] }, since);
  if (witnesses.includes(null)) return;
  const { before, after } = pattern.around;
  const last = pattern.steps.length - 1; // only what is whole has a record
  const records = [
    ...(witnesses as string[][]), ['before', before], ['after', after], ...base.subordinate.map(({ start, count }) => ['taken', `${start}`, `${count}`]),
    ...(await Promise.all([...pattern.steps.slice(0, last), ...layer, ...pattern.steps.slice(last)].map(async (step) => ['step', await wayBack(step, host), ...words(step)]))),
    ['note', said],
  ];
  keep({ folder: `${store.templates}/${pattern.template}/patterns`, key: keyOf(process.env, before, after), text: textOf(records) }, most);
}

/** What is in the machine's own folder goes with that. */
const wayBack = async (step: Making, host: Host): Promise<string> => (step.path.startsWith(`${store.machine(itsName)}/`) ? '' : `${JSON.stringify(await inverseOf(step, host))}\n`);

const words = (step: Making): string[] => wordsOf(step.kind === 'workspace' ? { kind: 'mkdir', path: step.path, mode: 0o700 } : step, { find: () => '', takesSocket: () => false, scope: [], words: 0 });

/** What makes at `to` what is in the folder; null: it has something that is no folder, link or short text. */
function stepsTo(folder: string, to: string): Making[] | null {
  const steps = readdirSync(folder, { withFileTypes: true }).map((entry): Making[] | null => {
    const [from, path] = [`${folder}/${entry.name}`, `${to}/${entry.name}`];
    const { mode: whole, uid, gid, size } = lstatSync(from);
    const [mode, owner] = [whole & 0o7777, { uid, gid }];
    if (entry.isSymbolicLink()) return [{ kind: 'symlink', path, to: readlinkSync(from) }];
    if (entry.isDirectory()) {
      const below = stepsTo(from, path);
      return below && [{ kind: 'mkdir', path, mode, owner }, ...below];
    }
    const text = entry.isFile() && size < 2 ** 16 ? readFileSync(from, 'utf8') : '\0';
    return /[\0\x7f\ufffd]/.test(text) ? null : [{ kind: 'write', path, text, mode, owner }];
  });
  return steps.includes(null) ? null : (steps as Making[][]).flat();
}
