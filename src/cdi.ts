import { dirname, resolve } from 'node:path/posix';
import { judgeHook } from './cdi/hooks.ts';
import { splitName } from './cdi/names.ts';
import type { ContainerEdits, DeviceNodeEdit } from './cdi/schema.ts';
import type { Device, Edits, Exposure, Link } from './edits.ts';
import { lacks, type Problem, warns } from './errors.ts';
import type { CdiFile, DeviceNode, Facts } from './facts.ts';
import type { Context } from './grant.ts';
import { listed, nearest } from './words.ts';

/** Devices that files in /etc/cdi and /var/run/cdi describe: from their names to edits, which are judged like those of any grant. */

/** What a device's file asks for, for the file as a whole and then for the device. */
interface Found {
  file: CdiFile;
  edits: ContainerEdits[];
}

/** The device of that name: the later folder stands before the earlier one, and in one folder there may be one alone. */
function find(name: string, files: readonly CdiFile[]): Found | Problem {
  const { kind, device } = splitName(name);
  const broken = files.filter((file) => file.spec === null && file.kind === kind);
  if (broken.length > 0) return lacks(`the file that describes '${kind}' cannot be used\n${broken.flatMap(({ complaints }) => complaints).join('\n')}`, 'make it anew with the program that wrote it, or mend it');
  const having = files.filter(({ spec }) => spec?.kind === kind && spec.devices.some((one) => one.name === device));
  const file = having.at(-1);
  if (!file?.spec) {
    const names = files.flatMap(({ spec }) => spec?.devices.map((one) => `${spec.kind}=${one.name}`) ?? []);
    const meant = nearest(name, names);
    const unread = files.filter((one) => one.spec === null && one.kind === null).flatMap(({ complaints }) => complaints);
    return lacks(`no file in /etc/cdi or /var/run/cdi describes '${name}'${unread.length > 0 ? `, and this cannot be read\n${unread.join('\n')}` : ''}`,
      meant ? `did you mean '${meant}'?` : names.length > 0 ? `there is ${listed([...new Set(names)])}` : kind === 'nvidia.com/gpu' ? 'nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml writes one; gpu = "nvidia" does without' : "the device's vendor has a program that writes one");
  }
  const others = having.filter((other) => other !== file && dirname(other.path) === dirname(file.path));
  if (others.length > 0) return lacks(`'${name}' is described by ${listed([...others, file].map(({ path }) => path))}, and none stands before the other`, 'remove one of these files');
  return { file, edits: [file.spec.containerEdits, file.spec.devices.find((one) => one.name === device)!.containerEdits].filter((one): one is ContainerEdits => one !== undefined) };
}

const isFound = (found: Found | Problem): found is Found => 'file' in found;

/** The edits of all named devices in order; those of a file as a whole once. */
function editsOf(names: readonly string[], files: readonly CdiFile[]): { file: CdiFile; edits: ContainerEdits }[] {
  const all = names.flatMap((name) => {
    const found = find(name, files);
    return isFound(found) ? found.edits.map((edits) => ({ file: found.file, edits })) : [];
  });
  return all.filter(({ edits }, i) => all.findIndex((other) => other.edits === edits) === i);
}

const sourceOf = ({ path, hostPath }: DeviceNodeEdit): string => hostPath ?? path;
const isTold = ({ type, major }: DeviceNodeEdit): boolean => type !== undefined && major !== undefined;
const interfacePath = (name: string): string => `/sys/class/net/${name}`;

/** Paths of the host that must be looked at before anything can be said of these devices. */
export const cdiPaths = (names: readonly string[], files: readonly CdiFile[] = []): string[] =>
  editsOf(names, files).flatMap(({ edits: { mounts = [], deviceNodes = [], netDevices = [] } }) =>
    [...mounts.map(({ hostPath }) => hostPath), ...deviceNodes.map(sourceOf), ...netDevices.map(({ hostInterfaceName }) => interfacePath(hostInterfaceName))]);

/** What decides on that besides the files. */
type About = Pick<Context, 'facts' | 'shift' | 'accept' | 'sharesNetwork'>;

/** What stands between this device and the machine. */
export function cdiNeeds(names: readonly string[], name: string, context: About): Problem[] {
  const files = context.facts.cdi ?? [];
  const found = find(name, files);
  if (!isFound(found)) return [found];
  // What a file says as a whole is told with the first of its devices.
  const before = editsOf(names.slice(0, names.indexOf(name)), files);
  const problems = found.edits.filter((edits) => !before.some((other) => other.edits === edits)).flatMap((edits) => needsOf(edits, found.file, context));
  return problems.filter(({ what }, i) => problems.findIndex((other) => other.what === what) === i);
}

