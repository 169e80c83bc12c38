import * as v from 'valibot';
import { defineGrant } from '../grant.ts';

export default defineGrant({
  summary: "whether programs inside see the tree of control groups from the machine's own group on (own), or the host's whole tree with their own group in it (host)",
  options: v.picklist(['own', 'host']),
  needs: () => [],
  edits: (cgroups) => ({ cgroups }),
  exposes: (which, _, machine) => (which === 'own' ? [] : [machine?.isHostRoot === false
    ? { risk: 'low', what: 'programs inside see the names of all services, sessions and machines of the host' }
    : { risk: 'high', what: "root inside can mount the host's tree of control groups anew, and then stop, freeze and end what runs on the host, and lift its own limits" }]),
});
