import { accessSync, closeSync, constants, existsSync, lstatSync, openSync, readdirSync, readSync, readFileSync, readlinkSync, realpathSync, statSync, type Stats } from 'node:fs';
import { release } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import { attempt } from './attempt.ts';
import { parseAccounts } from './accounts.ts';
import { classEdit, parseClasses } from './classes.ts';
import { type Library, libraryOf } from './elf.ts';
import { engines } from './engines/index.ts';
import { packages, type ProgramName } from './errors.ts';
import type { Accounts, Cgroups, DeviceNode, Facts, GraphicsCard, Init, Inside, MachineRecord, Mount, PathFact, Person, ServiceRecord, TakenPort, Terminals, VolumeFact, ImageVolume } from './facts.ts';
import { readDistribution } from './host/distribution.ts';
import { isFirst } from './host/inside.ts';
import { readState } from './host/session.ts';
import { recognise } from './image/filesystems.ts';
import { unpackedPath } from './image/packed.ts';
import { type Inside as InsideImage, insideOf, readImage } from './image/parts.ts';
import { type Read, readTable } from './image/table.ts';
import { readCache } from './linker.ts';
import { enabledLink, imageSession, serviceOf, unitOf } from './names.ts';
import { findNvidia, nvidiaVersionsIn } from './nvidia/probe.ts';
import { pulseSockets } from './sounds.ts';
import { store } from './store.ts';
import { lastTerminal } from './terminals.ts';
import { driverOf, rootLink } from './volumes.ts';

/** The only reader of /proc, /sys, /dev and the environment. It runs no program: all of it takes a few milliseconds. */
const text = (path: string): string => attempt(() => readFileSync(path, 'utf8'), '');
const list = (path: string): string[] => attempt(() => readdirSync(path), []);
const lines = (path: string): string[] => text(path).split('\n').filter(Boolean);

/** Where programs of the host are looked for: never the caller's PATH, as we may be root. */
export const programFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Whether there is a file that may be run. */
export const isProgram = (path: string): boolean => existsSync(path) && attempt(() => (accessSync(path, constants.X_OK), true), false); // first whether it is there: an exception costs ten times as much

/** nestbox-native is beside the program itself; in the source tree, tests run from elsewhere and name its folder. */
function findPrograms(ownFolder: string): Facts['programs'] {
  const find = (name: string, folders: string[]) => folders.map((folder) => `${folder}/${name}`).find(isProgram);
  const found = (Object.keys(packages) as ProgramName[]).map((name) => [name, find(name, name === 'nestbox-native' ? [ownFolder, '/usr/lib/nestbox'] : programFolders)] as const);
  return Object.fromEntries(found.filter(([, path]) => path));
}

/** The name of the library that nestbox's nspawn is linked with has the version in it: asking nspawn itself takes longer than all else. */
function systemdVersion(): number | null {
  const names = ['/usr/lib/systemd', ...list('/usr/lib').filter((name) => name.endsWith('-linux-gnu') || name.endsWith('-linux-gnueabihf')).map((name) => `/usr/lib/${name}/systemd`), '/usr/lib64/systemd', '/lib/systemd'].flatMap(list);
  const versions = names.flatMap((name) => /^libsystemd-shared-(\d+)/.exec(name)?.[1] ?? []).map(Number);
  return versions.length > 0 ? Math.max(...versions) : null;
}

/** sd_booted(3). Where systemd is, it hands on every controller that there is; elsewhere those count that groups have already. */
const supervised = (): boolean => attempt(() => lstatSync('/run/systemd/system').isDirectory(), false);

function cgroups(mounts: { at: string; type: string; options: string }[]): Cgroups {
  const own = Object.fromEntries(lines('/proc/self/cgroup').flatMap((line) => {
    const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return controllers.split(',').map((name) => [name.replace(/^name=/, ''), path] as const);
  }));
  const v1 = mounts.filter(({ type }) => type === 'cgroup');
  if (v1.length > 0) {
    const folders = v1.flatMap(({ at, options }) => options.split(',').map((option) => option.replace(/^name=/, '')).filter((name) => name in own).map((name) => [name, `${at}${own[name]}`.replace(/\/$/, '')] as const));
    // systemd-nspawn makes groups of its own in the version 2 tree beside these.
    const beside = mounts.find(({ type }) => type === 'cgroup2');
    if (beside) folders.push(['unified', `${beside.at}${own[''] ?? ''}`.replace(/\/$/, '')]);
    // name, hierarchy, groups, enabled
    const unmounted = lines('/proc/cgroups').flatMap((line) => /^(\w+)\s+0\s+\d+\s+1$/.exec(line)?.[1] ?? []);
    return { version: 1, own: Object.fromEntries(folders), controllers: folders.map(([name]) => name).sort(), ...(unmounted.length > 0 && { unmounted }) };
  }
  const v2 = mounts.find(({ type }) => type === 'cgroup2');
  return v2
    ? { version: 2, own: { '': `${v2.at}${own[''] ?? ''}`.replace(/\/$/, '') }, controllers: text(`${v2.at}/cgroup.${supervised() ? 'controllers' : 'subtree_control'}`).split(/\s+/).filter(Boolean).sort() }
    : { version: null, own: {}, controllers: [] };
}

