import { basename, dirname } from 'node:path/posix';
import { accountsFor, type AccountsToAdd, isNothing } from './accounts.ts';
import { type Bind, type Edits, type Exposure, type Link, merge, type Network, type Text } from './edits.ts';
import { reached, throughClosed } from './places.ts';
import { scopeProperties } from './devices.ts';
import { isCdiName } from './cdi/names.ts';
import { lacking, withoutLacks } from './engine.ts';
import { engines } from './engines/index.ts';
import { lacks, lacksProgram, type Problem } from './errors.ts';
import { cannotMap, type Facts, kernelIsAtLeast, type MachineRecord } from './facts.ts';
import type { Context, Grant, KnownFirst } from './grant.ts';
import { topics, values } from './grants/index.ts';
import { type CacheEntry, cacheWith, linksTo } from './linker.ts';
import { portsOf } from './ports.ts';
import { helperId, linkNames, pickShift, scopeOf, serviceOf, shiftOf } from './names.ts';
import { type Emulation, judge } from './foreign/binfmt.ts';
import { edited, needsOfBoot, setuidExposure } from './foreign/boot.ts';
import type { Source } from './root.ts';
import { roots } from './roots/index.ts';
import { claimOf } from './seats.ts';
import type { Spec } from './spec.ts';
import type { Owner, Place } from './step.ts';
import { store } from './store.ts';
import { besidesOf, needsOfInside, policyOf } from './images.ts';
import { type Besides, isOpen, needsOfVolume, type Volume } from './volumes.ts';
import { variablesOf } from './variables.ts';

export type SeenBind = Pick<Bind, 'from' | 'to' | 'write' | 'passes'> & { type: 'file' | 'directory'; of?: Bind | Text };

/** A spec that has met a host: nothing left to decide, nothing yet done. */
export interface Machine {
  name: string;
  way: Way;
  hostname: string;
  engine: string;
  /** Its engine's own table of the file. */
  engineOptions: unknown;
  ephemeral: boolean;
  /** Nothing is kept of it. */
  fleeting: boolean;
  source: Source;
  /** The other partitions of the image that its root is in. */
  besides: Besides[];
  /** What is known of it from an earlier run, null when it is still to be made. */
  record: MachineRecord | null;
  /** Folders of its root, uppermost first; only the directory itself for one that is used in place. */
  layers: string[];
  /** Folder that holds upper/ and work/ of its overlay, null for a directory that is used in place. */
  top: string | null;
  /** Where its root is while it runs. */
  root: string;
  run: string;
  /** First id of the host that its ids are shown as; 0: the host's own. */
  shift: number;
  /** First of the ids that the files of a directory have on the disk before it is made. */
  idsBefore: number;
  /** How the root gets its owners: an overlay maps them, nspawn maps them, they are changed on the disk, or they stay. */
  ownership: 'overlay' | 'map' | 'shift' | 'host';
  user: string | null;
  /** Of `user`, inside. */
  account: { uid: number; gid: number; home: string };
  accounts: { add: AccountsToAdd; known: boolean };
  /** What runs the programs in its root, where the processor does not; null: it does. */
  emulation: Emulation | null;
  /** As systemd-nspawn calls what programs inside take this computer for; null: they see what it is. */
  personality: 'x86' | null;
  /** Which init it starts, null where it runs a program instead. */
  boot: 'systemd' | 'other' | null;
  argv: string[];
  environment: Record<string, string>;
  edits: Edits;
  /** Where the IPC namespace is kept that is its own and that of the programs of the host that share memory with it; null: what starts it makes one for it alone. */
  ipc: string | null;
  /** Edit or step -> the key of the machine file that asked for it. */
  origin: Map<unknown, string>;
  /** The binds as the engine sees them: from where nestbox has prepared them. */
  seenBinds: SeenBind[];
  /** The links that are made in its root: those asked for, and those by which programs find the libraries that are bound there. */
  links: Link[];
  /** What its dynamic linker's cache has to be while it runs; null: its own does. */
  linkerCache: CacheEntry[] | null;
  /** The key of the machine file that the libraries come by. */
  libraryKey: string;
  /** The machine file that it is made from. */
  file: string;
  place: Place;
  helper: Owner;
  linkNames: { host: string; inside: string };
  /** Where what runs inside waits for its network; null: it has none to wait for. In a folder of its own, which nobody else may enter: who opens it is taken for the other end. */
  gate: string | null;
  problems: Problem[];
  exposures: (Exposure & { by: string })[];
}

