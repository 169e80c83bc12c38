import { dirname } from 'node:path/posix';
import { devicePolicy, limitSettings } from './devices.ts';
import { engines } from './engines/index.ts';
import { Complaint } from './errors.ts';
import type { Facts } from './facts.ts';
import { groupsOf, lacksAccounts, type Machine, namesServers, templateOf, textFile, typeOfBind, volumeOf } from './machine.ts';
import { privateNetwork, unitOf } from './names.ts';
import { modeInside } from './nodes.ts';
import { throughClosed } from './places.ts';
import { natOf } from './ports.ts';
import type { Place, Step } from './step.ts';
import { store } from './store.ts';
import { opening, openingBesides } from './volumes.ts';

/** A step and the key of the machine file that asked for it; '' where nobody did. */
export interface Planned {
  step: Step;
  by: string;
}

/** All that a run will do, in order, before any of it is done. */
export interface Plan {
  /** Opens the volume that the root is on, or gives a root that is built the emulator for its programs, before all else; taken back at the end of whatever it was for. Empty for other roots. */
  opening: Planned[];
  /** Makes the root and the machine; stays until the machine is removed. */
  lasting: Planned[];
  /** Taken back when the machine ends. */
  passing: Planned[];
}

/** Machine -> Plan, or a Complaint about what the host lacks. */
export function plan(machine: Machine, facts: Facts, positionOf: (at: (string | number)[]) => string = () => ''): Plan {
  const fatal = machine.problems.filter((problem) => problem.fatal);
  if (fatal.length > 0)
    throw new Complaint(fatal.map(({ what, mend, at, accept }) => `${at && at.length > 0 ? positionOf(at) : ''}${what}\n  ${mend}${accept && !mend.includes(accept) ? `, or say accept = ["${accept}"]` : ''}`).join('\n'));
  // As a service, the container is the last of its units, and they are made of the rest.
  const last = machine.way === 'service' ? [] : container(machine, facts);
  return { opening: [...volume(machine), ...(isToBeBuilt(machine, facts) ? emulator(machine) : [])], lasting: [...template(machine, facts), ...verified(machine, facts), ...making(machine)], passing: [...emulator(machine), ...beside(machine), ...seeing(machine), ...granting(machine, facts), ...last] };
}

/** Whether its root has still to be built. */
const isToBeBuilt = ({ source }: Pick<Machine, 'source'>, { store: { templates } }: Facts): boolean => source.kind === 'template' && !templates.includes(source.key);

/** Programs of another processor run while a root is built as well: so the emulator is there before. */
function emulator({ name, emulation }: Machine): Planned[] {
  return emulation?.register ? by('root', [{ kind: 'emulator', entry: emulation.register.name, machine: name, architecture: emulation.architecture, line: emulation.register.line }]) : [];
}

/** What is done before the container of a service starts. */
export const preparing = ({ opening, passing }: Plan): Planned[] => [...opening, ...passing.filter(({ step }) => step.kind !== 'emulator' || !opening.some((before) => before.step.kind === 'emulator'))];

export const steps = (planned: readonly Planned[]): Step[] => planned.map(({ step }) => step);

const by = (key: string, steps: Step[]): Planned[] => steps.map((step) => ({ step, by: key }));
const folder = (path: string, mode = 0o755): Step => ({ kind: 'mkdir', path, mode });

function volume({ name, source, run, way }: Machine): Planned[] {
  const found = volumeOf(source);
  if (source.kind === 'directory' && source.unpack) return by('root', [{ kind: 'unpack', ...source.unpack }]); // what is in it is known afterwards
  // A service's folder is otherwise made by its units, which may find the volume open.
  return found ? by('root', [...((found.lv || found.image) && way === 'service' ? [folder(dirname(run), 0o711), folder(run, 0o711)] : []), ...opening(name, found, run)]) : [];
}

/** The other partitions of the image. */
function beside({ name, source, besides, run, shift }: Machine): Planned[] {
  const found = volumeOf(source);
  return found ? by('root', besides.flatMap((one) => openingBesides(name, found, one, shift, run))) : [];
}

/** What a driver puts into the root of a service on a volume stays there until the machine is removed: when it is stopped, systemd has closed the volume already. */
const staysInside = (machine: Machine): boolean => machine.way === 'service' && volumeOf(machine.source) !== null && !machine.ephemeral;

