import { capabilitiesOf, isInit, needless, unsaid, variableOf } from './common.ts';
import { type Asked, collector, type Setting } from './settings.ts';
import { bytesOf, iniWords, plainLines } from './text.ts';

/**
 * Configurations of LXC containers: lxc.container.conf(5), with the keys of 1.0 and 2.0 (lxc.utsname, lxc.network.type) and those since 2.1
 * (lxc.uts.name, lxc.net.0.type), and the lines that Proxmox has around them.
 */

/** Keys that had another name before 2.1. */
const renamed: Record<string, string> = {
  'lxc.utsname': 'lxc.uts.name', 'lxc.rootfs': 'lxc.rootfs.path', 'lxc.id_map': 'lxc.idmap', 'lxc.mount': 'lxc.mount.fstab', 'lxc.pts': 'lxc.pty.max', 'lxc.tty': 'lxc.tty.max', 'lxc.devttydir': 'lxc.tty.dir',
  'lxc.console': 'lxc.console.path', 'lxc.aa_profile': 'lxc.apparmor.profile', 'lxc.aa_allow_incomplete': 'lxc.apparmor.allow_incomplete', 'lxc.se_context': 'lxc.selinux.context', 'lxc.seccomp': 'lxc.seccomp.profile',
  'lxc.init_cmd': 'lxc.init.cmd', 'lxc.init_uid': 'lxc.init.uid', 'lxc.init_gid': 'lxc.init.gid', 'lxc.haltsignal': 'lxc.signal.halt', 'lxc.rebootsignal': 'lxc.signal.reboot', 'lxc.stopsignal': 'lxc.signal.stop',
  'lxc.logfile': 'lxc.log.file', 'lxc.loglevel': 'lxc.log.level', 'lxc.syslog': 'lxc.log.syslog', 'lxc.kmsg': 'lxc.autodev', 'lxc.rootfs.backend': 'lxc.rootfs.managed',
};

/** Files that come with LXC, and say what nestbox does by itself. */
const known = /^\/usr(\/local)?\/share\/lx[cC]\/(config\/)?(common\.conf(\.d\/?)?|[a-z]+\.common\.conf|[a-z]+\.userns\.conf|userns\.conf|nesting\.conf)$/;

interface Net {
  type: string;
  link: string | null;
  address: string | null;
  gateway: string | null;
  line: number;
  text: string;
}

