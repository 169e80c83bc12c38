import { capabilityNames, leftTo } from '../powers.ts';
import { isHostRoot, keyed, type Tries } from './common.ts';

/** Its ids, its namespaces, and what its root and its programs may do at most. */
export const powers: Tries = (subject) => {
  const { machine: { edits, shift, engine, boot } } = subject;
  const users = keyed(subject, ['users']);
  const isChroot = engine === 'chroot';
  const map = `0 ${shift} 65536`;
  return [
    // What these are is told by the namespace alone: this host may be a container itself.
    ...(shift === 0 ? [{ what: "the host's own ids", asked: users, as: 'host' as const, try: ['namespace', 'user'] as const, expect: { only: ['shared'], needs: ['shared'] }, layer: 'ids' as const }] : (['uid_map', 'gid_map'] as const).map((file) => ({ what: file === 'uid_map' ? 'ids of users' : 'ids of groups', asked: users, as: 'host' as const, try: ['map', file] as const, expect: { only: [map], needs: [map] }, layer: 'ids' as const }))),
    ...(isHostRoot(subject) ? [] : [{ what: 'users of its own', asked: users, as: 'host' as const, try: ['namespace', 'user'] as const, expect: 'allowed' as const, layer: 'ids' as const }]),
    ...([['pid', 'processes'], ['mnt', 'mounts'], ['ipc', 'shared memory'], ['uts', 'host name']] as const).map(([kind, what]) => ({ what: `${what} of its own`, asked: 'default', as: 'host' as const, try: ['namespace', kind] as const, expect: 'allowed' as const, layer: 'namespace' as const })),
    { what: 'memory that programs of the host share', asked: 'default', as: 'user', try: ['segment'], expect: 'denied', layer: 'namespace' },
    {
      what: 'capabilities of its root', asked: keyed(subject, edits.capabilities.length > 0 ? ['capabilities'] : undefined), as: 'host', try: ['status', 'CapBnd'], layer: 'capabilities',
      expect: { only: leftTo(edits), needs: edits.capabilities.includes('all') ? [] : edits.capabilities.filter((name) => (capabilityNames as string[]).includes(name)) },
    },
    // An init has set-user-id programs to give to its users; and a chroot is what people have always done with it.
    ...(boot !== null || isChroot ? [] : [{ what: 'no new rights by set-user-id programs', asked: 'default', as: 'host' as const, try: ['status', 'NoNewPrivs'] as const, expect: { only: ['1'], needs: ['1'] }, layer: 'new-rights' as const }]),
    ...(isChroot ? [] : [{ what: 'a filter of system calls', asked: keyed(subject, edits.syscalls.length > 0 ? ['syscalls'] : undefined), as: 'host' as const, try: ['status', 'Seccomp'] as const, expect: { only: ['2'], needs: ['2'] }, layer: 'calls' as const }]), // SECCOMP_MODE_FILTER
  ];
};
