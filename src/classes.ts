import type { Device, DeviceClass } from './edits.ts';
import type { Facts } from './facts.ts';
import { type DeviceRule, isInEveryContainer } from './devices.ts';
import { nodeEdit } from './nodes.ts';
import { nearest } from './words.ts';

/**
 * Classes of devices, named as systemd's DeviceAllow= names them: `char-alsa`, `block-loop`, `char-nvidia*`. What stands
 * behind the hyphen is a name of /proc/devices, `*`, `?` and `[...]` in it as in fnmatch(3); systemd.resource-control(5).
 */

export const isClass = (text: string): boolean => /^(char|block)-./.test(text);

const typeOf = (name: string): 'c' | 'b' => (name.startsWith('char-') ? 'c' : 'b');
const patternOf = (name: string): string => name.slice(name.indexOf('-') + 1);

/** fnmatch(3) without flags, as systemd calls it: a star stands for slashes too. A bracket that is never closed is itself. */
export function matches(pattern: string, text: string): boolean {
  const source = pattern.replace(/\[([!^]?)(\]?[^\]]*)\]|[\s\S]/g, (part, not: string | undefined, set: string | undefined) =>
    set !== undefined ? `[${not ? '^' : ''}${set.replace(/[\\\]^[]/g, '\\$&')}]` : part === '*' ? '[\\s\\S]*' : part === '?' ? '[\\s\\S]' : part.replace(/[.+^${}()|[\]\\/-]/, '\\$&'));
  try {
    return new RegExp(`^${source}$`).test(text);
  } catch {
    return false; // a range that runs backwards matches nothing
  }
}

/** The text of /proc/devices, proc(5). */
export function parseClasses(text: string): Facts['deviceClasses'] {
  const [characters = '', blocks = ''] = text.split('Block devices:');
  const rows = (part: string, type: 'c' | 'b') => [...part.matchAll(/^ *(\d+) (.+)$/gm)].map(([, number, name]) => ({ type, major: Number(number), name: name! }));
  return [...rows(characters, 'c'), ...rows(blocks, 'b')];
}

/** The class as this host's /proc/devices has it; without a major number: there is no such class. A node made inside needs `make`. */
export const classEdit = ({ deviceClasses }: Pick<Facts, 'deviceClasses'>, name: string, make: boolean): DeviceClass => ({
  name, type: typeOf(name), make,
  majors: [...new Set(deviceClasses.filter(({ type, name: other }) => type === typeOf(name) && matches(patternOf(name), other)).map(({ major }) => major))].sort((a, b) => a - b),
});

/** Every class that this host knows, as a person writes it. */
export const classNames = ({ deviceClasses }: Pick<Facts, 'deviceClasses'>): string[] =>
  [...new Set(deviceClasses.map(({ type, name }) => `${type === 'c' ? 'char' : 'block'}-${name}`))].sort();

/** The class of this host that was probably meant; char- or block- is not what was mistaken. */
export function nearestClass(facts: Pick<Facts, 'deviceClasses'>, name: string): string | undefined {
  const kind = name.slice(0, name.indexOf('-') + 1);
  const meant = nearest(patternOf(name), classNames(facts).filter((known) => known.startsWith(kind)).map(patternOf));
  return meant && kind + meant;
}

/** The nodes of these classes that are on the host now, apart from those that every container has. */
export const nodesOf = (facts: Facts, classes: readonly DeviceClass[]): Device[] =>
  Object.keys(facts.nodes).sort().map((path) => nodeEdit(facts, path))
    .filter((device) => !isInEveryContainer(device) && classes.some(({ type, majors }) => type === device.type && majors.includes(device.major)));

/** What DeviceAllow= of a unit says, as `systemctl show` prints it (NAME RIGHTS a line), as rules. Nodes that are not in `facts` are left out. */
export const unitRules = (listed: string, facts: Pick<Facts, 'nodes' | 'deviceClasses'>): DeviceRule[] => listed.split('\n').flatMap((line): DeviceRule[] => {
  const [name = '', given = ''] = line.split(' ');
  const rights = given as DeviceRule['rights'];
  const [, kind, major, minor] = /^\/dev\/(char|block)\/(\d+):(\d+)$/.exec(name) ?? [];
  if (kind) return [{ type: kind === 'char' ? 'c' : 'b', major: Number(major), minor: Number(minor), rights }];
  if (isClass(name)) return classEdit(facts, name, false).majors.map((of) => ({ type: typeOf(name), major: of, minor: '*', rights }));
  const node = facts.nodes[name];
  return node ? [{ type: node.type, major: node.major, minor: node.minor, rights }] : [];
});
