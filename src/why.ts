import * as v from 'valibot';
import { dangers } from './dangers.ts';
import { covers, parseRule, ruleLine, rulesOf } from './devices.ts';
import type { Exposure } from './edits.ts';
import type { Facts } from './facts.ts';
import { topics } from './grants/index.ts';
import { type Machine, resolve } from './machine.ts';
import { hasPosition, positionOf } from './positions.ts';
import type { Spec } from './spec.ts';

/** Why a device opens in a machine, or does not: one layer after the other, and the first that refuses is the answer (pure). */

/** From outside to inside: what a person would look at first comes first. */
export const layerNames = ['host', 'node', 'owner', 'mount', 'group', 'calls', 'driver'] as const;
export type LayerName = (typeof layerNames)[number];

export interface Layer {
  layer: LayerName;
  /** null: it can only be tried. */
  passes: boolean | null;
  /** What was looked at, and what is there. */
  looked: string;
}

/** What an open inside gave; see Opening of host/enter.ts. */
export interface Tried {
  user: string;
  read: string;
  write: string;
  node: { type: string; major: number; minor: number; mode: number; uid: number; gid: number; nodev: boolean } | null;
  /** Lines of devices.list of the machine's own group; null: nobody keeps a list. */
  rules: string[] | null;
  /** Whether nestbox attach has given it to the machine that runs. */
  attached: boolean;
}

export interface Answer {
  machine: string;
  device: string;
  /** null: nothing stands in its way as far as can be told without trying. */
  opens: boolean | null;
  /** The layer that refuses. */
  layer: LayerName | null;
  because: string;
  mend: string | null;
  tried: Tried | null;
  layers: Layer[];
}

/** A machine file, as far as a mend is about it. */
export interface Written {
  /** As it is shown. */
  shown: string;
  text: string;
  spec: Spec;
}

/** What systemd-nspawn makes in every container: copy_devnodes() and setup_pts() in its nspawn.c. */
const everywhere = /^\/dev\/(null|zero|full|random|urandom|tty|ptmx|console|net\/tun|pts\/ptmx)$/;

const octal = (mode: number) => mode.toString(8).padStart(4, '0');

/** What can be told without trying: all layers, also behind one that refuses. `facts` must have been told of `path`. */
export function reason(path: string, machine: Machine, facts: Facts): Layer[] {
  const node = facts.nodes[path];
  const { edits, origin, user, shift } = machine;
  const device = edits.devices.find((candidate) => candidate.path === path);
  const bind = edits.binds.find(({ to }) => path === to || path.startsWith(`${to}/`));
  const common = everywhere.test(path);
  const who = user ?? 'root';
  const rule = node && { type: node.type, major: node.major, minor: node.minor, rights: 'rw' as const };
  const allowed = rule && rulesOf(edits).find((other) => covers(other, rule));
  const found = facts.paths[path];

  const owner = (): Omit<Layer, 'layer'> => {
    if (common) return { passes: true, looked: 'everybody inside may' };
    if (!device) return { passes: null, looked: 'there is no node to have an owner' };
    const world = (device.mode & 0o006) === 0o006;
    if (world || user === null) return { passes: true, looked: world ? 'everybody may, as on the host' : `root inside may: the node belongs to id ${shift} of the host, which is root there` };
    if (device.group !== null) return { passes: true, looked: `group ${device.group} may, and '${who}' is made a member of it inside` };
    return { passes: false, looked: `on this host root alone may do all (mode ${octal(device.mode)}), so inside as well, and the machine's user is '${who}'` };
  };
  const group = (): Omit<Layer, 'layer'> => {
    if (machine.place.kind === 'cgroup' && !(facts.cgroups.version === 1 && facts.cgroups.own.devices)) return { passes: true, looked: 'nobody on this host enforces a device list' };
    if (!rule) return { passes: null, looked: 'without a number there is no rule' };
    return allowed ? { passes: true, looked: `the device list has ${ruleLine(allowed)}` } : { passes: false, looked: `the device list has no ${ruleLine(rule)}` };
  };
  const given = device && (origin.get(device) ?? 'its file');
  const all: Record<LayerName, Omit<Layer, 'layer'>> = {
    host: node ? { passes: true, looked: `${path} is ${node.type} ${node.major}:${node.minor} on this host, mode ${octal(node.mode)}, owner ${node.uid}:${node.gid}` }
      : { passes: false, looked: found ? `${path} is ${found.kind === 'directory' ? 'a folder' : 'no device'} on this host` : `there is no ${path} on this host` },
    node: common ? { passes: true, looked: 'every machine has it' } : device ? { passes: true, looked: `'${given}' gives it` } : bind ? { passes: true, looked: `it is below ${bind.to}, which '${origin.get(bind) ?? 'files'}' gives` }
      : { passes: false, looked: 'nothing in the machine file gives it' },
    owner: owner(),
    mount: !device && bind && bind.owner === 'theirs' ? { passes: false, looked: `${bind.to} is mounted so that no device in it opens (nodev)` } : { passes: common || device || bind ? true : null, looked: common || device || bind ? 'its mount opens devices' : 'there is no node' },
    group: group(),
    calls: { passes: true, looked: `${machine.engine === 'nspawn' ? "systemd-nspawn's" : `the ${machine.engine}`} system call filter has open(2)` },
    driver: { passes: null, looked: 'whether there is a device behind the node, and nobody else has it, can only be tried' },
  };
  return layerNames.map((layer) => ({ layer, ...all[layer] }));
}