/** /proc/self/mountinfo, or that of another process, proc(5); what is mounted over comes before what is mounted there. `device`: its MAJOR:MINOR; `root`: what of its file system is seen. */
export function readMounts(of = 'self'): (Mount & { options: string; device: string; root: string; source: string })[] {
  const unescape = (path: string) => path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return lines(`/proc/${of}/mountinfo`).map((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const fields = before.split(' ');
    const [type = '', source = '', options = ''] = after.split(' ');
    return { at: unescape(fields[4] ?? ''), device: fields[2] ?? '', root: unescape(fields[3] ?? ''), type, readOnly: `${fields[5]},${options}`.split(',').includes('ro'), options, source: unescape(source) };
  });
}

/** Who asked: through sudo and pkexec it is the person, not root. */
function findPerson(env: NodeJS.ProcessEnv): Person {
  const uid = Number(env.SUDO_UID ?? env.PKEXEC_UID ?? process.getuid!());
  const account = parseAccounts(text('/etc/passwd'), '').users.find((user) => user.uid === uid);
  return account ? { name: account.name, uid, gid: account.gid, home: account.home } : { name: `${uid}`, uid, gid: Number(env.SUDO_GID ?? process.getgid!()), home: env.HOME ?? '/' };
}

/** One that the person could have put there must belong to them: else root would be led to somebody else's socket. */
const ownSocket = (path: string, person: Person): string | null => attempt(() => (statSync(path).isSocket() && [person.uid, 0].includes(statSync(path).uid) ? path : null), null);

/** $XDG_RUNTIME_DIR where it is a folder of the person's: sudo may leave root that of somebody else. */
const runtimeOf = (person: Person, env: NodeJS.ProcessEnv): string =>
  (env.XDG_RUNTIME_DIR && attempt(() => statSync(env.XDG_RUNTIME_DIR!).uid, null) === person.uid ? env.XDG_RUNTIME_DIR : `/run/user/${person.uid}`);

function findSound(person: Person, env: NodeJS.ProcessEnv): Facts['sound'] {
  const runtime = runtimeOf(person, env);
  const sockets = [...pulseSockets(env.PULSE_SERVER ?? ''), `${runtime}/pulse/native`];
  return {
    pulse: sockets.find((path) => ownSocket(path, person)) ?? null, pipewire: ownSocket(`${runtime}/pipewire-0`, person),
    cards: lines('/proc/asound/cards').flatMap((line) => {
      const [, index, id, name] = /^\s*(\d+) \[(\S+)\s*\]: (?:.*? - )?(.*)$/.exec(line) ?? [];
      return id ? [{ index: Number(index), id, ...(name && { name: name.trim() }) }] : [];
    }),
  };
}

function findGraphics(): GraphicsCard[] {
  const device = (node: string) => attempt(() => realpathSync(`/sys/class/drm/${node}/device`), '');
  const nodes = list('/sys/class/drm');
  return nodes.filter((name) => /^card\d+$/.test(name)).map((card) => {
    const render = nodes.find((name) => name.startsWith('renderD') && device(name) === device(card));
    return {
      index: Number(card.slice(4)), card: `/dev/dri/${card}`, render: render ? `/dev/dri/${render}` : null,
      pci: /[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]$/.exec(device(card))?.[0] ?? null,
      driver: attempt(() => readlinkSync(`/sys/class/drm/${card}/device/driver`).split('/').at(-1)!, ''),
    };
  }).sort((a, b) => a.index - b.index);
}

/** st_rdev as glibc packs it: gnu_dev_major() and gnu_dev_minor() in <sys/sysmacros.h>. */
const major = (rdev: number): number => Number((BigInt(rdev) >> 8n) & 0xfffn) | Number((BigInt(rdev) >> 32n) & ~0xfffn);
const minor = (rdev: number): number => Number(BigInt(rdev) & 0xffn) | Number((BigInt(rdev) >> 12n) & 0xffffff00n);

