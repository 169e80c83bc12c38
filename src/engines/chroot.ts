import * as v from 'valibot';
import { defineEngine, engineOptions, type Lacks } from '../engine.ts';
import { lacksProgram, type Problem } from '../errors.ts';
import type { Machine } from '../machine.ts';
import { capabilityMask, leftTo } from '../powers.ts';
import { says } from '../schema.ts';

/** The engine that has it. */
const otherwise = { say: 'engine = "nspawn"', loses: 'that it runs on hosts without systemd-nspawn, and mounts that stay' };

/** What a root directory alone cannot do: there is no second set of ids, and no second network. */
const lacks: Lacks = {
  'own-ids': {
    why: 'a chroot has no ids of its own: root inside is root of the host', mend: 'say users = "host"', accept: 'no-user-namespace',
    exposes: { can: 'root', what: 'root inside is root of the host, and what it writes to disks and folders that it was given belongs to the host\'s root', smaller: otherwise },
  },
  'shifted-ids': { why: 'a chroot has no ids of its own: files with other owners would be nobody\'s inside', mend: 'say users = "host", and nestbox unshift where the files have other owners already' },
  boot: { why: 'an init cannot be started in a chroot: it would take the control groups and the network for its own', mend: 'leave boot out, or say engine = "nspawn"' },
  service: { why: 'systemd is given units of systemd-nspawn, and a chroot is none of these', mend: 'nestbox run keeps it in the foreground; or say engine = "nspawn"' },
  'no-network': { why: 'a chroot shares the network of the host: it cannot be kept from it', ...sharedNetwork() },
  'linked-network': { why: 'a chroot shares the network of the host, and has none of its own', ...sharedNetwork() },
  networkd: { why: 'a chroot shares the network of the host, and has none of its own', ...sharedNetwork() },
  ports: { why: 'a chroot shares the network of the host: no port can lead to another one inside', mend: 'leave ports out, and let the program listen at the port itself' },
  interfaces: { why: 'a chroot shares the network of the host: no interface can be moved into it', mend: 'name a device that asks for no interface, or say engine = "nspawn"' },
  'visible-input': { why: 'a chroot shares the network of the host, over which it would be told of the keyboards and mice that are not to be its own', mend: 'say input = "all", or engine = "nspawn"' },
  'fewer-calls': {
    why: 'a chroot has no filter of system calls: none can be forbidden', mend: 'leave those with ~ out of syscalls', accept: 'no-call-filter',
    exposes: { can: 'calls', what: 'programs inside may make every system call of the kernel that their capabilities let them', smaller: otherwise },
  },
  'host-cgroups': { why: 'nothing is mounted at /sys/fs/cgroup in a chroot', mend: 'leave cgroups out, or say engine = "nspawn"' },
};

/** Where it is accepted, the machine has `network = "host"`, which says what that opens. */
function sharedNetwork() {
  return { mend: 'say network = "host"', accept: 'no-network-isolation' };
}

/** A root directory with the mounts that it needs, in namespaces of its own for mounts and processes: native/chroot.c. */
export default defineEngine({
  summary: 'a root directory with the mounts that it needs',
  options: engineOptions(lacks, {
    keep: v.optional(v.pipe(v.boolean(), says('Leave the mounts on the host until nestbox stop, as one does by hand.')), false),
    login: v.optional(v.pipe(v.boolean(), says("Read the root's /etc/profile before the program, as a login does.")), true),
  }),
  lacks,

  needs: (machine, { programs, distribution }, { keep }): Problem[] => [
    ...(programs['nestbox-native'] ? [] : [lacksProgram('nestbox-native', 'go into the root', { distribution })]),
    ...(keep ? needsOfKeeping(machine) : []),
  ],

  start(machine, _facts, { keep, login }) {
    const { name, root, user, argv, edits, hostname, account, seenBinds } = machine;
    // As with systemd-nspawn: binds and devices as they have been prepared; device rights and limits: machine.place; groups, links and libraries: in its root; texts: among the binds.
    const { before: _, services: __, binds: ___, devices: ____, classes: _____, limits: ______, groups: _______, links: ________, texts: _________, libraries: __________, capabilities: ___________, environment, network: ____________, interfaces: _____________, syscalls: ______________, parameters: _______________, cgroups: ________________, ...rest } = edits; // the last five: what it lacks
    rest satisfies Record<string, never>; // a new kind of edit does not compile until this engine has a word on it
    const mounts = seenBinds.map(({ from, to, write }) => ({ from, to, write }));
    return [
      ...(keep ? [{ kind: 'chroot-mounts' as const, root, binds: mounts }] : []),
      {
        kind: 'container' as const, name, boots: false,
        argv: [
          'nestbox-native', 'chroot', root, `--hostname=${hostname}`, `--user=${user ?? 'root'}`, `--directory=${account.home}`,
          `--capabilities=${capabilityMask(leftTo(edits))}`, ...(machine.personality ? [`--personality=${machine.personality}`] : []), ...(login ? ['--login'] : []),
          ...(machine.ipc === null ? [] : [`--ipc=${machine.ipc}`]),
          ...(keep ? ['--kept'] : mounts.flatMap(({ from, to, write }) => [write ? '--bind' : '--bind-ro', from, to])),
          ...Object.entries({ ...machine.environment, ...environment }).map(([key, value]) => `--setenv=${key}=${value}`),
          '--', ...argv,
        ],
        console: { at: 3, terminal: '--terminal', pipe: '' },
        environment: {}, place: machine.place, inside: null, ports: [], leftovers: [],
      },
    ];
  },
});

/** Mounts can stay without anybody; what else a machine may have ends with nestbox, or is closed at its end. */
function needsOfKeeping({ edits, origin, source }: Machine): Problem[] {
  const keeps = 'keep = true leaves mounts on the host';
  const mend = 'leave keep out, or what asks for that';
  const last = (thing: unknown) => (origin.get(thing) ?? '').split('.');
  return [
    ...edits.services.slice(0, 1).map((service): Problem => ({ what: `${keeps}, and the program '${service.name}' that they lead to would end with the run`, mend, fatal: true, at: last(service) })),
    ...edits.before.filter(({ kind }) => kind === 'terminal').map((step): Problem => ({ what: `${keeps}, and the terminal would stay taken`, mend, fatal: true, at: last(step) })),
    ...(source.kind === 'directory' && source.volume ? [{ what: `${keeps}, and the volume of the root is closed at the end of a run`, mend, fatal: true, at: ['root'] }] : []),
  ];
}
