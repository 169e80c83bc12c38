import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import type { Host } from '../host.ts';
import { must } from '../step.ts';
import { displays } from './displays.ts';
import { files, mountsBelow } from './files.ts';
import { processes, type Processes } from './processes.ts';

/** This host. `progress` is told a line at a time what takes long. */
export function linux(programs: Facts['programs'], progress: (line: string) => void = () => {}): Host & Processes {
  const host: Host & Processes = Object.assign(processes(programs, progress), files, {
    x11: displays,
    async mustBeUnmounted(path: string) {
      const mounted = mountsBelow(path);
      if (mounted.length > 0) throw new Complaint(`${path} is not removed: ${mounted.join(', ')} ${mounted.length === 1 ? 'is' : 'are'} mounted there`, `umount ${mounted.reverse().join(' ')}`);
    },
    async removeTree(path: string) {
      await host.mustBeUnmounted(path);
      await must(host, ['rm', '-rf', '--one-file-system', '--', path]);
    },
  });
  return host;
}
