import { Complaint } from '../errors.ts';
import type { Host } from '../host.ts';
import { makeLink, removeLink } from '../links.ts';
import { forgetAttached } from './devices.ts';
import { forgetCommands, portText } from '../ports.ts';
import type { Kinds, Step } from '../step.ts';
import { pasteable } from '../words.ts';
import { never, nothing } from './common.ts';

/** What `nestbox-native launch` is told of a service besides its user: the memory that it shares with what is inside, and its standard input. */
export const launchWords = ({ ipc, input }: Pick<Extract<Step, { kind: 'service' }>, 'ipc' | 'input'>): string[] =>
  [...(ipc ? ['--ipc', ipc.at, ...(ipc.opens ? ['--opens-memory'] : [])] : []), ...(input === undefined ? [] : ['--input', input])];

/** Programs of the host, the container, and what holds them: control groups and network links. */
export const programs: Kinds<'cgroup' | 'cgroup-end' | 'service' | 'stop' | 'link' | 'link-end' | 'ports-end' | 'container'> = {
  cgroup: {
    describe: ({ folders, settings }) =>
      [`make control group${folders.length === 1 ? '' : 's'} ${folders.join(' ')}`, ...settings.map(({ file, value }) => `  ${value} > ${file}`)].join('\n'),
    done: never,
    inverse: async ({ folders }) => [{ kind: 'cgroup-end', folders }],
    do: (step, host) => makeGroup(step, host),
  },
  'cgroup-end': {
    describe: ({ folders }) => `end all that runs in ${folders.join(' ')}, and remove it`,
    done: never,
    inverse: nothing,
    do: ({ folders }, host) => host.endGroup(folders),
  },
  service: {
    describe: ({ argv, user, environment, input, output, ipc }) =>
      `start, as ${user.uid}:${user.gid}${ipc ? `, in the IPC namespace ${ipc.at}` : ''}: ${pasteable([...Object.entries(environment).map(([name, value]) => `${name}=${value}`), ...argv])}${input ? ` < ${input}` : ''}${output ? ` > ${output.path}` : ''}`,
    done: never,
    inverse: async ({ place, grace, leaves }) => [{ kind: 'stop', place, grace }, ...leaves.map((path) => ({ kind: 'leftover' as const, path }))],
    do: (step, host) => host.serve(step),
  },
  stop: {
    describe: ({ place }) => `stop ${place.kind === 'unit' ? place.name : `all that runs in ${place.folders.join(' ')}`}`,
    done: never,
    inverse: nothing,
    async do({ place, grace }, host) {
      await host.stop(place, grace);
      if (place.kind === 'unit') await forgetAttached(host, place.name);
    },
  },
  link: {
    describe: ({ name, peer, address, bridge, nat }) =>
      `make the network link ${name} (${bridge ? `on bridge ${bridge}` : address}) to ${peer}${nat ? `, ${nat.network} goes out under this host's address${nat.ports.length > 0 ? `, which is reached at ${nat.ports.map(portText).join(' ')}` : ''}` : ''}`,
    done: never,
    inverse: async ({ name, nat }) => [{ kind: 'link-end', name, nat: nat?.table ?? null }],
    do: (step, host) => makeLink(host, step),
  },
  'link-end': {
    describe: ({ name }) => `remove the network link ${name}`,
    done: never,
    inverse: nothing,
    do: ({ name, nat }, host) => removeLink(host, name, nat),
  },
  'ports-end': {
    describe: ({ ports }) => `let no ports of the host lead to the machine any more: ${ports.map(portText).join(' ')}`,
    done: never,
    inverse: nothing,
    async do({ ports }, host) {
      for (const command of ports.flatMap(forgetCommands)) await host.run(['nft', command]); // what is not there is not left behind
    },
  },
  container: {
    describe: ({ argv, ipc }) => `run ${ipc ? `in the IPC namespace ${ipc}: ` : ''}${pasteable(argv)}`,
    done: never,
    inverse: async ({ place, ports, leftovers }) => [{ kind: 'stop', place, grace: false }, ...(ports.length > 0 ? [{ kind: 'ports-end' as const, ports }] : []), ...leftovers.flatMap((path) => [{ kind: 'unmount' as const, at: path }, { kind: 'leftover' as const, path }])], // systemd-nspawn has mounted one of them, and leaves that when it is killed
    do: (step, host) => host.contain(step),
  },
};

async function makeGroup({ folders, settings, check }: Extract<Step, { kind: 'cgroup' }>, host: Host): Promise<void> {
  for (const folder of folders) if ((await host.kind(folder)) === null) await host.mkdir(folder, 0o755);
  for (const { file, value } of settings) await host.set(file, value);
  if (!check) return;
  const found = ((await host.read(check.file)) ?? '').split('\n').filter(Boolean);
  const same = found.length === check.lines.length && check.lines.every((line) => found.includes(line));
  if (!same) throw new Complaint(`${check.file} should be '${check.lines.join(', ')}' but is '${found.join(', ')}'`, 'the kernel did not take the device rights: nothing was started');
}
