import assert from 'node:assert/strict';
import { test } from 'node:test';
import { riskOf } from '../../src/dangers.ts';
import type { Exposure } from '../../src/edits.ts';
import { readSpec } from '../../src/spec.ts';
import { natOf, portsOf, portText, tableCommand } from '../../src/ports.ts';
import { beyondUsual, filterLines } from '../../src/powers.ts';
import { meetStored, storedHost } from './hosts.ts';

const read = (text: string) => readSpec(`name = "a"\nboot = true\n${text}\n[root]\ndirectory = "/srv/chroot/old"\n`, 'a.toml');

/** What the key opens in a machine with this file. */
const opened = (text: string, by: string): Exposure[] => meetStored(read(text), storedHost('laptop'), '/etc/nestbox/a.toml').machine.exposures.filter((one) => one.by === by);

test('what systemd-nspawn gives by itself is not asked for, and all is all', () => {
  const [own, hosts] = [{ kind: 'none' } as const, { kind: 'host' } as const];
  assert.deepEqual(beyondUsual({ capabilities: ['CAP_SYS_ADMIN', 'CAP_SYS_TIME', 'CAP_NET_ADMIN'], network: own }), ['CAP_SYS_TIME']);
  assert.deepEqual(beyondUsual({ capabilities: ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN'], network: hosts }), ['CAP_NET_ADMIN']);
  assert.deepEqual(beyondUsual({ capabilities: ['CAP_SYS_TIME', 'all'], network: own }), ['all']);
});

test('calls that may be made are one list, and those that may not another', () => {
  assert.deepEqual(filterLines(['add_key', '~mount', 'keyctl', '~@swap']), ['add_key keyctl', '~mount @swap']);
  assert.deepEqual(filterLines([]), []);
});

test('with the host\'s ids a capability opens what it says, with ids of its own little', () => {
  const all = 'capabilities = ["CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_ADMIN", "CAP_MKNOD"]';
  assert.deepEqual(opened(`users = "host"\n${all}`, 'capabilities').map(({ can }) => riskOf(can)), ['high', 'high', 'high', 'high']);
  assert.deepEqual(opened(all, 'capabilities').map(({ can }) => riskOf(can)), ['low']);
  assert.match(opened('users = "host"\ncapabilities = ["all"]', 'capabilities')[0]!.what, /root inside is root of the host/);
  assert.deepEqual(opened('users = "host"\ncapabilities = ["CAP_NET_ADMIN"]', 'capabilities'), []); // its own network's
  assert.equal(opened('users = "host"\nnetwork = "host"\ncapabilities = ["CAP_NET_ADMIN"]', 'capabilities')[0]!.can, 'settings');
});

test('a call that is allowed opens something, one that is refused nothing', () => {
  for (const call of ['keyctl', 'bpf', 'perf_event_open', 'kexec_load', 'open_by_handle_at', '@module']) {
    assert.deepEqual(opened(`users = "host"\nsyscalls = ["${call}"]`, 'syscalls').map(({ can }) => riskOf(can)), ['high'], call);
    assert.deepEqual(opened(`syscalls = ["${call}"]`, 'syscalls').map(({ can }) => riskOf(can)), ['low'], call);
    assert.deepEqual(opened(`users = "host"\nsyscalls = ["~${call}"]`, 'syscalls'), [], call);
  }
  assert.match(opened('syscalls = ["a_new_call"]', 'syscalls')[0]!.what, /a_new_call/);
});

test('the host\'s tree of control groups is only to be looked at with ids of its own', () => {
  assert.deepEqual(['own', 'host'].map((users) => opened(`users = "${users}"\ncgroups = "host"`, 'cgroups')[0]!.can), ['hints', 'settings']);
});

test('ports are read in each of their forms', () => {
  const { options } = read('[network.private]\nports = ["80", "8080:80", "tcp:2222:22", "udp:53", "udp:65535:1"]').grants.find(({ topic }) => topic === 'network')!;
  assert.deepEqual(portsOf(options).map(portText), ['tcp:80:80', 'tcp:8080:80', 'tcp:2222:22', 'udp:53:53', 'udp:65535:1']);
});

test('a table without ports is as small as it was, and one with them sends on what is for the host, but nothing on loopback', () => {
  const without = tableCommand('nb-1', natOf('a', []));
  assert.doesNotMatch(without, /dnat|prerouting|output/);
  const rules = tableCommand('nb-1', natOf('a', [{ protocol: 'udp', host: 53, inside: 5353 }])).split(' ; ');
  const { address } = natOf('a', []);
  assert.deepEqual(rules.filter((rule) => rule.includes('dnat to')), [`add rule ip nestbox-a in fib daddr type local udp dport 53 dnat to ${address}:5353`, `add rule ip nestbox-a own ip daddr != 127.0.0.0/8 fib daddr type local udp dport 53 dnat to ${address}:5353`]);
});
