import type { Text } from './edits.ts';
import type { Facts } from './facts.ts';

/** What machines with keyboards and mice of the host have in common. */

/** Devices are made by it. It is there before the module is loaded, which the kernel does when it is opened. */
export const uinput = '/dev/uinput';

export const groupCalled = ({ groups }: Facts, wanted: string): number | undefined => {
  const found = Object.entries(groups).find(([, name]) => name === wanted);
  return found && Number(found[0]);
};

/** Who may open the nodes of input devices, by the host's id. */
export const inputGroup = (facts: Facts): number => groupCalled(facts, 'input') ?? 0;

/** How the relay of udev's messages finds the container: `unit` is what has it where that is not systemd-nspawn's. */
export const container = ({ supervised, cgroups: { own, version } }: Facts, machine: string, unit: string | null): string[] =>
  unit !== null ? ['--group', `/sys/fs/cgroup${version === 2 ? '' : '/systemd'}/machine.slice/${unit}`] : supervised ? ['--machine', machine] : ['--group', `${(version === 2 ? own[''] : (own.devices ?? Object.values(own)[0])) ?? '/sys/fs/cgroup'}/nestbox-${machine}`.replace('//', '/')];

/** Keys that switch the computer off are the host's to act on, and there are no further terminals for logins: logind.conf(5). */
export const logind: Text = {
  path: '/etc/systemd/logind.conf.d/60-nestbox.conf',
  text: `[Login]\nNAutoVTs=0\nReserveVT=0\n${['PowerKey', 'PowerKeyLongPress', 'RebootKey', 'RebootKeyLongPress', 'SuspendKey', 'SuspendKeyLongPress', 'HibernateKey', 'HibernateKeyLongPress', 'LidSwitch', 'LidSwitchExternalPower', 'LidSwitchDocked']
    .map((key) => `Handle${key}=ignore\n`).join('')}`,
};
