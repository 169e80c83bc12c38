import { dirname } from 'node:path/posix';
import * as v from 'valibot';
import { engines } from '../../src/engines/index.ts';
import type { Facts } from '../../src/facts.ts';
import { topics, values } from '../../src/grants/index.ts';
import { MemoryHost } from '../../src/host/memory.ts';
import { node } from '../../src/host/memory-tree.ts';
import { partName } from '../../src/image/parts.ts';
import { type Journal, journalOn } from '../../src/journal.ts';
import { type Machine, volumeOf } from '../../src/machine.ts';
import type { Plan } from '../../src/plan.ts';
import type { Spec } from '../../src/spec.ts';
import type { Step } from '../../src/step.ts';
import { store } from '../../src/store.ts';

/** A host in memory that is as the facts say, for the machine that is to run there. */
export function world(facts: Facts, machine: Machine): MemoryHost {
  const host = new MemoryHost();
  const { person, cgroups, x11, sound, programs } = facts;
  const file = (path: string, text = '', mode = 0o644, owner = { uid: 0, gid: 0 }) => host.put(path, node('file', mode, owner, text));
  const socket = (path: string) => host.put(path, node('socket', 0o755, person));
  for (const [path, mode] of [[store.base, 0o711], [store.templates, 0o700], [store.machines, 0o700], [`${store.base}/scratch`, 0o700], [store.journals, 0o700], [store.run(machine.name), 0o711]] as const) host.folders(path).mode = mode;
  root(host, '');
  for (const [path, found] of Object.entries(facts.paths)) {
    if (!found || /^\/(bin|lib\w*|sbin)$/.test(path)) continue;
    if (path.startsWith('/lib/')) {
      host.folders(`/usr${found.leads ? dirname(path) : path}`); // links of the host's are not followed here
      if (found.leads) host.folders(found.leads);
      continue;
    }
    if (found.kind === 'directory') Object.assign(host.folders(path), { uid: found.uid, gid: found.gid, mode: found.mode });
    else file(path, '', found.mode, found);
  }
  file('/home/of-somebody/.secret', 'not for others', 0o600, person);
  if (facts.supervised) for (const path of ['/run/systemd/nspawn/propagate', '/run/systemd/nspawn/unix-export', '/etc/systemd/system']) host.folders(path);
  file('/proc/sys/net/ipv4/ip_forward', '0');
  file('/etc/resolv.conf', 'nameserver 192.0.2.1\n');
  for (const folder of Object.values(cgroups.own)) host.folders(folder);
  for (const path of Object.values(programs)) file(path, 'program', 0o755);
  for (const { path } of facts.binfmt?.emulators ?? []) file(path, 'emulator', 0o755);
  if (sound.pulse) socket(sound.pulse);
  if (x11) {
    host.folders('/tmp/.X11-unix').mode = 0o1777;
    socket('/tmp/.X11-unix/X0');
    host.displays.set(0, { admitted: new Set(), keys: new Set() });
    if (x11.authority) file(x11.authority, 'key', 0o600, person);
  }
  for (const key of facts.store.templates) root(host, store.template(key));
  for (const { name } of facts.store.machines) file(`${store.machine(name)}/top/upper/etc/written-inside`);
  const volume = volumeOf(machine.source);
  if (volume) {
    root(host, '/srv/other');
    host.volumes.set(volume.image ? partName(volume.image, volume.path) : volume.path, host.folders('/srv/other'));
    for (const one of machine.besides) host.volumes.set(partName(one, volume.path), node('directory', 0o755));
    host.folders('/srv').children.delete('other');
    for (const path of ['/dev/mapper', dirname(volume.path)]) host.folders(path);
    if (!volume.lv) file(volume.path, 'a block device');
  } else if (machine.source.kind === 'directory') root(host, machine.source.path);
  return host;
}

/** A small Debian: with a folder and files that not everybody may read. */
function root(host: MemoryHost, at: string): void {
  const text = { passwd: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n', group: 'root:x:0:\naudio:x:29:\nshadow:x:42:\nvideo:x:44:\n', hosts: '127.0.0.1 localhost\n', 'resolv.conf': 'nameserver 127.0.0.53\n' };
  for (const [name, content] of Object.entries(text)) host.put(`${at}/etc/${name}`, node('file', 0o644, undefined, content));
  host.put(`${at}/etc/shadow`, node('file', 0o640, { uid: 0, gid: 42 }, 'root:*:19000::::::\n'));
  host.put(`${at}/etc/ssl/private/key`, node('file', 0o600, undefined, 'secret'));
  host.folders(`${at}/etc/ssl/private`).mode = 0o710;
  host.folders(`${at}/root`).mode = 0o700;
  host.put(`${at}/usr/bin/sh`, node('file', 0o755));
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) host.put(`${at}/${name}`, node('link', 0o777, undefined, `usr/${name}`));
  for (const name of ['lib', 'lib64', 'sbin']) host.folders(`${at}/usr/${name}`);
  for (const name of ['var/cache', 'var/lib', 'home', 'mnt', 'srv', 'opt']) host.folders(`${at}/${name}`);
}