/** Builds the template beside its place and moves it there when it is whole. */
function template({ source, name, run }: Machine, facts: Facts): Planned[] {
  if (!isToBeBuilt({ source }, facts) || source.kind !== 'template') return [];
  const partial = `${store.templates}/.${source.key}.${name}`;
  const seen = `${run}/build`;
  return by('root', [
    { kind: 'workspace', path: partial }, folder(`${partial}/root`), folder(seen),
    ...source.build(`${partial}/root`, seen),
    ...(source.masks && source.masks.length > 0 ? [{ kind: 'mask' as const, root: `${partial}/root`, made: source.masks }] : []),
    { kind: 'seal', template: partial },
    { kind: 'sync', path: partial }, // else a power cut could leave a template with empty files
    { kind: 'rename', from: partial, to: dirname(store.template(source.key)) },
    { kind: 'remove-tree', path: partial }, // only there when another machine has built the same meanwhile
  ]);
}

/** A machine is made from a template that is as it was built. Those that are made already stay as they are. */
function verified({ source, record, ephemeral }: Machine, { store: { templates } }: Facts): Planned[] {
  const key = templateOf(source);
  return key !== null && templates.includes(key) && (ephemeral || !record) ? by('root', [{ kind: 'verify', template: dirname(store.template(key)), key }]) : [];
}

/** A file system of the container's own is mounted there. */
const covered = /^\/(run|tmp|dev|proc|sys)(\/|$)/;

/** What a driver of the host, or a device's maker, puts into a root for a run: while the overlay over it is not mounted. */
function visiting(machine: Machine): Planned[] {
  const { seenBinds, links, origin, libraryKey } = machine;
  return [
    ...seenBinds.filter(({ to, passes }) => passes && !covered.test(to)).map(({ to, type, of }): Planned => ({ by: (of && origin.get(of)) ?? libraryKey, step: { kind: 'mount-point', layers: layersAt(machine, to), path: to, type } })),
    ...links.map((link): Planned => ({ by: origin.get(link) ?? libraryKey, step: { kind: 'link-inside', layers: layersAt(machine, link.path), path: link.path, to: link.to } })),
  ];
}

/** The folders of a machine's own layer, and what must be in it before it runs. */
function layer(machine: Machine, under: string): Planned[] {
  const { top, source } = machine;
  return [
    ...by('root', [
      { kind: 'workspace', path: under }, folder(top!), folder(`${top}/work`),
      ...(source.kind === 'clone' ? [{ kind: 'copy-tree' as const, from: `${source.top}/upper`, to: `${top}/upper`, of: source.of }] : [folder(`${top}/upper`)]),
    ]),
    ...contents(machine),
  ];
}

/** The accounts, and the places that binds cover: nspawn cannot make those in a root with mapped ids, and would leave them behind. */
function contents(machine: Machine): Planned[] {
  const { layers, seenBinds, account, accounts } = machine;
  const points = seenBinds.filter(({ to, passes }) => !passes && !covered.test(to)).map(({ to, type }) => ({ path: to, type }));
  return [
    ...(lacksAccounts(machine) ? by('user', [
      ...accounts.add.users.map(({ home }): Step => ({ kind: 'mount-point', layers, path: dirname(home), type: 'directory' })),
      { kind: 'accounts', layers, add: accounts.add },
    ]) : []),
    ...by('root', [{ kind: 'places', layers: layersAt(machine, '/') }]),
    ...by('root', [...(account.uid === 0 ? [{ path: account.home, type: 'directory' as const }] : []), ...points]
      .map(({ path, type }) => ({ kind: 'mount-point', layers: layersAt(machine, path), path, type }))),
    ...(staysInside(machine) ? visiting(machine) : []),
  ];
}

/** The running system is seen in some folders of its root alone. */
const layersAt = ({ source, layers }: Machine, path: string): string[] =>
  source.kind === 'host' && !isBelow(path, source.folders) ? layers.slice(0, 1) : layers;

const isBelow = (path: string, folders: string[]): boolean => folders.some((folder) => path === `/${folder}` || path.startsWith(`/${folder}/`));

function making(machine: Machine): Planned[] {
  const { name, ephemeral, fleeting, record, source, top, shift, idsBefore, file, ownership } = machine;
  if (ephemeral || fleeting) return [];
  if (record) return contents(machine);
  const own = store.machine(name);
  const text = JSON.stringify({
    name, template: templateOf(source),
    directory: source.kind === 'directory' ? source.path : null, ...(volumeOf(source) && { volume: volumeOf(source)! }), ...(ownership === 'shift' && { shifted: true }), shift: shift || null, file,
  });
  return [
    ...(top ? layer(machine, own) : [
      ...by('root', [{ kind: 'workspace', path: own }, ...(source.kind === 'directory' && source.copy ? [{ kind: 'copy-tree' as const, from: source.copy.from, to: source.path, of: source.copy.of }] : [])]),
      ...contents(machine),
    ]),
    ...(ownership === 'shift' && source.kind === 'directory' ? by('users', [{ kind: 'owners', directory: source.path, from: idsBefore, to: shift, notes: store.owners(name) }]) : []),
    ...by('name', [{ kind: 'write', path: `${own}/machine.json`, text: `${text}\n`, mode: 0o600 }]),
  ];
}

