import { type Rule, smallerFor } from '../audit.ts';
import { onHostNetwork } from '../ports.ts';

export default {
  summary: 'the network of the host is shared, and with it loopback and abstract sockets (X, D-Bus, udev)',
  // A grant that asked for it has told it already.
  look: (known) => (known.ownNetwork?.is === false && !known.opened.some(({ can }) => can === onHostNetwork.can) ? [{
    ...onHostNetwork, where: known.ownNetwork.where,
    ...smallerFor(known, { nspawn: 'VirtualEthernet=yes, or Private=yes in [Network]', lxc: 'lxc.net.0.type = veth, or empty' }, "the host's own addresses and loopback"),
  }] : []),
} satisfies Rule;
