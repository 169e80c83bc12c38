import { leftTo } from '../powers.ts';
import { isHostRoot, keyed, type Tries } from './common.ts';

/** What changes the whole computer, or shows its memory: proc(5), sysfs(5), cgroups(7). */
const files: [path: string, way: 'r' | 'w'][] = [
  ['/proc/sysrq-trigger', 'w'], ['/proc/kcore', 'r'], ['/proc/sys/kernel/modprobe', 'w'], ['/proc/sys/vm/drop_caches', 'w'], ['/proc/sys/fs/binfmt_misc/register', 'w'],
  ['/sys/kernel/uevent_helper', 'w'], ['/sys/power/state', 'w'], ['/sys/bus/pci/rescan', 'w'], ['/sys/module/kernel/parameters/panic', 'w'],
  ['/sys/fs/cgroup/devices/devices.allow', 'w'], ['/sys/fs/cgroup/memory/memory.limit_in_bytes', 'w'], ['/sys/fs/cgroup/release_agent', 'w'],
];

/** Calls that reach the kernel of the host: the group of systemd in which each is, and the capability that it asks for. */
const calls: [name: string, group: string | null, capability: string | null][] = [
  ['init_module', '@module', 'CAP_SYS_MODULE'], ['delete_module', '@module', 'CAP_SYS_MODULE'], ['kexec_load', '@reboot', 'CAP_SYS_BOOT'], ['bpf', null, null], ['keyctl', '@keyring', null],
  ['perf_event_open', '@debug', null], ['open_by_handle_at', null, 'CAP_DAC_READ_SEARCH'], ['swapon', '@swap', 'CAP_SYS_ADMIN'],
];

/** Of which the kernel asks the capability of the host's root: nobody with other ids has it, whatever a filter lets through. */
const rootAlone = ['init_module', 'delete_module', 'kexec_load', 'open_by_handle_at', 'swapon'];

/** A filter lets these through for whoever holds the capability: nspawn-seccomp.c of systemd, bpf not in all versions. That for LXC, src/lxc/seccomp.ts, never lets bpf through. */
const comesWith = (name: string, engine: string): string | undefined => ({ init_module: 'CAP_SYS_MODULE', delete_module: 'CAP_SYS_MODULE', ...(engine !== 'lxc' && { bpf: 'CAP_BPF' }) })[name];

/** Neither files of the kernel, nor mounts, nor system calls lead out of it. */
export const kernel: Tries = (subject) => {
  const { machine: { edits, engine } } = subject;
  const asked = keyed(subject, ['users']);
  const open = isHostRoot(subject);
  const held = leftTo(edits);
  const wanted = (name: string, group: string | null) => edits.syscalls.some((one) => one === name || one === group || one === '@known' || one === '@privileged');
  return [
    ...files.map(([path, way]) => ({ what: `${way === 'r' ? 'read' : 'write'} ${path}`, asked, as: 'root' as const, try: ['open', path, way, null] as const, expect: 'denied' as const, layer: 'kernel-files' as const })),
    { what: 'write /proc/sys/kernel/core_pattern', asked, as: 'root', try: ['setting', '/proc/sys/kernel/core_pattern'], expect: 'denied', layer: 'kernel-files' },
    { what: 'mount debugfs', asked, as: 'root', try: ['mount', 'debugfs'], expect: open ? 'accepted' : 'denied', layer: 'ids' },
    { what: 'mount /proc/sys so that it can be written', asked, as: 'root', try: ['mount', 'sysctl'], expect: open ? 'accepted' : 'denied', layer: 'ids' },
    ...calls.map(([name, group, capability]) => {
      const mayCall = wanted(name, group);
      const mayDo = open && (capability === null || held.includes(capability));
      const isKept = rootAlone.includes(name) && !mayDo; // by the kernel itself
      // A filter that was asked to let it through does no harm where the kernel refuses; without one, as in a chroot, audit tells.
      const comes = held.includes(comesWith(name, engine) ?? '');
      const expect = isKept ? 'denied' as const : mayCall || comes || engine === 'chroot' || (open && group === '@reboot') ? 'accepted' as const : 'denied' as const;
      return { what: `call ${name}`, asked: mayCall ? keyed(subject, ['syscalls']) : 'default', as: 'root' as const, try: ['call', name] as const, expect, layer: isKept && !mayCall ? 'capabilities' as const : 'calls' as const };
    }),
  ];
};
