import * as v from 'valibot';
import type { Mistake, Path } from '../mistakes.ts';
import { listed } from '../words.ts';
import { isDeviceName, isKind } from './names.ts';

/** The shape of a CDI file: SPEC.md and specs-go/config.go of the Container Device Interface, version 1.1.0. */

/** Released versions, oldest first; a file names the one that its fields are of. */
const versions = ['0.1.0', '0.2.0', '0.3.0', '0.4.0', '0.5.0', '0.6.0', '0.7.0', '0.8.0', '1.0.0', '1.1.0'];

const text = v.pipe(v.string(), v.check((value) => !/\p{Cc}/u.test(value), 'a line break or other control character cannot be passed on safely'));
const filled = v.pipe(text, v.minLength(1, 'expected a text that is not empty'));
const path = v.pipe(filled, v.startsWith('/', 'expected an absolute path, beginning with /'), v.check((value) => !value.split('/').some((part) => part === '..' || part === '.'), "expected a path without '.' and '..'"),
  v.transform((value: string) => (value.length > 1 ? value.replace(/\/+/g, '/').replace(/\/$/, '') : value)));
const whole = (expected: string, least: number, most: number) => v.pipe(v.number(expected), v.integer(expected), v.minValue(least, expected), v.maxValue(most, expected));
const id = whole('expected an id: a whole number from 0 to 4294967295', 0, 2 ** 32 - 1);
/** Bits of the kernel's device numbers: MINORBITS in linux/kdev_t.h. */
const major = whole('expected a major number: from 0 to 4095', 0, 4095);
const minor = whole('expected a minor number: from 0 to 1048575', 0, 2 ** 20 - 1);
const variable = v.pipe(text, v.regex(/^[A-Za-z_][A-Za-z0-9_]*=/, 'expected NAME=VALUE, the name of letters, digits and _'));
const hookVariable = v.pipe(text, v.regex(/^[^=]+=/, 'expected NAME=VALUE'));
const annotations = v.record(v.pipe(v.string(), v.minLength(1, 'expected a key that is not empty')), v.string());

/** Places of every container that a mount would take the ground from, and those below which nothing is mounted by a file of this kind. */
const covered = new Set(['/', '/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib32', '/lib64', '/libx32', '/opt', '/proc', '/root', '/run', '/sbin', '/sys', '/tmp', '/usr', '/usr/bin', '/usr/lib', '/usr/lib32', '/usr/lib64', '/usr/sbin', '/usr/share', '/var']);
const ownPlaces = /^\/(proc|sys|dev\/(pts|shm|mqueue)|run\/nestbox|run\/systemd|run\/host)(\/|$)|^\/etc\/(passwd|shadow|group|gshadow|ld\.so\.cache|resolv\.conf)$/;

const deviceNode = v.strictObject({
  path: v.pipe(path, v.regex(/^\/dev\/(?!pts\/|shm\/|mqueue\/)[^]/, 'expected a path below /dev: a machine has device nodes there alone')),
  hostPath: v.optional(path),
  type: v.optional(v.picklist(['c', 'b', 'u', 'p'])),
  major: v.optional(major),
  minor: v.optional(minor),
  fileMode: v.optional(whole('expected permission bits, such as 0o660 or 432', 0, 0o777)),
  permissions: v.optional(v.pipe(text, v.regex(/^(none|[rwm]*)$/, "expected some of 'r', 'w' and 'm', or 'none'"))),
  uid: v.optional(id),
  gid: v.optional(id),
});

const interfaceName = v.pipe(filled, v.regex(/^(?!\.{1,2}$)[^/\s:]{1,15}$/, 'expected the name of a network interface: 15 characters at most, none of / and :'));
const netDevice = v.strictObject({ hostInterfaceName: interfaceName, name: interfaceName });

const mount = v.strictObject({
  hostPath: path,
  containerPath: v.pipe(path, v.check((value) => !covered.has(value) && !ownPlaces.test(value), 'this place cannot be covered inside')),
  options: v.optional(v.array(filled)),
  type: v.optional(text),
});

const hook = v.strictObject({
  hookName: v.picklist(['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']),
  path,
  args: v.optional(v.array(text)),
  env: v.optional(v.array(hookVariable)),
  timeout: v.optional(whole('expected a number of seconds, 1 or more', 1, 2 ** 31 - 1)),
});

const intelRdt = v.strictObject({
  closID: v.optional(v.pipe(text, v.check((value) => value === '/' || (value.length < 4096 && value !== '.' && value !== '..' && !value.includes('/')), "expected the name of a file, or '/'"))),
  l3CacheSchema: v.optional(text),
  memBwSchema: v.optional(text),
  schemata: v.optional(v.array(text)),
  enableMonitoring: v.optional(v.boolean()),
});

const containerEdits = v.strictObject({
  env: v.optional(v.array(variable)),
  deviceNodes: v.optional(v.array(deviceNode)),
  netDevices: v.optional(v.array(netDevice)),
  hooks: v.optional(v.array(hook)),
  mounts: v.optional(v.array(mount)),
  intelRdt: v.optional(intelRdt),
  additionalGids: v.optional(v.array(id)),
});

const device = v.strictObject({
  name: v.pipe(v.string(), v.check(isDeviceName, "expected letters, digits and any of _ - . : between them")),
  annotations: v.optional(annotations),
  containerEdits,
});

export const cdiSchema = v.strictObject({
  cdiVersion: v.pipe(v.string(), v.check((value) => versions.includes(value.replace(/^v/, '')), `this is no version of CDI that is known here: ${listed(versions)}`)),
  kind: v.pipe(v.string(), v.check(isKind, 'expected vendor/class, such as "vendor.com/device"')),
  annotations: v.optional(annotations),
  devices: v.pipe(v.array(device), v.minLength(1, 'expected at least one device')),
  containerEdits: v.optional(containerEdits),
});

