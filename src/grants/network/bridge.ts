import * as v from 'valibot';
import { lacks, lacksProgram } from '../../errors.ts';
import { defineGrant } from '../../grant.ts';
import { onBridge } from '../../ports.ts';
import { bridgeName, says } from '../../schema.ts';

const octets = /^((25[0-5]|2[0-4]\d|1?\d?\d)(\.(?!\/|$)|(?=\/|$))){4}/.source;
const address = v.regex<string, string>(new RegExp(`${octets}/([1-9]|[12]\\d|3[0-2])$`), 'expected an address with the length of its network, such as "192.168.1.50/24"');
const plainAddress = v.regex<string, string>(new RegExp(`${octets}$`), 'expected an address, such as "192.168.1.1"');

export default defineGrant({
  summary: 'a place of its own on a bridge of the host, beside the other computers there',
  options: v.strictObject({
    name: v.pipe(bridgeName, says('The bridge, which must be there.')),
    address: v.pipe(v.string(), address, says('Its own address with the length of the network, such as "192.168.1.50/24".')),
    gateway: v.optional(v.pipe(v.string(), plainAddress, says('Where all other addresses are reached.'))),
  }),

  paths: ({ name }) => [`/sys/class/net/${name}/bridge`],

  needs: ({ name }, { facts }) => [
    ...(['ip', 'nsenter'] as const).filter((program) => !facts.programs[program]).map((program) => lacksProgram(program, 'connect the machine to the bridge', facts)),
    ...(facts.paths[`/sys/class/net/${name}/bridge`] ? [] : [{ ...lacks(`the host has no bridge '${name}'`, `ip link add ${name} type bridge`), at: ['name'] }]),
  ],

  edits: ({ name, address, gateway }, { facts }) => ({
    network: { kind: 'link', address, gateway: gateway ?? null, bridge: name, nat: false, nameservers: facts.nameservers, ports: [] },
  }),

  exposes: () => [onBridge],
});
