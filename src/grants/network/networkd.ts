import * as v from 'valibot';
import { lacks, type Problem, warns } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { exposesPorts, needsOfPorts, onBridge, ports, reachesOut } from '../../ports.ts';
import { bridgeName, says } from '../../schema.ts';

const isBridge = (name: string): string => `/sys/class/net/${name}/bridge`;

export default defineGrant({
  summary: "a network whose addresses systemd-networkd of the host gives by DHCP, to a system that asks for them as on any network; connections go out under the host's address",
  options: v.strictObject({
    ports: v.optional(ports),
    bridge: v.optional(v.pipe(bridgeName, says("A bridge of the host to be on: addresses are then those of that network's own DHCP server."))),
    nameservers: v.optional(v.pipe(v.picklist(['own', 'host']), says('own: what is inside says itself whom it asks for names, such as systemd-resolved or its DHCP client. host: the name servers of the host are asked, as in a private network.')), 'own'),
  }),

  paths: ({ bridge }) => (bridge ? [isBridge(bridge)] : []),

  needs: ({ ports, bridge, nameservers }, { facts, boots }): Problem[] => [
    ...(facts.networkd || bridge ? [] : [lacks('systemd-networkd does not run on this host: nobody would give the machine an address', 'network = "private" does without it; systemctl enable --now systemd-networkd starts it, if no other program manages the network')]),
    ...(!bridge || facts.paths[isBridge(bridge)] ? [] : [{ ...lacks(`the host has no bridge '${bridge}'`, `ip link add ${bridge} type bridge`), at: ['bridge'] }]),
    ...(boots ? [] : [warns('the machine runs a program and no system: it has an address only if that program asks for one', 'going on')]),
    ...(nameservers === 'own' || facts.nameservers.length > 0 ? [] : [warns('the host names no name server that the machine could reach: names will not resolve inside', 'going on')]),
    ...needsOfPorts(ports, facts),
  ],

  edits: ({ ports = [], bridge, nameservers }, { facts }) => ({ network: { kind: 'networkd', bridge: bridge ?? null, nameservers: nameservers === 'host' ? facts.nameservers : null, ports } }),

  exposes: ({ ports, bridge }) => [...(bridge ? [onBridge] : reachesOut), ...exposesPorts(ports)],
});
