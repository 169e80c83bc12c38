import type { Device, DeviceClass, Edits, Limits } from './edits.ts';
import type { Cgroups } from './facts.ts';

/** One rule of a device list: who may make (m), read (r) and write (w) which node; Documentation/admin-guide/cgroup-v1/devices.rst. */
export interface DeviceRule {
  type: 'c' | 'b';
  major: number;
  minor: number | '*';
  rights: 'r' | 'w' | 'rw' | 'rwm' | 'm';
}

/**
 * What systemd-nspawn makes and opens for every container (copy_devnodes() and setup_pts() in its nspawn.c), numbers from
 * Documentation/admin-guide/devices.txt: the same list as DevicePolicy=closed with what systemd-nspawn@.service adds.
 */
const always: DeviceRule[] = [
  { type: 'c', major: 1, minor: 3, rights: 'rwm' }, // null
  { type: 'c', major: 1, minor: 5, rights: 'rwm' }, // zero
  { type: 'c', major: 1, minor: 7, rights: 'rwm' }, // full
  { type: 'c', major: 1, minor: 8, rights: 'rwm' }, // random
  { type: 'c', major: 1, minor: 9, rights: 'rwm' }, // urandom
  { type: 'c', major: 5, minor: 0, rights: 'rwm' }, // tty
  { type: 'c', major: 5, minor: 2, rights: 'rwm' }, // ptmx
  { type: 'c', major: 10, minor: 200, rights: 'rwm' }, // net/tun
  { type: 'c', major: 136, minor: '*', rights: 'rw' }, // pts
];

/** Of one kind of rule, each once. */
const once = (rules: DeviceRule[]): DeviceRule[] => rules.filter((rule, i) => rules.findIndex((other) => other.type === rule.type && other.major === rule.major && other.minor === rule.minor) === i);

/** What the granted classes need. Under a user namespace nobody inside can make a node: then the right to is not given either. */
export const classList = (classes: readonly DeviceClass[]): DeviceRule[] =>
  once(classes.flatMap(({ type, majors, make }) => majors.map((major): DeviceRule => ({ type, major, minor: '*', rights: make ? 'rwm' : 'rw' }))));

/** What the granted devices need: to be opened; their nodes are made outside. Those that a class covers are left out. */
export const deviceList = (devices: readonly Device[], classes: readonly DeviceClass[] = []): DeviceRule[] =>
  once(devices.flatMap(({ type, major, minor }) => {
    const rights = rightsTo(devices, { type, major, minor });
    return rights === '' ? [] : [{ type, major, minor, rights }];
  })).filter((rule) => ![...always, ...classList(classes)].some((other) => covers(other, rule)));

/** A device that is given under two names may be opened for what either of them allows. */
export function rightsTo(devices: readonly Device[], { type, major, minor }: Pick<Device, 'type' | 'major' | 'minor'>): NonNullable<Device['rights']> {
  const given = devices.filter((device) => device.type === type && device.major === major && device.minor === minor).map(({ rights = 'rw' }) => rights).join('');
  return (['r', 'w'] as const).filter((right) => given.includes(right)).join('') as NonNullable<Device['rights']>;
}

/** Whether the rule `a` lets everything be opened that `b` does; what may be made is another matter. */
export const covers = (a: DeviceRule, b: DeviceRule): boolean => a.type === b.type && a.major === b.major && (a.minor === '*' || a.minor === b.minor) && a.rights !== 'm';

/** Whether systemd-nspawn makes this node by itself, and lets it be opened. */
export const isInEveryContainer = ({ type, major, minor }: Pick<Device, 'type' | 'major' | 'minor'>): boolean => always.some((rule) => covers(rule, { type, major, minor, rights: 'rw' }));

/** All that a machine with these edits may open. */
export const rulesOf = ({ devices, classes }: Pick<Edits, 'devices' | 'classes'>): DeviceRule[] => [...always, ...classList(classes), ...deviceList(devices, classes)];