const grantOf = ({ topic, kind }: Spec['grants'][number]): Grant => (kind === null ? values[topic]! : topics[topic]![kind]!);

const keyOf = ({ topic, kind, attached }: Spec['grants'][number]): string => (attached ? 'attached' : kind === null ? topic : `${topic}.${kind}`);

/** The spec with the devices that the machine is given besides, by nestbox attach --always. */
export function withAttached(spec: Spec, facts: Pick<Facts, 'store'>): Spec {
  const devices = spec.ephemeral ? [] : (facts.store.machines.find(({ name }) => name === spec.name)?.devices ?? []);
  return devices.length === 0 ? spec : { ...spec, grants: [...spec.grants, { topic: 'devices', kind: null, options: devices, attached: true }] };
}

/** The paths of the host that must be looked at for this spec. */
export const pathsOf = (spec: Spec, facts: KnownFirst): string[] => [
  ...roots[spec.root.source]!.paths(spec.root.options),
  ...facts.store.machines.flatMap(({ name, directory }) => (directory && (name === spec.name || name === (spec.root.options as { clone?: string }).clone) ? [directory] : [])),
  ...spec.grants.flatMap((asked) => grantOf(asked).paths?.(asked.options, facts) ?? []),
];

/** The classes of devices whose nodes must be looked for. */
export const classesOf = (spec: Spec): string[] => spec.grants.flatMap((asked) => grantOf(asked).classes?.(asked.options) ?? []);
/** Whether it names a device that files of the host describe: these are read for it. */
export const namesCdi = ({ grants }: Spec): boolean => grants.some(({ topic, options }) => topic === 'devices' && (options as string[]).some((name) => isCdiName(name)));

/** Whether it wants ports of the host, which others may have. */
export const namesPorts = ({ grants }: Spec): boolean => grants.some(({ topic, options }) => topic === 'network' && portsOf(options).length > 0);

/** Whether what its root has decides on what comes into it: libraries or settings of the host, or a display beside that of a display manager. */
export const meetsInside = (spec: Spec): boolean => namesCdi(spec) || spec.grants.some(({ topic, kind }) => topic === 'gpu' || topic === 'kernel-sources' || (topic === 'audio' && kind === 'alsa') || (topic === 'display' && spec.boot) || topic === 'seat');

/** Whether it asks for a virtual terminal, or for a screen beside them: those of the host are looked at then. */
export const wantsTerminal = ({ grants }: Spec): boolean => grants.some(({ topic, kind }) => (topic === 'display' && kind === 'vt') || topic === 'seat');

/** Whether it has something of the host that a seat may have for itself. */
export const meetsSeats = (spec: Spec): boolean => claimOf(spec) !== null;

/** The volume that has to be opened before its root is there. */
export const volumeOf = (source: Source): Volume | null => (source.kind === 'directory' ? (source.volume ?? null) : null);

/** The key of the template that a root is a layer over. */
export const templateOf = (source: Source): string | null => (source.kind === 'template' ? source.key : source.kind === 'clone' ? source.template : null);

const recordOf = ({ name }: Spec, facts: Facts): MachineRecord | null => facts.store.machines.find((machine) => machine.name === name) ?? null;

