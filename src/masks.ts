import * as v from 'valibot';
import { says } from './schema.ts';

/** What of systemd is left out in a root that nestbox makes and that boots: it is made for a computer, and a container has a host for it. */

/** A unit or a generator, and why it is left out. */
export interface Mask {
  name: string;
  why: string;
  /** Of a generator: text of a shell in which `start` starts it all the same. */
  when?: string;
}

/** Units that would be started, and do nothing that is of use in a container; systemd.special(7). Those that see by themselves where they are (ConditionVirtualization=) are left to that. */
export const maskedUnits: readonly Mask[] = [
  { name: 'dev-hugepages.mount', why: 'large pages are given out by the host' },
  { name: 'dev-mqueue.mount', why: 'it only lists message queues; they work without it' },
  { name: 'systemd-remount-fs.service', why: 'the host has mounted the root as it is to be' },
  { name: 'systemd-tmpfiles-setup-dev.service', why: 'the host makes the nodes in /dev' },
  { name: 'systemd-tmpfiles-setup-dev-early.service', why: 'the host makes the nodes in /dev' },
  { name: 'systemd-update-utmp.service', why: 'it writes down when the computer was started; logins are written down by others' },
  { name: 'systemd-update-utmp-runlevel.service', why: 'it writes down the run level, which systemd has none of' },
  { name: 'e2scrub_all.timer', why: 'file systems are checked by the host' },
  { name: 'e2scrub_reap.service', why: 'file systems are checked by the host' },
  { name: 'fstrim.timer', why: 'disks are told by the host which blocks are free' },
];

/** PID 1 has words of its own, by `parameters`, or credentials. A shell reads past the zeros between the words. */
const withWords = `read -r line < /proc/1/cmdline
case $line in
/usr/lib/systemd/systemd | /lib/systemd/systemd | /usr/sbin/init | /sbin/init) [ -e /run/credentials/@system ] || [ -e /run/host/credentials ] && start "$@" ;;
*) start "$@" ;;
esac`;

/** Programs that look at the computer at each start; systemd.generator(7). Each takes longer to be loaded than all that it does. */
export const maskedGenerators: readonly Mask[] = [
  { name: 'systemd-bless-boot-generator', why: 'boot loaders are the host\'s' },
  { name: 'systemd-cryptsetup-generator', why: 'encrypted volumes are opened by the host' },
  { name: 'systemd-factory-reset-generator', why: 'there is no firmware that would ask for it' },
  { name: 'systemd-gpt-auto-generator', why: 'partitions are found by the host' },
  { name: 'systemd-hibernate-resume-generator', why: 'a container does not hibernate' },
  { name: 'systemd-integritysetup-generator', why: 'volumes are opened by the host' },
  { name: 'systemd-system-update-generator', why: 'updates at the next start are for a computer\'s' },
  { name: 'systemd-tpm2-generator', why: 'there is no security chip' },
  { name: 'systemd-veritysetup-generator', why: 'volumes are opened by the host' },
  { name: 'systemd-debug-generator', why: 'it reads the words that systemd is started with', when: withWords },
  { name: 'systemd-run-generator', why: 'it reads the words that systemd is started with', when: withWords },
  { name: 'systemd-fstab-generator', why: 'it reads /etc/fstab', when: `${withWords}
while read -r line || [ "$line" ]; do
case $line in '' | '#'*) ;; *) start "$@" ;; esac
done < /etc/fstab` },
  { name: 'systemd-rc-local-generator', why: 'it looks for /etc/rc.local', when: '[ -x /etc/rc.local ] && start "$@"' },
  { name: 'systemd-ssh-generator', why: 'it looks for an SSH server', when: '[ -x /usr/sbin/sshd ] && start "$@"' },
  { name: 'systemd-sysv-generator', why: 'it looks for scripts in /etc/init.d that have no unit', when: `for script in /etc/init.d/*; do
name=\${script##*/}
name=\${name%.sh}
[ -x "$script" ] && ! [ -e "/usr/lib/systemd/system/$name.service" ] && ! [ -e "/etc/systemd/system/$name.service" ] && start "$@"
done` },
];

