import { normalize } from 'node:path/posix';
import * as v from 'valibot';
import type { Danger } from '../dangers.ts';
import { nameOfRule } from '../device-dangers.ts';
import { topics } from '../grants/index.ts';
import { allOf, type Foreign, type Setting, type Way } from '../import/settings.ts';
import { wholeOf } from '../import/whole.ts';
import type { Known, Made, Said, Surroundings, Where } from '../known.ts';
import { onBridge, reachesOut } from '../ports.ts';
import { beyondUsual, capabilityNames } from '../powers.ts';

/** A container of another program, by what its files say, as the rules of audit see it. Nothing of it need be there. */

/** Who keeps what away where the files say nothing: systemd-nspawn@.service of 252 to 262, the scope that systemd-nspawn asks for, LXC, podman. */
const defaults: Record<Way, { made: Made; by: string; deviceList: boolean; tasks: boolean }> = {
  unit: { made: 'nspawn', by: 'systemd-nspawn@.service', deviceList: true, tasks: true },
  nspawn: { made: 'nspawn', by: 'systemd-nspawn by itself', deviceList: true, tasks: false },
  lxc: { made: 'lxc', by: 'LXC by itself', deviceList: false, tasks: false },
  distrobox: { made: 'distrobox', by: 'distrobox by itself', deviceList: true, tasks: false },
};

/** Beside a root it is of whoever brought the root, and these are not heeded: load_settings() in nspawn.c. */
const isBeside = (path: string): boolean => /^\/var\/lib\/machines\/[^/]+\.nspawn$/.test(path);
const unheeded: Setting['what'][] = ['capabilities', 'bind', 'network', 'port', 'users', 'ownership', 'limit', 'syscalls'];

