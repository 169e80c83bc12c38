import { installing, type Known, type PackageName } from './packages.ts';
import type { Want } from './wants.ts';

/** An error that is the person's to mend: printed as its message and its hint, never with a stack. */
export class Complaint extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.hint = hint;
  }
}

/** What root alone may do: nestbox asks for root's rights where somebody is there to give them. */
export class NeedsRoot extends Complaint {}

/** Words that a person puts into `accept = [...]` to say that a loss is understood. */
export const acceptable = ['emulated-setuid', 'no-device-policy', 'no-hooks', 'xhost'] as const;
export type Acceptable = (typeof acceptable)[number];

/** Something that stands between a machine and this host, or that the person should know before it runs. */
export interface Problem {
  what: string;
  mend: string;
  fatal: boolean;
  /** The key of the machine file that asked, such as ['files', 0]; empty: nobody, it is the host's. */
  at?: (string | number)[];
  /** The word in `accept` that turns this fatal problem into a warning. */
  accept?: Acceptable;
  /** What the engine lacks, where it is that. */
  lack?: Want;
}

export const lacks = (what: string, mend: string): Problem => ({ what, mend, fatal: true });
export const warns = (what: string, mend: string): Problem => ({ what, mend, fatal: false });

/** "program 'Xvfb' is not installed", with the package that has it and what it is needed for. */
export const lacksProgram = (name: ProgramName, reason: string, host: Known): Problem =>
  lacks(`'${name}' is not installed; it is needed to ${reason}`, name === 'nestbox-native' ? `install nestbox again: it is a part of it (make -C native builds it in its sources)` : installing(packagesOf(name), host));

/** The packages that have a program, by Debian's names; nestbox's own part is in none. */
export const packagesOf = (name: ProgramName): PackageName[] => (name === 'nestbox-native' ? [] : packages[name].split(' ') as PackageName[]);

/** Every program of the host that nestbox may run, and the Debian packages that have it; packages.ts has what others call these. */
export const packages = {
  'nestbox-native': 'nestbox',
  Xephyr: 'xserver-xephyr',
  Xvfb: 'xvfb',
  btrfs: 'btrfs-progs',
  cp: 'coreutils',
  cryptsetup: 'cryptsetup-bin',
  debugfs: 'e2fsprogs',
  du: 'coreutils',
  e2fsck: 'e2fsprogs',
  find: 'findutils',
  flock: 'util-linux',
  'fsck.f2fs': 'f2fs-tools',
  getfacl: 'acl',
  gzip: 'gzip',
  install: 'coreutils',
  ip: 'iproute2',
  'iptables-legacy-save': 'iptables',
  'iptables-nft-save': 'iptables',
  journalctl: 'systemd',
  ln: 'coreutils',
  'lxc-cgroup': 'lxc',
  'lxc-start': 'lxc',
  'lxc-wait': 'lxc',
  lvchange: 'lvm2',
  machinectl: 'systemd-container',
  mkfifo: 'coreutils',
  mknod: 'coreutils',
  mmdebstrap: 'mmdebstrap',
  mount: 'mount',
  nft: 'nftables',
  nsenter: 'util-linux',
  pacstrap: 'arch-install-scripts pacman-package-manager archlinux-keyring makepkg',
  parec: 'pulseaudio-utils',
  pulseaudio: 'pulseaudio',
  pkexec: 'pkexec',
  'resize.f2fs': 'f2fs-tools',
  resize2fs: 'e2fsprogs',
  rm: 'coreutils',
  rmdir: 'coreutils',
  sudo: 'sudo',
  sync: 'coreutils',
  systemctl: 'systemd',
  'systemd-ask-password': 'systemd',
  'systemd-nspawn': 'systemd-container',
  'systemd-run': 'systemd',
  tar: 'tar',
  unshare: 'util-linux',
  xfs_growfs: 'xfsprogs',
  xfs_repair: 'xfsprogs',
  xz: 'xz-utils',
  zstd: 'zstd',
} as const satisfies Record<string, PackageName | 'nestbox' | `${PackageName} ${string}`>;
export type ProgramName = keyof typeof packages;

/** Error numbers in a person's words: errno(3). */
export const reasons: Record<string, string> = {
  EACCES: 'permission denied', EPERM: 'operation not permitted', ENOSPC: 'no space left on the disk', EROFS: 'the file system is read-only', EDQUOT: 'the disk quota is used up',
  EEXIST: 'it is there already', ENOTEMPTY: 'it is not empty', EBUSY: 'it is in use', ENOENT: 'it does not exist', EINVAL: 'the kernel does not take it', EOVERFLOW: 'its owner does not exist there', EIO: 'the disk does not answer',
};
