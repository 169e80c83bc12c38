import type { Edits } from './edits.ts';

/** What root inside may do besides what files and devices it has: capabilities, system calls, control groups. */

/** capabilities(7), of Linux 6.12, each at its number: linux/capability.h. */
const numbered = [
  'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_SETGID', 'CAP_SETUID', 'CAP_SETPCAP', 'CAP_LINUX_IMMUTABLE', 'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST', 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_IPC_LOCK', 'CAP_IPC_OWNER', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_CHROOT', 'CAP_SYS_PTRACE', 'CAP_SYS_PACCT', 'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT', 'CAP_SYS_NICE', 'CAP_SYS_RESOURCE', 'CAP_SYS_TIME', 'CAP_SYS_TTY_CONFIG', 'CAP_MKNOD', 'CAP_LEASE', 'CAP_AUDIT_WRITE', 'CAP_AUDIT_CONTROL', 'CAP_SETFCAP', 'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN', 'CAP_SYSLOG', 'CAP_WAKE_ALARM', 'CAP_BLOCK_SUSPEND', 'CAP_AUDIT_READ', 'CAP_PERFMON', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE',
] as const;

export const capabilityNames = [...numbered].sort();

/** The names in a set as /proc/PID/status shows it: 000001ffffffffff. */
export const capabilitiesIn = (set: string): string[] => numbered.flatMap((name, number) => ((BigInt(`0x${set}`) >> BigInt(number)) & 1n ? [name] : []));

/** What systemd-nspawn leaves every container (arg_caps_retain in its nspawn.c); CAP_NET_ADMIN as well where the network is not the host's. */
const usual: ReadonlySet<string> = new Set([
  'CAP_AUDIT_CONTROL', 'CAP_AUDIT_WRITE', 'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_IPC_OWNER', 'CAP_KILL', 'CAP_LEASE', 'CAP_LINUX_IMMUTABLE',
  'CAP_MKNOD', 'CAP_NET_BIND_SERVICE', 'CAP_NET_BROADCAST', 'CAP_NET_RAW', 'CAP_SETFCAP', 'CAP_SETGID', 'CAP_SETPCAP', 'CAP_SETUID', 'CAP_SYS_ADMIN', 'CAP_SYS_BOOT', 'CAP_SYS_CHROOT',
  'CAP_SYS_NICE', 'CAP_SYS_PTRACE', 'CAP_SYS_RESOURCE', 'CAP_SYS_TTY_CONFIG',
]);

/** The capabilities that have to be asked for: 'all' alone, or those that systemd-nspawn does not give by itself. */
export const beyondUsual = ({ capabilities, network }: Pick<Edits, 'capabilities' | 'network'>): string[] =>
  capabilities.includes('all') ? ['all'] : capabilities.filter((name) => !usual.has(name) && !(name === 'CAP_NET_ADMIN' && network.kind !== 'host'));

/** All capabilities that root inside is left with, where an engine drops what systemd-nspawn would. */
export const leftTo = ({ capabilities, network }: Pick<Edits, 'capabilities' | 'network'>): string[] =>
  capabilities.includes('all') ? [...numbered] : numbered.filter((name) => usual.has(name) || capabilities.includes(name) || (name === 'CAP_NET_ADMIN' && network.kind !== 'host'));

/** A set of capabilities as proc_pid_status(5) shows it, in hexadecimal. */
export const capabilityMask = (names: readonly string[]): string => numbered.reduce((mask, name, number) => (names.includes(name) ? mask | (1n << BigInt(number)) : mask), 0n).toString(16);

/** The system calls as systemd-nspawn takes them: a list of those that may be called, and one, begun by ~, of those that may not. */
export function filterLines(syscalls: readonly string[]): string[] {
  const allowed = syscalls.filter((name) => !name.startsWith('~'));
  const refused = syscalls.filter((name) => name.startsWith('~')).map((name) => name.slice(1));
  return [...(allowed.length > 0 ? [allowed.join(' ')] : []), ...(refused.length > 0 ? [`~${refused.join(' ')}`] : [])];
}

/** In the environment of systemd-nspawn: no namespace of control groups (ENVIRONMENT.md of systemd). */
export const hostCgroups = { SYSTEMD_NSPAWN_USE_CGNS: '0' };
