import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { type Made, masksOf } from '../../src/masks.ts';

/** The computers that there are, by the name of the Debian in them. */
export const hosts = ['trixie', 'bookworm'] as const;
export type Host = (typeof hosts)[number];

/** The newer one alone, as a whole lab takes long; NESTBOX_HOSTS=all takes both. */
export const newest: readonly Host[] = process.env.NESTBOX_HOSTS === 'all' ? hosts : ['trixie'];

/** All that a computer's disk is made from. Plain data: its hash is the name under which the disk is kept. */
export interface Recipe {
  suite: string;
  packages: string[];
  /** Files of the disk, by path; those that the packages are configured by are there before them. */
  files: Record<string, string>;
  executables: Record<string, string>;
  masked: string[];
  enabled: string[];
  /** The packages of /srv/roots/debian, a bookworm without a kernel: what the lab's machines have as their root, as nothing can be downloaded inside. */
  root: string[];
  /** The Node of this machine, where Debian's own is too old: its path and version. */
  node: { path: string; version: string } | null;
  /** Free space, in MiB. */
  free: number;
}

// Documentation that nobody reads here is half of the files of an installation.
export const leaveOut = ['doc', 'man', 'info', 'locale', 'lintian', 'bug'].map((folder) => `/usr/share/${folder}/*`);

const packages = [
  // the system
  'systemd', 'systemd-sysv', 'udev', 'dbus', 'libpam-systemd', 'systemd-container', 'lxc', 'linux-image-amd64', 'initramfs-tools', 'zstd', 'kmod', 'login', 'passwd',
  'iproute2', 'iputils-ping', 'nftables', 'util-linux', 'mount', 'fdisk', 'e2fsprogs', 'procps', 'kbd', 'acl', 'attr', 'libcap2-bin', 'cryptsetup', 'lvm2', 'strace', 'evtest',
  // what is seen and heard
  'alsa-utils', 'xvfb', 'xserver-xephyr', 'xauth', 'pulseaudio', 'pulseaudio-utils',
];

const files = {
  // A small initramfs, as unpacking it takes seconds without KVM: only what finds and mounts the disk.
  '/etc/initramfs-tools/conf.d/lab': 'MODULES=list\nCOMPRESS=zstd\nFSTYPE=ext4\n',
  '/etc/initramfs-tools/modules': 'virtio_pci\nvirtio_blk\next4\n',
  '/etc/fstab': '/dev/vda / ext4 rw,noatime 0 0\n/dev/vdb /srv/desktops ext4 rw,noatime 0 0\n',
  '/etc/hostname': 'lab\n',
  '/etc/hosts': '127.0.0.1 localhost lab\n::1 localhost\n',
  '/etc/machine-id': '4c616220636f6d707574657220313233\n',
  '/etc/resolv.conf': '',
  // QEMU's user networking gives this address by DHCP, too; without asking it is there at once.
  '/etc/systemd/network/80-lab.network': '[Match]\nName=en*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n',
  '/etc/systemd/journald.conf.d/lab.conf': '[Journal]\nStorage=volatile\n',
  '/etc/udev/rules.d/70-lab.rules': 'SUBSYSTEM=="virtio-ports", ATTR{name}=="nestbox.lab", TAG+="systemd", ENV{SYSTEMD_WANTS}="lab-agent.service"\n',
  '/etc/systemd/system/lab-agent.service': `[Unit]
Description=Runs commands for the bench
BindsTo=dev-virtio\\x2dports-nestbox.lab.device
After=dev-virtio\\x2dports-nestbox.lab.device
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/sbin/lab-agent
# It ends when the bench lets go of it, and waits for the next one.
Restart=always
RestartSec=100ms
Environment=HOME=/root USER=root LANG=C.UTF-8
WorkingDirectory=/root
Delegate=yes
TasksMax=infinity
OOMScoreAdjust=-900
`,
};

/** What a freshly started Debian does in the background: here it would only be noise, and seconds of the start. */
const masked = [
  'apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer', 'e2scrub_reap.service', 'fstrim.timer', 'man-db.timer',
  'serial-getty@ttyS0.service', 'systemd-networkd-wait-online.service', 'lvm2-monitor.service', 'blk-availability.service', 'systemd-rfkill.socket',
];

const root = ['systemd', 'systemd-sysv', 'dbus', 'libpam-systemd', 'alsa-utils', 'iproute2', 'procps', 'util-linux', 'login', 'passwd'];

export const recipe = (host: Host): Recipe => ({
  suite: host,
  packages: [...packages, ...(host === 'trixie' ? ['nodejs'] : ['libstdc++6'])].sort(),
  files,
  executables: { '/usr/local/sbin/lab-agent': readFileSync(new URL('agent.pl', import.meta.url), 'utf8') },
  masked,
  enabled: ['systemd-networkd.service'],
  root,
  node: host === 'trixie' ? null : { path: process.execPath, version: process.version },
  free: 3072,
});

/** A root with a desktop in it, on a disk that all computers have: /srv/desktops/NAME. */
export interface Desktop {
  name: string;
  suite: string;
  packages: string[];
  files: Record<string, string>;
  enabled: string[];
  /** What nestbox makes in each root that boots. */
  made: Made[];
}

/** The account in them, and its password. */
export const person = { name: 'person', password: 'secret' };

/** Ctrl, Alt and T open a terminal. */
const openbox = `<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <keyboard><keybind key="C-A-t"><action name="Execute"><command>xterm -maximized -fa Mono -fs 20</command></action></keybind></keyboard>
</openbox_config>
`;

/** Tells the tests what they would else have to guess; the prompt is one that can be read from a picture. */
const told = {
  [`/home/${person.name}/.bashrc`]: 'PS1="ready> "\n',
  [`/home/${person.name}/.config/openbox/autostart`]: 'echo ready > ~/.session\n',
};

/** What an init inside has of its own: see docs/desktop.md. */
const session = `[Unit]
Description=Wayland session of ${person.name}
Wants=seatd.service
After=seatd.service systemd-user-sessions.service

[Service]
User=${person.name}
PAMName=login
Environment=LIBSEAT_BACKEND=seatd WLR_RENDERER=pixman XDG_SESSION_TYPE=wayland
WorkingDirectory=~
ExecStart=labwc -s "foot -m -f monospace:size=20"
Restart=on-failure

[Install]
WantedBy=multi-user.target
`;

const example = (name: string): { packages: string[] } => (parse(readFileSync(new URL(`../../examples/${name}.toml`, import.meta.url), 'utf8')) as { root: { packages: string[] } }).root;

const init = ['systemd', 'systemd-sysv', 'dbus', 'dbus-user-session', 'libpam-systemd', 'login', 'passwd', 'util-linux'];

/** Xorg under LightDM, and a Wayland compositor with seatd, of two releases. */
export const desktops: Desktop[] = [
  {
    name: 'work', suite: 'bookworm', packages: [...init, ...example('work-desktop').packages], enabled: [], made: masksOf([]),
    files: { ...told, [`/home/${person.name}/.config/openbox/rc.xml`]: openbox, [`/home/${person.name}/.dmrc`]: '[Desktop]\nSession=openbox\n' },
  },
  {
    name: 'private', suite: 'trixie', enabled: ['desktop.service', 'seatd.service'], made: masksOf([]),
    packages: [...init, 'labwc', 'foot', 'seatd', 'fonts-dejavu-core', 'xkb-data', 'libgl1-mesa-dri', 'pulseaudio-utils', 'iproute2', 'procps'],
    files: { ...told, '/etc/systemd/system/desktop.service': session },
  },
];
