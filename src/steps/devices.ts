import { covers, type DeviceRule, parseRule } from '../devices.ts';
import { Complaint } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Kinds, Leader, Place } from '../step.ts';
import { pasteable } from '../words.ts';
import { never, nothing, octal } from './common.ts';

/** Devices of a machine that runs already. All of it ends with the container: its control group, and its own /dev and /run. */
export const devices: Kinds<'device-allow' | 'device-forbid' | 'node-inside' | 'file-inside' | 'remove-inside'> = {
  'device-allow': {
    describe: ({ place, rule }) => `allow ${rule} in ${nameOf(place)}`,
    done: ({ place, rule }, host) => ways[place.kind].allows(host, place as never, rule, 'everywhere'),
    // What the machine was started with is not to be taken away with this.
    inverse: async ({ place, rule, path }, host) => ((await ways[place.kind].allows(host, place as never, rule, 'above')) ? [] : [{ kind: 'device-forbid', place, rule, path }]),
    do: ({ place, rule }, host) => ways[place.kind].set(host, place as never, rule, true),
  },
  'device-forbid': {
    describe: ({ place, rule }) => `no longer allow ${rule} in ${nameOf(place)}`,
    done: never,
    inverse: nothing,
    do: ({ place, rule }, host) => ways[place.kind].set(host, place as never, rule, false),
  },
  'node-inside': {
    describe: ({ path, type, major, minor, mode, owner }) => `make device node ${path} inside (${type} ${major}:${minor}, mode ${octal(mode)}, owner ${owner.uid}:${owner.gid})`,
    done: async ({ leader, path, type, major, minor }, host) => (await inside(host, leader, ['look', path])).trim() === `${type} ${major}:${minor}`,
    inverse: async ({ leader, path, type, major, minor }) => [{ kind: 'remove-inside', leader, path, device: { type, major, minor } }],
    do: async ({ leader, path, type, major, minor, mode, owner }, host) => void (await inside(host, leader, ['node', path, type, `${major}`, `${minor}`, octal(mode), `${owner.uid}`, `${owner.gid}`])),
  },
  'file-inside': {
    describe: ({ path, text }) => `write ${path} inside (${text.length} characters)`,
    done: never,
    inverse: async ({ leader, path }) => [{ kind: 'remove-inside', leader, path, device: null }],
    do: async ({ leader, path, text }, host) => void (await inside(host, leader, ['file', path], text)),
  },
  'remove-inside': {
    describe: ({ path }) => `remove ${path} inside`,
    done: never,
    inverse: nothing,
    do: async ({ leader, path, device }, host) => void (await inside(host, leader, ['remove', path, ...(device ? [device.type, `${device.major}`, `${device.minor}`] : [])], undefined, true)),
  },
};

const nameOf = (place: Place): string => (place.kind === 'unit' ? place.name : place.folders.join(' '));

/** Exit status of `nestbox-native inside` when the container is not there any more: with it went what was made in it. */
const ended = 3;

async function inside(host: Host, { pid, started }: Leader, words: string[], input?: string, mayHaveEnded = false): Promise<string> {
  const argv = ['nestbox-native', 'inside', `${pid}`, started, ...words];
  const { code, stdout, stderr } = await host.run(argv, input);
  if (code === ended && mayHaveEnded) return '';
  if (code !== 0) throw new Complaint(`this failed with exit status ${code}: ${pasteable(argv)}`, stderr.trim());
  return stdout;
}

type Of<K extends Place['kind']> = Extract<Place, { kind: K }>;

/** How a device rule is changed of what runs already: one way for each kind of place. */
const ways: { [K in Place['kind']]: {
  /** Whether the rule holds: in the machine's group, and with `everywhere` in all below it too. */
  allows(host: Host, place: Of<K>, rule: string, where: 'above' | 'everywhere'): Promise<boolean>;
  set(host: Host, place: Of<K>, rule: string, allowed: boolean): Promise<void>;
} } = {
  /** Groups of our own, version 1; where nobody enforces a device list, every rule holds. Documentation/admin-guide/cgroup-v1/devices.rst */
  cgroup: {
    async allows(host, { folders }, rule, where) {
      for (const folder of where === 'above' ? folders : await withAllBelow(host, folders)) {
        const listed = await host.read(`${folder}/devices.list`);
        if (listed !== null && !listed.split('\n').flatMap((line) => parseRule(line) ?? []).some((other) => isCovered(parseRule(rule)!, other))) return false;
      }
      return true;
    },
    async set(host, { folders }, rule, allowed) {
      // From above: a group may not allow what the one above it does not, and those that are there already do not get what it is allowed.
      for (const folder of await withAllBelow(host, folders))
        if ((await host.read(`${folder}/devices.list`)) !== null) await host.set(`${folder}/devices.${allowed ? 'allow' : 'deny'}`, rule);
    },
  },
  unit: {
    async allows() {
      throw notYet();
    },
    async set() {
      throw notYet();
    },
  },
};

const notYet = () => new Complaint('devices of a machine that systemd runs cannot be changed while it runs, so far', 'name them in devices = [...], or keep them with --always, and start it again');

const isCovered = (wanted: DeviceRule, by: DeviceRule) => covers(by, wanted) && [...wanted.rights].every((right) => by.rights.includes(right));

async function withAllBelow(host: Host, folders: readonly string[]): Promise<string[]> {
  const all: string[] = [];
  for (const folder of folders) {
    if ((await host.kind(folder)) !== 'directory') continue;
    const names = await host.list(folder);
    all.push(folder, ...(await withAllBelow(host, names.map((name) => `${folder}/${name}`))));
  }
  return all;
}