const nodeFact = (stat: Stats): DeviceNode => ({
  type: stat.isBlockDevice() ? 'b' : 'c', major: major(stat.rdev), minor: minor(stat.rdev), uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o777,
});

function findNodes(named: readonly string[]): Facts['nodes'] {
  const nvidia = list('/dev').filter((name) => name.startsWith('nvidia')).map((name) => `/dev/${name}`);
  const paths = [...['/dev/dri', '/dev/snd', '/dev/nvidia-caps'].flatMap((folder) => list(folder).map((name) => `${folder}/${name}`)), ...nvidia, ...named];
  return Object.fromEntries(paths.flatMap((path) => {
    const stat = attempt(() => statSync(path), null);
    return stat && (stat.isCharacterDevice() || stat.isBlockDevice()) ? [[path, nodeFact(stat)] as const] : [];
  }));
}

/** File systems of their own below /dev, whose nodes are no devices of the host. */
const notDevices = ['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/hugepages', '/dev/fd'];

/** The nodes of classes, wherever below /dev they are; links to them are not counted. */
function findNodesOf(facts: Facts, classes: readonly string[]): Facts['nodes'] {
  if (classes.length === 0) return {};
  const wanted = classes.map((name) => classEdit(facts, name, false));
  return nodesWhere((node) => wanted.some(({ type, majors }) => type === node.type && majors.includes(node.major)));
}

/** The same facts with every device node of this host. */
export const lookAtAllNodes = (facts: Facts): Facts => ({ ...facts, nodes: { ...facts.nodes, ...nodesWhere(() => true) } });

function nodesWhere(isWanted: (node: DeviceNode) => boolean): Facts['nodes'] {
  const found = (folder: string): [string, DeviceNode][] => list(folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    const stat = attempt(() => lstatSync(path), null);
    if (stat?.isDirectory()) return notDevices.includes(path) ? [] : found(path);
    if (!stat || !(stat.isCharacterDevice() || stat.isBlockDevice())) return [];
    const node = nodeFact(stat);
    return isWanted(node) ? [[path, node]] : [];
  });
  return Object.fromEntries(found('/dev'));
}

/** The shared library that a file is, by the little of it that tells; null: it is none. */
export const readLibrary = (path: string): Library | null => attempt(() => {
  const file = openSync(path, 'r');
  try {
    return libraryOf(basename(path), (offset, length) => {
      const bytes = Buffer.alloc(Math.min(length, 2 ** 20));
      return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, offset));
    });
  } finally {
    closeSync(file);
  }
}, null);

const isLibrary = (path: string): boolean => /^lib.+\.so(\.|$)/.test(basename(path));

/** Those at `path`: that file, or those in that folder. */
function librariesAt(path: string, { kind }: PathFact): Library[] {
  const files = kind === 'directory' ? list(path).map((name) => `${path}/${name}`) : kind === 'file' ? [path] : [];
  return files.filter((file) => isLibrary(file) && attempt(() => statSync(file).isFile(), false)).flatMap((file) => readLibrary(file) ?? []);
}

function pathFact(path: string): PathFact | null {
  // What is told is all told of one place, also where somebody changes a link meanwhile.
  const leads = attempt(() => realpathSync(path), null);
  const stat = leads === null ? null : attempt(() => lstatSync(leads), null);
  return !stat || stat.isSymbolicLink() ? null : {
    kind: stat.isDirectory() ? 'directory' : stat.isFile() ? 'file' : stat.isSocket() ? 'socket' : stat.isCharacterDevice() || stat.isBlockDevice() ? 'device' : 'other',
    uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777, size: stat.size, modified: Math.floor(stat.mtimeMs),
    ...attempt<{ link?: string }>(() => ({ link: readlinkSync(path) }), {}), ...(leads !== null && leads !== path && { leads }),
  };
}

function findDisplays(): number[] {
  const numbers = [...list('/tmp/.X11-unix').map((name) => /^X(\d+)$/.exec(name)?.[1]), ...list('/tmp').map((name) => /^\.X(\d+)-lock$/.exec(name)?.[1])];
  const abstract = lines('/proc/net/unix').map((line) => /@\/tmp\/\.X11-unix\/X(\d+)$/.exec(line)?.[1]);
  return [...new Set([...numbers, ...abstract].flatMap((number) => (number === undefined ? [] : [Number(number)])))].sort((a, b) => a - b);
}