function needsOf({ mounts = [], deviceNodes = [], netDevices = [], hooks = [], intelRdt, additionalGids = [] }: ContainerEdits, { path: file }: CdiFile, { facts, shift, accept, sharesNetwork }: About): Problem[] {
  const anew = `make ${file} anew with the program that wrote it`;
  const links = hooks.map(judgeHook).flatMap((done) => (done.kind === 'links' ? done.links : []));
  const given = new Set(deviceNodes.map(({ path }) => path));
  const lost = links.filter((link) => /^\/(dev|proc|sys|run|tmp)\//.test(link.path) && !(link.path.startsWith('/dev/') && given.has(targetOf(link))));
  const left = hooks.map(judgeHook).flatMap((done) => (done.kind === 'left' && done.warn ? [done.name] : []));
  return [
    ...mounts.flatMap(({ hostPath }): Problem[] => {
      const there = facts.paths[hostPath];
      if (!there) return [lacks(`${hostPath} does not exist on this host, and ${file} gives it`, anew)];
      return there.kind === 'device' ? [lacks(`${hostPath} is a device, and ${file} gives it as a file`, `it belongs to deviceNodes: ${anew}`)] : [];
    }),
    ...deviceNodes.flatMap((node): Problem[] => {
      const there = facts.nodes[sourceOf(node)];
      if (!there) return isTold(node) ? [] : [lacks(`there is no device ${sourceOf(node)} on this host, and ${file} gives it`, `plug it in, or load its driver; else ${anew}`)];
      const told = `${node.type === 'u' ? 'c' : (node.type ?? there.type)} ${node.major ?? there.major}:${node.minor ?? (node.major === undefined ? there.minor : 0)}`;
      const real = `${there.type} ${there.major}:${there.minor}`;
      return told === real ? [] : [lacks(`${sourceOf(node)} is ${real} on this host, and ${told} in ${file}`, `numbers change when a driver is loaded again: ${anew}`)];
    }),
    ...netDevices.flatMap(({ hostInterfaceName: from, name: to }): Problem[] => [
      ...(sharesNetwork ? [lacks(`${file} moves the network interface ${from} into the machine, which shares the host's network`, 'network = "private" or "none"')] : []),
      ...(facts.supervised ? [] : [lacks(`${file} moves the network interface ${from} into the machine, and systemd-nspawn asks udev about it first, which does not run on this host`, 'network = "bridge" connects a machine here')]),
      ...(facts.paths[interfacePath(from)] ? [] : [lacks(`there is no network interface ${from} on this host, and ${file} gives it`, anew)]),
      ...(from !== to && facts.systemd !== null && facts.systemd < 254 ? [lacks(`systemd-nspawn ${facts.systemd} cannot give the interface ${from} the name ${to} inside (254 can)`, `ip link set ${from} name ${to}, and the same name in ${file}`)] : []),
    ]),
    ...hooks.map(judgeHook).flatMap((done): Problem[] => (done.kind === 'unknown' ? [{
      what: `${file} has a hook that is not run: ${done.name}\n  ${done.why}`, mend: accept.includes('no-hooks') ? 'the device may not work without it, going on' : 'go on without what it would do', fatal: !accept.includes('no-hooks'), accept: 'no-hooks',
    }] : [])),
    ...(left.length > 0 ? [warns(`${file} has hooks that are left out: ${listed([...new Set(left)])}`, 'programs use the libraries of this host as they are, going on')] : []),
    ...(lost.length > 0 ? [warns(`${file} makes links where a machine has file systems of its own, which are left out: ${listed(lost.map(({ path }) => path))}`, 'going on')] : []),
    ...(intelRdt ? [warns(`${file} asks for a class of cache and memory bandwidth (intelRdt), which is not set`, 'the device works without, going on')] : []),
    ...(shift === 0 ? [] : [...additionalGids, ...deviceNodes.flatMap(({ uid = 0, gid = 0 }) => [uid, gid])].filter((id) => id >= 0x10000).map((id) => lacks(`${file} names the id ${id}, which does not exist in a machine with ids of its own`, 'say users = "host"'))),
  ];
}

/** All that these devices are made of. Where two of them name the same thing, the later one counts, as in other programs that read such files. */
export function cdiEdits(names: readonly string[], { cdi = [], nodes }: Facts): Partial<Edits> {
  const all = editsOf(names, cdi).map(({ edits }) => edits);
  const hooks = all.flatMap(({ hooks: asked = [] }) => asked.map(judgeHook));
  const linked = hooks.flatMap((done) => (done.kind === 'links' ? done.links : []));
  const given = lastOf(all.flatMap(({ deviceNodes = [] }) => deviceNodes.map((node) => deviceOf(node, nodes))), ({ path }) => path);
  const binds = lastOf(all.flatMap(({ mounts = [] }) => mounts.map(({ hostPath, containerPath, options = [] }) => ({ from: hostPath, to: containerPath, write: !options.includes('ro'), owner: 'as-is' as const, passes: true as const }))), ({ to }) => to);
  const links = lastOf(linked, ({ path }) => path).filter(({ path }) => !binds.some(({ to }) => to === path));
  return {
    devices: [...given, ...links.flatMap((link) => aliasOf(link, given))],
    binds,
    environment: Object.fromEntries(all.flatMap(({ env = [] }) => env.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]))),
    groups: [...new Set(all.flatMap(({ additionalGids = [] }) => additionalGids))].filter((gid) => gid !== 0), // 0 stands for none: SPEC.md
    links: links.filter(({ path }) => !/^\/(dev|proc|sys|run|tmp)\//.test(path)),
    libraries: [...new Set(hooks.flatMap((done) => (done.kind === 'libraries' ? done.folders : [])))],
    interfaces: lastOf(all.flatMap(({ netDevices = [] }) => netDevices.map(({ hostInterfaceName, name }) => ({ name: hostInterfaceName, to: name }))), ({ name }) => name),
  };
}

