import * as v from 'valibot';
import { topics, values } from '../grants/index.ts';
import { beyondUsual, capabilityNames } from '../powers.ts';
import { roots } from '../roots/index.ts';
import { base } from '../spec.ts';
import { namedByPath, namedByRule } from './devices.ts';
import type { Setting } from './settings.ts';
import type { Whole } from './whole.ts';

/** One key of a machine file, its value as data, and what is to be known of it. */
export interface Line {
  key: string;
  value: unknown;
  notes: string[];
}

/** What a machine file does not say, and why. `safe`: nothing is lost by it. */
export interface Left {
  by: Pick<Setting, 'at' | 'text'> | null;
  why: string;
  safe: boolean;
}

export interface Saying {
  /** Above the first table, in this order. */
  top: Line[];
  /** NAME of [NAME], its keys, and what is to be known of it. */
  tables: { name: string; lines: Line[]; notes: string[] }[];
  left: Left[];
}

type Schema = v.GenericSchema<unknown, unknown>;

/** Why a value is none for this key; null: it is one. */
export function misfit(schema: Schema, value: unknown): string | null {
  const { success, issues } = v.safeParse(schema, value);
  return success ? null : issues[0].message;
}

/** A name that is one for a machine: systemd takes more. */
export function machineNameOf(text: string): string {
  const plain = text.toLowerCase().replace(/[^a-z0-9-]+/g, '-').replace(/^[^a-z]+/, '').slice(0, 63).replace(/-+$/, '');
  return plain === '' ? 'imported' : plain;
}

/** Whole -> the keys of a machine file. Each of them is one that nestbox takes; what is none is told as left. */
export function sayingOf(all: Whole, fallback: string): Saying {
  const refused = all.grants.map((grant) => ({ grant, why: misfit(topics[grant.topic]![grant.kind]!.options, grant.options) }));
  const whole = { ...all, grants: all.grants.filter((_, i) => refused[i]!.why === null) };
  const left: Left[] = whole.unsaid.map((one) => ({ by: one, why: one.why, safe: one.safe ?? false }));
  const leave = (by: Setting | null, why: string, safe = false): void => {
    left.push({ by, why, safe });
  };
  for (const { grant, why } of refused) if (why !== null) leave(grant, why);
  const name = machineNameOf(whole.name?.name ?? fallback);
  const boot = whole.boot.value;
  const top: Line[] = [{ key: 'name', value: name, notes: !whole.name ? [`the name was not said: this is that of the ${whole.root?.path ? 'root' : 'file'}`] : name === whole.name.name ? [] : [`'${whole.name.name}' is no name of a machine here`] }];
  const say = (key: string, value: unknown, ...notes: string[]): void => {
    top.push({ key, value, notes });
  };
  const tables: Saying['tables'] = [];

  sayHost(whole, name, say, leave);
  sayUser(whole, say, leave);
  if (whole.users.value === 'host') say('users', 'host', 'root inside is root of this computer; users = "own" makes it nobody there');
  if (whole.users.value === 'shift') say('users', 'shift', whole.way === 'lxc' ? 'the files of this root have other owners on the disk; nestbox unshift gives them back, and then users = "own" does without' : 'the files of the root are given other owners; users = "own" shows them so, and leaves them as they are');
  const { by } = whole.users;
  if (by?.what === 'users' && by.first !== null && whole.users.value !== 'host') leave(by, by.first === 0 ? "the same ids as the host's, in a namespace of their own: here they are others, and files are shown with their owners all the same" : `nestbox picks the first id itself, by the name: it may be another than ${by.first}`, true);
  if (by?.text.startsWith('PrivateUsers=') && whole.users.value === 'own' && !whole.ownership) leave(by, 'systemd before 262 gives the files of a root other owners for this: where it has, nestbox unshift gives them back');
  if (whole.ephemeral.value) say('ephemeral', true);
  if (boot) say('boot', true);
  const network = networkOf(whole, boot, leave);
  if (whole.way === 'lxc') sayEngine(whole, network.kind === 'networkd' || network.short === 'networkd', top, leave);
  sayGrants(whole, say, tables);
  if (whole.grants.some(({ topic }) => topic === 'network')) network.short = null;
  else if (network.short) say('network', network.short, ...network.notes);
  else tables.push({ name: `network.${network.kind}`, lines: network.lines, notes: network.notes });
  const binds = bindsOf(whole, leave);
  const devices = devicesOf(whole, binds.devices, leave);
  if (devices.length > 0) say('devices', [...new Set(devices.map(({ device }) => device))], ...new Set(devices.flatMap(({ notes }) => notes)));
  if (binds.files.length > 0) say('files', binds.files, ...new Set(binds.notes));
  sayPowers(whole, say, leave);
  const accepted = acceptedBy(whole);
  if (accepted.length > 0) say('accept', accepted);
  sayWords(whole, boot, say, leave);
  const limits = limitsOf(whole, leave);
  if (limits.length > 0) tables.push({ name: 'limits', lines: limits, notes: [] });
  const variables = variablesOf(whole, leave);
  if (variables.length > 0) tables.push({ name: 'environment', lines: variables, notes: [] });
  tables.push(rootOf(whole, name, leave));
  return { top, tables, left };
}

