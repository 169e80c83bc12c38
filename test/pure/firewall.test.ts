import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { barriersIn, isInside } from '../../src/firewall.ts';
import { readSaved } from '../../src/firewall/iptables.ts';
import { readRuleset } from '../../src/firewall/nft.ts';
import { here } from './hosts.ts';

/** What of stored rules of firewalls stops all that machines send. */

const stored = (name: string): string => readFileSync(here(`firewalls/${name}`), 'utf8');

const saved = (text: string, uplink = 'eth0'): string[] => said(readSaved(text, 'iptables-nft'), uplink);
const ruleset = (text: string, uplink = 'eth0'): string[] => said(readRuleset(text), uplink);
const said = (tables: ReturnType<typeof readSaved>, uplink: string): string[] => barriersIn(tables, uplink, []).map(({ table, chain, of, ways, links }) => `${of}: ${table}, ${chain}: ${ways.join()} for ${links.join()}`);

/** Rules after others of a chain. */
const after = (text: string, before: string, ...rules: string[]): string => text.replace(new RegExp(`^${before}$`, 'm'), (line) => [line, ...rules].join('\n'));

test('Docker lets out what comes from its own bridges, and what it is told to', () => {
  const docker = stored('docker.save');
  assert.deepEqual(saved(docker), ['docker: filter, FORWARD: out,back for private,networkd']);
  assert.deepEqual(saved(docker.replace('FORWARD DROP', 'FORWARD ACCEPT')), []);
  const out = after(docker, '-A FORWARD -j DOCKER-FORWARD', '-A DOCKER-USER -i nb-+ -j ACCEPT', '-A DOCKER-USER -i ve-+ -j ACCEPT');
  assert.deepEqual(saved(out), ['docker: filter, FORWARD: back for private,networkd']);
  assert.deepEqual(saved(after(out, '-A FORWARD -j DOCKER-FORWARD', '-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT')), []);
  assert.deepEqual(saved(after(out, '-A FORWARD -j DOCKER-FORWARD', '-A DOCKER-USER -o nb-+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT')), ['docker: filter, FORWARD: back for networkd']);
});

test('ufw lets answers in by itself, and its words for the log are no rules', () => {
  const ufw = stored('ufw.save');
  assert.deepEqual(saved(ufw), ['ufw: filter, FORWARD: out for private,networkd']);
  assert.deepEqual(saved(after(ufw, '-A ufw-user-forward .*', '-A ufw-user-forward -i nb-+ -j ACCEPT')), ['ufw: filter, FORWARD: out for networkd']);
});

test('what only some packets get through by is no barrier', () => {
  const with_ = (...rules: string[]) => saved(['*filter', ':FORWARD DROP [0:0]', ':one - [0:0]', ...rules.map((rule) => `-A ${rule}`), 'COMMIT'].join('\n'));
  const all = ['null: filter, FORWARD: out,back for private,networkd'];
  const none: string[] = [];
  for (const [rules, found] of [
    [[], all], [['FORWARD -j ACCEPT'], none], [['FORWARD -p tcp -m tcp --dport 443 -j ACCEPT'], none], [['FORWARD -p udp -j ACCEPT'], all], [['FORWARD -m set --match-set good src -j ACCEPT'], none],
    [['FORWARD -j one', 'one -j RETURN', 'one -j ACCEPT'], all], [['FORWARD -g one', 'FORWARD -j ACCEPT'], all], [['FORWARD -j one', 'FORWARD -j ACCEPT'], none], [['FORWARD -j one', 'FORWARD -j ACCEPT', 'one -j REJECT --reject-with icmp-port-unreachable'], all],
    [['FORWARD -j one', 'FORWARD -j ACCEPT', 'one -m limit --limit 3/min -j RETURN', 'one -j DROP'], none], [['FORWARD -m conntrack --ctstatus DNAT -j ACCEPT'], all], [['FORWARD ! -i eth0 -j ACCEPT', 'FORWARD -i eth0 -j ACCEPT'], none], [['FORWARD ! -i eth0 -m comment --comment "-j DROP" -j DROP', 'FORWARD -j ACCEPT'], ['null: filter, FORWARD: out for private,networkd']],
    [['FORWARD -s 10.213.0.0/16 -j ACCEPT', 'FORWARD -d 10.0.0.0/8 -j ACCEPT'], none], [['FORWARD -s 10.0.5.0/24 -j ACCEPT', 'FORWARD -m state --state ESTABLISHED -j ACCEPT'], ['null: filter, FORWARD: out for private']], [['FORWARD -j LOG --log-prefix x', 'FORWARD -j ACCEPT'], none],
  ] as const) assert.deepEqual(with_(...rules), found, rules.join('; '));
});

