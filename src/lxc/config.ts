import { deviceList, ruleLine, rulesOf } from '../devices.ts';
import type { Limits } from '../edits.ts';
import type { Facts } from '../facts.ts';
import { insideLink, type Machine, type SeenBind } from '../machine.ts';
import { programPath } from '../places.ts';
import { leftTo } from '../powers.ts';

/** The configuration of an LXC container: lxc.container.conf(5), from version 5 on (pure). */

type Line = readonly [key: string, value: string];

/** Where nestbox-native is seen inside, and where that says how the program has ended. */
const native = '/run/nestbox/native';
const statusInside = '/run/nestbox/status';

/** Files beside the configuration. */
export const seccompFile = (folder: string): string => `${folder}/seccomp`;
export const statusFile = (run: string): string => `${run}/status`;

/**
 * A value as parse_line() of LXC's confile.c takes it: to the end of the line, without the blanks around it, and without quotes around it if it has them.
 * Throws where a value would become more than one line: it must never get so far.
 */
export function configText(comment: readonly string[], lines: readonly Line[]): string {
  const all = [...comment.map((line) => `# ${line}`), ...lines.map(([key, value]) => `${key} = ${/^['"]|^\s|\s$/.test(value) ? `"${value}"` : value}`)];
  for (const line of all) if (/[\p{Cc}\u2028\u2029]/u.test(line)) throw new Error(`a line of an LXC configuration would not end where it should: ${JSON.stringify(line)}`);
  return `${all.join('\n')}\n`;
}