type Say = (key: string, value: unknown, ...notes: string[]) => void;
type Leave = (by: Setting | null, why: string, safe?: boolean) => void;

/** What LXC ran goes on in LXC, but for what nestbox has no way to give it there. */
function sayEngine({ cgroups }: Whole, isNetworkd: boolean, top: Line[], leave: Leave): void {
  const lost = [...(isNetworkd ? ['network = "private" or a [network.bridge] with an address will do'] : []), ...(cgroups?.value === 'host' ? ['cgroups = "host" is left out'] : [])];
  if (lost.length === 0) top.splice(1, 0, { key: 'engine', value: 'lxc', notes: [] });
  else leave(null, `engine = "lxc" runs it on LXC as before, if ${lost.join(' and ')}`);
}

function sayHost({ hostname }: Whole, name: string, say: Say, leave: Leave): void {
  if (!hostname || hostname.name === name) return;
  const why = misfit(base.entries.hostname, hostname.name);
  if (why) leave(hostname, why);
  else say('hostname', hostname.name);
}

function sayUser({ user, boot }: Whole, say: Say, leave: Leave): void {
  if (!user) return;
  const why = misfit(base.entries.user, user.name);
  if (user.name === 'root' || user.name === '0') leave(user, 'so it is in every machine that names nobody', true);
  else if (boot.value) leave(user, "a system that boots lets its users in itself");
  else if (/^\d+$/.test(user.name)) leave(user, `a user is said by its name: user = { name = "...", uid = ${user.name} }`);
  else if (why) leave(user, why);
  else say('user', user.name);
}

/** Kinds without options are said in one line. */
function sayGrants({ grants }: Whole, say: Say, tables: Saying['tables']): void {
  for (const topic of new Set(grants.map((grant) => grant.topic))) {
    const all = grants.filter((grant) => grant.topic === topic);
    const kinds = all.filter((grant, i) => all.findLastIndex(({ kind }) => kind === grant.kind) === i);
    const notes = kinds.flatMap((grant) => smaller[`${grant.topic}.${grant.kind}`] ?? []);
    if (kinds.every(({ options }) => Object.keys(options).length === 0)) say(topic, kinds.length === 1 ? kinds[0]!.kind : kinds.map(({ kind }) => kind), ...notes);
    else for (const { kind, options } of kinds) tables.push({ name: `${topic}.${kind}`, lines: Object.entries(options).map(([key, value]) => ({ key, value, notes: [] })), notes: smaller[`${topic}.${kind}`] ?? [] });
  }
}

/** What is refused unless the loss is understood: who has asked for it has had it before. */
const acceptedBy = ({ grants }: Whole): string[] => (grants.some(({ topic, kind, options }) => topic === 'display' && kind === 'x11' && options.access === 'xhost') ? ['xhost'] : []);

/** Which smaller word would do, of those that open much. */
const smaller: Record<string, string[]> = {
  'display.x11': ['display = "nested" would keep it from the keys and windows of this computer'],
  'audio.pulse': ['audio = "playback" would let it play, and not listen'],
  'gpu.card': ['gpu = "render" would let it compute pictures, and not decide what the screen shows'],
};

interface Network {
  short: string | null;
  kind: string;
  lines: Line[];
  notes: string[];
}