export interface MemoryJournal {
  text: string;
  journal: Journal;
}

/** `text`: what is in it already. */
export function memoryJournal(text = ''): MemoryJournal {
  const kept: MemoryJournal = {
    text,
    journal: journalOn({
      append: async (line) => {
        kept.text += line;
      },
      read: async () => kept.text,
      remove: async () => {
        kept.text = '';
      },
    }),
  };
  return kept;
}

/** What the end of a session does: all that is left in the machine's own folder under /run goes with it. */
export async function closeSession(host: MemoryHost, name: string): Promise<void> {
  for (const entry of await host.list(store.run(name))) await host.removeTree(`${store.run(name)}/${entry}`);
}

/** Options for the grants that need some. */
const samples: Record<string, unknown> = {
  'network.bridge': { name: 'br0', address: '192.168.1.50/24', gateway: '192.168.1.1' },
  devices: ['/dev/tty7', 'char-input'],
  environment: { LANGUAGE: 'de' },
  files: [{ path: '/srv/share', to: '/data', write: true, optional: true }, { path: '/opt/legacy', write: false, optional: false }],
  capabilities: ['CAP_SYS_TIME', 'CAP_SYS_ADMIN'],
  cgroups: 'host',
  'kernel-sources': 'host',
  limits: { cpu: 1.5, memory: '1G', tasks: 100 },
  masked: ['getty@tty1.service'],
  parameters: ['systemd.unit=rescue.target', 'quiet'],
  seat: { card: 0, input: ['pci-0000:00:14.0-usb-0:1', '046d:c31c', 'A keyboard'], sound: 0, weight: 200, memory: '2G' },
  syscalls: ['add_key', '@keyring', '~mount'],
};

export type Asked = Spec['grants'][number];

/** Every grant once, the kinds of each topic in a row; and those options of theirs that change what they do to the host. */
export const everyGrant: Asked[] = [
  ...Object.entries(topics).flatMap(([topic, kinds]) => Object.entries(kinds).map(([kind, { options }]) => asked(topic, kind, samples[`${topic}.${kind}`] ?? {}, options))),
  ...Object.entries(values).map(([topic, { options }]) => asked(topic, null, samples[topic] ?? {}, options)),
];

export const variants: Asked[] = [
  ...['untrusted', 'xhost'].map((access) => asked('display', 'x11', { access }, topics.display!.x11!.options)),
  asked('gpu', 'nvidia', { libraries: 'inside' }, topics.gpu!.nvidia!.options),
  asked('devices', null, ['nvidia.com/gpu=0', 'nvidia.com/gpu=all'], values.devices!.options),
  asked('devices', null, ['vendor.com/de.vice=one', '/dev/tty7'], values.devices!.options),
  asked('audio', 'alsa', { record: true }, topics.audio!.alsa!.options),
  asked('audio', 'playback', { record: '/home/of-somebody/played.wav' }, topics.audio!.playback!.options),
  asked('network', 'private', { ports: ['8080:80', 'udp:53'] }, topics.network!.private!.options),
  asked('network', 'networkd', { ports: ['8080:80'], bridge: 'br0', nameservers: 'host' }, topics.network!.networkd!.options),
  asked('seat', null, { card: 0, connector: 'DP-1' }, values.seat!.options),
  asked('display', 'nested', { fullscreen: true, title: 'A title' }, topics.display!.nested!.options),
];

function asked(topic: string, kind: string | null, options: unknown, schema: v.GenericSchema<unknown, unknown>): Asked {
  const { success, output } = v.safeParse(schema, options);
  if (!success) throw new Error(`test/pure/world.ts has no sample of the options that ${kind ? `${topic}.${kind}` : topic} needs`);
  return { topic, kind, options: output };
}

export const nameOf = ({ topic, kind }: Asked): string => (kind === null ? topic : `${topic}.${kind}`);

/** A machine with these grants that suits the host. */
export const machineWith = (facts: Facts, grants: Asked[], more: Partial<Spec> = {}): Spec => ({
  name: 'law', engine: 'nspawn', engineOptions: Object.fromEntries(Object.entries(engines).map(([name, { options }]) => [name, v.parse(options, {})])), root: { source: 'debian', options: { debian: 'bookworm', packages: [], variant: 'minbase', components: ['main'] } }, user: { name: 'guest' },
  users: facts.kernel.startsWith('5.') ? 'host' : 'own', ephemeral: false, hostname: 'law', boot: grants.some(({ topic, kind }) => kind === null && values[topic]!.onlyBooted), run: ['/bin/sh'], accept: ['no-device-policy', 'no-hooks', 'xhost'], grants, ...more,
});

/** The steps apart from those that take long and are of the template alone. */
export const stepsOf = ({ opening, lasting, passing }: Plan): Step[] => [...opening, ...lasting, ...passing].map(({ step }) => step);
