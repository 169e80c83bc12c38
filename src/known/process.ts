import { nameOfRule } from '../device-dangers.ts';
import type { Known, Said, Surroundings, Where } from '../known.ts';
import { capabilitiesIn, beyondUsual } from '../powers.ts';

/** A container that runs, whoever has started it, as the kernel shows it. */

/** What /proc, and the files of its control groups, say of the first process of a container; null: it may not be read. */
export interface Seen {
  name: string;
  pid: number;
  /** /proc/PID/uid_map. */
  uidMap: string;
  /** /proc/PID/status. */
  status: string;
  /** Of each kind, whether it is in that of the host; null: it may not be told. */
  shares: Record<'net' | 'ipc' | 'pid' | 'uts' | 'cgroup', boolean | null>;
  /** Its mounts, and what of the host is seen there: null, something of its own. */
  mounts: { at: string; type: string; readOnly: boolean; from: string | null }[];
  /** Rules of the list of devices: `c 226:* rwm`, `a *:* rwm`; null: nobody can read them. */
  devices: string[] | null;
  /** Of the narrowest group that says something. */
  limits: Record<'cpu' | 'memory' | 'tasks', string | null>;
  /** Whether its root is on the file system of the host's own root. */
  onHostDisk: boolean | null;
}

/** What every container has mounted of the host: nodes, files about the host, what systemd-nspawn and LXC hand in. */
const ordinary = /^\/(dev\/(null|zero|full|u?random|tty|console|ptmx|pts(\/\d+)?|net\/tun|fuse|kmsg|shm|mqueue)|run\/host(\/.*)?|proc(\/.*)?|sys(\/.*)?|run\/systemd\/(nspawn|incoming|journal)(\/.*)?|run\/systemd\/propagate(\/.*)?|etc\/(resolv\.conf|localtime|hosts)|dev\/\.lxc.*|run\/nestbox\/.*)$/;
const usualNames = /^(char-pts|\/dev\/(net\/tun|fuse|loop-control|mapper\/control)|block-(loop|blkext|device-mapper)) /; // also those of systemd-nspawn@.service
const own = new Set(['proc', 'sysfs', 'cgroup', 'cgroup2', 'devpts', 'mqueue', 'securityfs', 'debugfs', 'tracefs', 'bpf', 'fusectl', 'binfmt_misc', 'efivarfs', 'pstore', 'configfs', 'hugetlbfs']);

export function knownProcess({ name, pid, uidMap, status, shares, mounts, devices, limits, onHostDisk }: Seen, host: Surroundings): Known {
  const file = `/proc/${pid}`;
  const seen = (what: string, text: string): Where => ({ file: `${file}/${what}`, line: null, column: null, text });
  const field = (key: string) => new RegExp(`^${key}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
  const [, , first] = /^\s*(\d+)\s+(\d+)/.exec(uidMap) ?? [];
  const isHostRoot = first === '0';
  const uid = Number(field('Uid').split(/\s+/)[0]);
  const held = field('NoNewPrivs') === '1' && uid !== 0 && isHostRoot;
  const said = <T>(is: T, what: string, text: string): Said<T> => ({ is, where: seen(what, text) });
  const rules = devices?.map((line) => /^([abc]) (\d+|\*):(\d+|\*) ([rwm]+)$/.exec(line)).filter((found) => found !== null) ?? [];
  // Of a unit systemd tells names, as DeviceAllow= has them.
  const named = (devices ?? []).flatMap((line) => (/^(char-|block-|\/dev\/)/.test(line) && !usualNames.test(line) ? [said(line.split(' ')[0]!, 'cgroup', `DeviceAllow=${line}`)] : []));
  const isOpen = rules.some(([, type]) => type === 'a');
  const number = (text: string) => (text === '*' ? '*' as const : Number(text));
  const ownNetwork = shares.net === null ? null : said(!shares.net, 'ns/net', shares.net ? 'the network of the host' : 'a network of its own');
  const bounding = field('CapBnd');
  const underSys = mounts.filter(({ at }) => at === '/' || at === '/proc' || at === '/proc/sys').sort((a, b) => b.at.length - a.at.length)[0];
  const limit = (which: keyof Seen['limits'], fileName: string): Said<boolean> => said(limits[which] !== null, 'cgroup', limits[which] ?? `no limit in any of its groups (${fileName})`);
  return {
    name, made: 'process', file,
    hostRoot: said(isHostRoot, 'uid_map', uidMap.trim().replace(/\s+/g, ' ')), asRoot: said(!held, 'status', `Uid ${uid}`),
    ownNetwork,
    shares: (['ipc', 'pid', 'uts', 'cgroup'] as const).filter((kind) => shares[kind]).map((is) => said(is, `ns/${is}`, 'that of the host')),
    deviceList: devices === null ? null : said(!isOpen, 'cgroup', isOpen ? 'a *:* rwm' : 'its list of devices'),
    devices: isOpen ? [] : [...named, ...rules.flatMap(([line, type, major, minor, rights]) => {
      const is = nameOfRule(type!, number(major!), number(minor!), rights!);
      return is === null ? [] : [said(is, 'cgroup', line)];
    })],
    capabilities: bounding === '' ? [] : beyondUsual({ capabilities: capabilitiesIn(bounding), network: shares.net ? { kind: 'host' } : { kind: 'none' } }).map((is) => said(is, 'status', `CapBnd ${bounding}`)),
    syscalls: [],
    binds: mounts.filter(({ at, type, from }) => from !== null && at !== '/' && !own.has(type) && !ordinary.test(from) && !ordinary.test(at)).map(({ at, readOnly, from }) => ({ is: { from: from!, to: at, write: !readOnly }, where: seen('mountinfo', `${from} at ${at}${readOnly ? ', read-only' : ''}`) })),
    bounds: { cpu: limit('cpu', 'cpu.max'), memory: limit('memory', 'memory.max'), tasks: limit('tasks', 'pids.max'), disk: onHostDisk === null ? null : said(!onHostDisk, 'mountinfo', onHostDisk ? "its root is on the host's disk" : 'its root is on a file system of its own') },
    strangers: [], kernelFiles: said(isHostRoot && underSys !== undefined && !underSys.readOnly, 'mountinfo', '/proc/sys can be written to'),
    besideRoot: said(false, 'cmdline', ''), opened: [], host,
    unseen: [
      ...(Object.values(shares).includes(null) ? ['which namespaces it shares with the host: only root may see that'] : []),
      ...(devices === null ? ['which devices it may open: its list cannot be read back'] : []),
      ...(mounts.length === 0 ? ['what is mounted in it: only root may see that'] : []),
    ],
  };
}
