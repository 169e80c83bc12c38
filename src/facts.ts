import type { CdiSpec } from './cdi/schema.ts';
import type { Library } from './elf.ts';
import type { ImageFact, Inside as InsideImage } from './image/parts.ts';
import type { ProgramName } from './errors.ts';
import type { Binfmt } from './foreign/binfmt.ts';
import type { Tools } from './foreign/tools.ts';
import type { CacheEntry } from './linker.ts';
import type { Volume } from './volumes.ts';

/** All that is known of this host: plain data, read once, so that everything between reading and acting is a pure function. */
export interface Facts {
  /** As in `uname -m`: x86_64, aarch64 ... */
  architecture: string;
  /** Whether a 64-bit kernel runs the 32-bit programs of its processor; absent: nothing says that it does not. */
  runs32?: boolean;
  /** Emulators for other processors; read when a root is for one. */
  binfmt?: Binfmt;
  /** As os-release(5) has it; `like`: those that it comes from. */
  distribution: { id: string; version: string; like?: string[] };
  /** Release of the kernel, such as 6.1.0-18-amd64. */
  kernel: string;
  /** Version of systemd-nspawn, null where it is not installed. */
  systemd: number | null;
  /** Whether systemd is PID 1. */
  supervised: boolean;
  cgroups: Cgroups;
  /** Absolute paths of those programs of the table in errors.ts that are there. */
  programs: Partial<Record<ProgramName, string>>;
  /** Who asked, also through sudo. */
  person: Person;
  /** Whether nestbox itself runs as root. */
  root: boolean;
  /** Of the terminal that it was asked on; null where there is none. */
  terminal: string | null;
  language: string;
  x11: { display: string; authority: string | null } | null;
  /** Numbers of the X displays that run or have left a lock behind. */
  displaysInUse: number[];
  /** Sockets of the person's sound servers that exist. */
  sound: { pulse: string | null; pipewire: string | null; cards: SoundCard[] };
  graphics: GraphicsCard[];
  /** NVIDIA's own driver, where it is loaded. */
  nvidia?: NvidiaDriver | null;
  /** The files that describe devices (CDI), those that stand before others last; read when the machine file names such a device. */
  cdi?: CdiFile[];
  /** Device nodes below /dev/dri and /dev/snd, and those that the machine file names, alone or as a class. */
  nodes: Record<string, DeviceNode>;
  /** /proc/devices: what the kernel's drivers call the devices with this major number; one number may have several names. */
  deviceClasses: { type: 'c' | 'b'; major: number; name: string }[];
  /** Names of the groups of /etc/group, by id. */
  groups: Record<string, string>;
  /** The virtual terminals of this computer, looked at when the machine file asks for one; null: it has none. */
  terminals?: Terminals | null;
  /** What seats are made of, and which machines have what of it; looked at when a machine file names some of it. */
  seats?: SeatFacts;
  mounts: Mount[];
  /** Ranges of ids in /etc/subuid and /etc/subgid that belong to somebody. */
  subordinate: { start: number; count: number }[];
  /** Whether systemd-networkd runs. */
  networkd?: boolean;
  /** Ports at which programs of the host listen, and which other machines have; told when the machine file names ports. */
  ports?: TakenPort[];
  /** Name servers that a machine with a network of its own can reach: those on loopback are left out. */
  nameservers: string[];
  /** What nestbox keeps under /var/lib/nestbox. */
  store: Store;
  /** What is at each path that the machine file names; null: nothing. */
  paths: Record<string, PathFact | null>;
  /** What is known of the volume that the machine's root is on; absent for other roots. */
  volume?: VolumeFact;
  /** What the root holds of an image that is open; null: no root. */
  insideImage?: InsideImage | null;
  /** The accounts in the machine's root, null while it is still to be built. */
  accounts: Accounts | null;
  /** Links of the machine's root at places that are one in many, as they lead within it: /var/run -> /run; told where the engine follows none. */
  rootLinks?: Record<string, string>;
  /** Which init is in the machine's root; null while that is still to be built. */
  init: Init | null;
  /** For which processor the programs in the machine's root are, as Debian calls it; null: nobody can say yet. */
  rootArchitecture?: string | null;
  /** Version of the systemd in a root that is for another processor. */
  rootSystemd?: number | null;
  /** Programs of this host that do what those of the same name in a root for another processor do; null: there are none, or nobody can say yet. */
  tools?: Tools | null;
  /** What else is in the machine's root that libraries and settings of the host meet there; null or absent as `accounts`. */
  inside?: Inside | null;
}

export interface Terminals {
  /** The one that is on the screen. */
  active: number;
  /** Those that somebody of the host is logged in at, or runs a program on. */
  used: { number: number; by: string }[];
  machines: { name: string; number: number }[];
}

export interface SeatFacts {
  connectors: Connector[];
  inputs: InputDevice[];
  /** Where graphics cards and sound cards are, as udev says it (ID_PATH): by number. */
  cards: { index: number; path: string | null; isConsole: boolean }[];
  sounds: { index: number; path: string | null }[];
  claims: Claim[];
}

