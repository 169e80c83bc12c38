import type { Facts } from './facts.ts';

/** What a package is called in this distribution, and the command that installs it (pure). Debian's names are the ones that the rest of nestbox knows. */

/** Distributions whose packages have names of their own; others are one of these by ID_LIKE of os-release(5). */
export const families = ['debian', 'fedora', 'arch', 'opensuse', 'gentoo'] as const;
export type Family = (typeof families)[number];

type Elsewhere = readonly [fedora: string | null, arch: string | null, opensuse: string | null, gentoo: string | null];

const same = (name: string, gentoo: string): Elsewhere => [name, name, name, gentoo];

/** Debian's name -> that of the others. null: they do not have it, or nobody is sure. In [brackets]: USE flags, without which Gentoo builds it without the program. */
const elsewhere = {
  acl: same('acl', 'sys-apps/acl'),
  'archlinux-keyring': ['archlinux-keyring', 'archlinux-keyring', null, null],
  'arch-install-scripts': ['arch-install-scripts', 'arch-install-scripts', null, null],
  'btrfs-progs': ['btrfs-progs', 'btrfs-progs', 'btrfsprogs', 'sys-fs/btrfs-progs'],
  coreutils: same('coreutils', 'sys-apps/coreutils'),
  'cryptsetup-bin': same('cryptsetup', 'sys-fs/cryptsetup'),
  e2fsprogs: same('e2fsprogs', 'sys-fs/e2fsprogs'),
  'f2fs-tools': same('f2fs-tools', 'sys-fs/f2fs-tools'),
  findutils: same('findutils', 'sys-apps/findutils'),
  gzip: same('gzip', 'app-arch/gzip'),
  iproute2: ['iproute', 'iproute2', 'iproute2', 'sys-apps/iproute2'],
  iptables: ['iptables-nft', 'iptables', 'iptables', 'net-firewall/iptables'],
  lvm2: same('lvm2', 'sys-fs/lvm2'),
  lxc: same('lxc', 'app-containers/lxc'),
  makepkg: ['pacman', 'pacman', null, null],
  mmdebstrap: ['mmdebstrap', null, null, null],
  mount: same('util-linux', 'sys-apps/util-linux'),
  nftables: same('nftables', 'net-firewall/nftables'),
  'pacman-package-manager': ['pacman', 'pacman', null, null],
  'pipewire-pulse': ['pipewire-pulseaudio', 'pipewire-pulse', 'pipewire-pulseaudio', 'media-video/pipewire[sound-server]'],
  pkexec: ['polkit', 'polkit', 'pkexec', 'sys-auth/polkit'],
  pulseaudio: same('pulseaudio', 'media-sound/pulseaudio-daemon'),
  'pulseaudio-utils': ['pulseaudio-utils', 'libpulse', 'pulseaudio-utils', 'media-libs/libpulse'],
  'qemu-user-static': ['qemu-user-static', 'qemu-user-static', 'qemu-linux-user', 'app-emulation/qemu[static-user]'],
  sudo: same('sudo', 'app-admin/sudo'),
  // Arch and Gentoo have nspawn in systemd itself: where it is missing there, another init runs the host, and this would take its place.
  systemd: ['systemd', null, 'systemd', null],
  'systemd-container': ['systemd-container', null, 'systemd-container', null],
  tar: same('tar', 'app-arch/tar'),
  'util-linux': same('util-linux', 'sys-apps/util-linux'),
  xfsprogs: same('xfsprogs', 'sys-fs/xfsprogs'),
  'xserver-xephyr': ['xorg-x11-server-Xephyr', 'xorg-server-xephyr', 'xorg-x11-server-extra', 'x11-base/xorg-server[xephyr]'],
  xvfb: ['xorg-x11-server-Xvfb', 'xorg-server-xvfb', 'xorg-x11-server-Xvfb', 'x11-base/xorg-server[xvfb]'],
  'xz-utils': ['xz', 'xz', 'xz', 'app-arch/xz-utils'],
  zstd: same('zstd', 'app-arch/zstd'),
} satisfies Record<string, Elsewhere>;
export type PackageName = keyof typeof elsewhere;

const installs: Record<Family, string> = { debian: 'apt install', fedora: 'dnf install', arch: 'pacman -S', opensuse: 'zypper install', gentoo: 'emerge' };

/** What tells one distribution from another. */
export type Known = Pick<Facts, 'distribution'>;

/** Whose names of packages a distribution has: its own ID, else the first of ID_LIKE that is known; null: nobody's here. */
export function familyOf({ distribution: { id, like = [] } }: Known): Family | null {
  const named = [id, ...like].map((name) => (/^(opensuse|suse|sles)/.test(name) ? 'opensuse' : name === 'ubuntu' || name === 'raspbian' ? 'debian' : name === 'rhel' || name === 'centos' ? 'fedora' : name));
  return named.flatMap((name) => families.find((family) => family === name) ?? []).at(0) ?? null;
}

/** What this distribution calls a package of Debian's; null: that is not known. */
function nameIn(family: Family, name: PackageName): string | null {
  if (family === 'debian') return name;
  return elsewhere[name][families.indexOf(family) - 1] ?? null;
}

/** The command that installs what Debian calls so, all at once; where one of them has no known name here, which packages of Debian's they are. */
export function installing(names: readonly PackageName[], host: Known): string {
  const family = familyOf(host);
  const found = family === null ? [] : names.map((name) => nameIn(family, name));
  if (family === null || found.includes(null)) return `install what Debian has as ${names.join(', ')}: its name here is not known`;
  const packages = [...new Set(found as string[])];
  const flags = [...new Set(packages.flatMap((name) => /\[(.*)\]$/.exec(name)?.[1] ?? []))];
  const plain = [...new Set(packages.map((name) => name.replace(/\[.*\]$/, '')))];
  return `${flags.length > 0 ? `USE="${flags.join(' ')}" ` : ''}${installs[family]} ${plain.join(' ')}`;
}

/** Those of these packages that this distribution has a known name for. */
export const known = (names: readonly PackageName[], host: Known): PackageName[] => {
  const family = familyOf(host);
  return family === null ? [] : names.filter((name) => nameIn(family, name) !== null);
};

/** The command that installs the headers of the kernel that runs, `release` as uname(1) has it. */
export function installingHeaders(release: string, host: Known): string {
  const [, flavour] = /-(lts|zen|hardened|default|rt)$/.exec(release) ?? [];
  switch (familyOf(host)) {
    case 'fedora': return `dnf install kernel-devel-${release}`;
    case 'arch': return `pacman -S linux-${flavour && flavour !== 'default' ? `${flavour}-` : ''}headers`;
    case 'opensuse': return `zypper install kernel-${flavour ?? 'default'}-devel`;
    case 'gentoo': return 'emerge sys-kernel/gentoo-sources, of the same version';
    case 'debian': return `apt install linux-headers-${release}`;
    default: return 'install them, of the same version';
  }
}
