import { type Check, type Finding, works } from '../doctor.ts';
import type { Facts } from '../facts.ts';

/** Controllers -> what they are needed for. */
const wanted: [controller: string, word: string][] = [['cpu', 'limits.cpu'], ['memory', 'limits.memory'], ['pids', 'limits.tasks']];

/** Control groups: device lists and limits. */
export default {
  title: 'Control groups',
  look({ facts, condition: { deviceFilters } }): Finding[] {
    const { cgroups: { version, controllers, unmounted = [] }, supervised } = facts;
    if (version === null) return [{ state: 'limited', what: 'no control groups are mounted: no limits, and no list of the devices that a machine may open', words: ['limits', 'devices', 'users = "host"'], mend: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup' }];
    const lacking = wanted.filter(([name]) => !controllers.includes(name));
    const listless = !supervised && !controllers.includes('devices');
    return [
      works(`version ${version}${version === 1 ? ', each controller by itself' : ''}, ${supervised ? 'by systemd' : 'without systemd'}`, 'limits'),
      ...(lacking.length === 0 ? [works(`limits can be set: ${wanted.map(([name]) => name).join(', ')}`, 'limits')] : lacking.map(([name, word]): Finding => ({ state: 'missing', what: `there is no controller '${name}'`, words: [word, ...(name === 'memory' ? ['seat.memory'] : name === 'cpu' ? ['seat.weight'] : [])], mend: mendOf(name, facts) }))),
      ...(listless ? [{ state: 'limited' as const, what: "this host has neither systemd nor the controller 'devices': nothing but the user namespace keeps devices away from a machine", words: ['users = "host"'], mend: 'users = "own", or accept = ["no-device-policy"]' }] : []),
      ...(version === 2 && deviceFilters === false ? [{ state: 'limited' as const, what: 'the kernel cannot hold anybody to a list of devices: nothing but the user namespace keeps devices away from a machine', words: ['devices', 'users = "host"'], mend: 'a kernel with CONFIG_CGROUP_BPF' }] : []),
      ...(unmounted.length > 0 ? [{ state: 'limited' as const, what: `controllers that nobody has mounted: ${unmounted.join(', ')}`, words: ['cgroups = "host"'], mend: `mkdir /sys/fs/cgroup/${unmounted[0]} && mount -t cgroup -o ${unmounted[0]} ${unmounted[0]} /sys/fs/cgroup/${unmounted[0]}${unmounted.length > 1 ? '; the others in the same way' : ''}` }] : []),
    ];
  },
} satisfies Check;

/** The Raspberry Pi's firmware switches the memory controller off, which the later word of its command line takes back. */
function mendOf(controller: string, { kernel, cgroups: { version, own }, supervised }: Facts): string {
  if (controller === 'memory' && /rpi|raspi/.test(kernel)) return 'add cgroup_enable=memory to /boot/firmware/cmdline.txt, and start anew';
  if (version === 1) return `mkdir /sys/fs/cgroup/${controller} && mount -t cgroup -o ${controller} ${controller} /sys/fs/cgroup/${controller}`;
  return supervised ? 'a kernel that has it, started without cgroup_disable=' : `echo +${controller} > ${own[''] ?? '/sys/fs/cgroup'}/cgroup.subtree_control`;
}
