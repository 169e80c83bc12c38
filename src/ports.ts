import * as v from 'valibot';
import type { Exposure, Port } from './edits.ts';
import { type Problem, warns } from './errors.ts';
import type { Facts } from './facts.ts';
import { privateNetwork } from './names.ts';
import { says } from './schema.ts';
import type { Nat } from './step.ts';

/** Ports of the host at which ports of a machine are reached, and the rules of nft(8) that do it. */

const number = '([1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])';
const form = new RegExp(`^((tcp|udp):)?${number}(:${number})?$`);

const port = v.pipe(
  v.string('expected a text such as "8080:80"'), v.regex(form, 'expected ports from 1 to 65535: that of the host and that of the machine, such as "8080:80" or "udp:53:53"'),
  v.transform((text): Port => {
    const [, , protocol = 'tcp', host = '', , inside = host] = form.exec(text) ?? [];
    return { protocol: protocol as Port['protocol'], host: Number(host), inside: Number(inside) };
  }),
);

/** The option `ports` of the kinds of networks that have it. */
export const ports = v.pipe(
  v.array(port),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const twice = dataset.value.find((one, i, all) => all.findIndex((other) => other.protocol === one.protocol && other.host === one.host) < i);
    if (twice) addIssue({ message: `${twice.protocol} port ${twice.host} of the host is named twice` });
  }),
  says('Ports of the host at which the machine is reached, each with the port inside: "8080:80", "udp:53:53". Not on 127.0.0.1.'),
);

/** As systemd-nspawn takes it: tcp:8080:80. */
export const portText = ({ protocol, host, inside }: Port): string => `${protocol}:${host}:${inside}`;

/** The ports among the options of a network of any kind. */
export const portsOf = (options: unknown): Port[] => (options as { ports?: Port[] } | undefined)?.ports ?? [];

/** Who has such a port already is told: it may end before the machine starts. */
export function needsOfPorts(asked: readonly Port[] = [], { ports: taken = [] }: Pick<Facts, 'ports'>): Problem[] {
  return asked.flatMap(({ protocol, host }, i) => {
    const found = taken.filter((other) => other.protocol === protocol && other.port === host);
    const machine = found.find((other) => other.machine !== null)?.machine;
    if (found.length === 0) return [];
    return [{ ...warns(machine ? `the machine '${machine}' has ${protocol} port ${host} of the host as well: which of the two is reached there is left to chance while both run` : `a program of the host listens at ${protocol} port ${host}: from elsewhere the machine is reached there in its place`, 'going on'), at: ['ports', i] }];
  });
}

export const exposesPorts = (asked: readonly Port[] = []): Exposure[] =>
  asked.map(({ protocol, host, inside }, i) => ({ can: 'reached', what: `whoever reaches this host reaches ${protocol} port ${inside} inside, at port ${host}`, at: ['ports', i], smaller: { say: 'leave the port out', loses: 'that others reach it' } }));

/** Of a network from which connections go out under the host's address. */
export const reachesOut: Exposure[] = [{ can: 'network', what: "programs inside reach the Internet and the host's neighbours on the local network, and what listens on all addresses of this host", smaller: { say: 'network = "none"', loses: 'all of the network' } }];

/** Of a place on a bridge of the host. */
export const onBridge: Exposure = { can: 'neighbours', what: 'programs inside are a computer of their own on that network, and can send as any other there', smaller: { say: 'network = "private"', loses: 'an address of its own on that network' } };

/** Of whoever shares the network of the host. */
export const onHostNetwork: Exposure = { can: 'services', what: 'programs inside reach all that listens on this host, also on loopback and on abstract sockets (X, D-Bus), and can listen in its name' };

const tableOf = (machine: string): string => `nestbox-${machine}`;

/** What the host does for a machine with a private network. */
export const natOf = (machine: string, asked: Port[]): Nat => ({ table: tableOf(machine), network: privateNetwork(machine).network, address: privateNetwork(machine).address.replace(/\/.*/, ''), ports: asked });

/**
 * The machine's table, as one argument of nft: all of it in one transaction, or none. What comes in for a port is sent on where the
 * address is one of the host's, from elsewhere and from the host itself; on loopback the answers would never come back.
 */
export function tableCommand(link: string, { table: name, network, address, ports: asked }: Nat): string {
  const table = `ip ${name}`;
  const to = ({ protocol, host, inside }: Port) => `fib daddr type local ${protocol} dport ${host} dnat to ${address}:${inside}`;
  return [
    `add table ${table}`, `add chain ${table} out { type nat hook postrouting priority srcnat ; }`, `add rule ${table} out ip saddr ${network} oifname != "${link}" masquerade`,
    ...(asked.length === 0 ? [] : [
      `add rule ${table} out ip saddr ${address} ip daddr ${address} masquerade`, // the machine itself, by the host's address
      `add chain ${table} in { type nat hook prerouting priority dstnat ; }`, `add chain ${table} own { type nat hook output priority -100 ; }`,
      ...asked.flatMap((one) => [`add rule ${table} in ${to(one)}`, `add rule ${table} own ip daddr != 127.0.0.0/8 ${to(one)}`]),
    ]),
  ].join(' ; ');
}

/** The ports of which such a table, as nft prints it, sends on what comes from elsewhere: tcp:8080:80. */
export const portsIn = (table: string): string[] => [.../^\s*chain in \{.*?^\s*\}/ms.exec(table)?.[0].matchAll(/ (tcp|udp) dport (\d+) dnat to [\d.]+:(\d+)/g) ?? []].map(([, protocol, host, inside]) => `${protocol}:${host}:${inside}`);

/** What takes a port out of the table in which systemd-nspawn sends it on (fw_nftables_add_local_dnat() in systemd's firewall-util-nft.c): one that was killed leaves it there. */
export const forgetCommands = ({ protocol, host }: Port): string[] => ['ip', 'ip6'].map((family) => `delete element ${family} io.systemd.nat map_port_ipport { ${protocol} . ${host} }`);

/** Also where it is not there: added first. */
export const dropCommand = (table: string): string => `add table ip ${table} ; delete table ip ${table}`;
