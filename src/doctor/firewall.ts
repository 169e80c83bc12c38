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
    return own.length === 0 ? [works('no firewall of the host drops all that machines send out', ...all)] : own.map((barrier) => ({
      state: 'limited', what: `${whose(barrier)} drops ${barrier.ways.includes('out') ? 'what machines send out' : 'what machines are answered'}: the network ends at the host\nit is the chain '${barrier.chain}' of the table '${barrier.table}' (${barrier.program})`,
      words: barrier.links.map((network) => words[network]), mend: mend(barrier),
    }));
  },
} satisfies Check;

const whose = ({ of }: Barrier): string => (of === 'docker' ? "Docker's firewall" : of ?? "the host's firewall");

/** Both ways, for all machines: what is answered, ufw and firewalld let in by themselves. */
function mend({ of, program, table, chain, links }: Barrier): string {
  const names = links.map((network) => linksOf[network]);
  switch (of) {
    case 'firewalld': return `let ${listed(names)} through to the zone of the link that leads out: firewall-cmd --permanent --zone=ZONE --add-forward where they are in one zone, a policy (firewalld.policies(5)) where not; then firewall-cmd --reload`;
    case 'ufw': return names.map((name) => `ufw route allow in on ${name.replace('*', '+')}`).join('; ');
    default: return `${names.flatMap((name) => commands({ program, table, chain: of === 'docker' && program !== 'nft' ? 'DOCKER-USER' : chain }, name)).join('; ')}; anew after each start of the host, by whatever makes the table`;
  }
}

function commands({ program, table, chain }: Pick<Barrier, 'program' | 'table' | 'chain'>, link: string): string[] {
  if (program === 'nft') return [`nft 'insert rule ${table} ${chain} iifname "${link}" accept'`, `nft 'insert rule ${table} ${chain} oifname "${link}" ct state established,related accept'`];
  const insert = `${program}${table === 'filter' ? '' : ` -t ${table}`} -I ${chain}`;
  return [`${insert} -i ${link.replace('*', '+')} -j ACCEPT`, `${insert} -o ${link.replace('*', '+')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`];
}
