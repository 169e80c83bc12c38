import * as v from 'valibot';
import { lacks } from '../errors.ts';
import { defineGrant } from '../grant.ts';
import { listed } from '../words.ts';

const smaller = { say: 'leave cgroups out', loses: 'programs inside that ask for their place in the whole tree' };

export default defineGrant({
  summary: "whether programs inside see the tree of control groups from the machine's own group on (own), or the host's whole tree with their own group in it (host)",
  options: v.picklist(['own', 'host']),
  needs(which, { facts: { supervised, cgroups: { unmounted = [] } } }) {
    if (which === 'own' || supervised || unmounted.length === 0) return []; // systemd mounts all that there are
    return [lacks(`systemd-nspawn can show the host's tree of control groups only where every controller is mounted, and ${listed(unmounted)} ${unmounted.length === 1 ? 'is' : 'are'} not`, `mount ${unmounted.length === 1 ? 'it' : 'each of them'} (mkdir /sys/fs/cgroup/${unmounted[0]} && mount -t cgroup -o ${unmounted[0]} ${unmounted[0]} /sys/fs/cgroup/${unmounted[0]}), or leave cgroups out`)];
  },
  edits: (cgroups) => ({ cgroups }),
  exposes: (which, _, machine) => (which === 'own' ? [] : [machine?.isHostRoot === false
    ? { can: 'hints', what: 'programs inside see the names of all services, sessions and machines of the host', smaller }
    : { can: 'settings', what: "root inside can mount the host's tree of control groups anew, and then stop, freeze and end what runs on the host, and lift its own limits", smaller }]),
});