/** Where the root comes from, and what this host lacks for that. A machine that is made has its own: what it was made from may be gone. */
function rootOf(spec: Spec, facts: Facts): { source?: Source; problems: Problem[] } {
  const root = roots[spec.root.source]!;
  const record = recordOf(spec, facts);
  const problems = root.needs(spec.root.options, facts).map((problem) => ({ ...problem, at: ['root', ...(problem.at ?? [])] }));
  const lacking = problems.some(({ fatal }) => fatal);
  if (record && (lacking || root.once)) {
    if (record.template && facts.store.templates.includes(record.template)) return { source: { kind: 'template', key: record.template, build: () => [] }, problems: [] };
    if (record.directory && root.once) return { source: { kind: 'directory', path: record.directory }, problems: [] };
  }
  if (lacking) {
    const built = builtBefore(() => root.source(spec.root.options, facts, '', spec.name), facts);
    return built ? { source: built, problems: [] } : { problems };
  }
  const source = root.source(spec.root.options, facts, `${store.machine(spec.name)}/root`, spec.name);
  // Thrown away at its end: a layer over the other's directory does.
  return { source: source.kind === 'directory' && source.copy && spec.ephemeral ? { kind: 'directory', path: source.copy.from } : source, problems };
}

/** What is lacking is lacking to build it: a template that is there needs nothing of that. */
function builtBefore(source: () => Source, { store: { templates } }: Facts): Source | null {
  try {
    const found = source();
    return found.kind === 'template' && templates.includes(found.key) ? found : null;
  } catch {
    return null; // what it would be called cannot be told without what is lacking
  }
}

/** The folders of the machine's root as far as they exist before it runs, uppermost first; none while it is still to be made. */
export function layersOf(spec: Spec, facts: Facts): string[] {
  const { source } = rootOf(spec, facts);
  const own = recordOf(spec, facts) && !spec.ephemeral ? [`${store.machine(spec.name)}/top/upper`] : [];
  switch (source?.kind) {
    case 'directory': return source.volume && !isOpen(spec.name, facts.volume) ? [] : [source.copy?.from ?? source.path];
    case 'host': return ['/'];
    case 'clone': return [`${source.top}/upper`, store.template(source.template)];
    case 'template': return facts.store.templates.includes(source.key) ? [...own, store.template(source.key)] : [];
    default: return [];
  }
}

/** How a machine is run: in the foreground by nestbox, or as a service by systemd. */
export type Way = 'run' | 'service';

