import { type Check, type Finding, works } from '../doctor.ts';

/** What of the host's network machines lean on. */
export default {
  title: 'Network',
  look({ facts: { nameservers, networkd, supervised } }): Finding[] {
    return [
      nameservers.length > 0 ? works('a name server that machines can reach', 'network')
        : { state: 'limited', what: 'the host names no name server but on loopback, where no machine reaches it: names will not resolve inside', words: ['network = "private"', 'network.bridge'], mend: 'name one in /etc/resolv.conf, or in the root of the machine' },
      networkd ? works('systemd-networkd gives machines addresses', 'network.networkd')
        : { state: 'limited', what: 'systemd-networkd does not run', words: ['network.networkd'], mend: `network = "private" does without${supervised ? '; systemctl enable --now systemd-networkd, if no other program manages the network' : ''}` },
    ];
  },
} satisfies Check;