/** The root as it will be seen inside. */
function seeing(machine: Machine): Planned[] {
  const { name, ephemeral, top, root, layers, shift, source, account } = machine;
  if (!top) return [...(machine.fleeting ? contents(machine) : []), ...(staysInside(machine) ? [] : visiting(machine))];
  const scratch = store.scratch(name);
  const mounted = { kind: 'overlay', at: root, top, upper: 'upper', work: 'work', lower: layers[1]!, shift } as const;
  if (source.kind !== 'host')
    return [...(ephemeral ? layer(machine, scratch) : []), ...visiting(machine), ...by('root', [folder(root), mounted])];

  const seen = `${scratch}/host`;
  const folders = ['proc', 'sys', 'dev', 'run', 'var', 'var/cache', 'var/lib', 'var/log', 'home', 'mnt', 'opt', 'srv', ...source.folders];
  return [
    ...by('root', [
      { kind: 'workspace', path: scratch }, folder(top), folder(`${top}/upper`), folder(`${top}/work`), folder(seen),
      ...folders.map((path) => folder(`${seen}/${path}`)), folder(`${seen}/root`, 0o700), folder(`${seen}/tmp`, 0o1777), folder(`${seen}/var/tmp`, 0o1777),
      ...Object.entries(source.links).map(([link, to]): Step => ({ kind: 'symlink', path: `${seen}/${link}`, to })),
      ...source.folders.map((path) => folder(`${scratch}/host.${path}`)),
      ...['/etc', '/usr/local'].map((below): Step => ({ kind: 'hide-private', below, upper: seen })),
      ...(account.uid === 0 || isBelow(account.home, source.folders) ? [] : [...foldersAbove(account.home).map((path) => folder(`${seen}${path}`)), { kind: 'mkdir' as const, path: `${seen}${account.home}`, mode: 0o700, owner: account }]),
    ]),
    ...contents(machine), ...visiting(machine),
    ...by('root', [
      folder(root), { ...mounted, lower: seen },
      ...source.folders.map((path): Step => ({ kind: 'overlay', at: `${root}/${path}`, top: scratch, upper: `host/${path}`, work: `host.${path}`, lower: `/${path}`, shift })),
    ]),
  ];
}

function placeOf(facts: Facts, machine: string, service: string): Place {
  return facts.supervised ? { kind: 'unit', name: unitOf(machine, service), properties: [] } : { kind: 'cgroup', folders: groupsOf(facts, `nestbox-${machine}.${service}`, ['devices']) };
}