const lastOf = <T>(all: T[], key: (one: T) => string): T[] => [...new Map(all.map((one) => [key(one), one])).values()];

/** Nodes are made outside: the right to make them inside (m), which such files give by default, is given to nobody. */
function deviceOf(node: DeviceNodeEdit, nodes: Facts['nodes']): Device {
  const there: DeviceNode | undefined = nodes[sourceOf(node)];
  const type = node.type === undefined ? there!.type : node.type === 'b' ? 'b' : 'c';
  const mode = node.fileMode ?? there?.mode ?? 0o660;
  const group = there && !(mode & 0o006) && there.gid !== 0 ? there.gid : null;
  const exact = node.fileMode !== undefined || node.uid !== undefined || node.gid !== undefined || !there;
  const rights = node.permissions === 'none' ? '' : ((node.permissions || 'rw').replace(/m/g, '').split('').filter((c, i, all) => all.indexOf(c) === i).sort().join('') as '' | 'r' | 'w' | 'rw');
  return {
    path: node.path, ...(sourceOf(node) !== node.path && { from: sourceOf(node) }), type, major: node.major ?? there!.major, minor: node.minor ?? (node.major === undefined ? there!.minor : 0), mode,
    group: node.gid === undefined ? group : null,
    ...(exact && { as: { uid: node.uid ?? 0, gid: node.gid ?? group ?? 0, mode: mode & 0o777 } }), ...(rights !== 'rw' && { rights }),
  };
}

/** A link in /dev to a device that is given, such as those in /dev/dri/by-path: /dev is the machine's own, so it is the node under one more name. */
function aliasOf(link: Link, given: Device[]): Device[] {
  const device = given.find((one) => one.path === targetOf(link));
  return device && link.path.startsWith('/dev/') && !given.some((one) => one.path === link.path) ? [{ ...device, path: link.path, from: device.from ?? device.path }] : [];
}

const targetOf = ({ path, to }: Link): string => resolve(dirname(path), to);

/** What a hostile program inside could do with what these files give. */
export function cdiExposes(names: readonly string[], files: readonly CdiFile[], ofNode: (path: string) => Exposure): Exposure[] {
  const all = editsOf(names, files);
  return [
    ...all.flatMap(({ edits: { deviceNodes = [] } }) => deviceNodes.map((node) => ofNode(sourceOf(node)))),
    ...all.flatMap(({ edits: { mounts = [] } }) => mounts.filter(({ options = [] }) => !options.includes('ro')).map(({ hostPath }) => ({ can: 'files' as const, what: `programs inside can use, and where they may also change, ${hostPath} of the host` }))),
    ...all.flatMap(({ edits: { netDevices = [] } }) => netDevices.map(({ hostInterfaceName }) => ({ can: 'neighbours' as const, what: `programs inside have the network interface ${hostInterfaceName} to themselves` }))),
  ];
}