/** /proc/net/tcp and the like, proc(5): state 0A is a socket that listens, 07 one of UDP that has no peer. Those on loopback are in nobody's way. */
export const readListening = (): TakenPort[] => ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((file) => lines(`/proc/net/${file}`).flatMap((line): TakenPort[] => {
  const [, address = '', port = '', state] = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line) ?? [];
  const protocol = file.startsWith('tcp') ? 'tcp' : 'udp';
  return state === (protocol === 'tcp' ? '0A' : '07') && !/^(0{16}F{4}0{4}|0{16}0{8})?\w{6}7F$|^0{24}01000000$/.test(address) ? [{ protocol, port: Number.parseInt(port, 16), machine: null }] : [];
}));

/** Name servers as resolv.conf(5) lists them; systemd-resolved keeps the real ones behind its own on loopback. */
function findNameservers(): string[] {
  const servers = (path: string) => lines(path).flatMap((line) => /^nameserver\s+(\S+)/.exec(line)?.[1] ?? []).filter((address) => !/^(127\.|::1$|fe80)/i.test(address));
  const real = servers('/run/systemd/resolve/resolv.conf');
  return real.length > 0 ? real : servers('/etc/resolv.conf');
}

/** What is kept of a machine that is made; null: it is not made, or not readable. */
export const recordOf = (name: string): MachineRecord | null => attempt(() => JSON.parse(readFileSync(`${store.machine(name)}/machine.json`, 'utf8')) as MachineRecord, null);

const machineRecords = (): MachineRecord[] =>
  list(store.machines).flatMap((name) => recordOf(name) ?? []);

/** The leader is in what systemd-machined keeps for itself, /run/systemd/machines/NAME: asking its bus takes as long as a start of ours. Of others it is looked for. */
const serviceRecords = (): ServiceRecord[] =>
  list(store.services).filter((name) => existsSync(store.undoOfService(name))).map((name) => {
    const unit = Object.values(engines).map((engine) => serviceOf(name, engine)).find((one) => existsSync(`/etc/systemd/system/${one}.d/nestbox.conf`)) ?? serviceOf(name);
    const registered = () => (attempt(() => lstatSync(`/run/systemd/machines/unit:${unit}`) !== null, false) ? Number(/^LEADER=(\d+)$/m.exec(text(`/run/systemd/machines/${name}`))?.[1] ?? 0) || null : null);
    return { name, unit, enabled: attempt(() => lstatSync(enabledLink(unit)) !== null, false), leader: unit === serviceOf(name) ? registered() : firstOf(name, unit) };
  });

/** The first process of a container of LXC's that a unit runs: it is in a control group of the container's own. */
const firstOf = (name: string, unit: string): number | null =>
  ['', '/systemd', '/unified'].flatMap((tree) => pidsBelow(`/sys/fs/cgroup${tree}/machine.slice/${unit}/lxc.payload.${name}`)).find(isFirst) ?? null;

const pidsBelow = (folder: string): number[] => attempt(() => [
  ...lines(`${folder}/cgroup.procs`).filter((line) => line !== '').map(Number),
  ...readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap((entry) => pidsBelow(`${folder}/${entry.name}`)),
], []);

/** What nestbox keeps; to be read again once a machine's lock is held, as another nestbox may have made or removed it. */
export function readStore(): Facts['store'] {
  const ids = list(store.runs).map((name) => ({ name, start: Number(text(store.ids(name))) })).filter(({ start }) => start > 0);
  // Records come behind them: what has had its record written meanwhile is in one of the two.
  return { templates: list(store.templates).filter((name) => !name.startsWith('.')).sort(), machines: machineRecords(), services: serviceRecords(), ...(ids.length > 0 && { ids }) };
}