/** The text of a configuration. */
export function readLxc(text: string, file: string): Setting[] {
  const { settings, add, clear } = collector(file);
  const nets = new Map<string, Net>();
  let legacy = -1;
  const quota = { quota: null as number | null, period: 100_000 };
  let root = '';
  for (const [i, raw] of plainLines(text).entries()) {
    const line = i + 1;
    const [, given = '', value = ''] = /^\s*([\w.-]+)\s*[=:]\s*(.*?)\s*$/.exec(raw) ?? [];
    if (/^\s*(#|$)/.test(raw) || /^\[[\w-]+\]$/.test(raw.trim())) continue; // Proxmox keeps what a snapshot was in sections
    const shown = raw.trim();
    if (given === '') {
      add(line, shown, unsaid('is no setting of LXC'));
      continue;
    }
    const legacyNet = /^lxc\.network\.(.+)$/.exec(given)?.[1];
    if (legacyNet === 'type' || (legacyNet && legacy < 0)) legacy++;
    const key = legacyNet ? `lxc.net.${legacy}.${legacyNet.replace(/^(ipv[46])$/, '$1.address')}` : (Object.hasOwn(renamed, given) ? renamed[given]! : given);
    const net = /^lxc\.net\.(\d{1,4})(?:\.(.+))?$/.exec(key);
    if (key === 'lxc.rootfs.path') root = value.replace(/^[a-z]+:/, '');
    if (net) addNet(net[1]!, net[2] ?? '', value, line, shown);
    else if (key === 'lxc.net') nets.clear();
    else if (value === '') takeBack(key, line, shown);
    else for (const asked of key.startsWith('lxc.') ? asks(key, value, root, quota) : proxmox(key, value)) add(line, shown, asked);
  }
  if (quota.quota !== null && quota.quota > 0) add(1, `cfs_quota_us = ${quota.quota}`, { what: 'limit', limit: 'cpu', value: quota.quota / quota.period });
  for (const [i, net] of [...nets.values()].entries()) for (const asked of i === 0 ? networkOf(net) : [unsaid('a second network cannot be said')]) add(net.line, net.text, asked);
  return settings;

  function addNet(number: string, key: string, value: string, line: number, shown: string): void {
    if (key === '' && value === '') {
      nets.delete(number);
      return;
    }
    const net: Net = nets.get(number) ?? { type: '', link: null, address: null, gateway: null, line, text: shown };
    nets.set(number, net);
    if (key === 'type') Object.assign(net, { type: value, line, text: shown });
    else if (key === 'link') net.link = value || null;
    else if (key === 'ipv4.address') net.address = value.split(/\s+/)[0] || null;
    else if (key === 'ipv4.gateway') net.gateway = value || null;
    else if (/^(flags|name)$/.test(key)) add(line, shown, needless('the link inside is called host0, and is up'));
    else add(line, shown, unsaid(key === 'hwaddr' ? 'the address of the link (MAC) is made from the name of the machine' : /^script|^ipv6/.test(key) ? `${key.startsWith('ipv6') ? 'addresses of version 6 are' : 'a program of the host is'} nothing that is said here` : 'a detail of the link for which there is no word'));
  }

  /** An empty value takes back all that was said with the key before. */
  function takeBack(key: string, line: number, shown: string): void {
    if (/^lxc\.cap\./.test(key)) clear(line, 'capabilities');
    else if (/^lxc\.cgroup2?\.devices/.test(key)) clear(line, 'device');
    else if (key === 'lxc.environment') clear(line, 'variable');
    else if (key === 'lxc.mount.entry') clear(line, 'bind');
    else add(line, shown, needless('says nothing'));
  }
}

function networkOf({ type, link, address, gateway }: Net): Asked[] {
  const net = (kind: 'host' | 'none' | 'veth', bridge: string | null = null): Asked => ({ what: 'network', kind, bridge, address: bridge ? address : null, gateway: bridge && gateway && /^[\d.]+$/.test(gateway) ? gateway : null });
  if (type === 'none') return [net('host')];
  if (type === 'empty') return [net('none')];
  if (type === 'veth') return link ? [net('veth', link), ...(gateway === 'auto' ? [unsaid('the gateway is the address of the bridge: say it, gateway = "..."')] : [])] : [net('none'), unsaid('a link that leads to no bridge: network = "private" leads out under the host\'s address')];
  return [net('none'), unsaid(`a network of type ${type || '?'} cannot be said; [network.bridge] puts a machine beside other computers`)];
}

function asks(key: string, value: string, root: string, quota: { quota: number | null; period: number }): Asked[] {
  const words = value.split(/\s+/);
  switch (key) {
    case 'lxc.uts.name': return [{ what: 'name', name: value }, { what: 'hostname', name: value }];
    case 'lxc.rootfs.path': return rootOf(value);
    case 'lxc.rootfs.options': return value.split(',').flatMap((option): Asked[] => (option === 'idmap=container' ? [{ what: 'ownership', how: 'map' }] : /^r(w|private|shared|slave)$/.test(option) ? [needless('so it is in every machine')] : option === 'ro' ? [unsaid('no root is read-only; ephemeral = true throws away what is changed in it')] : [unsaid('an option of the root for which there is no word')]));
    case 'lxc.ephemeral': return [{ what: 'ephemeral', value: value === '1' }];
    case 'lxc.init.cmd': return isInit(iniWords(value)[0] ?? '') ? [{ what: 'boot', value: true }, ...(iniWords(value).length > 1 ? [{ what: 'words' as const, words: iniWords(value).slice(1) }] : [])] : [{ what: 'boot', value: false }, { what: 'words', words: iniWords(value) }];
    case 'lxc.execute.cmd': return [unsaid('what lxc-execute runs: nestbox exec NAME -- PROGRAM does so in a machine that runs, run = [...] without boot')];
    case 'lxc.init.uid': case 'lxc.init.gid': return [value === '0' ? needless('so it is in every machine') : unsaid('a user is said by its name: user = { name = "...", uid = ... }')];
    case 'lxc.init.cwd': return [unsaid('a program starts in the home of its user')];
    case 'lxc.environment': case 'lxc.environment.runtime': return [variableOf(value)];
    case 'lxc.idmap': return idmapOf(words);
    case 'lxc.cap.drop': return capabilitiesOf(value, 'drop');
    case 'lxc.cap.keep': return value === 'none' ? [{ what: 'capabilities', how: 'keep', names: [] }] : capabilitiesOf(value, 'keep');
    case 'lxc.no_new_privs': return [{ what: 'no-new-privileges', value: value === '1' }];
    case 'lxc.mount.entry': return [mountOf(value, root)];
    case 'lxc.mount.fstab': return [unsaid(`further mounts are in ${value}: what stands there can be said by files = [...]`)];
    case 'lxc.mount.auto': return words.map((word) => autoOf(word));
    case 'lxc.include': return [known.test(value) ? needless('what comes with LXC: nestbox does by itself what it says') : unsaid(`more is in ${value}: nestbox import reads it when it is named as well`)];
    case 'lxc.start.auto': return [needless(value === '1' ? 'nestbox enable NAME lets it come up with the host' : 'so it is unless nestbox enable says otherwise')];
    case 'lxc.seccomp.profile': return [unsaid('the filter of system calls is that of systemd-nspawn; syscalls = [...] changes single ones')];
    case 'lxc.namespace.keep': case 'lxc.namespace.share.net': case 'lxc.namespace.clone': return key.endsWith('clone') ? [unsaid('which namespaces it has is decided by users and network')] : words.map((word): Asked => (key.endsWith('keep') && word === 'net' ? { what: 'network', kind: 'host', bridge: null, address: null, gateway: null } : key.endsWith('keep') && word === 'user' ? { what: 'users', ids: 'host', first: null } : unsaid('a namespace that is shared cannot be said')));
    case 'lxc.apparmor.profile': return [/^(unconfined|generated|lxc-container-default.*)$/.test(value) ? needless('nestbox sets no profile of AppArmor') : unsaid('profiles of AppArmor cannot be said')];
    case 'lxc.cgroup.cpu.cfs_quota_us': quota.quota = Number(value) || null; return [];
    case 'lxc.cgroup.cpu.cfs_period_us': quota.period = Number(value) || quota.period; return [];
    default: return (/^lxc\.cgroup2?\./.test(key) ? groupOf(key.replace(/^lxc\.cgroup2?\./, ''), value) : null) ?? [rest(key)];
  }
}

/** All other keys by what they are about. */
function rest(key: string): Asked {
  if (/^lxc\.(arch|autodev|pty|tty|console|log|signal|start|group|monitor|rootfs\.(mount|managed)|hook\.version|apparmor\.allow_.*|cgroup\.(dir|relative))(\.|$)/.test(key)) return needless('nestbox does it by itself, or has no need of it');
  if (key.startsWith('lxc.hook.')) return unsaid('a program of the host, and nestbox runs none');
  if (key.startsWith('lxc.prlimit.') || key.startsWith('lxc.limit.')) return unsaid("a limit of each process, for which there is no word; [limits] are the machine's as a whole");
  if (/^lxc\.(cgroup2?|sysctl|proc|selinux|keyring|time|namespace|seccomp|sched|apparmor)\./.test(key)) return unsaid('nothing that a machine file has a word for');
  return unsaid('LXC has no such key that nestbox knows of');
}

/** dir:/PATH, overlayfs:/LOWER:/UPPER, loop:/FILE, lvm:/dev/GROUP/NAME, /PATH. */
function rootOf(text: string): Asked[] {
  const [, kind = 'dir', path = ''] = /^(?:([a-z]+):)?(.*)$/s.exec(text) ?? [];
  if (kind === 'overlay' || kind === 'overlayfs' || kind === 'aufs') return [{ what: 'root', kind: 'directory', path: path.split(':')[0]! }, { what: 'ephemeral', value: true }, unsaid(`what was changed is in ${path.split(':').slice(1).join(':') || 'another folder'}, and nestbox begins without it`)];
  if (kind === 'loop' || /\.(img|raw)$/.test(path)) return [{ what: 'root', kind: 'image', path }];
  if (kind === 'lvm' || /^\/dev\//.test(path)) return [{ what: 'root', kind: 'volume', path }];
  if (kind === 'zfs' && !path.startsWith('/')) return [unsaid('a data set of ZFS is used where it is mounted: [root] directory = "..."')];
  return kind === 'dir' || kind === 'btrfs' || kind === 'zfs' || kind === 'best' ? [{ what: 'root', kind: path === '/' ? 'host' : 'directory', path }] : [unsaid(`a root of the kind ${kind} cannot be said`)];
}

/** u|g|b FIRST-INSIDE FIRST-OF-THE-HOST COUNT. The files of such a root have these ids on the disk, unless its mount is mapped. */
function idmapOf([kind, inside, host, count]: readonly string[]): Asked[] {
  if (![inside, host, count].every((number) => /^\d{1,10}$/.test(number ?? ''))) return [unsaid('is no range of ids')];
  if (inside !== '0') return [unsaid("single ids of the host's cannot be shown inside; files = [...] shows a folder as the machine's user's own")];
  if (kind === 'g') return [needless('groups are shown as users are')];
  return [host === '0' ? { what: 'users', ids: 'host', first: 0 } : { what: 'users', ids: 'shift', first: Number(host) }, ...(count === '65536' ? [] : [unsaid(`asks for ${Number(count)} ids, and a machine has 65536`)])];
}

/** As in fstab(5), the place inside without its slash or with the path of the root before it. */
function mountOf(text: string, root: string): Asked {
  const [from = '', place = '', type = '', list = ''] = text.split(/\s+/).map((word) => word.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))));
  const options = list.split(',');
  if (!options.some((option) => option === 'bind' || option === 'rbind')) return ['proc', 'sysfs', 'devpts', 'mqueue'].includes(type) ? needless('every machine has it') : unsaid(type === 'tmpfs' ? '/tmp and /run are in memory in every machine, and other folders cannot be' : 'a file system of its own cannot be mounted; files = [...] shows what the host has mounted');
  if (!from.startsWith('/')) return unsaid('is a path within the root, or none');
  const to = root !== '' && place.startsWith(`${root}/`) ? place.slice(root.length) : `/${place.replace(/^\/+/, '')}`;
  return { what: 'bind', from, to, write: !options.includes('ro'), optional: options.includes('optional'), options: options.filter((option) => /^idmap=/.test(option)) };
}

