import { type Check, type Finding, works } from '../doctor.ts';
import { type Barrier, linksOf, type Network } from '../firewall.ts';
import { listed } from '../words.ts';

const words: Record<Network, string> = { private: 'network = "private"', networkd: 'network.networkd' };

/** What of the host's firewall lets machines out. */
export default {
  title: 'Firewall',
  look({ facts, condition: { barriers } }): Finding[] {
    const networks: Network[] = facts.networkd ? ['private', 'networkd'] : ['private']; // nobody else makes links of the second kind
    const all = networks.map((network) => words[network]);
    if (barriers === null) return facts.root ? [] : [{ state: 'untold', what: 'whether a firewall drops what machines send out: only root may see its rules', words: all, mend: 'sudo nestbox doctor' }];
    const own = barriers.map((barrier) => ({ ...barrier, links: networks.filter((network) => barrier.links.includes(network)) })).filter(({ links }) => links.length > 0);
    const limited = (barrier: Barrier, where: string, end: string, of: string[]): Finding => ({
      state: 'limited', what: `${whose(barrier)} drops ${barrier.ways.includes('out') ? `what machines${where} send out` : `what machines${where} are answered`}: ${end}\nit is the chain '${barrier.chain}' of the table '${barrier.table}' (${barrier.program})`, words: of, mend: mend(barrier),
    });
    return [
      ...(own.length === 0 ? [works('no firewall of the host drops all that machines send out', ...all)] : own.map((barrier) => limited(barrier, '', 'the network ends at the host', barrier.links.map((network) => words[network])))),
      ...barriers.flatMap((barrier) => (barrier.bridges ? [limited(barrier, ` on the ${barrier.bridges.length > 1 ? 'bridges' : 'bridge'} ${listed(barrier.bridges)}`, 'what a bridge passes on meets the rules as well (net.bridge.bridge-nf-call-iptables)', ['network = "bridge"'])] : [])),
    ];
  },
} satisfies Check;

const whose = ({ of }: Barrier): string => (of === 'docker' ? "Docker's firewall" : of ?? "the host's firewall");

/** Both ways, for all machines: what is answered, ufw and firewalld let in by themselves. */
function mend({ of, program, table, chain, links, bridges = [] }: Barrier): string {
  const names = links.map((network) => linksOf[network]);
  const at = of === 'docker' && program !== 'nft' ? 'DOCKER-USER' : chain;
  switch (of) {
    case 'firewalld': return bridges.length > 0 ? `firewall-cmd --permanent --zone=ZONE --add-forward, of the zone that ${listed(bridges)} is in; then firewall-cmd --reload` : `let ${listed(names)} through to the zone of the link that leads out: firewall-cmd --permanent --zone=ZONE --add-forward where they are in one zone, a policy (firewalld.policies(5)) where not; then firewall-cmd --reload`;
    case 'ufw': return [...names.map((name) => `ufw route allow in on ${name.replace('*', '+')}`), ...bridges.map((name) => `ufw route allow in on ${name} out on ${name}`)].join('; ');
    default: return `${[...names.flatMap((name) => commands({ program, table, chain: at }, name)), ...bridges.map((name) => across({ program, table, chain: at }, name))].join('; ')}; anew after each start of the host, by whatever makes the table`;
  }
}

type At = Pick<Barrier, 'program' | 'table' | 'chain'>;

const insert = ({ program, table, chain }: At): string => `${program}${table === 'filter' ? '' : ` -t ${table}`} -I ${chain}`;

function commands(at: At, link: string): string[] {
  const { program, table, chain } = at;
  if (program === 'nft') return [`nft 'insert rule ${table} ${chain} iifname "${link}" accept'`, `nft 'insert rule ${table} ${chain} oifname "${link}" ct state established,related accept'`];
  return [`${insert(at)} -i ${link.replace('*', '+')} -j ACCEPT`, `${insert(at)} -o ${link.replace('*', '+')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`];
}

const across = (at: At, bridge: string): string => (at.program === 'nft' ? `nft 'insert rule ${at.table} ${at.chain} iifname "${bridge}" oifname "${bridge}" accept'` : `${insert(at)} -i ${bridge} -o ${bridge} -j ACCEPT`);
