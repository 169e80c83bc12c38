import type { Device, Edits, Limits } from './edits.ts';
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

/** What the granted devices need: to be opened; their nodes are made outside. */
export const deviceList = (devices: readonly Device[]): DeviceRule[] =>
  devices.filter((device, i) => devices.findIndex((other) => isSame(device, other)) === i)
    .flatMap(({ type, major, minor }) => {
      const rights = rightsTo(devices, { type, major, minor });
      return rights === '' ? [] : [{ type, major, minor, rights }];
    })
    .filter((rule) => !always.some((other) => covers(other, rule)));

type Numbers = Pick<Device, 'type' | 'major' | 'minor'>;

const isSame = (a: Numbers, b: Numbers) => a.type === b.type && a.major === b.major && a.minor === b.minor;

/** A device that is given under two names may be opened for what either of them allows. */
function rightsTo(devices: readonly Device[], numbers: Numbers): NonNullable<Device['rights']> {
  const given = devices.filter((device) => isSame(device, numbers)).map(({ rights = 'rw' }) => rights).join('');
  return (['r', 'w'] as const).filter((right) => given.includes(right)).join('') as NonNullable<Device['rights']>;
}

const covers = (a: DeviceRule, b: DeviceRule) => a.type === b.type && a.major === b.major && (a.minor === '*' || a.minor === b.minor);

const line = ({ type, major, minor, rights }: DeviceRule) => `${type} ${major}:${minor} ${rights}`;

/** Settings of a version 1 group that may open these devices and no others, and the list that must then be read back. */
export function devicePolicy(folder: string, devices: readonly Device[]): { settings: { file: string; value: string }[]; check: { file: string; lines: string[] } } {
  const lines = [...always, ...deviceList(devices)].map(line);
  return {
    settings: [{ file: `${folder}/devices.deny`, value: 'a' }, ...lines.map((value) => ({ file: `${folder}/devices.allow`, value }))],
    check: { file: `${folder}/devices.list`, lines },
  };
}

/** The same as properties of a systemd scope (systemd.resource-control(5)); /dev/char/MAJOR:MINOR needs no node to be there. */
export function scopeProperties({ devices, limits: { cpu, memory, tasks } }: Pick<Edits, 'devices' | 'limits'>): string[] {
  return [
    'Delegate=yes', 'DevicePolicy=closed', 'DeviceAllow=/dev/net/tun rwm', 'DeviceAllow=char-pts rw', // what systemd-nspawn@.service adds
    ...deviceList(devices).map(({ type, major, minor, rights }) => `DeviceAllow=/dev/${type === 'c' ? 'char' : 'block'}/${major}:${minor} ${rights}`),
    ...(cpu === undefined ? [] : [`CPUQuota=${Math.round(cpu * 100)}%`]),
    ...(memory === undefined ? [] : [`MemoryMax=${memory}`]),
    ...(tasks === undefined ? [] : [`TasksMax=${tasks}`]),
  ];
}

/** cpu.cfs_period_us and cpu.max: the kernel's own default of a tenth of a second. */
const period = 100_000;

/** The limits as settings of control groups; `folderOf` names the machine's group of a controller. */
export function limitSettings({ cpu, memory, tasks }: Limits, { version }: Cgroups, folderOf: (controller: string) => string): { file: string; value: string }[] {
  const quota = cpu === undefined ? '' : `${Math.round(cpu * period)}`;
  return [
    ...(cpu === undefined ? [] : version === 1
      ? [{ file: `${folderOf('cpu')}/cpu.cfs_period_us`, value: `${period}` }, { file: `${folderOf('cpu')}/cpu.cfs_quota_us`, value: quota }]
      : [{ file: `${folderOf('cpu')}/cpu.max`, value: `${quota} ${period}` }]),
    ...(memory === undefined ? [] : [{ file: `${folderOf('memory')}/${version === 1 ? 'memory.limit_in_bytes' : 'memory.max'}`, value: `${memory}` }]),
    ...(tasks === undefined ? [] : [{ file: `${folderOf('pids')}/pids.max`, value: `${tasks}` }]),
  ];
}