function networkOf({ network: { value, by }, ports, way }: Whole, boot: boolean, leave: Leave): Network {
  const takesPorts = value.kind === 'veth' && !(value.bridge && value.address);
  const taken: string[] = [];
  const said = ports.flatMap((port) => {
    const host = `${port.protocol}:${port.host}`;
    if (!takesPorts) leave(port, value.kind === 'host' ? "it listens on the host's own ports" : 'a network with nothing in it has no ports; network = "private" has');
    else if (taken.includes(host)) leave(port, `${port.protocol} port ${port.host} of the host is named twice`);
    else {
      taken.push(host);
      return [`${port.protocol === 'udp' ? 'udp:' : ''}${port.host}:${port.inside}`];
    }
    return [];
  });
  if (value.kind === 'host') return { short: 'host', kind: '', lines: [], notes: ['network = "private" would keep it from what listens on this computer for itself, X and D-Bus among it'] };
  if (value.kind === 'none') return { short: 'none', kind: '', lines: [], notes: by ? [] : [`${way === 'lxc' ? 'LXC' : 'it'} has no network unless it is said; network = "private" leads out`] };
  if (value.bridge && value.address) {
    const options = { name: value.bridge, address: value.address, ...(value.gateway && { gateway: value.gateway }) };
    const why = misfit(topics.network!.bridge!.options, options);
    if (!why) return { short: null, kind: 'bridge', lines: Object.entries(options).map(([key, one]) => ({ key, value: one, notes: [] })), notes: [] };
    leave(by, why);
  }
  const bridge = value.bridge && misfit(topics.network!.networkd!.options, { bridge: value.bridge }) === null ? value.bridge : null;
  if (value.bridge && !bridge) leave(by, 'is no name of a bridge');
  const lines: Line[] = [...(bridge ? [{ key: 'bridge', value: bridge, notes: [] }] : []), ...(said.length > 0 ? [{ key: 'ports', value: said, notes: [] }] : [])];
  const notes = bridge ? [] : [`network = "private" ${boot ? 'needs no systemd-networkd, on neither side' : 'gives a program its address; here it would have to ask for one'}`];
  return lines.length > 0 ? { short: null, kind: 'networkd', lines, notes } : { short: 'networkd', kind: '', lines, notes };
}

interface DeviceLine {
  device: string;
  notes: string[];
}

/** $HOME and ${HOME}, which a script may have before a path, are ~ here. */
const homely = (path: string): string => path.replace(/^\$(HOME|\{HOME\})(?=\/|$)/, '~');

function bindsOf({ binds, way, devices: rules, users }: Whole, leave: Leave): { files: unknown[]; devices: DeviceLine[]; notes: string[] } {
  const files: unknown[] = [];
  const devices: DeviceLine[] = [];
  const notes: string[] = [];
  for (const bind of binds) {
    const from = homely(bind.from);
    const to = homely(bind.to);
    const named = from.startsWith('/dev/') || from === '/dev' ? namedByPath(from.replace(/(?!^)\/+$/, '')) : { file: true as const };
    if ('needless' in named) leave(bind, named.needless, true);
    else if ('unsaid' in named) leave(bind, named.unsaid);
    else if ('device' in named) {
      const why = misfit(values.devices!.options, [named.device]);
      if (why) leave(bind, why);
      else {
        const ruled = way !== 'unit' || rules.some(({ name }) => name === from || name === named.device || name.startsWith('char-') || name.startsWith('block-'));
        devices.push({ device: named.device, notes: [...(named.wider ? [`${named.device}: ${named.wider}`] : []), ...(ruled ? [] : [`${from} was seen and could not be opened: its unit has no DeviceAllow= for it; here it can`])] });
        if (to.replace(/\/+$/, '') !== from.replace(/\/+$/, '')) leave(bind, `a device is seen inside at the place that it has outside, and not at ${to}`);
      }
    } else {
      const entry = { path: from, ...(to !== from && { to }), ...(bind.write && { write: true }), ...(bind.optional && { optional: true }) };
      const short = Object.keys(entry).length === 1 ? from : entry;
      const why = /^\/sys\/fs\/cgroup(\/|$)/.test(to) ? 'every machine has a part of the tree of control groups of its own; cgroups = "host" shows it the whole tree' : misfit(values.files!.options, [short]);
      if (why) leave(bind, why);
      else {
        files.push(short);
        notes.push(...betterFor(from));
        if (bind.options.length > 0 && users.value !== 'host') leave(bind, `${bind.options.join(',')}: the owner of what is shown is the machine's user inside, and all others are nobody`, true);
      }
    }
  }
  return { files, devices, notes };
}