/** Which layer an error number is from: errno(3), and open(2) on EPERM, EACCES and nodev. */
function layerOf(error: string, tried: Tried, path: string, facts: Facts): LayerName {
  if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error)) return facts.nodes[path] ? 'node' : 'host';
  if (error === 'EACCES') return tried.node?.nodev ? 'mount' : 'owner';
  if (error === 'ENOSYS') return 'calls';
  if (error !== 'EPERM' || tried.rules === null || !tried.node || tried.node.type === '-') return 'driver';
  const { type, major, minor } = tried.node;
  const wanted = { type: type as 'c' | 'b', major, minor, rights: 'rw' as const };
  return tried.rules.some((line) => line.startsWith('a ') || [parseRule(line)].some((rule) => rule && covers(rule, wanted) && rule.rights.includes('r') && rule.rights.includes('w'))) ? 'driver' : 'group';
}

const refusals: Record<string, string> = {
  EBUSY: 'its driver is busy: another program has it', ENXIO: 'there is no device behind the node (ENXIO)', ENODEV: 'no driver of the kernel knows it (ENODEV)',
  EPERM: 'its driver itself says no: it asks for a capability that the machine does not have', EROFS: 'its medium cannot be written to',
};

function because(layer: LayerName, error: string, tried: Tried, path: string, layers: Layer[]): string {
  const { node, user, rules } = tried;
  const reasoned = layers.find((one) => one.layer === layer)!;
  if (reasoned.passes === false && !(layer === 'owner' && node)) return reasoned.looked;
  switch (layer) {
    case 'host': return `there is no ${path} on this host`;
    case 'node': return 'the machine file gives it, but the machine that runs was started without it, or has removed it';
    case 'owner': return node ? `inside it belongs to ${node.uid}:${node.gid} with mode ${octal(node.mode)}, and that does not let '${user}' in` : `a folder on the way does not let '${user}' in`;
    case 'mount': return 'its mount opens no devices (nodev)';
    case 'group': return `the device list of its control group has no rule for ${node?.type} ${node?.major}:${node?.minor} (${rules!.length} others)`;
    case 'calls': return 'the system call filter of the machine does not let it be opened';
    case 'driver': return refusals[error] ?? `its driver says ${error}`;
  }
}

/** The answer. `tried` is what an open inside has given: it is believed where the reasoning says otherwise. */
export function why(path: string, machine: Machine, facts: Facts, written: Written, tried: Tried | null): Answer {
  const layers = reason(path, machine, facts).map((layer) => corrected(layer, tried));
  const base = { machine: machine.name, device: path, tried, layers };
  const mendOf = (layer: LayerName, error?: string) => mend(layer, path, machine, facts, written, tried !== null, error);
  if (!tried) {
    const first = layers.find(({ passes }) => passes === false);
    return first ? { ...base, opens: false, layer: first.layer, because: first.looked, mend: mendOf(first.layer) } : { ...base, opens: null, layer: null, because: 'nothing stands in its way, as far as can be told without trying', mend: null };
  }
  const error = tried.read !== 'OK' ? tried.read : tried.write;
  if (error === 'OK') return { ...base, opens: true, layer: null, because: 'it opens for reading and writing', mend: null };
  const layer = layerOf(error, tried, path, facts);
  const told = because(layer, error, tried, path, layers);
  return { ...base, opens: false, layer, because: tried.read === 'OK' ? `it opens for reading, but not for writing: ${told}` : told, mend: mendOf(layer, error) };
}