/** Where a monitor is plugged in. */
export interface Connector {
  /** Number of its graphics card. */
  card: number;
  /** HDMI-A-1, eDP-1, Virtual-1 ... */
  name: string;
  connected: boolean;
}

export interface InputDevice {
  /** eventN */
  node: string;
  name: string;
  /** ID_PATH of udev: pci-0000:00:14.0-usb-0:1.2:1.0; null: it has none, as those without a wire. */
  path: string | null;
  /** Vendor and product, such as 046d:c31c. */
  id: string;
  kinds: InputKind[];
}

export type InputKind = 'keyboard' | 'mouse' | 'touchpad' | 'touchscreen' | 'tablet' | 'joystick' | 'other';

/** What a machine has of screens, keyboards and sound cards, by its file. */
export interface Claim {
  machine: string;
  seat?: SeatOptions;
  /** It has this card, or all, on a virtual terminal (display.vt) or to draw on the screen itself (gpu.card). */
  screen?: { card?: string | number | undefined };
  alsa?: { card?: string | number | undefined };
}

/** The table [seat] of a machine file. */
export interface SeatOptions {
  card: string | number;
  connector?: string | undefined;
  input: string[];
  sound?: string | number | undefined;
  weight: number;
  memory?: number | undefined;
}

export interface TakenPort {
  protocol: 'tcp' | 'udp';
  port: number;
  /** null: a program of the host listens there. */
  machine: string | null;
}

/** The block devices of this host, and what there is at the path of one volume. */
export interface VolumeFact {
  /** null: nothing, as of a logical volume that is not active. */
  kind: 'block' | 'file' | 'other' | null;
  /** The kernel's name of it, or of the loop device over the file: sda2, dm-3, loop0. */
  device: string | null;
  /** By its first bytes; null: they cannot be read. */
  format: 'luks1' | 'luks2' | 'ext' | 'xfs' | 'btrfs' | 'f2fs' | 'lvm' | 'swap' | 'other' | null;
  /** All block devices, by the kernel's names. */
  devices: Record<string, BlockDevice>;
  /** Which of them is mounted where. */
  mounted: { at: string; device: string }[];
  swaps: string[];
  /** What is where it will be mounted. */
  there: 'nothing' | 'empty' | 'mounted' | 'other';
  /** Of a disk image, or of a disk that is one. */
  image?: ImageVolume;
}

export interface ImageVolume {
  /** Where the image is: what was named, or what that is unpacked to. */
  path: string;
  /** What was named is packed. */
  packed: { from: string; as: string } | null;
  /** As the kernel has it: the path of the file, all links followed, or of the disk's own node; null: it is not there. */
  backing: string | null;
  /** null: it cannot be read. */
  content: ImageFact | null;
  /** Loop devices that this machine has over it, by the names of its links to them. */
  own: Record<string, string>;
  /** nestbox image mount has it. */
  isHeld?: true;
  /** Types of file systems in it that this kernel can mount: ext4, vfat ... */
  drivers: string[];
}

export interface BlockDevice {
  /** Of the device mapper: vg-work and LVM-..., nestbox-work and CRYPT-LUKS2-... */
  mapper?: { name: string; uuid: string };
  /** The devices that it is made of. */
  of: string[];
  /** Whose partition it is. */
  disk?: string;
  /** Of a loop device: the path of the file or device that it is over. */
  over?: string;
}

export interface Inside {
  /** Its dynamic linker's cache; null: it has none. */
  linkerCache: CacheEntry[] | null;
  /** Whether it has an /etc/asound.conf of its own. */
  asound: boolean;
  /** The display manager that it starts, by the name of its unit, such as lightdm; null: none. */
  displayManager?: string | null;
  /** Whether it starts seatd, by which Wayland compositors come by a graphics card. */
  seatd?: boolean;
  /** Versions of the libraries of NVIDIA's driver in it. */
  nvidia: string[];
}

/** A file of the Container Device Interface that has been read. */
export interface CdiFile {
  path: string;
  /** As far as it can be told: vendor.com/class. */
  kind: string | null;
  /** null: it has mistakes. */
  spec: CdiSpec | null;
  /** FILE:LINE:COLUMN: what is wrong there. */
  complaints: string[];
}

export interface NvidiaDriver {
  /** Of the kernel's module, such as 550.163.01. */
  version: string;
  /** Number of /dev/nvidiaN of each card, by PCI address; null: not on a PCI bus. */
  cards: { pci: string | null; minor: number }[];
  /** Names of /proc/devices that begin with nvidia -> major number. */
  majors: Record<string, number>;
  /** Nodes in /dev/nvidia-caps. */
  capabilities: string[];
  /** Its libraries on this host, of that version: path -> what the linker has to know. */
  libraries: (Library & { folder: string })[];
  /** Other files of it -> where programs inside look for them. */
  files: { from: string; to: string }[];
}

export type Init = 'systemd' | 'other' | 'none';

