import type { Danger } from '../dangers.ts';
import { nameOfRule } from '../device-dangers.ts';
import { allOf, type Foreign, lastOf, type Setting } from '../import/settings.ts';
import type { Known, Said, Surroundings, Where } from '../known.ts';
import { onBridge as bridged, reachesOut } from '../ports.ts';
import { beyondUsual, capabilityNames } from '../powers.ts';

/** A container of another program, by what its files say, as the rules of audit see it. Nothing of it need be there. */

/** What each program does where its files say nothing: systemd-nspawn@.service of 252 to 262, systemd-nspawn(1), lxc.container.conf(5). */
const defaults: Record<Foreign['way'], { hostRoot: boolean; ownNetwork: boolean; deviceList: boolean; tasks: boolean; boots: boolean; whole: string }> = {
  unit: { hostRoot: false, ownNetwork: true, deviceList: true, tasks: true, boots: true, whole: 'systemd-nspawn@.service' },
  nspawn: { hostRoot: true, ownNetwork: false, deviceList: true, tasks: false, boots: false, whole: 'systemd-nspawn does so by itself' },
  lxc: { hostRoot: true, ownNetwork: true, deviceList: false, tasks: false, boots: true, whole: 'LXC does so by itself' },
  distrobox: { hostRoot: false, ownNetwork: false, deviceList: true, tasks: false, boots: false, whole: 'distrobox does so by itself' },
};

/** Where files of the administrator are: what lies elsewhere is of whoever brought the root. systemd.nspawn(5). */
const trusted = /^\/(etc|run)\/systemd\/nspawn\//;
const besideImages = /^\/var\/lib\/(machines|portables)\/[^/]+\.nspawn$/;

/** Of such a file these are not heeded: load_settings() in nspawn.c. */
const unheeded: Setting['what'][] = ['capabilities', 'bind', 'network', 'port', 'users', 'ownership', 'limit', 'syscalls'];

