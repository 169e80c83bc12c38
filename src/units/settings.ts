import { bindPath, iniText, type Section, settingWord } from '../ini.ts';
import type { Bind } from '../edits.ts';
import type { Facts } from '../facts.ts';
import { killSignal } from '../foreign/boot.ts';
import { insideLink, type Machine } from '../machine.ts';
import { portText } from '../ports.ts';
import { beyondUsual, filterLines } from '../powers.ts';

/** How what runs inside waits for its network: native/launch.c. */
export const atGate = ['/run/nestbox/native', 'wait', '/run/nestbox/gate', '--'];

/** What it needs of the host for that. */
export const gateBinds = ({ gate }: Pick<Machine, 'gate'>, { programs }: Pick<Facts, 'programs'>): Pick<Bind, 'from' | 'to' | 'write'>[] =>
  (gate ? [{ from: gate, to: '/run/nestbox/gate', write: false }, { from: programs['nestbox-native'] ?? '', to: '/run/nestbox/native', write: false }] : []);

/** The .nspawn file of a machine: systemd.nspawn(5), from version 247 on. */
export function settings(machine: Machine, facts: Facts, comment: readonly string[]): string {
  const { boot, argv, environment, edits, user, account, shift, gate, hostname, seenBinds, linkNames, personality, emulation } = machine;
  const version = facts.systemd ?? 0;
  const { network } = edits;
  const capabilities = beyondUsual(edits);
  const exec: Section = ['Exec', [
    ...(boot ? [['Boot', 'yes'] as const, ...(edits.parameters.length > 0 ? [['Parameters', edits.parameters.map(settingWord).join(' ')] as const] : [])] : [
      ['Boot', 'no'] as const, ['ProcessTwo', 'yes'] as const, ['Parameters', [...(gate ? atGate : []), ...argv].map(settingWord).join(' ')] as const,
      ...(user ? [['User', user] as const] : []), ['WorkingDirectory', account.home] as const,
    ]),
    ...Object.entries({ ...environment, ...edits.environment }).map(([name, value]) => ['Environment', settingWord(`${name}=${value}`)] as const),
    ['PrivateUsers', shift === 0 ? 'no' : `${shift}:65536`],
    ...(emulation && boot === 'systemd' ? [['KillSignal', killSignal] as const] : []),
    ...(personality ? [['Personality', personality] as const] : []),
    ...(capabilities.length > 0 ? [['Capability', capabilities.join(' ')] as const] : []),
    ...filterLines(edits.syscalls).map((list) => ['SystemCallFilter', list] as const),
    ['NoNewPrivileges', boot ? 'no' : 'yes'], // an init has set-user-id programs to give to its users
    ['Hostname', hostname], ['LinkJournal', 'no'], ['Timezone', 'off'], ['ResolvConf', 'off'],
    // Else "started" would only mean that its init has been: this waits for what the init itself calls ready.
    ...(boot === 'systemd' ? [['NotifyReady', 'yes'] as const] : []),
    // From 261 on there is a list, which will become shorter by default: udev's and other programs' monitoring needs netlink.
    ...(version >= 261 ? [['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET'] as const] : []),
  ]];
  const files: Section = ['Files', [
    // Written in all cases: what holds where it is absent has changed twice, and once it gave a whole tree other owners.
    ...(shift === 0 ? [] : [ownership(machine, version)]),
    ...[...seenBinds, ...gateBinds(machine, facts)].map(({ from, to, write }) => [write ? 'Bind' : 'BindReadOnly', `${bindPath(from)}:${bindPath(to)}`] as const),
    ...(account.uid === 0 && !boot ? [['TemporaryFileSystem', '/run/user/0:mode=0700'] as const] : []),
  ]];
  return iniText(comment, [exec, files, ['Network', [
    ['Private', network.kind === 'host' ? 'no' : 'yes'], ['VirtualEthernet', network.kind === 'networkd' ? 'yes' : 'no'],
    ...(network.kind === 'networkd' ? [...(network.bridge ? [['Bridge', network.bridge] as const] : []), ...network.ports.map((port) => ['Port', portText(port)] as const)] : []),
    ...edits.interfaces.map(({ name, to }) => ['Interface', to === name ? name : `${name}:${to}`] as const),
    ...(network.kind === 'link' ? [['VirtualEthernetExtra', `${linkNames.host}:${insideLink}`] as const] : []),
  ]]]);
}

/** The setting had another name, and no 'map', before 249. */
function ownership({ ownership }: Machine, version: number): readonly [string, string] {
  return version < 249 ? ['PrivateUsersChown', 'no'] : ['PrivateUsersOwnership', ownership === 'map' ? 'map' : 'off'];
}
