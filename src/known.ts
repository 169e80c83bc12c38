import type { Exposure } from './edits.ts';
import type { Exposed } from './grant.ts';
import type { Want } from './wants.ts';

/** What is known of a container, whoever made it: all that the rules of audit look at. Plain data; src/known/ has who fills it in. */
export interface Known {
  name: string;
  made: Made;
  /** Of a container that is not of a file: where it was seen. */
  file: string;
  /** Whether root inside is root of the host: there is no user namespace. null, here and below: it cannot be told. */
  hostRoot: Said<boolean> | null;
  /** Whether programs inside are root there, or can become it. */
  asRoot: Said<boolean> | null;
  /** Whether it has a network of its own. */
  ownNetwork: Said<boolean> | null;
  /** Other namespaces of the host that it is in. */
  shares: Said<'ipc' | 'pid' | 'uts' | 'cgroup'>[];
  /** Whether anybody keeps a list of the devices that may be opened. */
  deviceList: Said<boolean> | null;
  /** Devices and classes that may be opened besides the usual, as DeviceAllow= of systemd names them. Those that a grant tells of itself are not among them, here and in the next two. */
  devices: Said<string>[];
  /** Capabilities of root inside besides those of every container of systemd-nspawn; 'all'. */
  capabilities: Said<string>[];
  /** System calls that may be made besides the usual, as SystemCallFilter= names them. */
  syscalls: Said<string[]>[];
  /** Files, folders and sockets of the host that are seen inside. */
  binds: Said<{ from: string; to: string; write: boolean }>[];
  /** Whether anything bounds what it uses. */
  bounds: Record<'cpu' | 'memory' | 'tasks' | 'disk', Said<boolean> | null>;
  /** A file system that the kernel mounts and that was made elsewhere: its path. */
  strangers: Said<string>[];
  /** Root inside sees /proc/sys and /sys so that it can write there. */
  kernelFiles: Said<boolean> | null;
  /** Whether its settings file lies beside the root, where whoever brings the root brings it. */
  besideRoot: Said<boolean> | null;
  /** What its engine has no way to do, of a machine of nestbox's: a word that asks for that is none that would do. */
  lacks?: readonly Want[];
  /** What its grants open, in their own words. */
  opened: (Exposure & { where: Where })[];
  host: Surroundings;
  /** What could not be looked at, and who could. */
  unseen: string[];
}

/** By whom: host is none of a container, but what they have left. */
export type Made = 'nestbox' | 'nspawn' | 'lxc' | 'distrobox' | 'process' | 'host';

/** Something, and where it is said. */
export interface Said<T> {
  is: T;
  where: Where;
}

/** A place in a file; without a line: nothing there says it, and `text` is what goes without saying. */
export interface Where {
  file: string;
  line: number | null;
  column: number | null;
  /** The line as it stands there. */
  text: string;
}

/** What of the host around it decides on what a container can do. */
export interface Surroundings {
  home: string;
  /** The whole version of systemd-nspawn, such as 252.39-1~deb12u2; null: unknown. */
  nspawn: string | null;
  /** X servers that let in everybody who reaches them, by number. */
  openDisplays: number[];
  /** Emulators that run with the rights of the programs (flag C of binfmt_misc) and that others than root can change. */
  looseEmulators: string[];
  /** What earlier containers have left: frozen lists of devices, rules of udev for seats, entries in access lists of nodes. */
  leftovers: { kind: 'devices' | 'seat' | 'access'; path: string; what: string }[];
}

export const quietHost: Surroundings = { home: '/root', nspawn: null, openDisplays: [], looseEmulators: [], leftovers: [] };

/** The binds of something that is called like that. */
export const bound = ({ binds }: Known, name: RegExp): Known['binds'] => binds.filter(({ is: { from } }) => name.test(from));

/** How far programs inside get with what they are given, as grants ask for it. What is not known is supposed. */
export const exposedBy = (known: Known): Exposed => ({ isHostRoot: known.hostRoot?.is !== false, sharesNetwork: known.ownNetwork?.is === false, touchesHardware: touchesHardware(known) });

/** Whether root inside may talk to hardware past the drivers: then it may open memory. */
export const touchesHardware = ({ hostRoot, capabilities }: Known): boolean => hostRoot?.is !== false && capabilities.some(({ is }) => is === 'all' || is === 'CAP_SYS_RAWIO');
