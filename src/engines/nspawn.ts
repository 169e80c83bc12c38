import { basename, dirname } from 'node:path/posix';
import type { Bind, Network } from '../edits.ts';
import { defineEngine, engineOptions } from '../engine.ts';
import { lacks, lacksProgram } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { killSignal } from '../foreign/boot.ts';
import { assignment } from '../ini.ts';
import { portText } from '../ports.ts';
import { beyondUsual, filterLines, hostCgroups } from '../powers.ts';
import type { Step } from '../step.ts';
import { store } from '../store.ts';
import { commandOf } from '../units/commands.ts';
import { atGate, gateBinds, settings } from '../units/settings.ts';

/** systemd-nspawn(1), from version 247 on. Every option has its value behind '=', so that no value can be taken for another option. */
export default defineEngine({
  summary: 'systemd-nspawn',
  options: engineOptions({}, {}),
  lacks: {},

  units: (machine, facts, comment) => ({
    files: [{ path: `/etc/systemd/nspawn/${machine.name}.nspawn`, text: settings(machine, facts, comment) }], steps: [], link: 'by it', image: { path: `/var/lib/machines/${machine.name}`, to: machine.root }, folder: null,
    lines: [
      // It is started when the system inside says so, and systemd would kill after 90 s one that takes longer: on a slow or busy computer, and emulated.
      ...(machine.boot === 'systemd' ? [['TimeoutStartSec', '10min'] as const] : []),
      ...(machine.ipc === null ? [] : [['Environment', assignment('SYSTEMD_NSPAWN_SHARE_NS_IPC', '1')] as const]),
      ...(machine.edits.cgroups === 'host' ? Object.entries(hostCgroups).map(([key, value]) => ['Environment', assignment(key, value)] as const) : []),
      ...forgetting(machine.edits.network, facts),
    ],
  }),
  needs: ({ ownership }, { systemd, programs, distribution }) => [
    ...(programs['systemd-nspawn'] ? [] : [lacksProgram('systemd-nspawn', 'run the container', { distribution })]),
    ...(systemd !== null && systemd < 247 ? [lacks(`systemd-nspawn ${systemd} is too old: nestbox needs 247`, 'use a newer distribution')] : []),
    ...(ownership === 'map' && systemd !== null && systemd < 249
      ? [lacks(`systemd-nspawn ${systemd} cannot map the ids of a root that is used in place (249 can)`, 'say users = "host", or users = "shift" to give all its files other owners')] : []),
  ],

  start(machine, facts) {
    const { name, root, shift, ownership, user, gate, argv, edits, hostname, account } = machine;
    const { before: _, services: __, binds: ___, devices: ____, classes: _________, limits: _____, groups: ______, links: _______, texts: __________, libraries: ________, interfaces, environment, network, capabilities: ___________, syscalls, parameters, cgroups, ...rest } = edits; // the binds and devices as they have been prepared: machine.seenBinds; device rights (also those of classes) and limits: machine.place; groups, links and libraries: in its root; texts: among the binds
    rest satisfies Record<string, never>; // a new kind of edit does not compile until this engine has a word on it
    const supervised = facts.supervised;
    const inside = machine.linkNames.inside;
    const capabilities = beyondUsual(edits);
    const folders = ['/run/systemd', '/run/systemd/nspawn', '/run/systemd/nspawn/propagate']; // nspawn makes them, and leaves them
    return [...folders.map((path): Step => ({ kind: 'mkdir', path, mode: 0o755 })), {
      kind: 'container',
      name, boots: machine.boot !== null,
      argv: [
        'systemd-nspawn', '--quiet', '--settings=no', `--machine=${name}`, `--directory=${root}`,
        // Where it is put is ours to say: in a scope that it makes by itself, a node that is bound from outside of /dev is refused.
        '--keep-unit', ...(supervised ? [] : ['--register=no']),
        ...(shift === 0 ? ['--private-users=no'] : [`--private-users=${shift}:65536`]),
        ...(shift !== 0 && (facts.systemd ?? 0) >= 249 ? [`--private-users-ownership=${ownership === 'map' ? 'map' : 'off'}`] : []),
        // An init has set-user-id programs to give to its users; the user namespace is what holds them.
        ...(!machine.boot ? ['--as-pid2', '--no-new-privileges=yes'] : [...(gate ? [] : ['--boot']), ...(machine.emulation && machine.boot === 'systemd' ? [`--kill-signal=${killSignal}`] : gate ? ['--kill-signal=SIGRTMIN+3'] : [])]), ...(machine.personality ? [`--personality=${machine.personality}`] : []), '--link-journal=no', '--timezone=off', '--resolv-conf=off', `--hostname=${hostname}`,
        ...(capabilities.length > 0 ? [`--capability=${capabilities.join(',')}`] : []),
        ...filterLines(syscalls).map((list) => `--system-call-filter=${list}`),
        ...(network.kind === 'host' ? [] : ['--private-network']),
        ...(network.kind === 'networkd' ? [network.bridge ? `--network-bridge=${network.bridge}` : '--network-veth', ...network.ports.map((port) => `--port=${portText(port)}`)] : []),
        ...interfaces.map((one) => `--network-interface=${one.name}${one.to === one.name ? '' : `:${one.to}`}`),
        ...[...machine.seenBinds, ...gateBinds(machine, facts)].map((bind) => bindOption(bind)),
        ...(account.uid === 0 && !machine.boot ? ['--tmpfs=/run/user/0:mode=0700'] : []),
        ...Object.entries({ ...machine.environment, ...environment }).map(([key, value]) => `--setenv=${key}=${value}`),
        ...(machine.boot ? [] : [...(user ? [`-u${user}`] : []), `--chdir=${account.home}`]), // its long form was renamed in 261
        ...(machine.boot && !gate && parameters.length === 0 ? [] : ['--']),
        ...(gate ? atGate : []),
        ...(!machine.boot ? argv : [...(gate ? [machine.boot === 'systemd' ? '/lib/systemd/systemd' : '/sbin/init'] : []), ...parameters]),
      ],
      console: { at: 1, terminal: '--console=interactive', pipe: '--console=pipe' },
      // Our own lock is held already; nspawn's would be left beside the root after a kill.
      environment: { SYSTEMD_NSPAWN_LOCK: '0', ...(machine.ipc !== null && { SYSTEMD_NSPAWN_SHARE_NS_IPC: '1' }), ...(cgroups === 'host' && hostCgroups) },
      ...(machine.ipc !== null && { ipc: machine.ipc }),
      place: machine.place,
      inside: network.kind === 'link' ? { peer: inside, address: network.address, gateway: network.gateway, gate: gate! } : null,
      ports: network.kind === 'networkd' && facts.programs.nft ? network.ports : [],
      filters: store.filters,
      leftovers: [`/run/systemd/nspawn/propagate/${name}`, `/run/systemd/nspawn/unix-export/${name}`, `${dirname(root)}/.#${basename(root)}.lck`],
    }];
  },
});

/** Killed, it leaves the ports of the host that lead to the machine. */
function forgetting(network: Network, facts: Facts): readonly (readonly [string, string])[] {
  const { nft } = facts.programs;
  if (network.kind !== 'networkd' || network.ports.length === 0 || !nft) return [];
  return [['ExecStopPost', `-${commandOf(facts, ['nestbox-native', 'forget-ports', nft, ...network.ports.flatMap(({ protocol, host }) => [protocol, `${host}`])])}`]];
}

const bindOption = ({ from, to, write }: Pick<Bind, 'from' | 'to' | 'write'>): string => `--bind${write ? '' : '-ro'}=${escape(from)}:${escape(to)}`;

/** A colon ends a path in --bind=, a backslash makes one part of it. */
const escape = (path: string): string => path.replace(/[\\:]/g, '\\$&');