/** Everything but the paths of one machine file and the accounts of its root: those are looked at by look(). */
export function probe(env: NodeJS.ProcessEnv, ownFolder: string = dirname(attempt(() => realpathSync(process.argv[1]!), '/'))): Facts {
  const mounts = readMounts();
  const person = findPerson(env);
  const authority = env.XAUTHORITY ?? `${person.home}/.Xauthority`;
  return {
    architecture: machineNames[process.arch] ?? process.arch,
    runs32: runs32(),
    distribution: readDistribution(),
    kernel: release(),
    systemd: systemdVersion(),
    supervised: supervised(),
    cgroups: cgroups(mounts),
    programs: findPrograms(ownFolder),
    person,
    root: process.getuid!() === 0,
    terminal: env.TERM ?? null,
    language: env.LANG && /^[\w.@-]+$/.test(env.LANG) && /utf-?8$/i.test(env.LANG) ? env.LANG : 'C.UTF-8',
    x11: env.DISPLAY ? { display: env.DISPLAY, authority: attempt(() => lstatSync(authority).isFile(), false) ? authority : null } : null,
    displaysInUse: findDisplays(),
    sound: findSound(person, env),
    graphics: findGraphics(),
    nvidia: existsSync('/proc/driver/nvidia/version') ? findNvidia({ text, list, readLibrary }) : null,
    nodes: findNodes([]),
    deviceClasses: parseClasses(text('/proc/devices')),
    groups: Object.fromEntries(parseAccounts('', text('/etc/group')).groups.map(({ name, gid }) => [`${gid}`, name])),
    mounts: mounts.map(({ at, type, readOnly }) => ({ at, type, readOnly })),
    subordinate: ['/etc/subuid', '/etc/subgid'].flatMap(lines).flatMap((line) => {
      const [, start, count] = line.split(':');
      return count ? [{ start: Number(start), count: Number(count) }] : [];
    }),
    // The link is PID 1's: it is there as long as the unit runs; what networkd itself keeps in /run stays.
    networkd: attempt(() => lstatSync('/run/systemd/units/invocation:systemd-networkd.service') !== null, false),
    nameservers: findNameservers(),
    store: readStore(),
    paths: {},
    accounts: null,
    init: null,
  };
}

/** process.arch -> uname -m */
const machineNames: Record<string, string> = { x64: 'x86_64', ia32: 'i686', arm64: 'aarch64', arm: 'armv7l', ppc64: 'ppc64le', loong64: 'loongarch64' };

/** Processors of ARM that know no 32-bit programs: CPU implementer and part of /proc/cpuinfo, from their Technical Reference Manuals; all of Apple's. */
const only64 = ['0x41/0xd02', '0x41/0xd06', '0x41/0xd43', '0x41/0xd4a', '0x41/0xd48', '0x41/0xd49', '0x41/0xd4d', '0x41/0xd4e', '0x41/0xd4f', '0x41/0xd80', '0x41/0xd81', '0x41/0xd82', '0x41/0xd84', '0x41/0xd85', '0x41/0xd87', '0x41/0xd8e', '0x43/0x0a1', '0xc0/0xac3'];

/** Whether the kernel and the processor run 32-bit programs beside their own: by a setting that only such a kernel (CONFIG_COMPAT) has. */
function runs32(): boolean {
  if (!existsSync('/proc/sys/vm/mmap_rnd_compat_bits')) return !existsSync('/proc/sys/vm/mmap_rnd_bits'); // one that has neither does not tell
  if (/(^|\s)ia32_emulation=(0|n|off|false)(\s|$)/i.test(text('/proc/cmdline'))) return false;
  if (process.arch !== 'arm64') return true;
  const cpus = text('/proc/cpuinfo');
  const [makers, parts] = [cpus.match(/^CPU implementer.*?(0x\w+)$/gm) ?? [], cpus.match(/^CPU part.*?(0x\w+)$/gm) ?? []].map((found) => found.map((line) => line.slice(line.indexOf('0x'))));
  return !makers!.some((maker, i) => maker === '0x61' || only64.includes(`${maker}/${parts![i]}`));
}

/** The virtual terminal that is on the screen, and those of machines that run or have their units in place; null: there are none. */
export function readScreens({ store: { services } }: Pick<Facts, 'store'>): Pick<Terminals, 'active' | 'machines'> | null {
  const active = /^tty(\d+)$/.exec(text('/sys/class/tty/tty0/active').trim())?.[1];
  return active === undefined ? null : {
    active: Number(active),
    machines: [
      ...list(store.runs).flatMap((name) => {
        const number = readState(name)?.terminal;
        return number ? [{ name, number }] : [];
      }),
      ...services.flatMap(({ name }) => {
        const number = / console take ([1-9]\d?) /.exec(text(`/etc/systemd/system/${unitOf(name)}`))?.[1];
        return number ? [{ name, number: Number(number) }] : [];
      }),
      // While there are seats, the host's screen shows this terminal, which takes no keys.
      ...list(store.seats).filter((name) => !name.startsWith('.')).map((name) => ({ name, number: lastTerminal })),
    ],
  };
}