/** What nestbox has a word for that opens less. */
function betterFor(path: string): string[] {
  const better: [RegExp, string][] = [
    [/^\/tmp\/\.X11-unix|\.Xauthority$/, 'display = "nested", or [display.x11], would show it one display by a key of its own: who has this folder and the key reads what is typed on it'],
    [/^\/run\/user\/\d+$|^\/run\/user$/, 'all sockets of the person are in there (sound, session bus, Wayland): audio = "playback" and display = "nested" give what is needed of that'],
    [/wayland-\d+$/, 'display = "nested" is a display of its own'],
    [/\/pulse(\/native)?$|\/pipewire-\d+$/, 'audio = "playback" would let it play, and not listen'],
    [/\/bus$|^\/run\/dbus(\/|$)|^\/var\/run\/dbus/, 'whoever has that socket can ask the programs of this computer for all that they do'],
    [/\/qemu-[\w-]+$/, 'nestbox runs programs for another processor by itself: leave it out (docs/foreign.md)'],
    [/^\/run\/udev/, '[display.vt] gives a desktop what it needs of udev'],
    [/docker\.sock$|podman\.sock$/, 'whoever has that socket is root of this computer'],
  ];
  return better.filter(([pattern]) => pattern.test(path)).map(([, note]) => `${path}: ${note}`);
}

function devicesOf({ devices, policy }: Whole, bound: readonly DeviceLine[], leave: Leave): DeviceLine[] {
  if (policy) leave(policy, policy.policy === 'auto' ? 'every device may be opened where none is named: devices = [...] names those that are needed' : 'what is not named cannot be opened in any machine', policy.policy !== 'auto');
  const ruled = devices.flatMap((rule): DeviceLine[] => {
    const named = namedByRule(rule.name, rule.rights);
    const lost = 'needless' in named ? named.needless : 'unsaid' in named ? named.unsaid : 'file' in named ? 'is no device' : misfit(values.devices!.options, [named.device]);
    if (lost === null && 'device' in named) return [{ device: named.device, notes: [...(named.wider ? [`${named.device}: ${named.wider}`] : []), ...(/r/.test(rule.rights) && /w/.test(rule.rights) ? [] : [`${named.device}: it may be read and written here; before it was ${/r/.test(rule.rights) ? 'read' : 'written'} alone`])] }];
    leave(rule, lost ?? '', 'needless' in named);
    return [];
  });
  // A node that is bound and has a rule by its class needs both: the class gives all of its nodes.
  return [...bound, ...ruled];
}

function sayPowers(whole: Whole, say: Say, leave: Leave): void {
  const { capabilities, syscalls, cgroups, noNewPrivileges, network, users, boot, way } = whole;
  const kind = network.value.kind === 'host' ? 'host' : 'none';
  const dropped = capabilities.filter(({ how }) => how === 'drop').flatMap(({ names }) => names);
  const asked = [...new Set(capabilities.filter(({ how }) => how !== 'drop').flatMap(({ names }) => names))];
  // All but some are named one by one.
  const given = !asked.includes('all') ? asked.filter((name) => !dropped.includes(name)) : dropped.length === 0 ? ['all'] : beyondUsual({ capabilities: capabilityNames, network: { kind } }).filter((name) => !dropped.includes(name));
  for (const one of capabilities) {
    if (one.how === 'keep') leave(one, 'what systemd-nspawn gives every machine is not taken away');
    if (one.how !== 'drop') continue;
    const usual = one.names.filter((name) => name === 'all' || beyondUsual({ capabilities: [name], network: { kind } }).length === 0);
    leave(one, usual.length > 0 ? `${usual.join(', ')}: what systemd-nspawn gives every machine is not taken away; with users = "own" it counts inside alone` : 'no machine has it unless it is said', usual.length === 0);
  }
  if (given.length > 0) say('capabilities', given, ...(users.value === 'host' && given.includes('all') ? ['with these root inside can do to this computer what its own root can'] : []));
  if (way === 'lxc' && given.length === 0 && users.value === 'host') leave(null, 'LXC leaves root inside all capabilities that are not dropped; a machine has those that systemd-nspawn gives, and capabilities = ["all"] gives them all');
  const calls = new Set<string>();
  for (const one of syscalls)
    for (const name of one.names) {
      const why = misfit(values.syscalls!.options, [name]);
      const other = name.startsWith('~') ? name.slice(1) : `~${name}`;
      if (why) leave(one, `${name}: ${why}`);
      else if (calls.has(other)) leave(one, `${name}: it is allowed and refused`);
      else calls.add(name);
    }
  if (calls.size > 0) say('syscalls', [...calls]);
  if (cgroups) say('cgroups', cgroups.value, ...(cgroups.value === 'host' ? ['programs inside see the whole tree of control groups; without this line their own part'] : []));
  if (!noNewPrivileges) return;
  if (boot.value) leave(noNewPrivileges, noNewPrivileges.value ? 'a system that boots has programs that change the user, such as su' : 'so it is in every machine that boots', !noNewPrivileges.value);
  else leave(noNewPrivileges, noNewPrivileges.value ? 'so it is in every machine that runs a program' : 'a program gains no privileges here: sudo and the like do not work in it', noNewPrivileges.value);
}

