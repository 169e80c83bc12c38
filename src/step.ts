import type { AccountsToAdd } from './accounts.ts';
import type { Port } from './edits.ts';
import type { Host } from './host.ts';
import type { Change } from './image/edit.ts';
import type { Format } from './image/filesystems.ts';
import type { Packing } from './image/packed.ts';
import type { CacheEntry } from './linker.ts';
import type { Made } from './masks.ts';

/** Ids of the host. */
export interface Owner {
  uid: number;
  gid: number;
}

/** Where a process of a machine is put. */
export type Place =
  /** Control groups of nestbox's own; `folders` is one for each controller. */
  | { kind: 'cgroup'; folders: string[] }
  /** A unit of systemd, with settings as in `systemctl set-property`. `lxc`: the container of LXC's in it, which has a device list of its own. */
  | { kind: 'unit'; name: string; properties: string[]; lxc?: { name: string; folder: string } };

/** The first process of a running container: its number, and when it began (field 22 of /proc/PID/stat), which no other has. */
export interface Leader {
  pid: number;
  started: string;
}

/** A disk image, or a block device that holds one. `inode` tells it from another file that has its name by now; null: it is a device, or not made yet. */
export interface ImageFile {
  path: string;
  inode: number | null;
}

/** Bytes of an image. */
export interface Extent {
  start: number;
  size: number;
}

