import { lstatSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { store } from '../store.ts';

/** System call filters that are kept (native/kept-filters.c): what no start takes any more is forgotten. */

/** Since a start has last taken one, in ms. */
const age = 30 * 24 * 3600 * 1000;

/** Machines with as many sets of options nobody has. */
const most = 64;

/** Removes those that were made by another systemd than there is now, and those that were not used for long. How many. */
export function forgetFilters(folder: string = store.filters): number {
  const found = attempt(() => readdirSync(folder), []).map((name) => ({ path: `${folder}/${name}`, used: attempt(() => lstatSync(`${folder}/${name}`).mtimeMs, 0) })).sort((a, b) => b.used - a.used);
  const old = found.filter(({ path, used }, i) => i >= most || Date.now() - used > age || !holds(attempt(() => readFileSync(path, 'latin1'), '')));
  for (const { path } of old) rmSync(path, { force: true });
  return old.length;
}

/** Whether systemd-nspawn and its libraries are those that it was made from: `file INODE SIZE MODIFIED CHANGED PATH`. */
function holds(text: string): boolean {
  const head = text.slice(0, text.indexOf('\n\n') + 1);
  const files = [...head.matchAll(/^file (\d+ \d+ \d+\.\d+ \d+\.\d+) (.*)$/gm)];
  return files.length > 0 && files.every(([, was, path = '']) => attempt(() => lineOf(Buffer.from(path, 'latin1')), null) === was);
}

function lineOf(path: Buffer): string {
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return `${ino} ${size} ${seconds(mtimeNs)} ${seconds(ctimeNs)}`;
}

const seconds = (nanoseconds: bigint): string => `${nanoseconds / 1_000_000_000n}.${`${nanoseconds % 1_000_000_000n}`.padStart(9, '0')}`;