const autoOf = (word: string): Asked =>
  /^(proc(:mixed)?|sys(:ro|:mixed)?|cgroup(:mixed|:ro)?|cgroup-full(:mixed|:ro)?)$/.test(word) ? needless('so it is in every machine')
    : /^(proc|sys):rw$/.test(word) ? unsaid('lets programs inside write to /sys and /proc/sys, and so to the host')
      : /^cgroup(-full)?:/.test(word) ? { what: 'cgroups', value: word.startsWith('cgroup-full') ? 'host' : 'own' }
        : word.startsWith('shmounts') ? unsaid('mounts cannot be handed in while it runs') : needless('so it is in every machine');

/** Files of control groups, of version 1 and of version 2. */
function groupOf(key: string, value: string): Asked[] | null {
  switch (key) {
    case 'devices.allow': case 'devices.deny': {
      const [type = '', numbers = '', rights = 'rwm'] = value.split(/\s+/);
      if (type !== 'a' && !/^[cb]$/.test(type)) return [unsaid('is no rule of devices')];
      return [{ what: 'device', name: type === 'a' ? 'a' : `${type} ${numbers}`, rights: type === 'a' ? 'rwm' : rights, allow: key === 'devices.allow' }];
    }
    case 'memory.max': case 'memory.limit_in_bytes': {
      const bytes = bytesOf(value);
      return bytes ? [{ what: 'limit', limit: 'memory', value: bytes }] : [needless('is no limit')];
    }
    case 'pids.max': return /^\d{1,9}$/.test(value) ? [{ what: 'limit', limit: 'tasks', value: Number(value) }] : [needless('is no limit')];
    case 'cpu.max': {
      const [quota, period = '100000'] = value.split(/\s+/).map((word) => word);
      return Number(quota) > 0 && Number(period) > 0 ? [{ what: 'limit', limit: 'cpu', value: Number(quota) / Number(period) }] : [needless('is no limit')];
    }
    default: return null;
  }
}

