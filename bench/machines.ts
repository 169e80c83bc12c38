import { mkdtempSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Step } from '../src/step.ts';
import { must } from './measure.ts';

/** The built program, as people run it; another build of it where NESTBOX says so. */
const program = process.env.NESTBOX ?? new URL('../dist/nestbox.cjs', import.meta.url).pathname;
export const native = `${dirname(program)}/nestbox-native`;
/** What people and exported launchers call: without Node where nothing has changed. */
export const front = `${dirname(program)}/nestbox`;
export const nestbox = (...words: string[]): string[] => [process.execPath, program, ...words];

/** Debian as debootstrap calls minbase: what the peers get too. */
export const debian = (more = ''): string => `[root]\ndebian = "bookworm"\n${more}`;

/** A machine without screen and network, written into the folder; returns its file. */
export function machineFile(folder: string, name: string, root: string): string {
  const path = `${folder}/${name}.toml`;
  writeFileSync(path, `name = "${name}"\ndisplay = "none"\nnetwork = "none"\n\n${root}`);
  return path;
}

export type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** The steps of this kind that a run of the machine would take. */
export const planned = <K extends Step['kind']>(kind: K, ...words: string[]): Of<K>[] => plannedIn(kind, {}, ...words);

/** The same in a session with these variables. */
export function plannedIn<K extends Step['kind']>(kind: K, environment: Record<string, string>, ...words: string[]): Of<K>[] {
  const { lasting, passing } = JSON.parse(must(nestbox('plan', '--json', ...words), environment).stdout) as { lasting: Step[]; passing: Step[] };
  return [...lasting, ...passing].filter((step): step is Of<K> => step.kind === kind);
}

/** Never through a mount. */
export const remove = (path: string): void => void must(['rm', '-rf', '--one-file-system', '--', path]);

/** Does the work in a folder of its own, on the file system where machines are kept. */
export async function inFolder(work: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync('/var/lib/nestbox-bench.');
  // Ctrl-C ends what is being measured; that is an error, and all below is taken away again.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  try {
    await work(folder);
  } finally {
    remove(folder);
  }
}
