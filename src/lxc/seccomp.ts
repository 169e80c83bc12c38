/** System calls that are forbidden in an LXC container: what systemd-nspawn's list leaves out (nspawn-seccomp.c of systemd), as LXC's own list is shorter (pure). */

interface Refused {
  calls: string[];
  /** A group of systemd by which they can be asked for. */
  group?: string;
  /** With this capability they are allowed. */
  capability?: string;
}

const refused: Refused[] = [
  { calls: ['add_key', 'keyctl', 'request_key'], group: '@keyring' },
  { calls: ['kexec_load', 'kexec_file_load'], group: '@reboot' },
  { calls: ['delete_module', 'finit_module', 'init_module'], group: '@module', capability: 'CAP_SYS_MODULE' },
  { calls: ['ioperm', 'iopl', 'pciconfig_iobase', 'pciconfig_read', 'pciconfig_write'], group: '@raw-io', capability: 'CAP_SYS_RAWIO' },
  { calls: ['swapoff', 'swapon'], group: '@swap' },
  { calls: ['adjtimex', 'clock_adjtime', 'clock_settime', 'settimeofday'], group: '@clock', capability: 'CAP_SYS_TIME' },
  { calls: ['lookup_dcookie', 'perf_event_open'], group: '@debug' },
  { calls: ['syslog'], capability: 'CAP_SYSLOG' },
  { calls: ['acct'], capability: 'CAP_SYS_PACCT' },
  { calls: ['bpf', 'fanotify_init', 'open_by_handle_at', 'quotactl', 'quotactl_fd', 'userfaultfd'] },
];

/** Groups of systemd in which all of these are. */
const everything = ['@known', '@privileged'];

/** A profile of LXC's version 2: lxc.container.conf(5), "lxc.seccomp.profile". `allowed` and `capabilities` as in the edits. */
export function seccompProfile(syscalls: readonly string[], capabilities: readonly string[]): string {
  const asked = (name: string) => syscalls.includes(name);
  const holds = (name: string | undefined) => name !== undefined && (capabilities.includes(name) || capabilities.includes('all'));
  const left = refused.flatMap(({ calls, group, capability }) => ((group && asked(group)) || holds(capability) || everything.some(asked) ? [] : calls.filter((name) => !asked(name))));
  const more = syscalls.filter((name) => name.startsWith('~')).map((name) => name.slice(1));
  return ['2', 'denylist', '[all]', ...[...new Set([...left, ...more])].sort().map((name) => `${name} errno 1`), ''].join('\n');
}