const folders = { unit: '/etc/systemd/system', generator: '/etc/systemd/system-generators' };

/** The logins' keeper is not wanted by the system as it starts, but by the bus, which starts it for the first who asks for it: pam_systemd(8), loginctl(1), a display manager. */
const keeper = 'systemd-logind.service';

/** Who lingers has programs from the start on, and these need it: loginctl(1). */
const lingering = `#!/bin/sh
# Made by nestbox: ${keeper} is started by the first login, and here as soon as somebody lingers.
for user in /var/lib/systemd/linger/*; do
[ -e "$user" ] && mkdir -p "$1/multi-user.target.wants" && exec ln -sf /usr/lib/systemd/system/${keeper} "$1/multi-user.target.wants/${keeper}"
done
exit 0
`;

const onDemand: Made[] = [
  // In a folder of wishes a link to /dev/null takes back a wish, and not the unit.
  { path: `${folders.unit}/multi-user.target.wants/${keeper}`, text: null, mode: 0o777, why: 'the bus starts it for the first login' },
  { path: `${folders.generator}/nestbox-logind-generator`, text: lingering, mode: 0o755, why: 'it is started with the system where somebody lingers' },
];

/** What stands in front of a generator: a shell that starts it when it has something to do takes a fifth of the time. */
const gate = ({ name, why, when }: Mask): string => `#!/bin/sh
# Made by nestbox: ${why}, and is only started where there is something to find.
start() { exec /usr/lib/systemd/system-generators/${name} "$@"; }
${when}
exit 0
`;

/**
 * Says that /etc and /var are as new as /usr is: systemd-update-done.service(8). The package manager has done by then what systemd would do at the first start, or at each where that
 * service is absent: accounts, the linker's cache, the journal's catalogue. After an update of /usr systemd does it again.
 */
const stamps: Made[] = ['/etc/.updated', '/var/.updated'].map((path) => ({ path, text: '', mode: 0o644, why: 'all is as new as /usr is' }));

/** Every word that takes one of them back. */
export const maskWords: readonly string[] = [...[...maskedUnits, ...maskedGenerators].map(({ name }) => name), keeper];

/** The key of [root] that takes masks back. */
export const unmasked = v.optional(v.pipe(v.union([v.literal('all'), v.array(v.picklist(maskWords))], 'expected "all", or a list of units and generators that nestbox masks'), says('What is started inside although it is of no use in a container: units and generators that nestbox masks in a root that boots, or "all" of them. See docs/whole-system.md.')));

/** What a machine file takes back: words of `maskWords`, or all. */
export type Unmasked = readonly string[] | 'all';

/** What is made in a root: links to /dev/null, and files. */
export interface Made {
  path: string;
  /** null: a link to /dev/null. */
  text: string | null;
  mode: number;
  why: string;
}

/** What is made in a root that boots, but for those that are to stay as they are. The stamps come last: they have to be younger than /usr. */
export function masksOf(unmasked: Unmasked): Made[] {
  const taken = (masks: readonly Mask[]) => (unmasked === 'all' ? [] : masks.filter(({ name }) => !unmasked.includes(name)));
  return [
    ...taken(maskedUnits).map(({ name, why }) => ({ path: `${folders.unit}/${name}`, text: null, mode: 0o777, why })),
    ...taken(maskedGenerators).map((mask) => ({ path: `${folders.generator}/${mask.name}`, text: mask.when === undefined ? null : gate(mask), mode: 0o755, why: mask.why })),
    ...(unmasked === 'all' || unmasked.includes(keeper) ? [] : onDemand),
    ...(unmasked === 'all' ? [] : stamps),
  ];
}
