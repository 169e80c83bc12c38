import type { Danger } from './dangers.ts';
import { lacks, type Problem } from './errors.ts';
import type { Owner, Step } from './step.ts';

/** All that a grant can ask for. Closed data: an engine renders every kind of it or refuses it by name. */
export interface Edits {
  /** On the host, before the services and the container start. */
  before: Step[];
  /** Programs of the host that live exactly as long as the container. */
  services: Service[];
  binds: Bind[];
  devices: Device[];
  /** Whole classes of devices, also those that are plugged in later. */
  classes: DeviceClass[];
  /** Of every program inside. */
  environment: Record<string, string>;
  network: Network;
  limits: Limits;
  /** Numbers of groups, as they are inside, that the machine's user is in. */
  groups: number[];
  /** Links within the root, made for a run. */
  links: Link[];
  /** Text files within the root, there for a run in place of what the root has at that path. */
  texts: Text[];
  /** Folders inside in which programs find the shared libraries that are bound there. */
  libraries: string[];
  /** Network interfaces of the host that are moved into the machine's network for a run. */
  interfaces: Interface[];
  /** Of root inside, besides the usual ones; 'all'. */
  capabilities: string[];
  /** Names and @groups that may be called besides the usual ones; with ~ before them, that may not. */
  syscalls: string[];
  /** Words on the command line of the init inside. */
  parameters: string[];
  /** Whether what is inside sees the tree of control groups from its own one on, or the host's; null: nobody said, its own. */
  cgroups: 'own' | 'host' | null;
}

/** As `ln -sf to path` inside. */
export interface Link {
  path: string;
  to: string;
}

/** A file inside that everybody may read and nobody can change: a setting, mostly a drop-in. */
export interface Text {
  path: string;
  text: string;
}

export interface Interface {
  name: string;
  /** What it is called inside. */
  to: string;
}

/** A file, folder or socket of the host that is seen inside. */
export interface Bind {
  from: string;
  to: string;
  write: boolean;
  /**
   * as-is: it already has an owner that can use it inside, or anybody may (a socket open to all).
   * theirs: it is the person's: its owner is shown as the machine's user, and every other id as nobody.
   */
  owner: 'as-is' | 'theirs';
  /** What it covers in the root is made for a run alone: its name is another one after the next update of a driver. */
  passes?: true;
  /** It is made for the run, and a folder. */
  folder?: true;
}

/** A device node that may be opened for reading and writing, unless `rights` says otherwise. */
export interface Device {
  path: string;
  type: 'c' | 'b';
  major: number;
  minor: number;
  /** The group inside that may open it, by the host's id; null: whoever may on the host. */
  group: number | null;
  mode: number;
  /** The host's own node, where it is at another path. */
  from?: string;
  /** Owner of the node in ids that exist inside, and exactly its mode, where somebody else than this host has said so. */
  as?: { uid: number; gid: number; mode: number };
  /** What the control group lets it be opened for; '': for nothing. */
  rights?: '' | 'r' | 'w' | 'rw';
}

/** All devices with these major numbers may be opened for reading and writing, whenever they come. */
export interface DeviceClass {
  /** As DeviceAllow= of systemd has it: char-alsa, char-nvidia*; systemd.resource-control(5). */
  name: string;
  type: 'c' | 'b';
  /** What the name stands for on this host now. */
  majors: number[];
  /** Whether something inside can make nodes of it, and so needs the right to. */
  make: boolean;
}

export interface Service {
  /** Unique in the machine: xvfb, pulseaudio ... */
  name: string;
  argv: string[];
  environment: Record<string, string>;
  user: Owner;
  /** A socket or file that appears when the service can be used. */
  ready: string;
  /** Files it makes outside the machine's run folder, removed after it ends unless a living process holds them. */
  leaves: string[];
  /** It has something to finish when it is asked to end. */
  grace?: boolean;
  /** It runs in the IPC namespace of what is inside, where it may use all memory that is shared (shmget(2)); `opens`: and may open that as files, to hand it to others. */
  memory?: 'uses' | 'opens';
  /** A file of root's that is its standard input. */
  input?: string;
  /** A file of the person's that its standard output goes to, replaced if it is there. */
  output?: { path: string; owner: Owner };
}

export type Network =
  | { kind: 'host' }
  | { kind: 'none' }
  /** A link to the host; `nat`: from there on to wherever the host goes, under the host's address, at which `ports` are reached. */
  | { kind: 'link'; address: string; gateway: string | null; bridge: string | null; nat: boolean; nameservers: string[]; ports: Port[] }
  /** A link that systemd-nspawn makes, to which systemd-networkd of the host gives addresses; `nameservers` null: what is inside has its own. */
  | { kind: 'networkd'; bridge: string | null; nameservers: string[] | null; ports: Port[] };

/** A port of the host at which one of the machine is reached. */
export interface Port {
  protocol: 'tcp' | 'udp';
  host: number;
  inside: number;
}

export interface Limits {
  /** Processors' worth of time: 1.5 is one and a half. */
  cpu?: number;
  /** Bytes. */
  memory?: number;
  tasks?: number;
  /** Its share of processors and disks beside others that are busy, each of which has 100. */
  weight?: number;
}