/** The same, with what the host does on its terminals: every process is looked at for that. */
export function readTerminals(facts: Pick<Facts, 'store'>): Terminals | null {
  const screens = readScreens(facts);
  if (screens === null) return null;
  // As logind keeps its sessions: sd_session_get_vt(3).
  const sessions = list('/run/systemd/sessions').filter((name) => !name.includes('.')).flatMap((name) => {
    const field = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text(`/run/systemd/sessions/${name}`))?.[1];
    const number = Number(field('VTNR') ?? 0);
    return number > 0 && field('STATE') !== 'closing' ? [{ number, by: `a session of ${field('USER') ?? field('UID')}` }] : [];
  });
  const ours = attempt(() => readlinkSync('/proc/self/ns/pid'), '');
  const programs = list('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    const [, comm = '', rest = ''] = /^\d+ \((.*)\) (.*)$/s.exec(text(`/proc/${pid}/stat`)) ?? [];
    // tty_nr of proc(5); the numbers of terminals: Documentation/admin-guide/devices.txt.
    const device = Number(rest.split(' ')[4]);
    const number = (device & 0xff) | ((device >> 12) & 0xfff00);
    return ((device >> 8) & 0xfff) === 4 && number >= 1 && number <= 63 && attempt(() => readlinkSync(`/proc/${pid}/ns/pid`), ours) === ours ? [{ number, by: comm }] : [];
  });
  const all = [...sessions, ...programs];
  return { ...screens, used: all.filter(({ number }, i) => all.findIndex((other) => other.number === number) === i) };
}

/** The same facts with what is at these paths, and with the nodes of these classes of devices (char-alsa); the shared libraries there as well, where the linker of a machine has to find them. */
export function look(facts: Facts, paths: readonly string[], classes: readonly string[] = []): Facts {
  const factOf = (path: string): PathFact | null => {
    const fact = pathFact(path);
    const libraries = fact && (facts.cdi || facts.nvidia) ? librariesAt(path, fact) : [];
    return fact && (libraries.length > 0 ? { ...fact, libraries } : fact);
  };
  return { ...facts, nodes: { ...facts.nodes, ...findNodes(paths), ...findNodesOf(facts, classes) }, paths: Object.fromEntries(paths.map((path) => [path, factOf(path)])) };
}

/** The block devices of this host, what there is at the path of one volume, and at the folder where it will be mounted. `links`: it is an image, and these folders may have the machine's links to what it has of it. */
export function readVolume(named_: string, at: string, links: readonly string[] | null = null): VolumeFact {
  const image = links && readImageVolume(named_, links);
  const path = image?.path ?? named_;
  const folder = '/sys/class/block';
  const numbers = Object.fromEntries(list(folder).map((name) => [text(`${folder}/${name}/dev`).trim(), name]));
  const named = (node: string) => attempt(() => (statSync(node).isBlockDevice() ? (numbers[`${major(statSync(node).rdev)}:${minor(statSync(node).rdev)}`] ?? null) : null), null);
  const stat = attempt(() => statSync(path), null);
  const file = stat?.isFile() ? realpathSync(path) : null;
  const place = attempt(() => lstatSync(at), null);
  const mounts = readMounts();
  return {
    kind: stat ? (stat.isBlockDevice() ? 'block' : file ? 'file' : 'other') : null,
    device: image ? (image.own[rootLink] ?? null) : file ? (list(folder).find((name) => text(`${folder}/${name}/loop/backing_file`).trim() === file) ?? null) : named(path),
    format: stat?.isBlockDevice() || file ? attempt(() => formatOf(path), null) : null,
    devices: Object.fromEntries(list(folder).map((name) => [name, {
      ...(existsSync(`${folder}/${name}/dm`) && { mapper: { name: text(`${folder}/${name}/dm/name`).trim(), uuid: text(`${folder}/${name}/dm/uuid`).trim() } }),
      of: list(`${folder}/${name}/slaves`),
      ...(existsSync(`${folder}/${name}/loop/backing_file`) && { over: text(`${folder}/${name}/loop/backing_file`).trimEnd() }),
      ...(existsSync(`${folder}/${name}/partition`) && { disk: basename(dirname(realpathSync(`${folder}/${name}`))) }),
    }])),
    // A btrfs has a number of its own: it is its source that tells.
    mounted: mounts.flatMap((mount) => {
      const device = numbers[mount.device] ?? (mount.source.startsWith('/dev/') ? named(mount.source) : null);
      return device ? [{ at: mount.at, device }] : [];
    }),
    swaps: lines('/proc/swaps').slice(1).flatMap((line) => named(line.split(/\s/)[0] ?? '') ?? []),
    there: !place ? 'nothing' : !place.isDirectory() ? 'other' : mounts.some((mount) => mount.at === at) ? 'mounted' : attempt(() => readdirSync(at).length, 1) === 0 ? 'empty' : 'other',
    ...(image && { image }),
  };
}