/** What the grants asked for, ready to be given. */
function granting(machine: Machine, facts: Facts): Planned[] {
  const { name, run, edits, origin, shift, account, linkNames, boot } = machine;
  const inside = { uid: shift + account.uid, gid: shift + account.gid };
  const asked = (thing: unknown) => origin.get(thing) ?? '';
  const theirs = edits.binds.filter(({ owner }) => owner === 'theirs');
  const nodes = `${run}/nodes`;
  const ownsDev = engines[machine.engine]!.mountsInside ?? false;
  const nodeFolders = [...new Set([...(ownsDev ? ['/dev'] : []), ...edits.devices.flatMap(({ path }) => foldersAbove(path))])];
  const root = { uid: shift, gid: shift };
  const held = ownsDev && shift !== 0 ? throughClosed(edits, run) : [];
  const { network } = edits;
  return [
    ...edits.before.map((step) => ({ step, by: asked(step) })),
    ...(edits.texts.length > 0 ? by(asked(edits.texts[0]), [folder(`${run}/texts`)]) : []),
    ...edits.texts.flatMap((text, i) => by(asked(text), [{ kind: 'write', path: textFile(run, i), text: text.text, mode: 0o644 }])),
    ...(machine.ipc === null ? [] : by(asked(edits.services.find(({ memory }) => memory)), [{ kind: 'write', path: machine.ipc, text: '', mode: 0o600 }, { kind: 'ipc', at: machine.ipc }])),
    ...edits.services.flatMap((service): Planned[] => {
      const place = placeOf(facts, name, service.name);
      return by(asked(service), [
        ...(place.kind === 'cgroup' ? [{ kind: 'cgroup' as const, folders: place.folders, settings: [] }] : []),
        { kind: 'service', name: service.name, argv: service.argv, environment: service.environment, user: service.user, ready: service.ready, log: `${run}/${service.name}.log`, place, leaves: service.leaves, grace: service.grace ?? false, output: service.output ?? null, ...(service.input !== undefined && { input: service.input }), ...(service.memory && machine.ipc !== null && { ipc: { at: machine.ipc, opens: service.memory === 'opens' } }) },
      ]);
    }),
    ...theirs.flatMap((bind, i): Planned[] => {
      const found = facts.paths[bind.from]!;
      const at = `${run}/files/${i}`;
      return by(asked(bind), [
        folder(`${run}/files`), found.kind === 'directory' ? folder(at) : { kind: 'write', path: at, text: '', mode: 0o644 },
        { kind: 'bind', from: found.leads ?? bind.from, at, owner: { uid: found.uid, gid: found.gid }, shownAs: inside, write: bind.write },
      ]);
    }),
    ...held.flatMap((bind, i): Planned[] => {
      const at = `${run}/held/${i}`;
      return by(asked(bind), [folder(`${run}/held`), typeOfBind(facts, bind) === 'directory' ? folder(at) : { kind: 'write', path: at, text: '', mode: 0o644 }, { kind: 'bind', from: facts.paths[bind.from]?.leads ?? bind.from, at, owner: null, shownAs: null, write: bind.write }]);
    }),
    ...(edits.devices.length > 0 || ownsDev ? by(asked(edits.devices[0]), [
      folder(nodes), { kind: 'tmpfs', at: nodes, mode: 0o755, bytes: 2 ** 20, owner: { uid: 0, gid: 0 }, devices: true },
      ...nodeFolders.map((path): Step => (ownsDev ? { kind: 'mkdir', path: `${nodes}${path}`, mode: 0o755, owner: root } : folder(`${nodes}${path}`))),
      ...(ownsDev ? everyNode.map(([path, minor, major]): Step => ({ kind: 'node', path: `${nodes}${path}`, from: path, type: 'c', major, minor, mode: 0o666, owner: root })) : []),
    ]) : []),
    ...edits.devices.flatMap((device) => by(asked(device), [{
      kind: 'node', path: `${nodes}${device.path}`, from: device.from ?? device.path, type: device.type, major: device.major, minor: device.minor,
      ...(device.as ? { mode: device.as.mode, owner: { uid: shift + device.as.uid, gid: shift + device.as.gid } }
        : { mode: modeInside(device), owner: { uid: shift, gid: device.group === null ? shift : shift + device.group } }),
    }])),
    ...(machine.linkerCache ? by(machine.libraryKey, [{ kind: 'linker-cache', path: `${run}/ld.so.cache`, entries: machine.linkerCache }]) : []),
    ...(account.uid === 0 || boot ? [] : by('user', [folder(`${run}/user`), { kind: 'tmpfs', at: `${run}/user`, mode: 0o700, bytes: 2 ** 26, owner: inside, devices: false }])),
    ...(namesServers(network) ? by(asked(network), [{ kind: 'write', path: `${run}/resolv.conf`, text: network.nameservers.map((server) => `nameserver ${server}\n`).join(''), mode: 0o644 }]) : []),
    ...(network.kind === 'link' ? by(asked(network), [
      ...(machine.gate ? [folder(dirname(machine.gate), 0o700), { kind: 'fifo' as const, path: machine.gate }] : []), // LXC moves the link in before anything runs
      { kind: 'link', name: linkNames.host, peer: linkNames.inside, address: privateNetwork(name).host, bridge: network.bridge, nat: network.nat ? natOf(name, network.ports) : null },
    ]) : []),
  ];
}

/** What every container has, and others make themselves: path, minor and major number (Documentation/admin-guide/devices.txt). */
const everyNode: [path: string, minor: number, major: number][] = [['/dev/null', 3, 1], ['/dev/zero', 5, 1], ['/dev/full', 7, 1], ['/dev/random', 8, 1], ['/dev/urandom', 9, 1], ['/dev/tty', 0, 5]];

/** /dev/dri/renderD128 -> /dev, /dev/dri */
const foldersAbove = (path: string): string[] => (dirname(path) === '/' ? [] : [...foldersAbove(dirname(path)), dirname(path)]);

const container = (machine: Machine, facts: Facts): Planned[] => [...by('limits', groups(machine, facts)), ...by('run', engines[machine.engine]!.start(machine, facts, machine.engineOptions))];

/** The machine's own control groups with its device rights and limits; systemd is told these with the container. */
function groups({ place, edits }: Machine, facts: Facts): Step[] {
  if (place.kind !== 'cgroup') return [];
  const folderOf = (controller: string) => place.folders.find((path) => facts.cgroups.version === 2 || path.startsWith(facts.cgroups.own[controller] ?? ' ')) ?? place.folders[0]!;
  const policy = facts.cgroups.version === 1 && facts.cgroups.own.devices ? devicePolicy(folderOf('devices'), edits) : { settings: [] };
  return [{ kind: 'cgroup', folders: place.folders, ...policy, settings: [...policy.settings, ...limitSettings(edits.limits, facts.cgroups, folderOf)] }];
}
