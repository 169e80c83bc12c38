import * as v from 'valibot';
import { lacksProgram, warns } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { privateNetwork } from '../../names.ts';
import { exposesPorts, needsOfPorts, ports, reachesOut } from '../../ports.ts';

export default defineGrant({
  summary: "a network of its own, from which connections go out under the host's address",
  options: v.strictObject({ ports: v.optional(ports) }),

  needs: ({ ports }, { facts }) => [
    ...(['ip', 'nft', 'nsenter'] as const).filter((name) => !facts.programs[name]).map((name) => lacksProgram(name, 'connect the machine to the network (network = "none" does without)', facts)),
    ...(facts.nameservers.length > 0 ? [] : [warns('the host names no name server that the machine could reach: names will not resolve inside', 'going on')]),
    ...needsOfPorts(ports, facts),
  ],

  edits({ ports = [] }, { machine, facts }) {
    const { address, gateway } = privateNetwork(machine);
    return { network: { kind: 'link', address, gateway, bridge: null, nat: true, nameservers: facts.nameservers, ports } };
  },

  exposes: ({ ports }) => [...reachesOut, ...exposesPorts(ports)],
});