export type CdiSpec = v.InferOutput<typeof cdiSchema>;
export type ContainerEdits = v.InferOutput<typeof containerEdits>;
export type DeviceNodeEdit = v.InferOutput<typeof deviceNode>;
export type HookEdit = v.InferOutput<typeof hook>;

/** What the shape alone does not say: fields that came with a later version than the file names, and names that are there twice. */
export function furtherMistakes(spec: CdiSpec): Mistake[] {
  const mistakes: Mistake[] = [];
  const stated = spec.cdiVersion.replace(/^v/, '');
  const since = (version: string, at: Path, used: boolean, what = `'${at.at(-1)}'`) => {
    if (used && versions.indexOf(stated) < versions.indexOf(version)) mistakes.push({ path: at, what: `${what} came with CDI ${version}, and this file says ${stated}`, mend: `cdiVersion: "${version}"` });
  };
  since('0.6.0', ['annotations'], Object.keys(spec.annotations ?? {}).length > 0);
  since('0.6.0', ['kind'], spec.kind.split('/')[1]!.includes('.'), "a '.' in the class");
  for (const [i, { name, annotations: notes }] of spec.devices.entries()) {
    since('0.5.0', ['devices', i, 'name'], /^\d/.test(name), 'a name that begins with a digit');
    since('0.6.0', ['devices', i, 'annotations'], Object.keys(notes ?? {}).length > 0);
    if (spec.devices.findIndex((other) => other.name === name) < i) mistakes.push({ path: ['devices', i, 'name'], what: `there is a device '${name}' already in this file`, mend: 'give one of the two another name' });
  }
  for (const { at, edits } of editsOf(spec)) {
    since('0.7.0', [...at, 'intelRdt'], edits.intelRdt !== undefined);
    since('0.7.0', [...at, 'additionalGids'], (edits.additionalGids ?? []).length > 0);
    since('1.1.0', [...at, 'netDevices'], (edits.netDevices ?? []).length > 0);
    since('1.1.0', [...at, 'intelRdt', 'schemata'], edits.intelRdt?.schemata !== undefined);
    since('1.1.0', [...at, 'intelRdt', 'enableMonitoring'], edits.intelRdt?.enableMonitoring === true);
    for (const [i, node] of (edits.deviceNodes ?? []).entries()) {
      since('0.5.0', [...at, 'deviceNodes', i, 'hostPath'], node.hostPath !== undefined);
      if (node.type === 'p') mistakes.push({ path: [...at, 'deviceNodes', i, 'type'], what: 'a pipe is no device, and is not given', mend: 'mounts give files, pipes and sockets' });
      if (node.minor !== undefined && node.major === undefined) mistakes.push({ path: [...at, 'deviceNodes', i, 'minor'], what: 'a minor number is no device without its major number', mend: 'say both, or leave both out: then the node on the host tells' });
    }
    for (const [i, mounted] of (edits.mounts ?? []).entries()) {
      since('0.4.0', [...at, 'mounts', i, 'type'], (mounted.type ?? '') !== '');
      mistakes.push(...mistakesOfMount(mounted, [...at, 'mounts', i]));
    }
    const nets = edits.netDevices ?? [];
    for (const [i, net] of nets.entries())
      for (const key of ['hostInterfaceName', 'name'] as const)
        if (nets.findIndex((other) => other[key] === net[key]) < i) mistakes.push({ path: [...at, 'netDevices', i, key], what: `'${net[key]}' is named twice`, mend: 'leave one of the two out' });
  }
  return mistakes;
}

/**
 * The options of mount(8) that a bind can have. Those that are not `ro` or `rw` hold anyhow: in a machine no program gains
 * rights by set-user-id, granted devices alone open, and no mount comes out to the host; or they are of no weight (`noexec`
 * is for what is mounted: a program inside can copy it).
 */
const mountOptions = ['ro', 'rw', 'bind', 'rbind', 'nosuid', 'suid', 'nodev', 'dev', 'exec', 'noexec', 'private', 'rprivate', 'slave', 'rslave', 'relatime', 'noatime', 'nodiratime', 'strictatime', 'nosymfollow', 'idmap', 'ridmap'];

function mistakesOfMount({ type = '', options = [] }: { type?: string | undefined; options?: string[] | undefined }, at: Path): Mistake[] {
  const isBind = ['', 'bind', 'none'].includes(type) || options.includes('bind') || options.includes('rbind');
  if (!isBind) return [{ path: [...at, 'type'], what: `a mount of type '${type}' is not made: a machine is given files and folders of this host`, mend: 'type: bind' }];
  return options.flatMap((option, i): Mistake[] => {
    if (option === 'shared' || option === 'rshared') return [{ path: [...at, 'options', i], what: `'${option}' would let what is mounted inside come out to this host`, mend: 'rslave lets the mounts of this host in' }];
    return mountOptions.includes(option) ? [] : [{ path: [...at, 'options', i], what: `'${option}' is no option of such a mount`, mend: `expected ${listed(mountOptions, 'or')}` }];
  });
}

/** All edits of a file and where they stand: of the file itself, then of each device. */
export const editsOf = (spec: CdiSpec): { at: Path; edits: ContainerEdits }[] => [
  ...(spec.containerEdits ? [{ at: ['containerEdits'] as Path, edits: spec.containerEdits }] : []),
  ...spec.devices.map(({ containerEdits: edits }, i) => ({ at: ['devices', i, 'containerEdits'] as Path, edits })),
];
