import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { isWithin } from '../facts.ts';
import { readMounts } from '../probe.ts';

/** Who on this host has a directory before them, whichever program has put them there. */

/**
 * What uses a directory, in a person's words: what is mounted in it here, mounts of it or of a part of it anywhere, layers of overlays, and programs that
 * have it as their root. `directory` has no links in it. What an overlay in another mount namespace has below it is not seen: these are nestbox's own, which
 * knows where they run.
 */
export function usesOf(directory: string): string[] {
  const here = readMounts();
  const holder = here.filter(({ at }) => isWithin(directory, at)).reduce((best, mount) => (mount.at.length >= best.at.length ? mount : best));
  const inFileSystem = `${holder.root}/${directory.slice(holder.at.length)}`.replace(/\/+/g, '/').replace(/(.)\/$/, '$1');
  const below = here.filter(({ at }) => at !== directory && isWithin(at, directory)).map(({ at }) => `something is mounted at ${at}`);
  // Many services have a copy of our mount table: what is at the same place there is no other use of it.
  const isOurs = (mounts: typeof here) => ['device', 'root'].every((key) => mounts.findLast(({ at }) => at === '/')?.[key as 'root'] === here.findLast(({ at }) => at === '/')?.[key as 'root']);
  const elsewhere = (mounts: typeof here) => mounts.filter(({ device, root, at }) => device === holder.device && isWithin(root, inFileSystem) && !(isOurs(mounts) && (at === holder.at || isWithin(at, directory))));
  const layers = here.filter(({ type, options }) => type === 'overlay' && options.split(',').some((option) => /^(lowerdir|upperdir)=/.test(option) && option.replace(/^\w+=/, '').split(':').some((path) => isWithin(path, directory))));
  const seen = new Set([attempt(() => readlinkSync('/proc/self/ns/mnt'), '')]);
  const others = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    const who = () => `process ${pid} (${attempt(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim(), '')})`;
    const namespace = attempt(() => readlinkSync(`/proc/${pid}/ns/mnt`), '');
    if (namespace === [...seen][0] && isWithin(attempt(() => readlinkSync(`/proc/${pid}/root`), ''), directory)) return [`it is the root of ${who()}`];
    if (namespace === '' || seen.has(namespace)) return [];
    seen.add(namespace);
    return elsewhere(readMounts(pid)).map(({ at }) => `${who()} has it at ${at}`).slice(0, 1);
  });
  return [...below, ...[...elsewhere(here), ...layers].map(({ at }) => `it is also seen at ${at}`), ...others];
}
