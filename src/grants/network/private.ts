import * as v from 'valibot';
import { lacksProgram, warns } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { privateNetwork } from '../../names.ts';

export default defineGrant({
  summary: "a network of its own, from which connections go out under the host's address",
  options: v.strictObject({}),

  needs: (_, { facts }) => [
    ...(['ip', 'nft', 'nsenter'] as const).filter((name) => !facts.programs[name]).map((name) => lacksProgram(name, 'connect the machine to the network (network = "none" does without)')),
    ...(facts.nameservers.length > 0 ? [] : [warns('the host names no name server that the machine could reach: names will not resolve inside', 'going on')]),
  ],

  edits(_, { machine, facts }) {
    const { address, gateway } = privateNetwork(machine);
    return { network: { kind: 'link', address, gateway, bridge: null, nat: true, nameservers: facts.nameservers } };
  },

  exposes: () => [{ risk: 'medium', what: "programs inside reach the Internet and the host's neighbours on the local network, and what listens on all addresses of this host" }],
});
