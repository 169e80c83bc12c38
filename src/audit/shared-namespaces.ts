import { type Found, type Rule, smallerFor } from '../audit.ts';
import cgroups from '../grants/cgroups.ts';
import { exposedBy } from '../known.ts';

const opens = {
  ipc: { can: 'processes', what: 'programs inside share memory segments (System V, POSIX) with programs of the host that have the same id: pictures of windows, buffers of sound', loses: 'shared memory with programs of the host; an X server of the host has it with shared-memory = true in [display.x11]' },
  pid: { can: 'processes', what: 'programs inside see every process of the host with its command line, and can end or look into those of the same id', loses: 'seeing processes of the host' },
  uts: { can: 'settings', what: 'root inside can change the name of the host', loses: 'nothing that is needed' },
} as const;

export default {
  summary: "other namespaces of the host are shared: memory segments (ipc), processes (pid), its name (uts), the tree of control groups (cgroup)",
  look: (known) => known.shares.flatMap(({ is, where }): Found[] => {
    const words = { nspawn: is === 'cgroup' ? 'leave SYSTEMD_NSPAWN_USE_CGNS out' : `leave SYSTEMD_NSPAWN_SHARE_NS_${is.toUpperCase()} out`, lxc: `leave ${is} out of lxc.namespace.keep and lxc.namespace.share` };
    if (is === 'cgroup') return cgroups.exposes('host', undefined, exposedBy(known)).map(({ can, what }) => ({ can, what, where, ...smallerFor(known, words, 'programs inside that ask for their place in the whole tree') }));
    const { can, what, loses } = opens[is];
    return [{ can, what, where, ...smallerFor(known, words, loses) }];
  }),
} satisfies Rule;