/** Spec + Facts -> Machine. What the host lacks, and where two grants disagree, is in its `problems`. */
export function resolve(written: Spec, facts: Facts, file: string, way: Way = 'run'): Machine {
  const { name, engine: engineName } = written;
  const engine = engines[engineName]!;
  const engineOptions = written.engineOptions[engineName];
  const spec = withoutLacks(written, engine, engineOptions);
  const { source: from, problems: rootProblems } = rootOf(spec, facts);
  const source: Source = from ?? { kind: 'directory', path: '/nonexistent' };
  const record = recordOf(spec, facts);
  const run = way === 'run' ? store.run(name) : store.serviceRun(name);
  const inPlace = source.kind === 'directory' && !spec.ephemeral;
  const top = inPlace ? null : spec.ephemeral || source.kind === 'host' ? `${store.scratch(name)}/top` : `${store.machine(name)}/top`;
  const lower = source.kind === 'template' ? store.template(source.key) : source.kind === 'clone' ? store.template(source.template) : source.kind === 'directory' ? source.path : '/';
  const chosen = [...facts.store.machines.flatMap(({ name: of, shift }) => (shift ? [{ name: of, start: shift }] : [])), ...(facts.store.ids ?? [])];
  const taken = [...facts.subordinate, ...chosen.filter((ids) => ids.name !== name).map(({ start }) => ({ start, count: 0x10000 }))];
  const shift = spec.users === 'host' ? 0 : (record?.shift ?? chosen.find((ids) => ids.name === name)?.start ?? pickShift(name, taken));
  const ownership = spec.users === 'host' ? 'host' : spec.users === 'shift' ? 'shift' : inPlace ? 'map' : 'overlay';

  const accounts = facts.accounts ?? { users: [{ name: 'root', uid: 0, gid: 0, home: '/root' }], groups: [] };
  const user = spec.user && spec.user.name !== 'root' ? spec.user : null;
  const found = user ? accounts.users.find((account) => account.name === user.name) : accounts.users.find(({ uid }) => uid === 0);
  const made = user && !found ? accountsFor(accounts, user, [], String).users[0]! : undefined;
  const account = found ?? made ?? { uid: 0, gid: 0, home: '/root' };
  const inside = { name: user?.name ?? 'root', home: account.home, uid: shift + account.uid, gid: shift + account.gid };
  const nobody: Owner = shift !== 0 ? { uid: shift + helperId, gid: shift + helperId } : { uid: 65534, gid: 65534 };
  const helper = facts.person.uid !== 0 ? facts.person : nobody;
  const sharesNetwork = spec.grants.some(({ topic, kind }) => topic === 'network' && kind === 'host');
  const touchesHardware = shift === 0 && spec.grants.some(({ topic, options }) => topic === 'capabilities' && (options as string[]).some((one) => one === 'all' || one === 'CAP_SYS_RAWIO'));
  const building = source.kind === 'template' && !facts.store.templates.includes(source.key);
  const verdict = facts.rootArchitecture ? judge(facts.rootArchitecture, facts, { building, setuid: spec.boot && spec.accept.includes('emulated-setuid') }) : null;
  const emulation = verdict?.emulation ?? null;
  const context: Context = { machine: name, facts, run, shift, inside, helper, nobody, accept: spec.accept, sharesNetwork, boots: spec.boot, emulated: emulation !== null, sharesMemory: !spec.boot && emulation === null && (way === 'run' || (facts.systemd ?? 0) >= 248), unit: facts.supervised && engine.service ? (way === 'service' ? serviceOf(name, engine) : scopeOf(name)) : null };

  const grants = spec.grants.filter((asked) => spec.boot || !grantOf(asked).onlyBooted); // of a machine that boots, a program can be run all the same
  const grantProblems = grants.flatMap((asked) =>
    grantOf(asked).needs(asked.options, context).map((problem) => (asked.attached
      ? { ...problem, at: [], mend: `${problem.mend}, or nestbox detach --always ${name} ${(asked.options as string[])[Number(problem.at?.[0])]}` }
      : { ...problem, at: [asked.topic, ...(asked.kind ? [asked.kind] : []), ...(problem.at ?? [])] })));
  const problems: Problem[] = [...(verdict?.problems ?? []).map((problem) => ({ ...problem, at: ['root'] })), ...(emulation && spec.boot ? needsOfBoot(emulation, facts) : []), ...rootProblems, ...grantProblems, ...(from ? needsOfRoot(spec, facts, from, ownership, record) : [])];
  const { edits: granted, origin, problems: conflicts } = merge(problems.some(({ fatal }) => fatal) ? [] : [...grants.map((asked) => ({ by: keyOf(asked), edits: grantOf(asked).edits(asked.options, context) })), ...(emulation ? [{ by: 'root', edits: edited(emulation, spec.boot && facts.init !== 'other') }] : [])]);

  const boot = !spec.boot ? null : facts.init === 'other' ? 'other' : 'systemd';
  const told = boot === null ? [] : variablesOf(granted.environment, boot, account.uid, Boolean(facts.inside?.displayManager));
  for (const text of told) origin.set(text, 'environment');
  const { mounts, problems: lost } = volumeOf(source)?.image ? besidesOf(spec, facts, run) : { mounts: [], problems: [] };
  const policy = volumeOf(source)?.image && !spec.boot && way === 'run' ? policyOf(spec, facts) : [];
  const beside = [...policy, ...mounts.map(({ from: at, to, write }): Bind => ({ from: at, to, write, owner: 'as-is', folder: true, passes: true }))].filter(({ to }) => !granted.binds.some((bind) => bind.to === to));
  for (const bind of beside) origin.set(bind, 'root');
  const edits: Edits = { ...granted, binds: [...granted.binds, ...beside], texts: [...granted.texts, ...told] };

  const gids = [...edits.devices.flatMap(({ group }) => (group === null ? [] : [group])), ...edits.groups];
  const libraries = librariesOf(edits, facts);
  const add = user || gids.length > 0 ? accountsFor(accounts, user ?? { name: 'root' }, user ? gids : [], (gid) => facts.groups[gid] ?? `host-${gid}`) : { users: [], groups: [], members: [] };
  const machine: Machine = {
    name, way, hostname: spec.hostname, engine: engineName, engineOptions, ephemeral: spec.ephemeral || source.kind === 'host', fleeting: spec.fleeting ?? false, source, besides: mounts, record,
    layers: top === null ? [lower] : source.kind === 'host' ? [`${store.scratch(name)}/host`, lower] : [`${top}/upper`, lower],
    top, root: inPlace ? lower : `${run}/root`, run, shift, idsBefore: idsOnDisk(source, facts), ownership, user: user?.name ?? null,
    account: { uid: account.uid, gid: account.gid, home: account.home },
    accounts: { add, known: facts.accounts !== null },
    emulation, personality: facts.rootArchitecture === 'i386' && facts.architecture === 'x86_64' ? 'x86' : null,
    boot,
    argv: spec.run,
    // Who boots has a terminal and a session of its own, made when somebody logs in.
    environment: spec.boot ? { LANG: facts.language } : { LANG: facts.language, ...(way === 'run' && facts.terminal && { TERM: facts.terminal }), XDG_RUNTIME_DIR: `/run/user/${account.uid}` },
    edits, ipc: edits.services.some(({ memory }) => memory) ? `${run}/ipc` : null, origin,
    seenBinds: seenBinds(edits, facts, run, spec.boot ? null : account.uid, libraries.cache !== null, engine.mountsInside ? shift : null), links: libraries.links, linkerCache: libraries.cache, libraryKey: libraries.by === undefined ? '' : (origin.get(libraries.by) ?? ''),
    file,
    place: way === 'service' || facts.supervised ? { kind: 'unit', name: way === 'service' ? serviceOf(name, engine) : scopeOf(name), properties: way === 'service' ? [] : scopeProperties(edits), ...(engineName === 'lxc' && { lxc: { name, folder: way === 'service' ? store.lxc : `${run}/lxc` } }) }
      : { kind: 'cgroup', folders: groupsOf(facts, `nestbox-${name}`, engine.mountsInside ? Object.keys(facts.cgroups.own) : controllersFor(edits.limits)) }, // LXC makes groups in all trees
    helper, linkNames: linkNames(name),
    // An init that systemd runs is not held up: it has its own way of waiting for a network.
    gate: edits.network.kind === 'link' && !engine.mountsInside && (way === 'run' || boot === null) ? `${run}/network/gate` : null,
    problems, exposures: [...(emulation?.register && emulation.setuid ? [{ by: 'accept', ...setuidExposure }] : []), ...grants.flatMap((asked) => grantOf(asked).exposes(asked.options, facts, { isHostRoot: shift === 0, sharesNetwork, touchesHardware }).map((exposure) => ({ ...exposure, by: keyOf(asked) })))],
  };
  machine.problems.push(...conflicts, ...lost, ...needsOfInside(facts), ...(from ? engine.needs(machine, facts, engineOptions) : []), ...needsOfHost(spec, facts), ...needsOfInit(spec, facts), ...(way === 'service' ? needsOfService(edits, facts, engine.service !== undefined) : []));
  for (const { problem, exposure } of lacking(engineName, engine, engineOptions, written, machine)) {
    machine.problems.push(problem);
    if (exposure) machine.exposures.push({ ...exposure, by: `${engineName}.accept` });
  }
  return machine;
}