/** Lines of Proxmox's own: pct.conf(5). */
function proxmox(key: string, value: string): Asked[] {
  if (/^mp\d+$/.test(key)) {
    const [from = '', ...options] = value.split(',');
    const to = options.find((option) => option.startsWith('mp='))?.slice(3);
    return to && from.startsWith('/') ? [{ what: 'bind', from, to, write: !options.includes('ro=1'), optional: false, options: [] }] : [unsaid('a volume of Proxmox: files = [...] shows a folder where it is mounted')];
  }
  switch (key) {
    case 'hostname': return [{ what: 'name', name: value }, { what: 'hostname', name: value }];
    case 'memory': return /^\d{1,8}$/.test(value) ? [{ what: 'limit', limit: 'memory', value: Number(value) * 2 ** 20 }] : [unsaid('is no number')];
    case 'cores': case 'cpulimit': return Number(value) > 0 ? [{ what: 'limit', limit: 'cpu', value: Number(value) }] : [needless('is no limit')];
    case 'unprivileged': return value === '1' ? [{ what: 'users', ids: 'shift', first: 100_000 }] : [{ what: 'users', ids: 'host', first: null }];
    case 'onboot': return [needless('nestbox enable NAME lets it come up with the host')];
    case 'arch': case 'ostype': case 'description': case 'tags': case 'startup': case 'swap': return [needless('nestbox has no need of it')];
    case 'rootfs': return [unsaid('a volume of Proxmox: [root] volume = "/dev/..." or directory = "..." says where it is')];
    default: return [unsaid('a line of Proxmox for which there is no word')];
  }
}