test('firewalld lets out from one zone to another where it is told to', () => {
  const firewalld = stored('firewalld.json');
  assert.deepEqual(ruleset(firewalld), ['firewalld: inet firewalld, filter_FORWARD: out for private,networkd']);
  assert.deepEqual(ruleset(firewalld, 'wlan0'), [], 'both are in the zone of all that has none');
});

test('rules of nft, with maps, sets and addresses; of other families than IPv4 none counts', () => {
  const own = stored('own.json');
  assert.deepEqual(ruleset(own), ['null: inet walls, routed: out for private'], 'systemd-networkd may give any address');
  assert.deepEqual(ruleset(own.replace('nb-1c0ffee5', 'nb-*')), []);
  assert.deepEqual(ruleset(own.replace('"10.0.5.0"', '"10.213.0.0"').replace('"len": 24', '"len": 16')), []);
  assert.deepEqual(ruleset(own.replace('"virbr0"', '"nb-*"')), []);
  assert.deepEqual(ruleset(own.replaceAll('"accept": null', '"drop": null')), ['null: inet walls, routed: out,back for private,networkd']);
  assert.deepEqual(ruleset(own.replace('"iifname"', '"something new"')), [], 'what is not known may let it through');
  const first = (expr: string) => own.replace('{"rule"', `{"rule": {"family": "inet", "table": "walls", "chain": "routed", "handle": 6, "expr": [${expr}]}},\n  {"rule"`);
  const part = (protocol: string, field: string) => `{"payload": {"protocol": "${protocol}", "field": "${field}"}}`;
  for (const [expr, found] of [
    // As they are printed: that IPv6, ICMP or UDP is asked for before is not said.
    [`{"match": {"op": "!=", "left": ${part('ip6', 'saddr')}, "right": {"prefix": {"addr": "fe80::", "len": 10}}}}, {"drop": null}`, []],
    [`{"match": {"op": "!=", "left": ${part('icmp', 'type')}, "right": {"set": ["echo-reply", "echo-request"]}}}, {"drop": null}`, []],
    [`{"match": {"op": "!=", "left": ${part('udp', 'dport')}, "right": 53}}, {"drop": null}`, []],
    [`{"vmap": {"key": ${part('ip6', 'nexthdr')}, "data": {"set": [["tcp", {"accept": null}], ["*", {"drop": null}]]}}}`, []],
    [`{"vmap": {"key": ${part('ip', 'daddr')}, "data": {"set": [["192.168.1.1", {"accept": null}], ["*", {"drop": null}]]}}}`, ['null: inet walls, routed: back for private']],
  ] as const) assert.deepEqual(ruleset(first(expr).replaceAll('"policy": "drop"', '"policy": "accept"')), found, expr);
  assert.deepEqual(ruleset('{ "nftables": [ { "metainfo": { "version": "1.1" } } ] }'), []);
});

test('what a bridge passes on meets the rules by the name of the bridge', () => {
  const over = (tables: ReturnType<typeof readSaved>, ...bridges: string[]) => barriersIn(tables, 'eth0', bridges).filter((barrier) => barrier.bridges).map(({ chain, ways, links, bridges: found }) => `${chain}: ${ways.join()} for ${[...links, ...found!].join()}`);
  const docker = (...rules: string[]) => over(readSaved(after(stored('docker.save'), '-A FORWARD -j DOCKER-FORWARD', ...rules), 'iptables-nft'), 'br0', 'docker0', 'lan');
  assert.deepEqual(docker(), ['FORWARD: out,back for br0,lan'], "Docker's own is let through");
  assert.deepEqual(docker('-A DOCKER-USER -i br0 -o br0 -j ACCEPT'), ['FORWARD: out,back for lan']);
  assert.deepEqual(docker('-A DOCKER-USER -i br0 -j ACCEPT', '-A DOCKER-USER -o lan -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'), ['FORWARD: out for lan']);
  assert.deepEqual(over(readRuleset(stored('firewalld.json')), 'br0', 'wlan0'), ['filter_FORWARD: out for br0'], 'a zone is told of each link to which it lets others through');
  assert.deepEqual(over(readRuleset(stored('own.json').replaceAll('"accept": null', '"drop": null')), 'br0', 'virbr0'), ['routed: out,back for br0,virbr0']);
});

test('networks in networks', () => {
  for (const [network, other, answer] of [
    ['10.213.0.0/16', '10.0.0.0/8', true], ['10.213.0.0/16', '10.213.0.0/16', true], ['10.213.0.0/16', '10.213.4.0/24', null], ['10.213.0.0/16', '10.214.0.0/16', false], ['10.213.0.0/16', '192.168.1.1', false],
    ['10.213.0.0/16', '0.0.0.0/0', true], [null, '10.0.0.0/8', null], [null, '0.0.0.0/0', true], ['192.168.1.1', '192.168.1.1/32', true], ['10.213.0.0/16', '10.213.0.1', null],
  ] as const) assert.equal(isInside(network, other), answer, `${network} in ${other}`);
});