/** Which ids the files of a directory have on the disk; see shiftOf(). */
const idsOf = (source: Source, { paths }: Facts): ReturnType<typeof shiftOf> => {
  const found = source.kind === 'directory' ? paths[source.copy?.from ?? source.path] : null;
  return found ? shiftOf(found) : 0;
};

const idsOnDisk = (source: Source, facts: Facts): number => {
  const ids = idsOf(source, facts);
  return typeof ids === 'number' ? ids : 0;
};

/** Files that an earlier systemd-nspawn has given other owners: with ids that are mapped, or the host's own, nothing in there would be whose it was. */
function needsOfOwners({ name, users, ephemeral }: Spec, facts: Facts, source: Source, record: MachineRecord | null): Problem[] {
  const ids = idsOf(source, facts);
  if (source.kind !== 'directory' || ids === 0 || ids === null) return [];
  const path = source.copy?.from ?? source.path;
  const back = `nestbox unshift ${record && !source.copy ? name : path} gives them back`;
  if (record?.shifted && users === 'shift')
    return ids === record.shift ? [] : [{ what: `the files of ${path} do not have the ids any more that '${name}' has given them`, mend: `nestbox rm ${name}; then ${back.replace(name, path)}`, fatal: true, at: ['root'] }];
  if (ids === 'half') return [{ what: `an earlier systemd-nspawn was cut off while it gave the files of ${path} other owners: some have them, some do not`, mend: back, fatal: true, at: ['root'] }];
  if (users === 'shift') return [];
  return [{
    what: `the files of ${path} have ids from ${ids} on, from an older systemd-nspawn --private-users-chown: ${users === 'own' ? 'in the machine they would be nobody\'s' : 'with the host\'s ids nothing in there would be root\'s'}`,
    mend: record || ephemeral ? back : `${back}, or say users = "shift"`, fatal: true, at: ['root'],
  }];
}

