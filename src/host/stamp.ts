import { realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { store } from '../store.ts';
import { tick } from './warm.ts';

/** INODE SIZE SECONDS.NANOSECONDS PATH, with the time of change; "- PATH", which is never unchanged, where it is not there, or has been changed after `since` (milliseconds of Date.now()), when it was read. */
export function stampOf(file: string, since = Number.POSITIVE_INFINITY): string {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stat && Number(stat.ctimeMs) <= since - tick ? `${stat.ino} ${stat.size} ${stat.ctimeNs / 1_000_000_000n}.${stat.ctimeNs % 1_000_000_000n} ${file}` : `- ${file}`;
}

/** Notes what a machine's units were made from, for native/front.c: while it is unchanged, a start is systemd's alone. A file a line; `read`: the machine file, which was read after `since`. */
export function writeStamp(machine: string, read: string, units: readonly string[], since: number): void {
  const program = `${dirname(realpathSync(process.argv[1]!))}/program.cjs`; // another version may make other units
  writeFileSync(`${store.service(machine)}/stamp`, `${[stampOf(program), stampOf(read, since), ...units.map((path) => stampOf(path))].join('\n')}\n`, { mode: 0o600 });
}
