import type { Bind, Edits } from './edits.ts';

/** Places as a container's own root sees them, where it is that who mounts (pure). */

/** Where a root's programs are looked for: the $PATH that systemd-nspawn gives, and apt to dpkg. */
export const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Where a path leads in a root with these links; see Facts.rootLinks. A link that leads in a circle is left at some place of it. */
export function reached(path: string, links: Readonly<Record<string, string>>): string {
  let at = path;
  for (let i = 0; i < 8; i++) {
    const link = Object.keys(links).find((one) => at === one || at.startsWith(`${one}/`));
    if (link === undefined) return at;
    at = `${links[link]}${at.slice(link.length)}`;
  }
  return at;
}

/** Folders of a host that everybody can go into, with all that is below them. */
const open = /^\/(usr|etc|opt|sys|lib|lib64|bin|sbin|tmp\/\.X11-unix|dev\/input|run\/udev)(\/|$)/;

/** The binds of which ids without rights on the host may not see the way: what is in the machine's own folder is known by the steps that make it. */
export function throughClosed({ binds, before }: Pick<Edits, 'binds' | 'before'>, run: string): Bind[] {
  const closed = before.flatMap((step) => (step.kind === 'mkdir' && (step.mode & 0o001) === 0 ? [step.path] : []));
  return binds.filter(({ from, owner }) => owner === 'as-is' && !open.test(from) && (!from.startsWith(`${run}/`) || closed.some((folder) => from.startsWith(`${folder}/`))));
}