/** common.conf, which distributions' templates include: it denies all devices but the usual, and drops these. */
const includesCommon = /lxc\.include\s*=\s*\/usr(\/local)?\/share\/lxc\/config\//;
const dropsCommon = ['CAP_MAC_ADMIN', 'CAP_MAC_OVERRIDE', 'CAP_SYS_TIME', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO'];

export function knownForeign(name: string, file: string, { way, settings: all }: Foreign, host: Surroundings): Known {
  const isBeside = (path: string) => besideImages.test(path) && !trusted.test(path);
  const settings = all.filter(({ what, at }) => !(isBeside(at.file) && unheeded.includes(what)));
  const usual = defaults[way];
  const whereOf = ({ at: { file: path, line }, text }: Pick<Setting, 'at' | 'text'>): Where => ({ file: path, line, column: null, text });
  const silent = (text: string): Where => ({ file, line: null, column: null, text });
  const said = <T>(setting: Setting | null | undefined, is: T, otherwise: T, text: string): Said<T> => (setting ? { is, where: whereOf(setting) } : { is: otherwise, where: silent(text) });
  // One line may ask for several things.
  const matching = (pattern: RegExp): Setting[] => settings.filter(({ text, at }, i) => pattern.test(text) && settings.findIndex((other) => other.text === text && other.at.file === at.file && other.at.line === at.line) === i);

  const users = lastOf(settings, 'users');
  const network = lastOf(settings, 'network');
  const boot = lastOf(settings, 'boot');
  const user = lastOf(settings, 'user');
  const root = lastOf(settings, 'root');
  const common = matching(includesCommon)[0];
  const hostRoot = said(users, users?.ids === 'host' || users?.first === 0, usual.hostRoot, `${usual.whole}: ${usual.hostRoot ? 'no user namespace' : 'a user namespace'}`);
  const isOrdinary = user !== null && !['root', '0'].includes(user.name) && lastOf(settings, 'no-new-privileges')?.value === true && !(boot?.value ?? usual.boots);
  const ownNetwork = said(network, network?.kind !== 'host', usual.ownNetwork, `${usual.whole}: ${usual.ownNetwork ? 'a network of its own' : 'the network of the host'}`);
  const binds = allOf(settings, 'bind').map((bind): Known['binds'][number] => ({ is: { from: bind.from.replace(/^~(?=\/|$)|^\$\{?HOME\}?/, host.home), to: bind.to, write: bind.write }, where: whereOf(bind) }));
  const written = binds.find(({ is: { write, from } }) => write && !/^\/(dev|proc|sys|run|tmp)(\/|$)/.test(from));
  const isOwnDisk = root?.kind === 'image' || root?.kind === 'volume';
  const limit = (which: 'cpu' | 'memory' | 'tasks', otherwise = false): Said<boolean> => said(settings.findLast((one) => one.what === 'limit' && one.limit === which), true, otherwise, `no limit of ${which}`);
  const writable = matching(/API_VFS_WRITABLE=(?!no|0|false|off)|lxc\.mount\.auto\s*=.*\b(proc|sys):rw\b/)[0];
  const beside = settings.find(({ at }) => isBeside(at.file));
  const shares = matching(/SYSTEMD_NSPAWN_SHARE_(NS_(IPC|PID|UTS)|SYSTEM)=(?!no|0|false|off)|lxc\.namespace\.(keep|share)/).flatMap((setting) => sharedBy(setting.text).map((is) => ({ is, where: whereOf(setting) })));

  return {
    name, made: way === 'lxc' ? 'lxc' : 'nspawn', file, hostRoot,
    asRoot: isOrdinary ? { is: false, where: whereOf(user) } : said(user, true, true, 'programs inside are, or become, root there'),
    ownNetwork, shares, deviceList: listOf(), devices: devicesOf(), capabilities: capabilitiesOf(), binds,
    bounds: {
      cpu: limit('cpu'), memory: limit('memory'), tasks: limit('tasks', usual.tasks),
      disk: written ? { is: false, where: written.where } : said(root, isOwnDisk, false, 'its root is a folder of the host'),
    },
    strangers: root?.kind === 'image' ? [{ is: root.path, where: whereOf(root) }] : [],
    kernelFiles: said(writable, true, false, 'not said'),
    besideRoot: said(beside, true, false, 'not said'),
    opened: network?.bridge ? [{ ...onBridge, where: network && whereOf(network) }] : ownNetwork.is && network?.kind !== 'none' && way !== 'lxc' ? [{ ...outward, where: ownNetwork.where }] : [],
    host, unseen: matching(/^lxc\.(include|mount|mount\.fstab)\s*=/).filter((one) => !includesCommon.test(one.text)).map(({ text, at }) => `what ${text.split(/\s*=\s*/)[1]} says (${at.file}:${at.line})`),
  };

  /** Before a rule of its own, or the first line that lets all be opened. */
  function listOf(): Said<boolean> {
    const all = allOf(settings, 'device');
    const everything = all.find(({ name: one, allow }) => one === 'a' && allow);
    const policy = lastOf(settings, 'device-policy');
    if (everything) return { is: false, where: whereOf(everything) };
    if (policy) return { is: policy.policy !== 'auto' || all.some(({ allow }) => allow), where: whereOf(policy) };
    const denied = all.find(({ name: one, allow }) => one === 'a' && !allow) ?? common;
    return way === 'lxc' ? said(denied, true, false, 'no line denies devices (lxc.cgroup2.devices.deny = a)') : { is: usual.deviceList, where: silent(usual.whole) };
  }

  function devicesOf(): Said<string>[] {
    const listed = allOf(settings, 'device').filter(({ name: one, allow, rights }) => allow && one !== 'a' && /[rw]/.test(rights)).flatMap((device) => {
      const [, type, major, minor] = /^([cb]) (\d+|\*):(\d+|\*)$/.exec(device.name) ?? [];
      const number = (text: string) => (text === '*' ? '*' as const : Number(text));
      const is = type ? nameOfRule(type, number(major!), number(minor!), device.rights) : device.name;
      return is === null || /^(char-pts|\/dev\/(net\/tun|null|zero|full|u?random|tty|ptmx))$/.test(is) ? [] : [{ is, where: whereOf(device) }];
    });
    // In a scope of its own systemd-nspawn adds each node that is bound: nspawn-register.c.
    const bound = way === 'nspawn' ? binds.filter(({ is: { from } }) => /^\/dev\/(?!shm|mqueue|pts)./.test(from)).map(({ is: { from }, where }) => ({ is: from, where })) : [];
    return [...listed, ...bound];
  }

  function capabilitiesOf(): Said<string>[] {
    const lines = allOf(settings, 'capabilities');
    const dropped = new Set([...lines.filter(({ how }) => how === 'drop').flatMap(({ names }) => names), ...(common ? dropsCommon : [])]);
    const kept = lines.filter(({ how }) => how === 'keep');
    const network = ownNetwork.is ? { kind: 'none' as const } : { kind: 'host' as const };
    if (way !== 'lxc') return lines.filter(({ how }) => how === 'add').flatMap((line) => beyondUsual({ capabilities: line.names, network }).filter((one) => !dropped.has(one)).map((is) => ({ is, where: whereOf(line) })));
    if (kept.length > 0) return kept.flatMap((line) => beyondUsual({ capabilities: line.names, network }).map((is) => ({ is, where: whereOf(line) })));
    const left = dropped.size === 0 ? ['all'] : beyondUsual({ capabilities: capabilityNames.filter((one) => !dropped.has(one)), network });
    return left.map((is) => ({ is, where: silent('lxc.cap.drop does not name it') }));
  }
}

/** The same as of a machine, less the word that only a machine file has. */
const [onBridge, outward] = [bridged, reachesOut[0]!].map(({ can, what }) => ({ can, what })) as [{ can: Danger; what: string }, { can: Danger; what: string }];

const sharedBy = (text: string): Known['shares'][number]['is'][] =>
  /SHARE_SYSTEM/.test(text) ? ['ipc', 'pid', 'uts'] : (['ipc', 'pid', 'uts'] as const).filter((kind) => new RegExp(`SHARE_NS_${kind}|lxc\\.namespace\\.share\\.${kind}|lxc\\.namespace\\.keep\\s*=.*\\b${kind}\\b`, 'i').test(text));