/** Bytes of a file or block device; statSync has none for the latter. */
function sizeOf(path: string): number {
  const stat = statSync(path);
  if (!stat.isBlockDevice()) return stat.size;
  return Number(text(`/sys/dev/block/${major(stat.rdev)}:${minor(stat.rdev)}/size`)) * 512;
}

/** Of a file or a disk: a pipe would never end. */
const readBytes = <T>(path: string, work: (read: Read, size: number) => T): T | null => attempt(() => {
  if (!statSync(path).isFile() && !statSync(path).isBlockDevice()) return null;
  const file = openSync(path, 'r');
  try {
    const read: Read = (offset, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
    };
    return work(read, sizeOf(path));
  } finally {
    closeSync(file);
  }
}, null);

/** Whether there is a disk image at the path: a disk, or a file that begins as an image does, also a packed one, or what such a one was unpacked to. */
export const isImage = (path: string): boolean => (!existsSync(path) && /\.(xz|gz|zst|zip)$/i.test(path) ? isImage(unpackedPath(path)) : attempt(() => statSync(path).isBlockDevice(), false)
  || (readBytes(path, (read, size) => readTable(read, size).kind !== 'none' || recognise(read, 0, size, true) !== null) ?? false));

/** Whether any loop device is over the file. */
export const hasLoop = (path: string): boolean => list('/sys/class/block').some((name) => text(`/sys/class/block/${name}/loop/backing_file`).trimEnd() === attempt(() => realpathSync(path), path));

/** Whether this kernel mounts a type, or has a module for it. */
function isDriven(type: string): boolean {
  if (lines('/proc/filesystems').some((line) => line.split('\t')[1] === type)) return true;
  return ['modules.dep', 'modules.builtin'].some((file) => lines(`/lib/modules/${release()}/${file}`).some((line) => new RegExp(`(^|/)${type}\\.ko`).test(line)));
}

function readImageVolume(named: string, links: readonly string[]): ImageVolume {
  const packedAs = readBytes(named, (read, size) => recognise(read, 0, size, true)?.packed?.as) ?? null;
  // What was packed may have been thrown away when it was unpacked.
  const path = packedAs !== null || (!existsSync(named) && existsSync(unpackedPath(named))) ? unpackedPath(named) : named;
  const backing = attempt(() => realpathSync(path), null);
  const content = readBytes(path, readImage);
  const own = links.flatMap((folder) => list(folder).flatMap((name) => attempt((): [string, string][] => {
    const device = basename(readlinkSync(`${folder}/${name}`));
    return text(`/sys/class/block/${device}/loop/backing_file`).trimEnd() === backing ? [[name, device]] : [];
  }, [])));
  const types = [...new Set(content?.parts.flatMap((part) => part.content?.format ?? []).map(driverOf) ?? [])];
  return { path, packed: packedAs === null ? null : { from: named, as: packedAs }, backing, content, own: Object.fromEntries(own), ...(backing && existsSync(`${store.mountOfImage(imageSession(backing))}/undo`) && { isHeld: true as const }), drivers: types.filter(isDriven) };
}