/** A path in a field of lxc.mount.entry: getmntent(3) reads blanks and backslashes as octal numbers. */
export const field = (path: string): string => path.replace(/[\s\\#]/gu, (letter) => [...new TextEncoder().encode(letter)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join(''));

/** A word for `nestbox-native first`, which decodes it: lxc.init.cmd is split at blanks, and its quotes cannot be said. */
export const initWord = (word: string): string => (word === '' ? '\\x' : [...new TextEncoder().encode(word)].map((byte) => (/[\w@%+=:,./^~-]/.test(String.fromCharCode(byte)) && byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`)).join(''));

const entry = (from: string, to: string, type: string, options: string): Line => ['lxc.mount.entry', `${field(from)} ${field(to.slice(1))} ${type} ${options} 0 0`];

const bind = ({ from, to, write, type }: Pick<SeenBind, 'from' | 'to' | 'write' | 'type'>): Line =>
  entry(from, to, 'none', `${type === 'directory' ? 'rbind' : 'bind'}${write ? '' : ',ro'},create=${type === 'directory' ? 'dir' : 'file'}`);

/** A folder before what is mounted in it. */
const inOrder = (binds: readonly SeenBind[]): SeenBind[] => [...binds].sort((a, b) => (a.to < b.to ? -1 : a.to > b.to ? 1 : 0));

/** What every container has mounted, as systemd-nspawn does (mount_table in its nspawn-mount.c); /dev is nestbox's, as no node opens in one that was mounted with ids of its own. */
const ownMounts = ({ run, account, boot, shift, edits }: Machine, { cgroups }: Pick<Facts, 'cgroups'>): Line[] => [
  bind({ from: `${run}/nodes/dev`, to: '/dev', write: true, type: 'directory' }),
  entry('tmpfs', '/dev/shm', 'tmpfs', 'rw,nosuid,nodev,strictatime,mode=1777,size=10%,create=dir'),
  entry('mqueue', '/dev/mqueue', 'mqueue', 'rw,nosuid,nodev,noexec,create=dir,optional'),
  entry('tmpfs', '/run', 'tmpfs', 'rw,nosuid,nodev,strictatime,mode=755,size=20%,create=dir'),
  entry('tmpfs', '/tmp', 'tmpfs', 'rw,nosuid,nodev,strictatime,mode=1777,size=10%,create=dir'),
  ...(account.uid === 0 && !boot ? [entry('tmpfs', '/run/user/0', 'tmpfs', 'rw,nosuid,nodev,mode=700,create=dir')] : []),
  // The kernel shows /sys of a network to those whose it is: of the host's, a copy of the host's own mount.
  ...(edits.network.kind === 'host' && shift !== 0 ? [
    entry('/sys', '/sys', 'none', 'rbind,ro,create=dir'),
    cgroups.version === 2 ? entry('cgroup2', '/sys/fs/cgroup', 'cgroup2', 'rw,nosuid,nodev,noexec') : entry('tmpfs', '/sys/fs/cgroup', 'tmpfs', 'rw,nosuid,nodev,noexec,mode=755'),
  ] : []),
];

function networkLines({ edits: { network, interfaces }, linkNames }: Machine): Line[] {
  const moved = interfaces.map(({ name, to }) => [['type', 'phys'], ['link', name], ['name', to]]);
  const own = network.kind === 'host' ? [['type', 'none']]
    : network.kind === 'link' ? [['type', 'phys'], ['link', linkNames.inside], ['name', insideLink], ['flags', 'up'], ['ipv4.address', network.address], ...(network.gateway ? [['ipv4.gateway', network.gateway]] : [])]
      : [['type', 'empty'], ['flags', 'up']];
  return [own, ...moved].flatMap((lines, i) => lines.map(([key, value]): Line => [`lxc.net.${i}.${key}`, value!]));
}

/** The same in both versions of control groups: LXC takes the lines of the one that the host has. */
const limitLines = ({ cpu, memory, tasks }: Limits): Line[] => [
  ...(cpu === undefined ? [] : [['lxc.cgroup.cpu.cfs_period_us', '100000'], ['lxc.cgroup.cpu.cfs_quota_us', `${Math.round(cpu * 100_000)}`], ['lxc.cgroup2.cpu.max', `${Math.round(cpu * 100_000)} 100000`]] as const),
  ...(memory === undefined ? [] : [['lxc.cgroup.memory.limit_in_bytes', `${memory}`], ['lxc.cgroup2.memory.max', `${memory}`]] as const),
  ...(tasks === undefined ? [] : [['lxc.cgroup.pids.max', `${tasks}`], ['lxc.cgroup2.pids.max', `${tasks}`]] as const),
];

function deviceLines({ edits, way }: Machine): Line[] {
  const exact = rulesOf(edits).map(ruleLine);
  // LXC knows numbers alone, and after a boot the same device may have another one. The unit names devices by their paths, and is the bound; in version 1 a group may not allow what the one above it does not.
  const wide = [...rulesOf({ ...edits, devices: [] }), ...deviceList(edits.devices, edits.classes).map((rule) => ({ ...rule, minor: '*' as const }))].map(ruleLine);
  const lines = (tree: string, rules: string[]): Line[] => [[`${tree}.devices.deny`, 'a'], ...[...new Set(rules)].map((rule) => [`${tree}.devices.allow`, rule] as const)];
  return [...lines('lxc.cgroup', exact), ...lines('lxc.cgroup2', way === 'service' ? wide : exact)];
}

/** Signals by which an init is asked to shut down: signal(7) and systemd(1), sysvinit's init(8). */
const signalNames: Record<number, string> = { 2: 'SIGINT', 30: 'SIGPWR', 37: 'SIGRTMIN+3' };

/** That of a systemd, of one that is emulated (killSignal in foreign/boot.ts), and of others. */
export const haltSignal = ({ boot, emulation }: Pick<Machine, 'boot' | 'emulation'>): number => (boot !== 'systemd' ? 30 : emulation ? 2 : 37);

/** `folder`: where the configuration and what belongs to it is. */
export function configOf(machine: Machine, facts: Facts, folder: string): Line[] {
  const { hostname, root, shift, ownership, boot, user, argv, edits, environment, seenBinds, run, way, personality } = machine;
  const init = boot === 'systemd' ? '/lib/systemd/systemd' : '/sbin/init';
  return [
    ['lxc.uts.name', hostname],
    ...(personality ? [['lxc.arch', personality] as const] : []),
    ['lxc.rootfs.path', `dir:${root}`],
    ...(ownership === 'map' ? [['lxc.rootfs.options', 'idmap=container'] as const] : []),
    ...(shift === 0 ? [] : [['lxc.idmap', `u 0 ${shift} 65536`], ['lxc.idmap', `g 0 ${shift} 65536`]] as const),
    ['lxc.init.cmd', boot ? [init, ...edits.parameters].join(' ') : [native, 'first', user ?? 'root', statusInside, '--', ...argv.map(initWord)].join(' ')],
    ['lxc.signal.halt', boot ? signalNames[haltSignal(machine)]! : 'SIGTERM'],
    ['lxc.environment', `PATH=${programPath}`], // LXC gives none but `container`
    ...Object.entries({ ...environment, ...edits.environment }).map(([name, value]) => ['lxc.environment', `${name}=${value}`] as const),
    ...(machine.ipc === null ? [] : [['lxc.namespace.keep', 'ipc'] as const]), // it is started in one that is the machine's own
    ['lxc.autodev', '0'], ['lxc.tty.max', '0'], ['lxc.pty.max', '1024'],
    ...(way === 'service' ? [['lxc.console.path', 'none'] as const] : []),
    ['lxc.mount.auto', `proc:mixed${edits.network.kind === 'host' && shift !== 0 ? '' : ' sys:ro'}`],
    ...ownMounts(machine, facts),
    ...inOrder(seenBinds).map(bind),
    ...(boot ? [] : [bind({ from: facts.programs['nestbox-native'] ?? '', to: native, write: false, type: 'file' }), bind({ from: statusFile(run), to: statusInside, write: true, type: 'file' })]),
    ...networkLines(machine),
    ['lxc.cgroup.relative', '1'], // below the groups that it is started in, whose rights and limits hold for it
    ...deviceLines(machine),
    ...limitLines(edits.limits),
    ...(edits.capabilities.includes('all') ? [] : [['lxc.cap.keep', leftTo(edits).map((name) => name.replace('CAP_', '').toLowerCase()).join(' ')] as const]),
    // An init has set-user-id programs to give to its users; the user namespace is what holds them.
    ...(boot ? [] : [['lxc.no_new_privs', '1'] as const]),
    ['lxc.seccomp.profile', seccompFile(folder)],
    ['lxc.apparmor.profile', 'unconfined'], // as with systemd-nspawn; LXC's own profile would keep an init from its mounts
    ['lxc.start.auto', '0'], // lxc@NAME.service starts it, with what it needs
  ];
}
