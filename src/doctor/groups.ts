import { type Check, type Finding, works } from '../doctor.ts';
import { listed } from '../words.ts';

/** Folders of nodes -> the groups that are usual there, and the words that give such nodes. */
const folders: [pattern: RegExp, what: string, words: string[]][] = [
  [/^\/dev\/dri\/render/, 'graphics cards that draw', ['gpu']], [/^\/dev\/dri\/card/, 'graphics cards that show', ['gpu', 'display.vt', 'seat']], [/^\/dev\/snd\//, 'sound cards', ['audio = "alsa"', 'seat.sound']],
];

/** Whose the nodes of devices are: a program inside that is not root opens them by their group. */
export default {
  title: 'Groups of devices',
  look({ facts: { nodes, groups } }): Finding[] {
    return folders.flatMap(([pattern, what, words]): Finding[] => {
      const there = Object.entries(nodes).filter(([path]) => pattern.test(path));
      if (there.length === 0) return [];
      const closed = there.filter(([, { gid, mode }]) => gid === 0 && (mode & 0o006) !== 0o006);
      const nameless = [...new Set(there.flatMap(([, { gid }]) => (groups[`${gid}`] === undefined ? [gid] : [])))];
      if (closed.length > 0) return [{ state: 'limited', what: `the nodes of ${what} belong to root alone: ${closed.map(([path]) => path).join(', ')}`, words, mend: 'user = "root" can open them; elsewhere udev gives them a group: udevadm trigger' }];
      if (nameless.length > 0) return [{ state: 'limited', what: `the group of ${what} has no name in /etc/group: ${listed(nameless.map(String))}`, words, mend: 'programs of the host cannot be let in by name; udevadm trigger, after the group has been made: groupadd --system' }];
      return [works(`${what}: ${listed([...new Set(there.map(([, { gid }]) => groups[`${gid}`]!))])}`, ...words)];
    });
  },
} satisfies Check;
