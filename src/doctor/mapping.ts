import { type Check, type Finding, works } from '../doctor.ts';
import { cannotMap, kernelIsAtLeast, mountOf } from '../facts.ts';
import { store } from '../store.ts';

/** File systems without files of anybody's. */
const unreal = /^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fuse\.(gvfsd-fuse|portal|lxcfs)|fuse\.snapfuse|fusectl|hugetlbfs|mqueue|nsfs|proc|pstore|ramfs|rootfs|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$/;
const system = /^\/(dev|proc|run|sys)(\/|$)/;

/** Whether files keep their owners when they are shown in a machine with ids of its own. */
export default {
  title: 'File systems with mapped ids',
  look({ facts }): Finding[] {
    const seen = facts.mounts.filter(({ at, type }) => !unreal.test(type) && at !== store.base && (!system.test(at) || at.startsWith('/run/media/')) && mountOf(facts, at)?.type === type);
    const places = [...new Set(seen.map(({ at }) => at))].map((at) => ({ at, type: mountOf(facts, at)!.type, why: cannotMap(facts, at) }));
    const good = places.filter(({ why }) => why === null);
    const own = cannotMap(facts, store.base);
    return [
      ...(good.length > 0 ? [works(`${[...new Set(good.map(({ type }) => type))].map((type) => `${type} (${shortened(good.filter((place) => place.type === type).map(({ at }) => at))})`).join(', ')}`, 'files', 'root.directory')] : []),
      ...(own ? [{ state: 'missing' as const, what: `${own}: machines are kept there`, words: ['users = "own"'], mend: 'mount another file system at /var/lib/nestbox, such as ext4, xfs or btrfs; users = "host" does without' }] : []),
      ...(kernelIsAtLeast(facts, 5, 19) ? [] : [{ state: 'missing' as const, what: `layers of a root can be shown with mapped ids from Linux 5.19 on; this is ${facts.kernel}`, words: ['users = "own"', 'root.debian', 'root.arch', 'root.tar'], mend: 'a newer kernel; users = "host" does without' }]),
      ...[...new Set(places.flatMap(({ why, type }) => (why ? [type] : [])))].map((type): Finding => {
        const at = places.filter((place) => place.type === type);
        return { state: 'limited', what: `${type} (${shortened(at.map((place) => place.at))}): ${at[0]!.why!.includes('from Linux') ? `can be mounted with mapped ids by a newer kernel than ${facts.kernel}` : 'cannot be mounted with mapped ids'}`, words: ['files = [{ write = true }]', 'root.directory'], mend: 'users = "host", or users = "shift" for a root' };
      }),
    ];
  },
} satisfies Check;

const shortened = (paths: readonly string[]): string => (paths.length > 4 ? `${paths.slice(0, 4).join(', ')} and ${paths.length - 4} more` : paths.join(', '));
