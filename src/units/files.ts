import { dirname } from 'node:path/posix';
import type { Network, Service } from '../edits.ts';
import type { EngineUnits } from '../engine.ts';
import { engines } from '../engines/index.ts';
import type { Facts } from '../facts.ts';
import { assignment, continued, iniText, type Section, settingWord, unitValue } from '../ini.ts';
import { insideLink, type Machine, volumeOf } from '../machine.ts';
import { privateNetwork, serviceOf, unitOf } from '../names.ts';
import { steps } from '../plan.ts';
import type { Planned } from '../plan.ts';
import { dropCommand, natOf, tableCommand } from '../ports.ts';
import type { Step } from '../step.ts';
import { launchWords } from '../steps/programs.ts';
import { store } from '../store.ts';
import { commandOf, found } from './commands.ts';
import { folder, joined, type Lines, linesOf } from './lines.ts';

/** What a machine is for systemd: files that work without nestbox, and what is done once before they do. */
export interface Units extends Pick<EngineUnits, 'files' | 'image' | 'folder'> {
  once: Step[];
  /** What its unit does after each end, in this order, whatever fails: done again for one that was killed in the middle of it. */
  ends: string[][];
}

/** What a file begins with that nestbox may write again and take away. */
export const mark = 'Written by nestbox';

const units = '/etc/systemd/system';

/** Machine -> Units. `passing`: what its plan does at each run. */
export function unitsOf(machine: Machine, facts: Facts, passing: readonly Planned[]): Units {
  const { name, run, file } = machine;
  const engine = engines[machine.engine]!;
  const service = serviceOf(name, engine);
  const comment = [`${mark} for the machine '${name}', from ${file}.`, `nestbox start ${name} writes it anew; nestbox stop ${name} and nestbox disable ${name} remove it.`];
  const own = engine.units!(machine, facts, comment);
  const said = linesOf([...steps(passing), ...own.steps], name);
  const link = own.link === 'before' ? linkLines(machine, facts) : { start: [], stop: [] };
  const lines = { once: said.once, start: [...said.start, ...link.start], stop: [...link.stop, ...said.stop] };
  const services = machine.edits.services;
  const volume = volumeOf(machine.source);
  const opensVolume = volume !== null;
  const network = own.link === 'before' ? null : networkUnit(machine, facts, comment);
  const find = (argv: readonly string[]): string => commandOf(facts, argv);
  // The folder itself goes last, and nothing that is mounted in it goes with it.
  const ends = [['nestbox-native', 'forget-devices', service, ...found(facts, ['systemctl'])], ...lines.stop, ['rm', '-rf', '--one-file-system', '--', run], ['rmdir', '--ignore-fail-on-non-empty', dirname(run)]];
  return {
    once: lines.once, ends,
    image: own.image, folder: own.folder,
    files: [
      ...own.files,
      { path: `${units}/${unitOf(name)}`, text: iniText(comment, [
        ['Unit', [['Description', `What the machine ${name} is given`], ['StopWhenUnneeded', 'yes'], ['Before', service], ['RequiresMountsFor', [store.base, ...(volume?.image ? [dirname(volume.path)] : [])].map((path) => settingWord(unitValue(path))).join(' ')]]],
        ['Service', [
          ['Type', 'oneshot'], ['RemainAfterExit', 'yes'], ['TimeoutStartSec', opensVolume ? '20min' : '60'], // a person may type three passphrases, each within five minutes
          // All in one command of the unit: systemd takes longer to begin one than most of these take.
          ['ExecStart', `${find(['nestbox-native', 'each'])} ${joined([folder(dirname(run), 0o711), folder(run, 0o711), ...lines.start]).map(find).join(continued)}`],
          ['ExecStopPost', `-${find(['nestbox-native', 'every'])} ${ends.map(find).join(continued)}`],
        ]],
      ]) },
      ...services.map((one, i) => ({ path: `${units}/${unitOf(name, one.name)}`, text: iniText(comment, serviceUnit(machine, facts, one, services[i - 1], service)) })),
      ...(network ? [{ path: `${units}/${unitOf(name, 'network')}`, text: network }] : []),
      { path: `${units}/${service}.d/nestbox.conf`, text: iniText(comment, dropIn(machine, own, network !== null)) },
    ],
  };
}