/** What the file says, put right by what has been seen of the machine that runs. */
function corrected(one: Layer, tried: Tried | null): Layer {
  if (tried?.attached && ['node', 'group'].includes(one.layer)) return { layer: one.layer, passes: true, looked: 'nestbox attach has given it to the machine that runs' };
  if (tried?.write === 'OK' && one.layer === 'driver') return { layer: one.layer, passes: true, looked: 'it has been opened' };
  return one;
}

function mend(layer: LayerName, path: string, machine: Machine, facts: Facts, written: Written, runs: boolean, error?: string): string | null {
  switch (layer) {
    case 'host': return facts.paths[path]?.kind === 'directory' ? 'ask for a device in it' : 'plug the device in, or load its driver';
    case 'node':
      if (machine.edits.devices.some((device) => device.path === path)) return `start it again, or: nestbox attach ${machine.name} ${path}`;
      return `${giver(path, machine, facts, written)}${runs ? `; for the machine that runs: nestbox attach ${machine.name} ${path}` : ''}`;
    case 'mount': return giver(path, machine, facts, written);
    case 'group': return machine.edits.devices.some((device) => device.path === path) ? `start it again, or: nestbox attach ${machine.name} ${path}` : `${giver(path, machine, facts, written)}${runs ? `; for the machine that runs: nestbox attach ${machine.name} ${path}` : ''}`;
    case 'owner': return facts.nodes[path]?.gid === 0 && machine.user !== null ? `give it a group on this host (a rule of udev's), or run the program as root inside: ${place(written, ['user'])}` : "start it again: a program's groups are those that it was started with";
    case 'calls': return null;
    case 'driver': return error === 'EBUSY' ? `fuser -v ${path} shows who has it on this host` : null;
  }
}

const place = ({ shown, text }: Written, at: string[]): string => (hasPosition(text, at) ? `${shown}:${positionOf(text, at).line}` : shown);

const grave = ({ can }: Exposure) => dangers[can].weight;

/** The line of the machine file that would give it: of the grants that do, the one that opens least. */
export function giver(path: string, machine: Machine, facts: Facts, written: Written): string {
  const giving = Object.entries(topics).flatMap(([topic, kinds]) => Object.entries(kinds).flatMap(([kind, grant]) => {
    const options = v.safeParse(grant.options, {});
    if (!options.success || written.spec.grants.some((asked) => asked.topic === topic && asked.kind === kind)) return [];
    const { edits, problems } = resolve({ ...written.spec, grants: [...written.spec.grants, { topic, kind, options: options.output }] }, facts, machine.file);
    return problems.some(({ fatal }) => fatal) || !edits.devices.some((device) => device.path === path) ? [] : [{ topic, kind, risk: Math.max(0, ...grant.exposes(options.output).map(grave)), devices: edits.devices.length }];
  })).sort((a, b) => a.risk - b.risk || a.devices - b.devices);
  const least = giving[0];
  const [topic, line] = least ? [least.topic, `${least.topic} = "${least.kind}"`] : ['devices', `devices = ["${path}"]`];
  if (!hasPosition(written.text, [topic])) return `${line} in ${written.shown}, above the first [table]`;
  const others = written.spec.grants.filter((asked) => asked.topic === topic && asked.kind !== null).map(({ kind }) => `"${kind}"`);
  return least
    ? `${others.length === 0 ? line : `${topic} = [${[...others, `"${least.kind}"`].join(', ')}]`} in ${place(written, [topic])}`
    : `"${path}" in the list of ${place(written, [topic])}`;
}

/** For people: one line that is the answer, and what each layer said. */
export function tell({ machine, device, opens, layer, because: reasonGiven, mend: mended, tried, layers }: Answer): string {
  const how = tried ? `tried inside as '${tried.user}': reading ${tried.read}, reading and writing ${tried.write}` : 'not tried';
  const rows = layers.map(({ layer: name, passes, looked }) => `  ${name === layer ? '>' : ' '} ${name.padEnd(7)} ${passes === null ? '?' : passes ? '+' : '-'} ${looked}`);
  return [
    `${machine}: ${device} ${opens === null ? 'should open' : opens ? 'opens' : 'does not open'} (${how})`,
    `  ${reasonGiven}`, ...(mended ? [`  ${mended}`] : []), ...rows,
  ].join('\n');
}