/** As devices.allow takes it and devices.list shows it. */
export const ruleLine = ({ type, major, minor, rights }: DeviceRule) => `${type} ${major}:${minor} ${rights}`;

/** One line of devices.list; null: it is no rule of this form, as `a *:* rwm` is not. */
export function parseRule(line: string): DeviceRule | null {
  const [, type, major, minor, rights] = /^([cb]) (\d+):(\d+|\*) ([rwm]+)$/.exec(line) ?? [];
  return type === undefined ? null : { type: type as 'c' | 'b', major: Number(major), minor: minor === '*' ? '*' : Number(minor), rights: rights as DeviceRule['rights'] };
}

/** Settings of a version 1 group that may open these devices and no others, and the list that must then be read back. */
export function devicePolicy(folder: string, edits: Pick<Edits, 'devices' | 'classes'>): { settings: { file: string; value: string }[]; check: { file: string; lines: string[] } } {
  const lines = rulesOf(edits).map(ruleLine);
  return {
    settings: [{ file: `${folder}/devices.deny`, value: 'a' }, ...lines.map((value) => ({ file: `${folder}/devices.allow`, value }))],
    check: { file: `${folder}/devices.list`, lines },
  };
}

/** The same as properties of a systemd scope (systemd.resource-control(5)); /dev/char/MAJOR:MINOR needs no node to be there. */
export function scopeProperties({ devices, classes, limits: { cpu, memory, tasks, weight } }: Pick<Edits, 'devices' | 'classes' | 'limits'>): string[] {
  return [
    'Delegate=yes', 'DevicePolicy=closed', 'DeviceAllow=/dev/net/tun rwm', 'DeviceAllow=char-pts rw', // what systemd-nspawn@.service adds
    // By its name, which systemd looks up itself: a driver that is loaded again may have another number.
    ...classes.map(({ name, make }) => `DeviceAllow=${name} ${make ? 'rwm' : 'rw'}`),
    ...deviceList(devices, classes).map(({ type, major, minor, rights }) => `DeviceAllow=/dev/${type === 'c' ? 'char' : 'block'}/${major}:${minor} ${rights}`),
    ...(cpu === undefined ? [] : [`CPUQuota=${Math.round(cpu * 100)}%`]),
    ...(memory === undefined ? [] : [`MemoryMax=${memory}`]),
    ...(tasks === undefined ? [] : [`TasksMax=${tasks}`]),
    ...(weight === undefined ? [] : [`CPUWeight=${weight}`, `IOWeight=${weight}`]),
  ];
}

/** cpu.cfs_period_us and cpu.max: the kernel's own default of a tenth of a second. */
const period = 100_000;

/** The limits as settings of control groups; `folderOf` names the machine's group of a controller. */
export function limitSettings({ cpu, memory, tasks, weight }: Limits, { version }: Cgroups, folderOf: (controller: string) => string): { file: string; value: string }[] {
  const quota = cpu === undefined ? '' : `${Math.round(cpu * period)}`;
  return [
    ...(cpu === undefined ? [] : version === 1
      ? [{ file: `${folderOf('cpu')}/cpu.cfs_period_us`, value: `${period}` }, { file: `${folderOf('cpu')}/cpu.cfs_quota_us`, value: quota }]
      : [{ file: `${folderOf('cpu')}/cpu.max`, value: `${quota} ${period}` }]),
    ...(memory === undefined ? [] : [{ file: `${folderOf('memory')}/${version === 1 ? 'memory.limit_in_bytes' : 'memory.max'}`, value: `${memory}` }]),
    ...(tasks === undefined ? [] : [{ file: `${folderOf('pids')}/pids.max`, value: `${tasks}` }]),
    // The kernel's defaults are 100 and 1024.
    ...(weight === undefined ? [] : [version === 1 ? { file: `${folderOf('cpu')}/cpu.shares`, value: `${Math.max(2, Math.round(weight * 10.24))}` } : { file: `${folderOf('cpu')}/cpu.weight`, value: `${weight}` }]),
  ];
}
