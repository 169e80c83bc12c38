import { type Host, must } from './host.ts';
import { dropCommand, tableCommand } from './ports.ts';
import type { Step } from './step.ts';

/** The host's end of a machine's network: ip-link(8), ip-address(8), nft(8). */
export async function makeLink(host: Host, { name, peer, address, bridge, nat }: Extract<Step, { kind: 'link' }>): Promise<void> {
  await must(host, ['ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', peer]);
  if (bridge) await must(host, ['ip', 'link', 'set', name, 'master', bridge]);
  else await must(host, ['ip', 'address', 'add', address, 'dev', name]);
  await must(host, ['ip', 'link', 'set', name, 'up']);
  if (!nat) return;
  await must(host, ['nft', tableCommand(name, nat)]);
  await forward(host);
}

export async function removeLink(host: Host, name: string, table: string | null): Promise<void> {
  const there = async () => (await host.kind(`/sys/class/net/${name}`)) !== null;
  // With the container's network its end goes, and this one with it, some time after its last process.
  if ((await there()) && (await host.run(['ip', 'link', 'delete', name])).code !== 0 && (await there())) await must(host, ['ip', 'link', 'delete', name]);
  if (!table) return;
  await removeTable(host, table);
  const { ours, marked } = await tables(host);
  if (!marked || ours) return;
  if ((await host.read(forwarding))?.trim() !== '0') await host.set(forwarding, '0'); // where /proc/sys is read-only it has never been switched on
  await removeTable(host, mark);
  if ((await tables(host)).ours) await forward(host); // a machine that has started in the meantime still found it on
}

/** Whether the host passes packets on from one link to another: one setting for all. */
const forwarding = '/proc/sys/net/ipv4/ip_forward';

/** An empty table: it says that nestbox has switched forwarding on. It is gone after a boot, as is the setting. */
const mark = 'nestbox';

async function forward(host: Host): Promise<void> {
  if ((await host.read(forwarding))?.trim() !== '0') return;
  await must(host, ['nft', `add table ip ${mark}`]);
  await host.set(forwarding, '1');
}

const removeTable = (host: Host, table: string): Promise<void> => must(host, ['nft', dropCommand(table)]);

async function tables(host: Host): Promise<{ ours: boolean; marked: boolean }> {
  const names = (await host.run(['nft', 'list tables ip'])).stdout.split('\n').map((line) => line.replace('table ip ', ''));
  return { ours: names.some((name) => name.startsWith(`${mark}-`)), marked: names.includes(mark) };
}
