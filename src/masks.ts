import * as v from 'valibot';
import { says } from './schema.ts';

/** What of systemd is left out in a root that nestbox makes and that boots: it is made for a computer, and a container has a host for it. */

/** A unit or a generator, and why it is left out. */
export interface Mask {
  name: string;
  why: string;
  /** Of a generator: condition of a shell on which it is started all the same. */
  when?: string;
}

/** Units that do nothing that is of use in a container; systemd.special(7). Those that would see it by themselves (ConditionVirtualization=) are here too, as systemd reads their files at each start all the same. */
export const maskedUnits: readonly Mask[] = [
  { name: 'dev-hugepages.mount', why: 'large pages are given out by the host' },
  { name: 'dev-mqueue.mount', why: 'it only lists message queues; they work without it' },
  { name: 'systemd-remount-fs.service', why: 'the host has mounted the root as it is to be' },
  ...['systemd-tmpfiles-setup-dev.service', 'systemd-tmpfiles-setup-dev-early.service'].map((name) => ({ name, why: 'the host makes the nodes in /dev' })),
  { name: 'systemd-update-utmp.service', why: 'it writes down when the computer was started; logins are written down by others' },
  { name: 'systemd-update-utmp-runlevel.service', why: 'it writes down the run level, which systemd has none of' },
  ...['e2scrub_all.timer', 'e2scrub_reap.service', 'systemd-fsck-root.service', 'systemd-fsckd.socket'].map((name) => ({ name, why: 'file systems are checked by the host' })),
  { name: 'fstrim.timer', why: 'disks are told by the host which blocks are free' },
  ...['proc-sys-fs-binfmt_misc.automount', 'sys-fs-fuse-connections.mount', 'sys-kernel-config.mount', 'sys-kernel-debug.mount', 'sys-kernel-tracing.mount', 'systemd-binfmt.service', 'systemd-journald-audit.socket', 'systemd-pstore.service', 'systemd-random-seed.service']
    .map((name) => ({ name, why: 'the kernel is the host\'s' })),
  ...['systemd-pcrmachine.service', 'systemd-pcrphase.service', 'systemd-pcrphase-sysinit.service', 'systemd-tpm2-setup.service', 'systemd-tpm2-setup-early.service'].map((name) => ({ name, why: 'there is no security chip' })),
  ...['systemd-battery-check.service', 'systemd-boot-random-seed.service', 'systemd-hibernate-clear.service', 'systemd-repart.service'].map((name) => ({ name, why: 'it is about the computer that a system starts on' })),
];

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
  { name: 'systemd-debug-generator', why: 'systemd has been started without words for it', when: '[ "$words" ]' },
  { name: 'systemd-run-generator', why: 'systemd has been started without words for it', when: '[ "$words" ]' },
  { name: 'systemd-fstab-generator', why: '/etc/fstab says nothing', when: '[ "$words$mounts" ]' },
  { name: 'systemd-getty-generator', why: 'the console has its login by a link', when: '[ "$terminals" ]' },
  { name: 'systemd-rc-local-generator', why: 'there is no /etc/rc.local', when: '[ -x /etc/rc.local ]' },
  { name: 'systemd-ssh-generator', why: 'there is no SSH server', when: '[ -x /usr/sbin/sshd ]' },
  { name: 'systemd-sysv-generator', why: 'all scripts in /etc/init.d have units', when: '[ "$scripts" ]' },
];

const folders = { unit: '/etc/systemd/system', generator: '/etc/systemd/system-generators' };

/** The journal begins in /run and is moved when /var is mounted, for which the rest of the start waits. In a container /var is there before systemd is, and the journal is told so. */
const flush = 'systemd-journal-flush.service';

/**
 * systemd-journald(8) begins in /var where this file is. It is made as the journal's standard output, to which nothing is written: before the journal starts, and without a program more.
 */
const flushed = '[Service]\nStandardOutput=file:/run/systemd/journal/flushed\nStandardError=null\n';

/** It takes away /run/nologin, which is made at each start so that nobody logs in before the computer is up. Whoever asks for a login waits for it. */
const sessions = 'systemd-user-sessions.service';

/** The logins' keeper is not wanted by the system as it starts, but by the bus, which starts it for the first who asks for it: pam_systemd(8), loginctl(1), a display manager. */
const keeper = 'systemd-logind.service';

/** The bus is not wanted either: its socket is there from the start on, and starts it for the first who speaks on it. systemd joins it then. */
const bus = 'dbus.service';

/** Who lingers has programs from the start on, and these need it: loginctl(1). */
const lingering = `for user in /var/lib/systemd/linger/*; do
	[ -e "$user" ] && mkdir -p "$normal/multi-user.target.wants" && ln -sf /usr/lib/systemd/system/${keeper} "$normal/multi-user.target.wants/${keeper}"
done
`;

/** Where something is mounted inside, the journal and the logins may have to wait for it: these units are as systemd has them then. */
const waiting = (units: readonly string[]): string => `for unit in var var-log var-log-journal home; do
	[ -e "${folders.unit}/$unit.mount" ] && mounts=yes
done
if [ "$mounts" ]; then
	for unit in ${units.join(' ')}; do cp "/usr/lib/systemd/system/$unit" "$early"; done
	mkdir "$early/systemd-journald.service.d" && : > "$early/systemd-journald.service.d/nestbox.conf"
fi
`;

