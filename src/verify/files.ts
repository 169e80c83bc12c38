import { variablesInside } from '../machine.ts';
import { store } from '../store.ts';
import { gateBinds } from '../units/settings.ts';
import { firstKeyed, keyed, type Tries } from './common.ts';

/** What systemd-nspawn and LXC mount of the host in every container, or over what the kernel shows: nspawn-mount.c, lxc's conf.c. */
const everywhere = ['/run/host*', '/run/systemd/nspawn/*', '/proc', '/proc/*', '/sys', '/sys/*', '/dev', '/dev/*', '/run/credentials*'];

/** Where a socket of the host's, or a key, may not be seen inside unless it was asked for. */
const secrets = (home: string, uid: number): string[] => [
  '/etc/shadow', '/root/.ssh', `${home}/.ssh`, `${home}/.gnupg`, `${home}/.config/pulse/cookie`, `${home}/.Xauthority`, '/run/dbus/system_bus_socket', '/run/systemd/private', '/run/systemd/journal/stdout', '/run/udev/control', '/run/docker.sock',
  ...['bus', 'wayland-0', 'pulse/native', 'pipewire-0', 'keyring', 'gnupg'].map((name) => `/run/user/${uid}/${name}`), store.base, store.runs, '/run/nestbox-services', '/var/lib/lxc',
];

/** Variables that come with a topic, where the file does not set them itself. */
const topics: Record<string, string> = { DISPLAY: 'display', XAUTHORITY: 'display', PULSE_SERVER: 'audio', ALSA_CARD: 'audio' };

/** What it is given of the host's files is there, to be read or to be written as asked; nothing else of the host is mounted, and no secret of others is seen. */
export const files: Tries = (subject) => {
  const { machine, facts } = subject;
  const { edits, engine, seenBinds, source, origin, name } = machine;
  const spoken = seenBinds.filter(({ to }) => !to.startsWith('/dev/'));
  const of = (to: string) => edits.binds.find((bind) => bind.to === to) ?? edits.texts.find((text) => text.path === to);
  const others = facts.store.machines.filter((other) => other.name !== name).flatMap((other) => [store.machine(other.name), store.run(other.name), store.serviceRun(other.name)]);
  const hidden = [...new Set([...secrets(facts.person.home, facts.person.uid), ...(facts.x11?.authority ? [facts.x11.authority] : []), ...others])];
  const isGiven = (path: string) => spoken.some(({ from, to }) => [from, to].some((one) => path === one || path.startsWith(`${one}/`) || one.startsWith(`${path}/`)));
  // What waits for the network, or is process 1 of a program: src/engines/.
  const ofEngine = engine === 'lxc' ? ['/run/nestbox/native', '/run/nestbox/status'] : gateBinds(machine, facts).map(({ to }) => to);
  const variables = Object.entries(variablesInside(machine)).filter(([key]) => key in edits.environment);
  return [
    ...spoken.flatMap(({ from, to, write }) => {
      const bind = of(to);
      const asked = keyed(subject, bind && origin.get(bind));
      const isTheirs = bind && 'owner' in bind && bind.owner === 'theirs';
      return [
        { what: `${to}, ${from} of the host`, asked, as: 'root' as const, try: ['same', to, from] as const, expect: 'allowed' as const, layer: 'mount' as const },
        write ? { what: `write ${to}`, asked, as: isTheirs ? 'user' as const : 'root' as const, try: ['write', to] as const, expect: 'allowed' as const, layer: 'mount' as const }
          : { what: `write ${to}`, asked, as: 'root' as const, try: ['writable', to] as const, expect: 'denied' as const, layer: 'mount' as const },
      ];
    }),
    ...hidden.filter((path) => !isGiven(path)).map((path) => ({ what: `see ${path} of the host`, asked: 'default', as: 'root' as const, try: ['same', path, path] as const, expect: 'denied' as const, layer: 'mount' as const, sum: 'files of others' })),
    {
      what: 'mounts of the host', asked: keyed(subject, ['files']), as: 'host', try: ['mounts', ...spoken.flatMap(({ to, from }) => [to, from])], layer: 'mount',
      expect: { only: [...everywhere, ...seenBinds.map(({ to }) => to), ...ofEngine, ...(source.kind === 'host' ? source.folders.map((folder) => `/${folder}`) : []), ...(machine.account.uid === 0 ? ['/run/user/0'] : [])] },
    },
    // An init takes the one of its own /etc/hostname.
    ...(machine.boot !== null ? [] : [{ what: `host name ${machine.hostname}`, asked: keyed(subject, ['hostname']), as: 'root' as const, try: ['hostname', machine.hostname] as const, expect: 'allowed' as const, layer: 'hostname' as const }]),
    ...variables.map(([key, value]) => ({ what: `variable ${key}`, asked: firstKeyed(subject, [['environment', key], ...(key in topics ? [[topics[key]!]] : [])]), as: 'root' as const, try: ['variable', key, value] as const, expect: 'allowed' as const, layer: 'environment' as const })),
  ];
};