/** What a hostile program inside could do with it, beyond what the edits show. */
export interface Exposure {
  can: Danger;
  what: string;
  /** Where in what was asked for, as the keys below it: [2], ['ports', 0]. */
  at?: (string | number)[];
  /** What would do in its place where less is needed, and what is lost by it. */
  smaller?: Smaller;
}

export interface Smaller {
  /** As it is said in the file: display = "nested". */
  say: string;
  loses: string;
}

export const noEdits = (): Edits => ({ before: [], services: [], binds: [], devices: [], classes: [], environment: {}, network: { kind: 'none' }, limits: {}, groups: [], links: [], texts: [], libraries: [], interfaces: [], capabilities: [], syscalls: [], parameters: [], cgroups: null });

/** The edits of all grants as one, and where two disagree. `by` is the key of the machine file, such as display.nested. */
export function merge(all: { by: string; edits: Partial<Edits> }[]): { edits: Edits; origin: Map<unknown, string>; problems: Problem[] } {
  const problems: Problem[] = [];
  const out = noEdits();
  const origin = new Map<unknown, string>();
  const owners = new Map<string, { by: string; value: string }>();
  const claim = (key: string, value: unknown, by: string): boolean => {
    const text = JSON.stringify(value);
    const seen = owners.get(key);
    if (seen && seen.value !== text)
      problems.push({ at: by.split('.'), ...lacks(seen.by === by ? `'${by}' asks twice for ${key}` : `'${seen.by}' and '${by}' disagree about ${key}`, [by, seen.by].includes('files') && key.startsWith('/') ? 'leave one of the two out, or give one another place with to = "..."' : 'leave one of the two out') });
    if (!seen) owners.set(key, { by, value: text });
    return !seen;
  };
  const own = <T extends object>(thing: T, by: string): T => {
    origin.set(thing, by);
    return thing;
  };
  for (const { by, edits } of all) {
    const { before = [], services = [], binds = [], devices = [], classes = [], environment = {}, network, limits, groups = [], links = [], texts = [], libraries = [], interfaces = [], capabilities = [], syscalls = [], parameters = [], cgroups, ...rest } = edits;
    rest satisfies Record<string, never>; // a new kind of edit does not compile until it is merged here
    out.before.push(...before.map((step) => own(step, by)));
    for (const service of services) if (claim(`the service '${service.name}'`, service, by)) out.services.push(own(service, by));
    for (const bind of binds) if (claim(bind.to, bind, by)) out.binds.push(own(bind, by));
    for (const device of devices) if (claim(`the device ${device.path}`, device, by)) out.devices.push(own(device, by));
    for (const one of classes) if (claim(`the devices ${one.name}`, one, by)) out.classes.push(own(one, by));
    for (const [name, value] of Object.entries(environment)) if (claim(`the variable ${name}`, value, by)) out.environment[name] = value;
    if (network && claim('the network', network, by)) out.network = own(network, by);
    out.groups.push(...groups.filter((group) => !out.groups.includes(group)));
    for (const link of links) if (claim(`the link ${link.path}`, link, by)) out.links.push(own(link, by));
    for (const text of texts) if (claim(text.path, text, by)) out.texts.push(own(text, by));
    out.libraries.push(...libraries.filter((folder) => !out.libraries.includes(folder)));
    for (const one of interfaces) if (claim(`the network interface ${one.name}`, one, by)) out.interfaces.push(own(one, by));
    out.capabilities.push(...capabilities.filter((name) => !out.capabilities.includes(name)));
    out.syscalls.push(...syscalls.filter((name) => !out.syscalls.includes(name)));
    out.parameters.push(...parameters);
    if (cgroups && claim('the control groups', cgroups, by)) out.cgroups = cgroups;
    for (const [name, value] of Object.entries(limits ?? {})) if (claim(`the limit of ${name}`, value, by)) Object.assign(out.limits, { [name]: value });
  }
  for (const device of out.devices)
    if (out.binds.some((bind) => bind.to === device.path)) problems.push({ at: (origin.get(device) ?? '').split('.'), ...lacks(`${device.path} is asked for as a device and as a file`, 'leave one of the two out') });
  for (const text of out.texts)
    if (out.binds.some((bind) => bind.to === text.path)) problems.push({ at: (origin.get(text) ?? '').split('.'), ...lacks(`${text.path} is asked for as a setting and as a file`, 'leave one of the two out') });
  for (const link of out.links)
    if (out.binds.some((bind) => bind.to === link.path)) problems.push({ at: (origin.get(link) ?? '').split('.'), ...lacks(`${link.path} is asked for as a link and as a file`, 'leave one of the two out') });
  if (out.interfaces.length > 0 && out.network.kind === 'host')
    problems.push({ at: (origin.get(out.interfaces[0]) ?? '').split('.'), ...lacks("a network interface cannot be moved into a machine that shares the host's network", 'network = "private" or "none"') });
  return { edits: out, origin, problems };
}