/**
 * One shell in the place of those generators that sometimes have something to do: it looks whether they have, and starts them as systemd would.
 * A shell reads past the zeros between the words of /proc/1/cmdline. systemd has one word alone unless a machine file has `parameters`, or it was started anew; credentials say as much as words.
 */
const generator = (masks: readonly Mask[], keeps: boolean, waited: readonly string[]): string => `#!/bin/sh
# Made by nestbox: starts the generators of systemd that have something to do in this container. See docs/whole-system.md, "What is left out".
normal=$1 early=$2 late=$3 words= mounts= terminals= scripts=
read -r line < /proc/1/cmdline
case $line in
/usr/lib/systemd/systemd | /lib/systemd/systemd | /usr/sbin/init | /sbin/init) ;;
*/systemdSYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1) ;; # of hosts with version 1 of control groups, from systemd 256 on
*mount* | *volatile*) words=yes mounts=yes ;;
*) words=yes ;;
esac
[ -e /run/credentials/@system ] || [ -e /run/host/credentials ] && words=yes mounts=yes
read -r line < /proc/1/environ
case $line in *container_ttys=*) terminals=yes ;; esac
[ -e /etc/fstab ] && while read -r line || [ "$line" ]; do
	case $line in '' | '#'*) ;; *) mounts=yes ;; esac
done < /etc/fstab
for script in /etc/init.d/*; do
	name=\${script##*/}
	name=\${name%.sh}
	[ -x "$script" ] && ! [ -e "/usr/lib/systemd/system/$name.service" ] && ! [ -e "/etc/systemd/system/$name.service" ] && scripts=yes
done
start() { [ -x "/usr/lib/systemd/system-generators/$1" ] && "/usr/lib/systemd/system-generators/$1" "$normal" "$early" "$late"; }
${masks.map(({ name, when }) => `${when} && start ${name}\n`).join('')}${keeps ? lingering : ''}${waited.length > 0 ? waiting(waited) : ''}exit 0
`;

/**
 * Says that /etc and /var are as new as /usr is: systemd-update-done.service(8). The package manager has done by then what systemd would do at the first start, or at each where that
 * service is absent: accounts, the linker's cache, the journal's catalogue. After an update of /usr systemd does it again.
 */
const stamps: Made[] = ['/etc/.updated', '/var/.updated'].map((path) => ({ path, to: null, text: '', mode: 0o644, why: 'all is as new as /usr is' }));

/** Every word that takes one of them back. */
export const maskWords: readonly string[] = [...[...maskedUnits, ...maskedGenerators].map(({ name }) => name), keeper, bus, flush, sessions];

/** The key of [root] that takes masks back. */
export const unmasked = v.optional(v.pipe(v.union([v.literal('all'), v.array(v.picklist(maskWords))], 'expected "all", or a list of units and generators that nestbox masks'), says('What is started inside although it is of no use in a container: units and generators that nestbox masks in a root that boots, or "all" of them. See docs/whole-system.md.')));

/** What a machine file takes back: words of `maskWords`, or all. */
export type Unmasked = readonly string[] | 'all';

/** What is made in a root: links to /dev/null, and files. */
export interface Made {
  path: string;
  /** A link to there; null: a file. */
  to: string | null;
  text: string;
  mode: number;
  why: string;
}

/** What is made in a root that boots, but for those that are to stay as they are. The stamps come last: they have to be younger than /usr. */
export function masksOf(unmasked: Unmasked): Made[] {
  if (unmasked === 'all') return [];
  const is = ({ name }: { name: string }) => !unmasked.includes(name);
  const keeps = is({ name: keeper });
  const waited = [flush, sessions].filter((name) => is({ name }));
  const link = (path: string, why: string, to = '/dev/null'): Made => ({ path, to, text: '', mode: 0o777, why });
  const sometimes = maskedGenerators.filter((mask) => mask.when !== undefined && is(mask));
  return [
    ...maskedUnits.filter(is).map(({ name, why }) => link(`${folders.unit}/${name}`, why)),
    ...maskedGenerators.filter(is).map(({ name, why }) => link(`${folders.generator}/${name}`, why)),
    // In a folder of wishes a link to /dev/null takes back a wish, and not the unit.
    ...(keeps ? [link(`${folders.unit}/multi-user.target.wants/${keeper}`, 'the bus starts it for the first login')] : []),
    ...(is({ name: bus }) ? [link(`${folders.unit}/multi-user.target.wants/${bus}`, 'its socket starts it for the first who speaks on it')] : []),
    ...(sometimes.some(({ name }) => name === 'systemd-getty-generator') ? [link(`${folders.unit}/getty.target.wants/console-getty.service`, 'the login of the console', '/usr/lib/systemd/system/console-getty.service')] : []),
    ...(waited.includes(flush) ? [link(`${folders.unit}/${flush}`, 'the journal is on the disk from its first line on'), { path: `${folders.unit}/systemd-journald.service.d/nestbox.conf`, to: null, text: flushed, mode: 0o644, why: 'tells the journal that /var is there' }] : []),
    ...(waited.includes(sessions) ? [link(`${folders.unit}/${sessions}`, 'there is no /run/nologin to be taken away'), link('/etc/tmpfiles.d/systemd-nologin.conf', 'logins are let in from the start on')] : []),
    { path: `${folders.generator}/nestbox-generator`, to: null, text: generator(sometimes, keeps, waited), mode: 0o755, why: 'starts those generators that have something to do' },
    ...stamps,
  ];
}
