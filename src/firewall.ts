import { linkPrefix, privateNetworks } from './names.ts';

/** Whether a firewall of the host lets through what machines send out, and what is answered: rules as a packet meets them (pure). */

/** Of a packet, what is the same for all that a machine sends, or gets as an answer. */
export interface Packet {
  in: string;
  out: string;
  /** The network that the address is in; null: any may be meant. */
  from: string | null;
  to: string | null;
  state: 'new' | 'established';
}

/** null: it depends on what is no part of the Packet. */
export type Answer = boolean | null;

export type Verdict = { is: 'accept' | 'drop' | 'return' } | { is: 'jump' | 'goto'; chain: string };

export interface Rule {
  asks: ((packet: Packet) => Answer)[];
  /** null: the packet goes on. */
  verdict: Verdict | null;
}

export interface Chain {
  name: string;
  rules: Rule[];
  /** Of one that the kernel gives all that is forwarded to. */
  policy?: 'accept' | 'drop';
}

/** Chains that may lead to each other. */
export interface Table {
  /** The program that changes it. */
  program: 'nft' | 'iptables-nft' | 'iptables-legacy';
  /** As that program has it: inet firewalld, filter. */
  name: string;
  chains: Map<string, Chain>;
}

/** A chain by which none of these packets gets through. */
export interface Barrier {
  program: Table['program'];
  table: string;
  chain: string;
  /** Whose rules these are. */
  of: 'firewalld' | 'ufw' | 'docker' | null;
  /** out: what machines send; back: what is answered. */
  ways: ('out' | 'back')[];
  /** Which links: those of private networks, or systemd-networkd's. */
  links: Network[];
  /** In their place, bridges: what goes from one computer on it to another. */
  bridges?: string[];
}

export type Network = 'private' | 'networkd';

/** The host's ends of the links, with a star as nft(8) has it; 80-container-ve.network is for those of systemd-nspawn. */
export const linksOf: Record<Network, string> = { private: `${linkPrefix}*`, networkd: 've-*' };

/** A link is called as no rule would name one machine's alone: what lets one through is not yet open to all. */
function packetOf(network: Network, way: 'out' | 'back', uplink: string): Packet {
  const link = linksOf[network].replace('*', '.');
  const inside = network === 'private' ? privateNetworks : null;
  return way === 'out' ? { in: link, out: uplink, from: inside, to: null, state: 'new' } : { in: uplink, out: link, from: null, to: inside, state: 'established' };
}

/** From one port of a bridge to another, as br_netfilter gives it to the rules: they see the bridge itself. */
const bridged = (name: string, way: 'out' | 'back'): Packet => ({ in: name, out: name, from: null, to: null, state: way === 'out' ? 'new' : 'established' });

/** `uplink`: the link by which the host itself reaches all others; `bridges`: those whose packets meet the same rules. */
export function barriersIn(tables: readonly Table[], uplink: string, bridges: readonly string[]): Barrier[] {
  return tables.flatMap((table) => [...table.chains.values()].filter(({ policy }) => policy !== undefined).flatMap((chain): Barrier[] => {
    const stops = (packet: Packet) => [...ends(chain, table, packet)].every((end) => (end === 'through' ? chain.policy : end) === 'drop');
    const stopped = <T>(all: readonly T[], packet: (one: T, way: 'out' | 'back') => Packet) => ({
      found: all.filter((one) => stops(packet(one, 'out')) || stops(packet(one, 'back'))),
      ways: (['out', 'back'] as const).filter((way) => all.some((one) => stops(packet(one, way)))),
    });
    const [links, over] = [stopped(['private', 'networkd'] as const, (network, way) => packetOf(network, way, uplink)), stopped(bridges, bridged)];
    const barrier = { program: table.program, table: table.name, chain: chain.name, of: ownerOf(table) };
    return [
      ...(links.found.length === 0 ? [] : [{ ...barrier, ways: links.ways, links: links.found }]),
      ...(over.found.length === 0 ? [] : [{ ...barrier, ways: over.ways, links: [], bridges: over.found }]),
    ];
  }));
}

type End = 'accept' | 'drop' | 'through';

/** All that can become of such a packet in a chain, as far as can be told. */
function ends({ rules }: Chain, table: Table, packet: Packet): Set<End> {
  const found = new Set<End>();
  for (const { asks, verdict } of rules) {
    const answers = asks.map((ask) => ask(packet));
    if (verdict === null || answers.includes(false)) continue;
    const these = endsOf(verdict, table, packet);
    const goesOn = verdict.is === 'jump' && these.delete('through');
    for (const end of these) found.add(end);
    if (!goesOn && !answers.includes(null)) return found;
  }
  return found.add('through');
}

function endsOf(verdict: Verdict, table: Table, packet: Packet): Set<End> {
  if (verdict.is === 'accept' || verdict.is === 'drop') return new Set([verdict.is]);
  const chain = 'chain' in verdict ? table.chains.get(verdict.chain) : undefined;
  return chain ? ends(chain, table, packet) : new Set(['through']);
}

/** Programs that keep a table for themselves know their chains by these names. */
function ownerOf({ name, chains }: Table): Barrier['of'] {
  const has = (start: string) => [...chains.keys()].some((chain) => chain.startsWith(start));
  return name.endsWith(' firewalld') ? 'firewalld' : has('ufw-') ? 'ufw' : has('DOCKER') ? 'docker' : null;
}

/** Whether a link has that name, or one that begins so where it ends in `star`. */
export const isLink = (link: string, name: string, star: '*' | '+'): boolean => (name.endsWith(star) ? link.startsWith(name.slice(0, -1)) : link === name);

/** Whether all addresses of one network (null: any) are in the other; null: some of them. */
export function isInside(network: string | null, other: string): Answer {
  const [[own, length], [place, shorter]] = [parts(network ?? '0.0.0.0/0'), parts(other)];
  const bits = Math.min(length, shorter);
  return bits > 0 && (own ^ place) >>> (32 - bits) !== 0 ? false : length >= shorter ? true : null;
}

/** 10.0.0.0/8 as two numbers. */
const parts = (network: string): [address: number, length: number] => {
  const [address = '', length = '32'] = network.split('/');
  return [address.split('.').reduce((number, part) => (number << 8) | Number(part), 0), Number(length)];
};