function needsOfRoot(spec: Spec, facts: Facts, source: Source, ownership: Machine['ownership'], record: MachineRecord | null): Problem[] {
  const problems: Problem[] = [];
  const at = ['root'];
  if (record && source.kind === 'template' && record.template !== source.key)
    problems.push({ what: `the machine '${spec.name}' was made from another root (${record.template ?? record.directory})`, mend: `nestbox rm ${spec.name} makes room for a new one, or give this one another name`, fatal: true, at });
  if (record && source.kind === 'directory' && (record.directory !== source.path || record.volume?.path !== source.volume?.path))
    problems.push({ what: `the machine '${spec.name}' was made from another root (${record.template ?? record.volume?.path ?? record.directory})`, mend: `nestbox rm ${spec.name} forgets it, or give this one another name`, fatal: true, at });
  const volume = volumeOf(source);
  if (volume) problems.push(...needsOfVolume(spec.name, volume, facts));
  if (volume && ownership === 'shift')
    problems.push({ what: 'users = "shift" gives all files of a root other owners, and a volume is only there while the machine runs', mend: 'say users = "own" or "host"', fatal: true, at: ['users'] });
  if (spec.users === 'own') {
    const folders = volume && !isOpen(spec.name, facts.volume) ? [] : source.kind === 'directory' ? [source.path] : source.kind === 'host' ? source.folders.map((folder) => `/${folder}`) : [];
    const layer = ownership === 'overlay' ? [store.base] : [];
    const why = ownership === 'overlay' && !kernelIsAtLeast(facts, 5, 19)
      ? [`Linux ${facts.kernel} cannot put a writable layer over a root with mapped ids (5.19 can)`]
      : [...new Set([...folders, ...layer].flatMap((path) => cannotMap(facts, path) ?? []))];
    const mend = source.kind === 'directory' && !spec.ephemeral ? 'say users = "host", or users = "shift" to give all files of the root other owners' : 'say users = "host"';
    for (const what of why) problems.push({ what, mend, fatal: true, at });
  }
  if (ownership === 'shift' && source.kind !== 'directory')
    problems.push({ what: 'users = "shift" gives the files of a root other owners, and templates are shared', mend: 'unpack the root into a directory and use that, or say users = "host"', fatal: true, at: ['users'] });
  if (ownership === 'shift' && spec.ephemeral)
    problems.push({ what: 'users = "shift" gives the files of the directory other owners until nestbox rm, and ephemeral = true changes nothing', mend: 'leave one of the two out', fatal: true, at: ['users'] });
  problems.push(...needsOfOwners(spec, facts, source, record));
  const shifted = ownership === 'shift';
  if (record?.directory && (record.shifted ?? false) !== shifted && !spec.ephemeral)
    problems.push({ what: `the machine '${spec.name}' was made ${shifted ? 'without' : 'with'} users = "shift"`, mend: `nestbox rm ${spec.name} ${shifted ? 'makes room for a new one' : 'gives the files their owners back'}`, fatal: true, at: ['users'] });
  const other = source.kind === 'directory' ? facts.store.machines.find(({ name, directory }) => name !== spec.name && directory === source.path) : undefined;
  if (other && (shifted || other.shifted))
    problems.push({ what: `the machine '${other.name}' has the same directory, and users = "shift" gives the files of a directory to one machine alone`, mend: 'say users = "own" in both, or use two directories', fatal: true, at: ['users'] });
  return problems;
}