/** Gives the units to systemd; the way back takes them away again, and what was done for them. */
export const installing = (name: string, { once, files, image, folder: own, ends }: Units): Step[] => [
  { kind: 'workspace', path: store.service(name) }, { kind: 'mkdir', path: `${store.service(name)}/files`, mode: 0o700 },
  { kind: 'write', path: store.endsOfService(name), text: JSON.stringify(ends), mode: 0o600 },
  ...once,
  // systemd-nspawn makes them and leaves them: they go where they were not there before, and nobody else needs them.
  ...(own === null ? ['', '/locks', '/propagate', '/unix-export'] : []).map((path): Step => ({ kind: 'mkdir', path: `/run/systemd/nspawn${path}`, mode: 0o755 })),
  { kind: 'reload', on: 'back' },
  ...[...new Set(files.map(({ path }) => dirname(path)))].map((path): Step => ({ kind: 'mkdir', path, mode: 0o755 })),
  ...files.map(({ path, text }): Step => ({ kind: 'write', path, text, mode: 0o644 })),
  ...(image ? [{ kind: 'mkdir' as const, path: dirname(image.path), mode: 0o700 }, ...(image.path === image.to ? [] : [{ kind: 'symlink' as const, ...image }])] : []),
  { kind: 'reload', on: 'way' },
];

/** A program of the host: an id without an account is nothing that User= takes. */
function serviceUnit(machine: Machine, facts: Facts, { name, argv, environment, user, ready, leaves, input, output, memory }: Service, before: Service | undefined, serves: string): Section[] {
  const needed = before ? unitOf(machine.name, before.name) : unitOf(machine.name); // in the order of the grant that asked for them
  const native = (...words: string[]) => commandOf(facts, ['nestbox-native', ...words]);
  return [
    ['Unit', [['Description', `${name} for the machine ${machine.name}`], ['StopWhenUnneeded', 'yes'], ['Requires', needed], ['After', needed], ['Before', serves]]],
    ['Service', [
      ['Type', 'exec'], ['Environment', assignment('LANG', 'C.UTF-8')],
      ...Object.entries(environment).map(([key, value]) => ['Environment', assignment(key, value)] as const),
      ['ExecStart', native('launch', ...launchWords({ ...(memory && machine.ipc !== null && { ipc: { at: machine.ipc, opens: memory === 'opens' } }), ...(input !== undefined && { input }) }), '--user', `${user.uid}:${user.gid}`, ...(output ? ['--output', output.path, `${output.owner.uid}`, `${output.owner.gid}`] : []), '--', ...found(facts, argv))],
      ['ExecStartPost', native('ready', ready)],
      ...(leaves.length > 0 ? [['ExecStopPost', `-${native('leftover', ...leaves)}`] as const] : []),
    ]],
  ];
}

/** Addresses of both ends, once nspawn has made the link and registered the machine. Again after a reboot inside, which is a restart of the service. */
function networkUnit(machine: Machine, facts: Facts, comment: readonly string[]): string | null {
  const { name, gate, edits: { network }, linkNames } = machine;
  if (network.kind !== 'link') return null;
  const ends = hostEnd(name, linkNames.host, network, facts);
  // Where a program waits at the gate its machine is started already, and what ends without having come to it takes this with it. An init is called started when it is up, for which it may need its network.
  const afterwards = (['BindsTo', 'After'] as const).map((key) => [key, serviceOf(name)] as const);
  const inside = (...words: string[]) => ['nestbox-native', 'in-network', name, '--', ...found(facts, ['ip', ...words])];
  const start = [
    inside('link', 'set', 'lo', 'up'), // waits for the machine
    ...ends.start,
    inside('address', 'add', network.address, 'dev', insideLink), inside('link', 'set', insideLink, 'up'),
    ...(network.gateway ? [inside('route', 'add', 'default', 'via', network.gateway)] : []),
    ...(gate ? [['nestbox-native', 'gate', 'open', gate]] : []),
  ];
  const stop = [...(gate ? [['nestbox-native', 'gate', 'refuse', gate]] : []), ...ends.stop];
  return iniText(comment, [
    ['Unit', [['Description', `Network of the machine ${name}`], ['StopWhenUnneeded', 'yes'], ['PartOf', serviceOf(name)], ...(gate ? afterwards : [])]],
    ['Service', [
      ['Type', 'oneshot'], ['RemainAfterExit', 'yes'], ['TimeoutStartSec', '2min'],
      ...start.map((argv) => ['ExecStart', commandOf(facts, argv)] as const),
      ...stop.map((argv) => ['ExecStopPost', `-${commandOf(facts, argv)}`] as const),
    ]],
  ]);
}

