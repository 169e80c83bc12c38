import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import type { Host, X11 } from '../host.ts';
import { must } from '../host.ts';
import { files, mountsBelow } from './files.ts';
import { imagesOf } from './images.ts';
import { processes, type Processes } from './processes.ts';
import { readStore } from '../probe.ts';
import { openSession } from './session.ts';
import { usesOf } from './uses.ts';

/** Loaded when a display is first asked for: most runs have nothing to do with the X protocol. */
const load = async () => (await import('./displays.ts')).displays;
const x11: X11 = {
  newKey: async (step) => (await load()).newKey(step),
  copyKey: async (step) => (await load()).copyKey(step),
  authorize: async (step) => (await load()).authorize(step),
  deauthorize: async (step) => (await load()).deauthorize(step),
  isAdmitted: async (step) => (await load()).isAdmitted(step),
  admit: async (step, admitted) => (await load()).admit(step, admitted),
};

/** This host. `progress` is told a line at a time what takes long; `passphrase` is a descriptor to read it from, null where it is asked for. */
export function linux(programs: Facts['programs'], progress: (line: string) => void = () => {}, passphrase: number | null = null): Host & Processes {
  const host: Host & Processes = Object.assign(processes(programs, progress, passphrase), files, {
    x11,
    images: imagesOf(programs),
    async mustBeUnmounted(path: string) {
      const mounted = mountsBelow(path);
      if (mounted.length > 0) throw new Complaint(`${path} is not removed: ${mounted.join(', ')} ${mounted.length === 1 ? 'is' : 'are'} mounted there`, `umount ${mounted.reverse().join(' ')}`);
    },
    async removeTree(path: string) {
      await host.mustBeUnmounted(path);
      const remove = ['rm', '-rf', '--one-file-system', '--', path];
      // Killed with its nestbox, a builder may have put a file into a folder that was just found empty: it is dead by now.
      if ((await host.run(remove)).code !== 0) await must(host, remove);
    },
    bringFetched: async (step: Parameters<Host['bringFetched']>[0]) => (await import('./fetched.ts')).bring(step),
    keepFetched: async (root: string) => (await import('./fetched.ts')).keep(root),
    async copyTree({ from, to, of }: Parameters<Host['copyTree']>[0]) {
      const other = openSession(of, programs); // complains while it runs
      if (readStore().services.some(({ name, leader }) => name === of && leader)) throw new Complaint(`the machine '${of}' runs, as a service of systemd`, `nestbox stop ${of}`);
      try {
        if (await other.interrupted()) throw new Complaint(`a run of '${of}' was cut off, and has not been taken back`, `nestbox clean ${of}`);
        await host.build({ kind: 'build', target: to, what: `copy ${from}/`, argv: ['cp', '--archive', '--reflink=auto', '--sparse=always', '--one-file-system', '--no-target-directory', from, to] });
      } finally {
        other.close();
      }
    },
    async changeOwners({ directory, from, to, notes }: Parameters<Host['changeOwners']>[0]) {
      const uses = usesOf(directory);
      if (uses.length > 0) throw new Complaint(`the owners of ${directory}/ are not changed: ${uses.join(', ')}`, 'stop what uses it, and try again');
      await host.build({
        kind: 'build', target: directory, what: to === 0 ? `give the files of ${directory}/ back their owners` : `give the files of ${directory}/ ids from ${to}`,
        argv: ['nestbox-native', 'owners', 'change', directory, `${from}`, `${to}`, notes],
      }, true);
    },
  });
  return host;
}