const needsOfInit = ({ boot }: Spec, { init }: Facts): Problem[] =>
  boot && init === 'none' ? [{ what: 'there is no init in this root', mend: 'install one in it, such as the packages systemd-sysv and dbus of Debian, or leave boot out', fatal: true, at: ['boot'] }] : [];

function needsOfService({ services }: Edits, { supervised, programs, systemd, distribution }: Facts, isOwnUnit: boolean): Problem[] {
  if (!supervised) return [{ what: 'systemd does not run this host: nothing would keep the machine running, nor start it with the host', mend: 'nestbox run keeps it in the foreground', fatal: true }];
  const recorded = services.some(({ output }) => output) && systemd !== null && systemd < 248;
  return [
    ...([isOwnUnit ? 'lxc-wait' : 'machinectl', 'systemctl'] as const).filter((name) => !programs[name]).map((name) => lacksProgram(name, 'have systemd run the machine', { distribution })),
    ...(recorded ? [lacks(`systemd ${systemd} cannot write a recording anew at each start (248 can)`, 'leave record out, or use nestbox run')] : []),
  ];
}

function needsOfHost(spec: Spec, { supervised, cgroups, root }: Facts): Problem[] {
  if (supervised || !root) return [];
  if (cgroups.version === 1 && cgroups.own.devices) return [];
  const fatal = spec.users === 'host' && !spec.accept.includes('no-device-policy');
  return [{
    what: `this host has neither systemd nor the 'devices' controller: no device rights can be set${spec.users === 'host' ? ', and root inside can open every device of the host' : '; the user namespace alone keeps devices away'}`,
    mend: spec.users !== 'host' ? 'going on' : engines[spec.engine]!.lacks['own-ids'] ? 'say accept = ["no-device-policy"]' : 'say users = "own", or accept = ["no-device-policy"]', fatal, at: ['users'], accept: 'no-device-policy',
  }];
}

/** The controllers that a container is held by: devices always; nspawn itself makes groups in systemd's tree and in the version 2 tree, where they are there. */
const controllersFor = ({ cpu, memory, tasks, weight }: Edits['limits']): string[] =>
  ['devices', 'systemd', 'unified', ...(cpu === undefined && weight === undefined ? [] : ['cpu']), ...(memory === undefined ? [] : ['memory']), ...(tasks === undefined ? [] : ['pids'])];

/** The folders of a control group of our own named `name`, one for each of these controllers that there is; at least one. */
export function groupsOf({ cgroups: { version, own } }: Facts, name: string, controllers: string[]): string[] {
  const there = version === 2 ? [''] : controllers.filter((controller) => own[controller] !== undefined);
  const folders = there.length > 0 ? there : Object.keys(own).slice(0, 1);
  return [...new Set(folders.map((controller) => `${own[controller]!}/${name}`.replace('//', '/')))];
}

