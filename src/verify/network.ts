import { insideLink } from '../machine.ts';
import { natOf, portText } from '../ports.ts';
import { keyed, type Tries } from './common.ts';

/** Tunnels that the kernel puts into every network: net/ipv4/ip_tunnel.c and others, "fallback tunnel". */
const everywhere = ['lo', ...['tunl', 'gre', 'gretap', 'erspan', 'ip_vti', 'ip6_vti', 'sit', 'ip6tnl', 'ip6gre'].map((name) => `${name}0`)];

/** It gets as far as its network leads: names are told, and what the host has for itself alone is reached with the host's own network only. */
export const network: Tries = (subject) => {
  const { machine, facts } = subject;
  const { edits: { network: link, interfaces }, origin } = machine;
  const isShared = link.kind === 'host';
  const asked = keyed(subject, origin.get(link) ?? ['network']);
  const asks = link.kind === 'host' || ('nameservers' in link && link.nameservers !== null && link.nameservers.length > 0);
  const hosts = isShared ? 'accepted' as const : 'denied' as const;
  return [
    { what: "reach what listens on the host's 127.0.0.1", asked, as: 'user', try: ['loopback'], expect: hosts, layer: 'network' },
    { what: 'reach an abstract socket of the host', asked, as: 'user', try: ['abstract'], expect: hosts, layer: 'network' },
    ...(link.kind === 'link' && link.gateway ? [{ what: `reach its gateway, ${link.gateway}`, asked, as: 'user' as const, try: ['neighbour', link.gateway] as const, expect: 'allowed' as const, layer: 'link' as const }] : []),
    ...(asks ? [{ what: 'ask a name server', asked, as: 'user' as const, try: ['names'] as const, expect: 'allowed' as const, layer: { ENOENT: 'names' as const, ESRCH: 'names' as const, ECONNREFUSED: 'names' as const, else: 'link' as const }, host: ['names'] as const }] : []),
    ...(link.kind === 'none' ? [{ what: 'ask a name server', asked, as: 'user' as const, try: ['names'] as const, expect: 'denied' as const, layer: 'network' as const }] : []),
    // Whether anybody listens inside is the machine's own affair.
    ...(link.kind === 'link' && link.nat ? [{ what: 'ports of the host that lead to it', asked, as: 'host' as const, try: ['ports', natOf(machine.name, []).table] as const, expect: { only: link.ports.map(portText), needs: link.ports.map(portText) }, layer: 'ports' as const }] : []),
    // What boots may have made more of its own.
    ...(isShared || machine.boot !== null ? [] : [{
      what: 'network interfaces', asked, as: 'root' as const, try: ['interfaces'] as const, layer: 'link' as const,
      expect: { only: [...everywhere, insideLink, machine.linkNames.inside, 'mv-*', 'eth0', ...interfaces.map(({ to }) => to)], needs: interfaces.map(({ to }) => to) },
    }]),
    ...(facts.root && isShared ? [] : [{ what: 'a network of its own', asked, as: 'host' as const, try: ['namespace', 'net'] as const, expect: 'allowed' as const, layer: 'network' as const }]),
  ];
};