/** Both ends of the link, before LXC moves one into its container. */
function linkLines({ name, edits: { network }, linkNames: { host, inside } }: Machine, facts: Facts): Pick<Lines, 'start' | 'stop'> {
  if (network.kind !== 'link') return { start: [], stop: [] };
  const { start, stop } = hostEnd(name, host, network, facts);
  return { start: [['ip', 'link', 'add', host, 'type', 'veth', 'peer', 'name', inside], ...start], stop: [['ip', 'link', 'delete', host], ...stop] };
}

/** The host's end of a link that is there: on its bridge, or with its address and the way out for the machine. */
function hostEnd(name: string, host: string, { bridge, nat, ports }: Extract<Network, { kind: 'link' }>, facts: Facts): Pick<Lines, 'start' | 'stop'> {
  return {
    start: [
      bridge ? ['ip', 'link', 'set', host, 'master', bridge] : ['ip', 'address', 'add', privateNetwork(name).host, 'dev', host],
      ['ip', 'link', 'set', host, 'up'],
      ...(nat ? [['nft', tableCommand(host, natOf(name, ports))], ['nestbox-native', 'forwarding', 'on', ...found(facts, ['nft'])]] : []),
    ],
    stop: nat ? [['nft', dropCommand(natOf(name, []).table)], ['nestbox-native', 'forwarding', 'off', ...found(facts, ['nft'])]] : [],
  };
}

/** What the unit of systemd itself lacks: --keep-unit gives no device right by itself, whatever is bound. */
function dropIn({ name, ipc, edits: { services, devices, classes, limits } }: Machine, own: EngineUnits, network: boolean): Section[] {
  const needed = [unitOf(name), ...services.map((service) => unitOf(name, service.name))].join(' ');
  const { cpu, memory, tasks, weight } = limits;
  return [
    ['Unit', [['Requires', needed], ['After', needed], ...(network ? [['Wants', unitOf(name, 'network')] as const] : [])]],
    ['Service', [
      ...own.lines,
      // The path alone does nothing in 252, and its engine would share the host's.
      ...(ipc === null ? [] : [['IPCNamespacePath', unitValue(ipc)] as const, ['PrivateIPC', 'yes'] as const]),
      ['DevicePolicy', 'closed'],
      // By its path, looked at at each start: after a boot the same device may have another number.
      ...onceEach(devices.filter(({ type, major, rights }) => rights !== '' && !classes.some((one) => one.type === type && one.majors.includes(major))).map(({ path, from = path, rights = 'rw' }) => ['DeviceAllow', `${unitValue(from)} ${rights}`] as const)),
      ...classes.map(({ name: of, make }) => ['DeviceAllow', `${unitValue(of)} ${make ? 'rwm' : 'rw'}`] as const),
      ...(cpu === undefined ? [] : [['CPUQuota', `${Math.round(cpu * 100)}%`] as const]),
      ...(memory === undefined ? [] : [['MemoryMax', `${memory}`] as const]),
      ...(tasks === undefined ? [] : [['TasksMax', `${tasks}`] as const]),
      ...(weight === undefined ? [] : [['CPUWeight', `${weight}`] as const, ['IOWeight', `${weight}`] as const]),
    ]],
  ];
}

/** A node that is given under two names has one line. */
const onceEach = <Line extends readonly [string, string]>(lines: Line[]): Line[] => lines.filter(([, value], i) => lines.findIndex(([, other]) => other === value) === i);