/** What a device begins with, as libblkid knows it: superblocks/*.c of util-linux. */
function formatOf(path: string): VolumeFact['format'] {
  const bytes = Buffer.alloc(0x10048);
  const file = openSync(path, 'r');
  try {
    readSync(file, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(file);
  }
  const has = (offset: number, word: string) => bytes.subarray(offset, offset + word.length).equals(Buffer.from(word, 'latin1'));
  if (has(0, 'LUKS\xba\xbe')) return bytes.readUInt16BE(6) === 1 ? 'luks1' : 'luks2';
  if (has(0, 'XFSB')) return 'xfs';
  if (has(0x438, '\x53\xef')) return 'ext';
  if (has(0x10040, '_BHRfS_M')) return 'btrfs';
  if (has(0x400, '\x10\x20\xf5\xf2')) return 'f2fs';
  if ([0, 1, 2, 3].some((sector) => has(sector * 512, 'LABELONE'))) return 'lvm';
  return has(4086, 'SWAPSPACE2') ? 'swap' : 'other';
}

/** Of a CDI file: the largest that are known have some hundred kilobytes. */
const longestCdiFile = 2 ** 22;

/** The texts of the files that describe devices (CDI): of two folders the later stands before the earlier; SPEC.md, "CDI devices and directories". */
export function readCdiTexts(): { path: string; text: string }[] {
  return ['/etc/cdi', '/var/run/cdi'].flatMap((folder) => list(folder).filter((name) => /\.(json|yaml)$/.test(name)).sort().map((name) => `${folder}/${name}`))
    .filter((path) => attempt(() => statSync(path).isFile(), false))
    .map((path) => ({ path, text: attempt(() => statSync(path).size, 0) > longestCdiFile ? '\0' : text(path) }));
}

/** What of a root meets the host's libraries and settings; null for one that is still to be made. A root may be hostile: nothing but plain files of a usual size is read. */
export function readInside(layers: readonly string[]): Inside | null {
  if (layers.length === 0) return null;
  const plain = (path: string) => layers.map((layer) => `${layer}${path}`.replace('//', '/')).find((found) => attempt(() => lstatSync(found).isFile() && lstatSync(found).size > 0 && lstatSync(found).size < 2 ** 24, false));
  const cache = plain('/etc/ld.so.cache');
  // The link is systemd's own name for whichever is chosen: systemd.special(7). A device in its place is an overlay's word that it is gone.
  const unit = (name: string) => {
    const layer = layers.find((one) => attempt(() => lstatSync(`${one}/etc/systemd/system/${name}`), null));
    return layer === undefined ? null : attempt(() => basename(readlinkSync(`${layer}/etc/systemd/system/${name}`), '.service'), null);
  };
  return { linkerCache: cache ? attempt(() => readCache(readFileSync(cache)), null) : null, asound: plain('/etc/asound.conf') !== undefined, displayManager: unit('display-manager.service'), seatd: unit('multi-user.target.wants/seatd.service') !== null, nvidia: nvidiaVersionsIn(layers, list) };
}

/** Places that are links in many roots. */
const oftenLinks = ['/bin', '/lib', '/lib32', '/lib64', '/libx32', '/sbin', '/var/run', '/var/lock', '/etc/resolv.conf', '/etc/localtime', '/usr/lib64', '/usr/sbin'];

/** Where they lead within the root, as paths of it; those that are none are left out. */
export const readRootLinks = (layers: readonly string[]): Record<string, string> => Object.fromEntries(oftenLinks.flatMap((path) => {
  const upper = layers.map((layer) => `${layer}${path}`.replace('//', '/')).find((at) => attempt(() => lstatSync(at) !== null, false));
  const to = upper === undefined ? null : attempt(() => readlinkSync(upper), null);
  return to === null ? [] : [[path, resolve(dirname(path), to)]];
}));

/** The accounts of a root, from the uppermost of its folders that has them; null for a root that is still to be made. */
export function readAccounts(layers: readonly string[]): Accounts | null {
  if (layers.length === 0) return null;
  // A root may be hostile: a pipe under this name would never end.
  const plain = (path: string) => attempt(() => lstatSync(path).isFile() && lstatSync(path).size < 2 ** 20, false);
  const read = (name: string) => layers.map((layer) => `${layer}/etc/${name}`).filter(plain).map(text).find((found) => found !== '') ?? '';
  return parseAccounts(read('passwd'), read('group'));
}

/** What there is of a root where an image is mounted. It is a stranger's: no link is followed out of it. */
export const readInsideImage = (folder: string): InsideImage | null => insideOf((path) => attempt(() => {
  const there = lstatSync(`${folder}/${path}`);
  const real = there.isSymbolicLink() ? attempt(() => realpathSync(`${folder}/${path}`), '') : `${folder}/${path}`;
  const stat = real.startsWith(`${folder}/`) ? lstatSync(real) : there;
  return { kind: stat.isDirectory() ? 'directory' : stat.isFile() ? 'file' : 'other', read: () => (stat.isFile() && stat.size < 2 ** 20 ? readFileSync(real) : Buffer.alloc(0)) };
}, null));

/** Which init a root has, by the places where systemd-nspawn --boot looks for one; null for a root that is still to be made. */
export function readInit(layers: readonly string[]): Init | null {
  if (layers.length === 0) return null;
  const there = (names: readonly string[]) => layers.some((layer) => names.some((name) => attempt(() => lstatSync(`${layer}/${name}`) !== null, false)));
  return there(['usr/lib/systemd/systemd', 'lib/systemd/systemd']) ? 'systemd' : there(['usr/sbin/init', 'sbin/init', 'usr/bin/init', 'bin/init']) ? 'other' : 'none';
}