export interface Person {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/** The control groups of the process that asked: new ones are made below these. */
export interface Cgroups {
  /** 1: controllers mounted one by one (also beside an empty version 2 tree); 2: one tree. */
  version: 1 | 2 | null;
  /** Controller -> absolute folder of the own group; version 2 has the one key '', and beside version 1 its tree is 'unified'. */
  own: Record<string, string>;
  /** Controllers that groups below the root can have. */
  controllers: string[];
  /** Of version 1: controllers of the kernel that nobody has mounted. */
  unmounted?: string[];
}

export interface SoundCard {
  index: number;
  /** As in /proc/asound/cards: PCH, Loopback ... */
  id: string;
  /** Its longer name there: HDA Intel PCH. */
  name?: string;
}

export interface GraphicsCard {
  index: number;
  card: string;
  render: string | null;
  /** 0000:00:02.0, or null where the card is not on a PCI bus (a Raspberry Pi). */
  pci: string | null;
  driver: string;
}

export interface DeviceNode {
  type: 'c' | 'b';
  major: number;
  minor: number;
  uid: number;
  gid: number;
  /** Permission bits, such as 0o660. */
  mode: number;
}

export interface Mount {
  at: string;
  type: string;
  readOnly: boolean;
}

export interface PathFact {
  kind: 'directory' | 'file' | 'socket' | 'device' | 'other';
  uid: number;
  gid: number;
  mode: number;
  /** Bytes. */
  size: number;
  /** Milliseconds since 1970. */
  modified: number;
  /** Where it leads, if it is a link: the rest is told of what is there. */
  link?: string;
  /** The same place with no link on the way to it, where there are any: what is mounted of it, as a link may be another one by then. */
  leads?: string;
  /** The shared library that it is, or those that are in it; told when the machine file names a CDI device, or NVIDIA's driver is loaded. */
  libraries?: Library[];
}

/** What nestbox keeps. */
export interface Store {
  templates: string[];
  machines: MachineRecord[];
  services: ServiceRecord[];
  /** First ids of machines that have no record: they are being made, or run and are not kept. */
  ids?: { name: string; start: number }[];
}

/** What nestbox keeps of a machine that it has made: /var/lib/nestbox/machines/NAME/machine.json. */
export interface MachineRecord {
  name: string;
  /** Key of the template below it; null where a directory of the person's is used in place. */
  template: string | null;
  directory: string | null;
  /** The volume that has to be opened before the directory is there. */
  volume?: Volume;
  /** Whether the files of the directory have been given these ids on the disk. */
  shifted?: boolean;
  /** First id of the host that the machine's ids are shown as; null: the host's own ids. */
  shift: number | null;
  /** The machine file that it was made from. */
  file: string;
  /** Devices that it is given at each start besides those of its file: nestbox attach --always. */
  devices?: string[];
}

/** A machine whose files systemd has: made by start or enable, taken away by stop or disable. */
export interface ServiceRecord {
  name: string;
  /** The unit that runs it. */
  unit: string;
  /** It comes up when the host does. */
  enabled: boolean;
  /** Process 1 of the machine as the host sees it; null: it does not run. */
  leader: number | null;
}

export interface Accounts {
  users: { name: string; uid: number; gid: number; home: string; shell?: string }[];
  groups: { name: string; gid: number; members: string[] }[];
}

/** The version in the release of a kernel, as [6, 1]. */
const version = (release: string): [number, number] => {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return [major, minor];
};

export const kernelIsAtLeast = (facts: Facts, major: number, minor: number): boolean => {
  const [ours, oursMinor] = version(facts.kernel);
  return ours > major || (ours === major && oursMinor >= minor);
};

/** Whether it is the folder, or below it. Both are without links, and end in no slash. */
export const isWithin = (path: string, folder: string): boolean => folder === '/' || path === folder || path.startsWith(`${folder}/`);

/** The mount that holds `path`. */
export function mountOf(facts: Facts, path: string): Mount | undefined {
  return facts.mounts.filter(({ at }) => isWithin(path, at)).reduce<Mount | undefined>((best, mount) => (!best || mount.at.length >= best.at.length ? mount : best), undefined);
}

/** Since which kernel a file system can be shown with other owners: mount_setattr(2), "ID-mapped mounts". */
const idmappable: Record<string, [number, number]> = {
  ext4: [5, 12], vfat: [5, 12], xfs: [5, 12], btrfs: [5, 15], ntfs3: [5, 15], f2fs: [5, 18], erofs: [5, 19], squashfs: [6, 2], tmpfs: [6, 3], exfat: [6, 2],
};

/** Whether the files below `path` can be shown in a machine with owners that exist there, and if not, why. */
export function cannotMap(facts: Facts, path: string): string | null {
  const type = mountOf(facts, path)?.type ?? 'unknown';
  const since = idmappable[type];
  if (!since) return `the file system of ${path} (${type}) cannot be mounted with mapped ids`;
  return kernelIsAtLeast(facts, ...since) ? null : `${type} can be mounted with mapped ids from Linux ${since.join('.')} on; this is ${facts.kernel}`;
}