function sayWords({ words, masked, way }: Whole, boot: boolean, say: Say, leave: Leave): void {
  const units = masked.filter((one) => {
    const why = boot ? misfit(values.masked!.options, [one.unit]) : 'there is no init inside';
    if (why) leave(one, why);
    return !why;
  });
  if (units.length > 0) say('masked', units.map(({ unit }) => unit));
  if (!words) return;
  const why = words.words.map((word) => misfit(boot ? values.parameters!.options : base.entries.run, [word])).find((one) => one !== null) ?? (words.words[0] === '' ? 'expected a program' : null);
  if (words.words.length === 0) leave(words, 'says nothing', true);
  else if (why) leave(words, why);
  else say(boot ? 'parameters' : 'run', words.words, ...(boot || way === 'unit' ? [] : ['programs that change the user, such as sudo, do not work in it']));
}

/** Bytes with a unit, to the byte where that can be said; else the next smaller number that can. */
export function sizeWord(bytes: number): string | null {
  const units: [string, number][] = [['T', 2 ** 40], ['G', 2 ** 30], ['M', 2 ** 20], ['K', 2 ** 10]];
  for (const [unit, power] of units)
    for (const digits of [0, 1, 2, 3]) {
      const text = `${Number((bytes / power).toFixed(digits))}${unit}`;
      if (/^[1-9]\d{0,5}(\.\d{1,3})?[KMGT]$/.test(text) && Math.round(Number.parseFloat(text) * power) === bytes) return text;
    }
  const [unit, power] = units.find(([, size]) => bytes >= size) ?? ['', 0];
  return power > 0 && bytes / power < 1e6 ? `${Math.floor((bytes / power) * 1000) / 1000}${unit}` : null;
}

function limitsOf({ limits }: Whole, leave: Leave): Line[] {
  return limits.flatMap((one): Line[] => {
    const value = one.limit === 'memory' ? sizeWord(one.value) : one.limit === 'cpu' ? Math.round(one.value * 100) / 100 : one.value;
    const why = value === null ? 'is no size that can be said' : misfit(values.limits!.options, { [one.limit]: value });
    if (why) leave(one, why);
    return why ? [] : [{ key: one.limit, value, notes: [] }];
  });
}

function variablesOf({ variables, grants }: Whole, leave: Leave): Line[] {
  return variables.flatMap((one): Line[] => {
    const displays = grants.some(({ topic }) => topic === 'display') && /^(DISPLAY|XAUTHORITY)$/.test(one.name);
    const why = one.value === null ? 'the value that it has where the command is run: say it' : displays ? 'display sets it' : misfit(values.environment!.options, { [one.name]: one.value });
    if (why) leave(one, why, displays);
    return why ? [] : [{ key: one.name, value: one.value, notes: /^(DISPLAY|XAUTHORITY)$/.test(one.name) ? ['display = "nested" or "x11" would set it'] : /^PULSE_SERVER$/.test(one.name) ? ['audio = "playback" or "pulse" would set it'] : [] }];
  });
}

function rootOf({ root, packages, name: said, way, ephemeral }: Whole, name: string, leave: Leave): Saying['tables'][number] {
  const unknown = (notes: string[]) => ({ name: 'root', lines: [{ key: 'directory', value: `/var/lib/machines/${name}`, notes: [] }], notes });
  if (!root) {
    if (packages.length > 0) leave(null, `packages go with a root that nestbox builds: [root] debian = "...", packages = ${JSON.stringify(packages)}`);
    return unknown(way === 'unit' || (way === 'nspawn' && said) ? ['where systemd looks for a machine of this name: it may be an image there, NAME.raw, too'] : ['where the root is was not said: say it']);
  }
  const { kind, path, options: more } = root;
  const options = { ...(kind === 'host' || kind === 'arch' ? { [kind]: true } : { [kind]: path }), ...more };
  const withPackages = packages.length > 0 && (kind === 'debian' || kind === 'arch') ? { ...options, packages } : options;
  if (packages.length > 0 && !('packages' in withPackages)) leave(root, `packages go with a root that nestbox builds; nestbox exec --root NAME -- installs ${packages.join(' ')} in this one`);
  const why = misfit(roots[kind]!.options, withPackages);
  if (why) {
    leave(root, why);
    return unknown(['where the root is cannot be told: say it']);
  }
  if (kind === 'host' && !ephemeral.value) leave(root, 'what is changed in the running system is thrown away at the end, and not written to it');
  return { name: 'root', lines: Object.entries(withPackages).map(([key, value]) => ({ key, value, notes: [] })), notes: [] };
}
