import type { Host } from './host.ts';
import { must, type Step } from './step.ts';

/** The host's end of a machine's network: ip-link(8), ip-address(8), nft(8). */
export async function makeLink(host: Host, { name, peer, address, bridge, nat }: Extract<Step, { kind: 'link' }>): Promise<void> {
  await must(host, ['ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', peer]);
  if (bridge) await must(host, ['ip', 'link', 'set', name, 'master', bridge]);
  else await must(host, ['ip', 'address', 'add', address, 'dev', name]);
  await must(host, ['ip', 'link', 'set', name, 'up']);
  if (!nat) return;
  await must(host, ['nft', `add table ip ${nat.table}`]);
  await must(host, ['nft', `add chain ip ${nat.table} out { type nat hook postrouting priority srcnat ; }`]);
  await must(host, ['nft', `add rule ip ${nat.table} out ip saddr ${nat.network} oifname != "${name}" masquerade`]);
}

export async function removeLink(host: Host, name: string, table: string | null): Promise<void> {
  if ((await host.kind(`/sys/class/net/${name}`)) !== null) await must(host, ['ip', 'link', 'delete', name]);
  if (table && (await host.run(['nft', `list table ip ${table}`])).code === 0) await must(host, ['nft', `delete table ip ${table}`]);
}
