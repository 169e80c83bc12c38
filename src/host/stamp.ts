import { realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { store } from '../store.ts';

/**
 * Notes what a machine's units were made from, for native/front.c: while it is unchanged, a start is systemd's alone. A file a line:
 * INODE SIZE SECONDS.NANOSECONDS PATH. A file that is not there is a line that is never unchanged.
 */
export function writeStamp(machine: string, files: readonly string[]): void {
  const program = `${dirname(realpathSync(process.argv[1]!))}/program.cjs`; // another version may make other units
  writeFileSync(`${store.service(machine)}/stamp`, [program, ...files].map((file) => {
    const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
    return stat ? `${stat.ino} ${stat.size} ${stat.mtimeNs / 1_000_000_000n}.${stat.mtimeNs % 1_000_000_000n} ${file}\n` : `- ${file}\n`;
  }).join(''), { mode: 0o600 });
}