/** One thing done to the host. Plain data: it can be printed, compared and journalled. */
export type Step =
  | { kind: 'mkdir'; path: string; mode: number; owner?: Owner }
  /** A folder that is removed with all that has come into it. */
  | { kind: 'workspace'; path: string }
  /** `fresh`: nothing is there yet, and what comes to be there meanwhile is somebody else's. */
  | { kind: 'write'; path: string; text: string; mode: number; owner?: Owner; fresh?: true }
  | { kind: 'symlink'; path: string; to: string }
  | { kind: 'fifo'; path: string }
  | { kind: 'rename'; from: string; to: string }
  /** `text`: only a file that this has been written to, or the beginning of it; any other is somebody else's. */
  | { kind: 'remove'; path: string; text?: string }
  | { kind: 'remove-tree'; path: string }
  /** A key of its own for X display `number`, one file for the server and one for those inside. */
  | { kind: 'cookie'; number: number; server: { path: string; owner: Owner }; client: { path: string; owner: Owner } }
  /** A key that a running X server makes for this machine (SECURITY extension), or a copy of the person's where it has none; whoever reads it knows the display as number `as`. */
  | { kind: 'authorize'; socket: string; number: number; authority: string | null; trusted: boolean; path: string; as: number; owner: Owner }
  | { kind: 'deauthorize'; socket: string; number: number; authority: string | null; path: string }
  | { kind: 'admit'; socket: string; number: number; authority: string | null; user: string }
  | { kind: 'dismiss'; socket: string; number: number; authority: string | null; user: string }
  /** A copy of the key of the X display that the person sits at, for a program that runs under another id. */
  | { kind: 'copy-cookie'; number: number; authority: string | null; path: string; owner: Owner }
  /** `upper` and `work` are names of folders in `top`; ids of the layers are shown from `shift` on, 0: as they are. */
  | { kind: 'overlay'; at: string; top: string; upper: string; work: string; lower: string; shift: number }
  /** Whiteouts in an overlay's upper folder for each file below `below` that not everybody on the host may read. */
  | { kind: 'hide-private'; below: string; upper: string }
  /** `owner`: null where owners are shown as they are. */
  | { kind: 'bind'; from: string; at: string; owner: Owner | null; shownAs: Owner | null; write: boolean }
  /** An IPC namespace, kept at this file. */
  | { kind: 'ipc'; at: string }
  | { kind: 'tmpfs'; at: string; mode: number; bytes: number; owner: Owner; devices: boolean }
  | { kind: 'unmount'; at: string }
  /** The kernel runs programs for `architecture` by an emulator, wherever they are. `line`: as the kernel takes it; the entry is there as long as a machine has it. */
  | { kind: 'emulator'; entry: string; machine: string; architecture: string; line: string }
  | { kind: 'emulator-end'; entry: string; machine: string }
  /** A logical volume. `mark` is a file that says that it was nestbox who has activated it. */
  | { kind: 'activate'; lv: string; node: string; mark: string }
  | { kind: 'deactivate'; lv: string; mark: string }
  /** `keyFile`: null where the passphrase is given or asked for. `called`: what people know the device as. */
  | { kind: 'unlock'; device: string; mapping: string; machine: string; keyFile: string | null; discard: boolean; called?: string }
  | { kind: 'lock'; mapping: string }
  /** `volume`: what people call it. Neither is done to what is mounted there already. `beside`: it is another one than the root, its ids shown from `shift` on; `outside`: people of the host look at it, and its set-user-id programs are none. */
  | { kind: 'check-file-system'; device: string; at: string; volume: string; beside?: true }
  | { kind: 'mount-volume'; device: string; at: string; volume: string; beside?: { shift: number; write: boolean; outside?: true } }
  /** The mounts that a root directory needs, on the host, where they stay. */
  | { kind: 'chroot-mounts'; root: string; binds: { from: string; to: string; write: boolean }[] }
  /** All mounts below `root` but those that were there `before`. */
  | { kind: 'chroot-unmount'; root: string; before: string[] }
  /** A block device of some bytes of an image or of a disk: a link leads to it, as its number is told late, and it carries the machine's name. */
  | { kind: 'loop'; file: string; start: number; size: number; link: string; machine: string }
  /** `start`: null for all of the machine's, and what is mounted of them. */
  | { kind: 'loop-end'; machine: string; start: number | null }
  /** An image that is packed gets a whole one beside it. */
  | { kind: 'unpack'; from: string; to: string; as: Packing }
  /** `from`: the host's own node with these numbers. */
  | { kind: 'node'; path: string; from: string; type: 'c' | 'b'; major: number; minor: number; mode: number; owner: Owner }
  /** A virtual terminal; `file` keeps which one was on the screen before. */
  | { kind: 'terminal'; number: number; file: string }
  /** It has a text screen again, and if it is on the screen, the one before comes back. */
  | { kind: 'terminal-end'; number: number; file: string }
  /** What is typed at a seat of this machine is its own: `inputs` as native/seats.c reads them. While any seat is there, the host's text terminals are not shown, as they would hear it too. */
  | { kind: 'seat'; machine: string; inputs: string[] }
  | { kind: 'seat-end'; machine: string }
  /** Makes the folders, then writes each setting and reads it back where `check` says what must be there. */
  | { kind: 'cgroup'; folders: string[]; settings: { file: string; value: string }[]; check?: { file: string; lines: string[] } }
  | { kind: 'cgroup-end'; folders: string[] }
  /** A line of devices.allow (v1), of a machine that runs; `path` is the device that it is for. */
  | { kind: 'device-allow'; place: Place; rule: string; path: string }
  | { kind: 'device-forbid'; place: Place; rule: string; path: string }
  /** In the container's own /dev and /run, from the host's side. */
  | { kind: 'node-inside'; leader: Leader; path: string; type: 'c' | 'b'; major: number; minor: number; mode: number; owner: Owner }
  | { kind: 'file-inside'; leader: Leader; path: string; text: string }
  | { kind: 'remove-inside'; leader: Leader; path: string; device: { type: 'c' | 'b'; major: number; minor: number } | null }
  | { kind: 'accounts'; layers: string[]; add: AccountsToAdd }
  | { kind: 'accounts-end'; layers: string[]; add: AccountsToAdd }
  /** The folders that every root has, and the links into /usr. */
  | { kind: 'places'; layers: string[] }
  /** A file or folder that a bind covers, in the uppermost layer, with the folders above it as the lower layers have them. */
  | { kind: 'mount-point'; layers: string[]; path: string; type: 'file' | 'directory' }
  /** A link within the root, for a run. */
  | { kind: 'link-inside'; layers: string[]; path: string; to: string }
  | { kind: 'link-inside-end'; layer: string; path: string; to: string }
  /** The dynamic linker's cache for a run, which is bound over the root's own. */
  | { kind: 'linker-cache'; path: string; entries: CacheEntry[] }
  /** What one of these two has made, if nothing has come into it; the root was in a stranger's hands meanwhile. */
  | { kind: 'remove-empty'; layer: string; path: string }
  /** A long-running program that fills `target`; it cannot outlive nestbox, nor leave a mount. Where `seen` is given it finds the target there. `ahead`: packages that it fetches are unpacked before it comes to them. */
  | { kind: 'build'; target: string; seen?: string; ahead?: true; argv: string[]; what: string }
  /** In a root that is still empty: the folders of / that are links to those of /usr, and what apt is told on packages, as that must be there before it is asked. */
  | { kind: 'merged'; root: string; folders: string[]; preferences: string }
  /** Puts what apt has fetched before into a root that is still to be made, for apt to look at. */
  | { kind: 'fetched-in'; root: string; suite: string; architecture: string }
  /** Keeps what apt has fetched for a root that has been made, and leaves none of it there. */
  | { kind: 'fetched-out'; root: string }
  /** What of systemd has no use in a container, in a root that was just built; what stands there already is left alone. */
  | { kind: 'mask'; root: string; made: Made[] }
  /** `of`: the machine that it belongs to, which must not run meanwhile. */
  | { kind: 'copy-tree'; from: string; to: string; of: string }
  /** A line about all files of a root that was just built is written beside it. */
  | { kind: 'seal'; template: string }
  /** The root of a template has the files that it was built with; refuses what has been changed since. One without a seal is older than these. */
  | { kind: 'verify'; template: string; key: string }
  /** All that was written to the file system of `path` is on the disk. */
  | { kind: 'sync'; path: string }
  /**
   * The files of a directory whose ids are among the 65536 from `from` on get those from `to` on. `notes`: a file that is there as long as this is
   * under way, with what a file loses together with its owner. `onward`: what was cut off is not taken back, but finished.
   */
  | { kind: 'owners'; directory: string; from: number; to: number; notes: string; onward?: true }
  /** The image file gets another length, in bytes. */
  | { kind: 'image-length'; image: ImageFile; from: number; to: number }
  | { kind: 'image-table'; image: ImageFile; what: string; changes: Change[] }
  /** `mend`: nothing is changed; or what can be repaired without a loss is; or all is, as after a program that was killed. `number`: of the partition; null: the file system has all of the image. */
  | { kind: 'image-check'; image: ImageFile; extent: Extent; number: number | null; format: Format; mend: false | 'safe' | 'all' }
  /** The file system in `extent` gets `to` bytes instead of `from`. */
  | { kind: 'image-resize'; image: ImageFile; extent: Extent; number: number | null; format: Format; from: number; to: number }
  | { kind: 'image-copy'; image: ImageFile; copy: string }
  /** A copy takes the place of the image, at once. */
  | { kind: 'image-replace'; image: ImageFile; copy: string }
  /** What was cut off before this is taken back; what is cut off after it is finished, by these steps. */
  | { kind: 'onward'; steps: Step[] }
  | { kind: 'link'; name: string; peer: string; address: string; bridge: string | null; nat: Nat | null }
  | { kind: 'link-end'; name: string; nat: string | null }
  /** Ports that systemd-nspawn sends on, and has left behind when it was killed. */
  | { kind: 'ports-end'; ports: Port[] }
  /** `input`: a file that root alone may read, its standard input. `ipc`: where the IPC namespace is kept that it runs in, and whether it opens the memory there as files; absent: the host's. */
  | { kind: 'service'; name: string; argv: string[]; environment: Record<string, string>; user: Owner; ready: string; log: string; place: Place; leaves: string[]; grace: boolean; output: { path: string; owner: Owner } | null; input?: string; ipc?: { at: string; opens: boolean } }
  /** `grace`: it is asked to end first, and killed only when it does not. */
  | { kind: 'stop'; place: Place; grace: boolean }
  /** A file of a program that was killed, or an empty folder: left where it is when a living process holds it. */
  | { kind: 'leftover'; path: string }
  /** systemd reads its units anew, here or at this place of the way back. */
  | { kind: 'reload'; on: 'way' | 'back' }
  /** `parts`: a pattern of the names of the units that it needs. */
  | { kind: 'unit'; name: string; parts: string; want: 'started' | 'stopped' }
  /**
   * `boots`: its first process is an init, which is asked to shut down; else signals are the program's. `halt`: the number of the signal by which, where the engine passes on signals
   * to it. `status`: a file in which it says how its program has ended, where the engine does not. `ports`: of the host, that nspawn sends on. `console`: which word is put in at
   * which place of argv, by whether somebody sits at a terminal; '': none. `filters`: the folder with the system call filters that the engine would make, to be loaded before it is started.
   * `ipc`: where the IPC namespace is kept that the engine is started in, and told to leave.
   */
  | { kind: 'container'; name: string; boots: boolean; halt?: number; status?: string; argv: string[]; console: { at: number; terminal: string; pipe: string }; environment: Record<string, string>; place: Place; inside: InsideNetwork | null; ports: Port[]; leftovers: string[]; filters?: string; ipc?: string };

/** What the host does for a network that goes out under its address. */
export interface Nat {
  table: string;
  network: string;
  /** Of the machine in it. */
  address: string;
  ports: Port[];
}

/** What is set up in the network namespace of a container once it exists; the program inside waits at `gate` until then. */
export interface InsideNetwork {
  peer: string;
  address: string;
  gateway: string | null;
  gate: string;
}

/** What a step says of itself, whether it is done, its way back, and the doing. */
export interface Kind<S extends Step> {
  describe(step: S): string;
  /** If so it is skipped, and the way back leaves it alone: it was there before nestbox. */
  done(step: S, host: Host): Promise<boolean>;
  /** Asked for, and journalled, before do(). */
  inverse(step: S, host: Host): Promise<Step[]>;
  do(step: S, host: Host): Promise<void>;
}

/** The kinds of one group: each named here must be there, and no other. */
export type Kinds<K extends Step['kind']> = { [Name in K]: Kind<Extract<Step, { kind: Name }>> };