/** What a machine's programs need to find the shared libraries that are bound into folders of `edits.libraries`: links, and the linker's cache. */
function librariesOf(edits: Edits, facts: Facts): { links: Link[]; cache: CacheEntry[] | null; by: Bind | undefined } {
  const having = edits.binds.filter(({ from, to }) => facts.paths[from]?.libraries && (edits.libraries.includes(dirname(to)) || edits.libraries.includes(to)));
  const libraries = having.flatMap(({ from, to }) => {
    const { kind, libraries: found = [] } = facts.paths[from]!;
    return kind === 'directory' ? found.map((one) => ({ ...one, folder: to, whole: true })) : found.map((one) => ({ ...one, name: basename(to), folder: dirname(to), whole: false }));
  });
  const asked = (path: string) => edits.links.some((link) => link.path === path) || edits.binds.some((bind) => bind.to === path);
  // In a folder that is bound as a whole nothing can be made: there the cache alone leads to the files.
  const links = linksTo(libraries.filter(({ whole }) => !whole)).filter(({ path }, i, all) => !asked(path) && all.findIndex((other) => other.path === path) === i);
  // Some programs ask for a library under the name of a link to it (libcuda.so).
  const called = edits.links.flatMap(({ path, to }) => libraries.filter(({ folder, name, soname }) => folder === dirname(path) && [name, soname].includes(basename(to))).slice(0, 1).map((one) => ({ ...one, soname: basename(path) })));
  const named = [...libraries.map((one) => (one.whole ? { ...one, file: one.name } : one)), ...called];
  return { links: [...edits.links, ...links], cache: named.length === 0 ? null : cacheWith(facts.inside?.linkerCache ?? null, named), by: having[0] };
}

/** Where the `i`th of the texts is kept for a run. */
export const textFile = (run: string, i: number): string => `${run}/texts/${i}`;

/** What kind of thing is bound. */
export const typeOfBind = ({ paths }: Pick<Facts, 'paths'>, { from, folder }: Pick<Bind, 'from' | 'folder'>): 'file' | 'directory' => (folder || paths[from]?.kind === 'directory' ? 'directory' : 'file');

/** `uid`: of the program; null where an init is started, which makes the folders of its users itself. `inside`: the first of its ids, where they mount; else null. */
function seenBinds(edits: Edits, facts: Facts, run: string, uid: number | null, hasCache: boolean, inside: number | null): SeenBind[] {
  let mapped = 0;
  const held = inside ? throughClosed(edits, run) : [];
  const fromOf = (bind: Bind) => (bind.owner === 'theirs' ? `${run}/files/${mapped++}` : held.includes(bind) ? `${run}/held/${held.indexOf(bind)}` : bind.from);
  const all: SeenBind[] = [
    ...edits.binds.map((bind) => ({ from: fromOf(bind), to: bind.to, write: bind.write, type: typeOfBind(facts, bind), ...(bind.passes && { passes: true as const, of: bind }) }) as const),
    ...edits.texts.map((text, i) => ({ from: textFile(run, i), to: text.path, write: false, type: 'file', passes: true, of: text }) as const),
    ...(hasCache ? [{ from: `${run}/ld.so.cache`, to: '/etc/ld.so.cache', write: false, type: 'file', passes: true } as const] : []),
    ...(inside !== null ? [] : edits.devices.map(({ path }) => ({ from: `${run}/nodes${path}`, to: path, write: true, type: 'file' }) as const)),
    ...(uid === 0 || uid === null ? [] : [{ from: `${run}/user`, to: `/run/user/${uid}`, write: true, type: 'directory' } as const]),
    ...(namesServers(edits.network) || edits.network.kind === 'host' ? [{ from: edits.network.kind === 'host' ? '/etc/resolv.conf' : `${run}/resolv.conf`, to: '/etc/resolv.conf', write: false, type: 'file' } as const] : []),
  ];
  return inside === null ? all : all.map((bind) => ({ ...bind, to: reached(bind.to, facts.rootLinks ?? {}) }));
}

/** Whether nestbox says which name servers programs inside ask. */
export const namesServers = (network: Network): network is Network & { nameservers: string[] } => 'nameservers' in network && network.nameservers !== null;

/** The variables of all programs inside, as far as they are not those of every container of systemd-nspawn's. */
export const variablesInside = ({ engine, environment, edits }: Pick<Machine, 'engine' | 'environment' | 'edits'>): Record<string, string> => ({ ...(engine === 'lxc' && { container: 'lxc' }), ...environment, ...edits.environment });

/** What the link to the host is called inside, as systemd-nspawn calls its own. */
export const insideLink = 'host0';

/** Whether the accounts have still to be written. */
export const lacksAccounts = ({ accounts }: Machine): boolean => !isNothing(accounts.add);
