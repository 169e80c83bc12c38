import { parseClasses, unitRules } from '../classes.ts';
import { covers, type DeviceRule, parseRule } from '../devices.ts';
import { Complaint } from '../errors.ts';
import { type Host, must } from '../host.ts';
import { iniText } from '../ini.ts';
import { attachedPrefix } from '../names.ts';
import type { Kinds, Leader, Place } from '../step.ts';
import { pasteable } from '../words.ts';
import { never, nothing, octal } from './common.ts';

/** Devices of a machine that runs already. All of it ends with the container: its control group, and its own /dev and /run. */
export const devices: Kinds<'device-allow' | 'device-forbid' | 'node-inside' | 'file-inside' | 'remove-inside'> = {
  'device-allow': {
    describe: ({ place, rule }) => `allow ${rule} in ${nameOf(place)}`,
    done: ({ place, rule, path }, host) => ways[place.kind].allows(host, place as never, { rule, path }, 'everywhere'),
    // What the machine was started with is not to be taken away with this.
    inverse: async ({ place, rule, path }, host) => ((await ways[place.kind].allows(host, place as never, { rule, path }, 'above')) ? [] : [{ kind: 'device-forbid', place, rule, path }]),
    do: ({ place, rule, path }, host) => ways[place.kind].set(host, place as never, { rule, path }, true),
  },
  'device-forbid': {
    describe: ({ place, rule }) => `no longer allow ${rule} in ${nameOf(place)}`,
    done: never,
    inverse: nothing,
    do: ({ place, rule, path }, host) => ways[place.kind].set(host, place as never, { rule, path }, false),
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

/** A line of a version 1 list, and the path of the device that it is about. */
interface Right {
  rule: string;
  path: string;
}

type Of<K extends Place['kind']> = Extract<Place, { kind: K }>;

/** How a device rule is changed of what runs already: one way for each kind of place. */
const ways: { [K in Place['kind']]: {
  /** Whether the rule holds: in the machine's group, and with `everywhere` in all below it too. */
  allows(host: Host, place: Of<K>, right: Right, where: 'above' | 'everywhere'): Promise<boolean>;
  set(host: Host, place: Of<K>, right: Right, allowed: boolean): Promise<void>;
} } = {
  /** Groups of our own, version 1; where nobody enforces a device list, every rule holds. Documentation/admin-guide/cgroup-v1/devices.rst */
  cgroup: {
    async allows(host, { folders }, { rule }, where) {
      for (const folder of where === 'above' ? folders : await withAllBelow(host, folders)) {
        const listed = await host.read(`${folder}/devices.list`);
        if (listed !== null && !listed.split('\n').flatMap((line) => parseRule(line) ?? []).some((other) => isCovered(parseRule(rule)!, other))) return false;
      }
      return true;
    },
    async set(host, { folders }, { rule }, allowed) {
      // From above: a group may not allow what the one above it does not, and those that are there already do not get what it is allowed.
      for (const folder of await withAllBelow(host, folders))
        if ((await host.read(`${folder}/devices.list`)) !== null) await host.set(`${folder}/devices.${allowed ? 'allow' : 'deny'}`, rule);
    },
  },
  /** The list of a unit, in both versions of control groups; what systemd does with it was tried, as its manual does not say. */
  unit: {
    async allows(host, { name }, { rule, path }) {
      const wanted = parseRule(rule)!;
      const { type, major, minor } = wanted;
      const { stdout } = await host.run(['systemctl', 'show', '--property=DeviceAllow', '--value', name]);
      const facts = { nodes: { [path]: { type, major, minor: Number(minor), uid: 0, gid: 0, mode: 0 } }, deviceClasses: parseClasses((await host.read('/proc/devices')) ?? '') };
      return unitRules(stdout, facts).some((other) => isCovered(wanted, other));
    },
    async set(host, { name, lxc }, { rule }, allowed) {
      const { type, major, minor } = parseRule(rule)!;
      const folder = `/run/systemd/system/${name}.d`;
      const file = `${folder}/${attachedPrefix}${type}${major}-${minor}.conf`;
      // A file of our own with this one line: `systemctl set-property DeviceAllow=` would leave a frozen copy of the whole list.
      if (allowed) {
        if ((await host.kind(folder)) === null) await host.mkdir(folder, 0o755);
        await host.write(file, iniText([], [[name.endsWith('.scope') ? 'Scope' : 'Service', [['DeviceAllow', `${numbered({ type, major, minor })} rw`]]]]), 0o644);
      } else if ((await host.kind(file)) !== null) {
        await host.remove(file);
        await host.removeLeftover(folder);
      }
      await must(host, ['systemctl', 'daemon-reload']);
      // Reading units anew does not change what holds for one that runs: setting a property does, and this one is what it was.
      await must(host, ['systemctl', 'set-property', '--runtime', name, 'DevicePolicy=closed']);
      const control = `/run/systemd/system.control/${name}.d`;
      if ((await host.kind(`${control}/50-DevicePolicy.conf`)) !== null) await host.remove(`${control}/50-DevicePolicy.conf`);
      for (const path of [control, '/run/systemd/system.control']) await host.removeLeftover(path);
      // Version 1: what is allowed above does not come to the groups below that are there already.
      const ours = [`/sys/fs/cgroup/devices/machine.slice/${name}`];
      for (const group of allowed ? await withAllBelow(host, ours) : []) await host.set(`${group}/devices.allow`, rule);
      if (lxc) await must(host, ['lxc-cgroup', `--name=${lxc.name}`, `--lxcpath=${lxc.folder}`, `devices.${allowed ? 'allow' : 'deny'}`, rule]);
    },
  },
};

/** What gave devices to a unit while it ran is of no use to the next of that name, and would be its as well: the files do not end with it. */
export async function forgetAttached(host: Host, unit: string): Promise<void> {
  const folder = `/run/systemd/system/${unit}.d`;
  const files = (await host.list(folder)).filter((name) => name.startsWith(attachedPrefix));
  for (const name of files) await host.remove(`${folder}/${name}`);
  if (files.length === 0) return;
  await host.removeLeftover(folder);
  await must(host, ['systemctl', 'daemon-reload']);
}

/** What systemd takes without looking whether the node is there: systemd.resource-control(5). */
const numbered = ({ type, major, minor }: Pick<DeviceRule, 'type' | 'major' | 'minor'>) => `/dev/${type === 'c' ? 'char' : 'block'}/${major}:${minor}`;

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
