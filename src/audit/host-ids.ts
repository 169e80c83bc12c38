import { type Rule, smallerFor } from '../audit.ts';

/** systemd-nspawn leaves CAP_SYS_ADMIN to every container; its manual says that without a user namespace it "can easily be circumvented". */
export default {
  summary: 'there is no user namespace: root inside is root of the host, held by what it may not see alone',
  look(known) {
    if (!known.hostRoot?.is) return [];
    const smaller = smallerFor(known, { nestbox: 'users = "own"', nspawn: 'PrivateUsers=pick with PrivateUsersOwnership=auto', lxc: 'lxc.idmap = u 0 100000 65536 and lxc.idmap = g 0 100000 65536' }, 'what the ids of the host are needed for: some mounts, nodes that are made inside, file systems that cannot be mapped');
    const { where } = known.hostRoot;
    return known.asRoot?.is !== false
      ? [{ can: 'root', where, what: 'root inside is root of the host: it mounts /proc anew, and tells the kernel there which program to start as root outside', ...smaller }]
      : [{ can: 'files', where, what: 'programs inside have an id of the host: wherever they see files of it, or of a group of theirs, these are theirs', ...smaller }];
  },
} satisfies Rule;