/** common.conf, which distributions' templates include: it denies all devices but the usual, and drops these. */
const includesCommon = /lxc\.include\s*[=:]\s*\/usr(\/local)?\/share\/lxc\/config\//;
const dropsCommon = ['CAP_MAC_ADMIN', 'CAP_MAC_OVERRIDE', 'CAP_SYS_TIME', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO'];

/** Nodes that every container of systemd-nspawn has. */
const ofEvery = /^(char-pts|\/dev\/(net\/tun|null|zero|full|u?random|tty|ptmx))$/;

export function knownForeign(name: string, file: string, { way, settings: all }: Foreign, host: Surroundings): Known {
  const settings = all.filter(({ what, at }) => !(isBeside(at.file) && unheeded.includes(what)));
  const { users, network, boot, user, root, binds: asked, devices, policy, capabilities: powers, syscalls, limits, cgroups, noNewPrivileges, grants } = wholeOf({ way, settings });
  const usual = defaults[way];
  const whereOf = ({ at: { file: path, line }, text }: Pick<Setting, 'at' | 'text'>): Where => ({ file: path, line, column: null, text });
  const said = <T>(by: Setting | null | undefined, is: T, silent: string): Said<T> => ({ is, where: by ? whereOf(by) : { file, line: null, column: null, text: silent } });
  // One line may ask for several things.
  const matching = (pattern: RegExp): Setting[] => settings.filter(({ text, at }, i) => pattern.test(text) && settings.findIndex((other) => other.text === text && other.at.file === at.file && other.at.line === at.line) === i);

  const common = matching(includesCommon)[0];
  const sharesNetwork = network.value.kind === 'host';
  const isHostRoot = users.value === 'host' || settings.some((one) => one.what === 'users' && one === users.by && one.first === 0);
  const isOrdinary = user !== null && !['root', '0'].includes(user.name) && noNewPrivileges?.value === true && !boot.value;
  const binds = asked.map((bind): Known['binds'][number] => said(bind, { from: plain(bind.from.replace(/^~(?=\/|$)|^\$\{?HOME\}?/, host.home)), to: bind.to, write: bind.write }, ''));
  const written = binds.find(({ is: { write, from } }) => write && !/^\/(dev|proc|sys|run|tmp)(\/|$)/.test(from));
  const bound = (which: 'cpu' | 'memory' | 'tasks'): Said<boolean> => {
    const limit = limits.find((one) => one.limit === which);
    return said(limit, limit !== undefined || (which === 'tasks' && usual.tasks), `no limit of ${which}`);
  };
  const writable = matching(/API_VFS_WRITABLE=(?!no|0|false|off)|lxc\.mount\.auto\s*[=:].*\b(proc|sys):rw\b/)[0];
  const beside = settings.find(({ at }) => isBeside(at.file));
  // What starts it is in another IPC namespace than the host then: what it shares is that one.
  const isElsewhere = matching(/^(IPCNamespacePath=\/(?!proc\/)|PrivateIPC=(yes|true|on|1)$)/).length > 0;

  return {
    name, made: usual.made, file, host,
    hostRoot: said(users.by, isHostRoot, `${usual.by}: ${isHostRoot ? 'no user namespace' : 'a user namespace'}`),
    asRoot: said(user, !isOrdinary, 'programs inside are, or become, root there'),
    ownNetwork: said(network.by, !sharesNetwork, `${usual.by}: ${sharesNetwork ? 'the network of the host' : 'a network of its own'}`),
    shares: matching(/SYSTEMD_NSPAWN_SHARE_(NS_(IPC|PID|UTS)|SYSTEM)=(?!no|0|false|off)|lxc\.namespace\.(keep|share)/).flatMap((setting) => sharedBy(setting.text).filter((is) => is !== 'ipc' || !isElsewhere).map((is) => said<Known['shares'][number]['is']>(setting, is, ''))).concat(cgroups?.value === 'host' ? [said(cgroups, 'cgroup', '')] : []),
    deviceList: listOf(), devices: devicesOf(), capabilities: capabilitiesOf(), binds,
    syscalls: syscalls.flatMap((line) => (line.names.some((one) => !one.startsWith('~')) ? [said(line, line.names, '')] : [])),
    bounds: { cpu: bound('cpu'), memory: bound('memory'), tasks: bound('tasks'), disk: written ? { is: false, where: written.where } : said(root, root?.kind === 'image' || root?.kind === 'volume', 'its root is a folder of the host') },
    strangers: root?.kind === 'image' ? [said(root, root.path, '')] : [],
    kernelFiles: said(writable, writable !== undefined, ''), besideRoot: said(beside, beside !== undefined, ''),
    opened: [...outward(), ...grants.flatMap((grant) => grantOpens(grant.topic, grant.kind, grant.options).map((exposure) => ({ ...exposure, where: whereOf(grant) })))],
    unseen: matching(/^lxc\.(include|mount|mount\.fstab)\s*[=:]/).filter((one) => !includesCommon.test(one.text)).map(({ text, at }) => `what ${text.split(/\s*[=:]\s*/)[1]} says (${at.file}:${at.line})`),
  };

  /** A line that lets all be opened, a policy of systemd, or a line that denies all but what is named. */
  function listOf(): Said<boolean> {
    const everything = devices.find((one) => one.name === 'a');
    if (everything) return said(everything, false, '');
    if (policy) return said(policy, policy.policy !== 'auto' || devices.length > 0, '');
    if (way !== 'lxc') return said(null, usual.deviceList, usual.by);
    const denied = allOf(settings, 'device').find((one) => one.name === 'a' && !one.allow) ?? common;
    return said(denied, denied !== undefined, 'no line denies devices (lxc.cgroup2.devices.deny = a)');
  }

  function devicesOf(): Said<string>[] {
    const listed = devices.filter((one) => one.name !== 'a' && /[rw]/.test(one.rights)).flatMap((device) => {
      const [, type, major, minor] = /^([cb]) (\d+|\*):(\d+|\*)$/.exec(device.name) ?? [];
      const number = (text: string) => (text === '*' ? '*' as const : Number(text));
      const is = type ? nameOfRule(type, number(major!), number(minor!), device.rights) : device.name;
      return is === null || ofEvery.test(is) ? [] : [said(device, is, '')];
    });
    // In a scope of its own systemd-nspawn adds each node that is bound: nspawn-register.c.
    const bindsOfNodes = way === 'nspawn' ? binds.filter(({ is: { from } }) => /^\/dev\/(?!shm|mqueue|pts)./.test(from)).map(({ is: { from }, where }) => ({ is: from, where })) : [];
    return [...listed, ...bindsOfNodes];
  }

  function capabilitiesOf(): Said<string>[] {
    const dropped = new Set([...powers.filter(({ how }) => how === 'drop').flatMap(({ names }) => names), ...(common ? dropsCommon : [])]);
    const beyond = (names: string[]) => beyondUsual({ capabilities: names.filter((one) => !dropped.has(one)), network: { kind: sharesNetwork ? 'host' : 'none' } });
    const given = powers.filter(({ how }) => how === (way === 'lxc' ? 'keep' : 'add'));
    if (way !== 'lxc' || given.length > 0) return given.flatMap((line) => beyond(line.names).map((is) => said(line, is, '')));
    return (dropped.size === 0 ? ['all'] : beyond(capabilityNames)).map((is) => said(null, is, 'lxc.cap.drop does not name it'));
  }

  /** Where its network leads, less the word that only a machine file has. */
  function outward(): Known['opened'] {
    const leads = network.value.bridge ? onBridge : network.value.kind === 'veth' && way !== 'lxc' ? reachesOut[0] : undefined;
    return leads ? [{ can: leads.can, what: leads.what, where: said(network.by, null, `${usual.by}: a link to the host`).where }] : [];
  }
}

/** What a grant opens where a file is known to ask for just that. */
function grantOpens(topic: string, kind: string, options: unknown): { can: Danger; what: string }[] {
  const grant = topics[topic]?.[kind];
  const read = grant && v.safeParse(grant.options, options);
  return grant && read?.success ? grant.exposes(read.output).map(({ can, what }) => ({ can, what })) : [];
}

/** /srv/../etc/ -> /etc */
const plain = (path: string): string => normalize(path).replace(/(.)\/$/, '$1');

const sharedBy = (text: string): Known['shares'][number]['is'][] =>
  /SHARE_SYSTEM/.test(text) ? ['ipc', 'pid', 'uts'] : (['ipc', 'pid', 'uts'] as const).filter((kind) => new RegExp(`SHARE_NS_${kind}|lxc\\.namespace\\.share\\.${kind}|lxc\\.namespace\\.keep\\s*[=:].*\\b${kind}\\b`, 'i').test(text));
