import type { Way } from '../machine.ts';

/** Where a difference between what a machine was given and what it has comes from, and what mends it. */

interface About {
  is: string;
  mend(name: string, way: Way): string;
}

const again = (name: string, way: Way) => (way === 'service' ? `nestbox restart ${name}` : `end it, and run it again: nestbox run ${name}`);
const anew = (why: string): About['mend'] => (name, way) => `${why}: ${again(name, way)}`;

export const layers = {
  node: { is: 'the node in its /dev', mend: anew('its nodes are made when it starts') },
  owner: { is: 'owner and mode of the node in its /dev', mend: anew('its nodes are made when it starts') },
  list: { is: 'the device list of its control group', mend: anew('the list is set when it starts; what systemctl set-property has added is in a folder system.control below /etc/systemd or /run/systemd') },
  driver: { is: 'the driver of the device', mend: (_) => 'fuser -v shows who has the device on this host' },
  mount: { is: 'a mount inside', mend: anew('its mounts are made when it starts') },
  cookie: { is: 'the key to the display (its X cookie)', mend: anew('a key is made when it starts') },
  'access-list': { is: 'the access list of the X server', mend: (_) => 'xhost shows who is let in without a key; xhost - closes it' },
  trust: { is: 'the rights of the key to the display', mend: anew('a key is made when it starts') },
  'x-server': { is: 'the X server of the display', mend: anew('its X server has ended') },
  'sound-gate': { is: 'the gate before the sound server', mend: anew('the gate is started with it') },
  'sound-server': { is: 'the sound server', mend: anew('the sound server is started with it') },
  service: { is: 'a program of the host that belongs to it', mend: anew('it is started with the machine') },
  network: { is: 'its network namespace', mend: anew('it is made when it starts') },
  link: { is: 'its link to the host', mend: anew('the link is made when it starts') },
  ports: { is: "the rules of nft by which the host's ports lead to it", mend: anew('they are made when it starts') },
  names: { is: 'the name servers that it is told of', mend: anew('/etc/resolv.conf is bound when it starts') },
  ids: { is: 'the ids of its user namespace', mend: anew('they are mapped when it starts') },
  namespace: { is: 'a namespace that it should have of its own', mend: anew('it is made when it starts') },
  calls: { is: 'the filter of system calls', mend: anew('it is set when it starts') },
  capabilities: { is: 'the capabilities of its root', mend: anew('they are dropped when it starts') },
  'new-rights': { is: 'no_new_privs of its programs', mend: anew('it is set when it starts') },
  'kernel-files': { is: 'the read-only mounts over /proc and /sys', mend: anew('they are made when it starts') },
  limit: { is: 'a limit of its control group', mend: anew('limits are set when it starts') },
  hostname: { is: 'its host name', mend: anew('it is set when it starts') },
  environment: { is: 'the environment of its programs', mend: anew('it is set when they are started') },
  'unit-file': { is: 'a file of systemd that nestbox has written', mend: (name) => `nestbox stop ${name}, and nestbox start ${name} writes it anew` },
  'drop-in': { is: 'a drop-in that is not of nestbox', mend: (name) => `remove that file (systemctl revert would take those of nestbox with it); then systemctl daemon-reload and nestbox restart ${name}` },
  reload: { is: 'systemd, which has not read the files as they are', mend: (name) => `systemctl daemon-reload; nestbox restart ${name}` },
  seat: { is: 'the seat', mend: anew('its devices are taken when it starts') },
} as const satisfies Record<string, About>;

export type Layer = keyof typeof layers;
