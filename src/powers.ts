import type { Edits } from './edits.ts';

/** What root inside may do besides what files and devices it has: capabilities, system calls, control groups. */

/** capabilities(7), of Linux 6.12. */
export const capabilityNames = [
  'CAP_AUDIT_CONTROL', 'CAP_AUDIT_READ', 'CAP_AUDIT_WRITE', 'CAP_BLOCK_SUSPEND', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE', 'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER',
  'CAP_FSETID', 'CAP_IPC_LOCK', 'CAP_IPC_OWNER', 'CAP_KILL', 'CAP_LEASE', 'CAP_LINUX_IMMUTABLE', 'CAP_MAC_ADMIN', 'CAP_MAC_OVERRIDE', 'CAP_MKNOD', 'CAP_NET_ADMIN', 'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST', 'CAP_NET_RAW', 'CAP_PERFMON', 'CAP_SETFCAP', 'CAP_SETGID', 'CAP_SETPCAP', 'CAP_SETUID', 'CAP_SYSLOG', 'CAP_SYS_ADMIN', 'CAP_SYS_BOOT', 'CAP_SYS_CHROOT',
  'CAP_SYS_MODULE', 'CAP_SYS_NICE', 'CAP_SYS_PACCT', 'CAP_SYS_PTRACE', 'CAP_SYS_RAWIO', 'CAP_SYS_RESOURCE', 'CAP_SYS_TIME', 'CAP_SYS_TTY_CONFIG', 'CAP_WAKE_ALARM',
];

/** In the order of their numbers: linux/capability.h. */
const numbered = ('CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT '
  + 'SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE').split(' ');

/** The names in a set as /proc/PID/status shows it: 000001ffffffffff. */
export const capabilitiesIn = (set: string): string[] => numbered.flatMap((name, number) => ((BigInt(`0x${set}`) >> BigInt(number)) & 1n ? [`CAP_${name}`] : []));

/** What systemd-nspawn leaves every container (arg_caps_retain in its nspawn.c); CAP_NET_ADMIN as well where the network is not the host's. */
const usual = new Set([
  'CAP_AUDIT_CONTROL', 'CAP_AUDIT_WRITE', 'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_IPC_OWNER', 'CAP_KILL', 'CAP_LEASE', 'CAP_LINUX_IMMUTABLE',
  'CAP_MKNOD', 'CAP_NET_BIND_SERVICE', 'CAP_NET_BROADCAST', 'CAP_NET_RAW', 'CAP_SETFCAP', 'CAP_SETGID', 'CAP_SETPCAP', 'CAP_SETUID', 'CAP_SYS_ADMIN', 'CAP_SYS_BOOT', 'CAP_SYS_CHROOT',
  'CAP_SYS_NICE', 'CAP_SYS_PTRACE', 'CAP_SYS_RESOURCE', 'CAP_SYS_TTY_CONFIG',
]);

/** The capabilities that have to be asked for: 'all' alone, or those that systemd-nspawn does not give by itself. */
export const beyondUsual = ({ capabilities, network }: Pick<Edits, 'capabilities' | 'network'>): string[] =>
  capabilities.includes('all') ? ['all'] : capabilities.filter((name) => !usual.has(name) && !(name === 'CAP_NET_ADMIN' && network.kind !== 'host'));

/** The system calls as systemd-nspawn takes them: a list of those that may be called, and one, begun by ~, of those that may not. */
export function filterLines(syscalls: readonly string[]): string[] {
  const allowed = syscalls.filter((name) => !name.startsWith('~'));
  const refused = syscalls.filter((name) => name.startsWith('~')).map((name) => name.slice(1));
  return [...(allowed.length > 0 ? [allowed.join(' ')] : []), ...(refused.length > 0 ? [`~${refused.join(' ')}`] : [])];
}

/** In the environment of systemd-nspawn: no namespace of control groups (ENVIRONMENT.md of systemd). */
export const hostCgroups = { SYSTEMD_NSPAWN_USE_CGNS: '0' };
