import { type Answer, type Chain, isInside, isLink, type Packet, type Rule, type Table, type Verdict } from '../firewall.ts';

/** What `nft -j list ruleset` prints, as tables of rules (pure): libnftables-json(5). What is not known there can be anything, as newer versions have more. */

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

const within = (value: Json | undefined, ...keys: string[]): Json | undefined => keys.reduce<Json | undefined>((inner, key) => (typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner[key] : undefined), value);
const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');
const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

/** What IPv4 packets meet that are forwarded. */
export function readRuleset(text: string): Table[] {
  const objects = listOf(within(JSON.parse(text) as Json, 'nftables')).filter((object) => ['ip', 'inet'].includes(textOf(Object.values(object ?? {}).map((inner) => within(inner as Json, 'family'))[0])));
  const of = (kind: string) => objects.flatMap((object) => within(object, kind) ?? []);
  const tables = new Map(of('table').map((table): [string, Table] => [nameOf(table, 'name'), { program: 'nft', name: nameOf(table, 'name'), chains: new Map() }]));
  const maps = new Map(of('map').map((map) => [`${nameOf(map)} ${textOf(within(map, 'name'))}`, listOf(within(map, 'elem'))]));
  for (const chain of of('chain')) {
    const name = textOf(within(chain, 'name'));
    tables.get(nameOf(chain))?.chains.set(name, { name, rules: [], ...(within(chain, 'hook') === 'forward' && { policy: within(chain, 'policy') === 'drop' ? 'drop' : 'accept' }) } satisfies Chain);
  }
  for (const rule of of('rule')) tables.get(nameOf(rule))?.chains.get(textOf(within(rule, 'chain')))?.rules.push(...rulesOf(listOf(within(rule, 'expr')), (map) => maps.get(`${nameOf(rule)} ${map}`) ?? []));
  return [...tables.values()];
}

/** Of the table that an object is, or is in. */
const nameOf = (object: Json, key: 'name' | 'table' = 'table'): string => `${textOf(within(object, 'family'))} ${textOf(within(object, key))}`;

/** One that looks its verdict up in a map is as many as that has elements. */
function rulesOf(statements: readonly Json[], elementsOf: (map: string) => Json[]): Rule[] {
  const asks: Rule['asks'] = [];
  for (const statement of statements) {
    const [kind = ''] = Object.keys(statement ?? {});
    const body = within(statement, kind);
    const verdict = verdictOf(kind, body);
    if (verdict) return [{ asks, verdict }];
    if (kind === 'vmap') {
      const [key, data] = [within(body, 'key'), within(body, 'data')];
      return (typeof data === 'string' ? elementsOf(data.replace('@', '')) : listOf(within(data, 'set'))).flatMap((element) => {
        const [value, found] = listOf(element);
        const [named = ''] = Object.keys(found ?? {});
        return [{ asks: [...asks, (packet: Packet) => has(packet, key, within(value, 'elem', 'val') ?? value)], verdict: verdictOf(named, within(found, named)) }];
      });
    }
    if (kind === 'match') asks.push((packet) => answer(packet, body));
    else if (kind === 'xt' ? within(body, 'type') === 'match' : ['limit', 'quota', 'ct count', 'connlimit', 'meter'].includes(kind)) asks.push(() => null);
  }
  return [{ asks, verdict: null }];
}

/** null: the packet goes on to the next statement. */
function verdictOf(kind: string, body: Json | undefined): Verdict | null {
  const target = textOf(within(body, 'target'));
  switch (kind) {
    case 'accept': case 'queue': return { is: 'accept' };
    case 'drop': case 'reject': return { is: 'drop' };
    case 'return': return { is: 'return' };
    case 'jump': case 'goto': return { is: kind, chain: target };
    case 'xt': return within(body, 'name') === 'REJECT' ? { is: 'drop' } : null;
    default: return null;
  }
}

function answer(packet: Packet, match: Json | undefined): Answer {
  if (others.test(nameOfPart(within(match, 'left')))) return false;
  const found = has(packet, within(match, 'left'), within(match, 'right'));
  switch (within(match, 'op')) {
    case '==': case 'in': return found;
    case '!=': return found === null ? null : !found;
    default: return null;
  }
}

/** Parts of packets of other protocols than IPv4 and TCP, as most of what goes out is: whatever is asked of them, nft first asks for the protocol, and does not print that. */
const others = /^(icmp|icmpv6|igmp|ip6|arp|udp|udplite|sctp|dccp|esp|ah|comp) /;

/** Whether that part of the packet is this, or one of these. */
function has(packet: Packet, part: Json | undefined, value: Json | undefined): Answer {
  const several = Array.isArray(value) ? value : within(value, 'set');
  if (Array.isArray(several)) {
    const answers = several.map((one) => has(packet, part, within(one, 'elem', 'val') ?? one));
    return answers.includes(true) ? true : answers.includes(null) ? null : false;
  }
  const name = nameOfPart(part);
  const prefix = within(value, 'prefix');
  const text = prefix ? `${textOf(within(prefix, 'addr'))}/${Number(within(prefix, 'len'))}` : typeof value === 'string' ? value : null;
  if (others.test(name)) return false;
  if (text === null || text.startsWith('@')) return null;
  if (text === '*') return true; // what a map has for all that is not in it
  switch (name) {
    case 'meta iifname': case 'meta iif': return isLink(packet.in, text, '*');
    case 'meta oifname': case 'meta oif': return isLink(packet.out, text, '*');
    case 'ip saddr': return isInside(packet.from, text);
    case 'ip daddr': return isInside(packet.to, text);
    case 'ct state': return text === packet.state;
    case 'ct status': return text === 'dnat' ? false : null; // it has gone out, or is an answer to what has
    case 'meta nfproto': return text === 'ipv4';
    case 'meta protocol': return text === 'ip';
    case 'meta l4proto': case 'ip protocol': return text === 'tcp';
    default: return null;
  }
}

/** As nft(8) has it: meta iifname, ip saddr. */
function nameOfPart(part: Json | undefined): string {
  const [kind = ''] = Object.keys(part ?? {});
  const inner = within(part, kind);
  return kind === 'payload' ? `${textOf(within(inner, 'protocol'))} ${textOf(within(inner, 'field'))}` : `${kind} ${textOf(within(inner, 'key'))}`;
}
