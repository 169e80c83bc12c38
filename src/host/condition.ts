import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { attempt } from '../attempt.ts';
import { displayNumber } from '../displays.ts';
import type { Condition, DriverState, Left } from '../doctor.ts';
import { wanted } from '../doctor/kernel.ts';
import type { ProgramName } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { type Barrier, barriersIn, type Table } from '../firewall.ts';
import { readSaved } from '../firewall/iptables.ts';
import { readRuleset } from '../firewall/nft.ts';
import { nvidiaVersionsIn } from '../nvidia/probe.ts';
import { store } from '../store.ts';
import { whyClosed } from './displays.ts';
import { endedServices, openVolumes } from './leftovers.ts';
import { processes } from './processes.ts';
import { isHeld, sessionNames, textOf } from './session.ts';

/** What doctor alone asks of a host. Nothing is changed, and no root is needed: what only root may see is said to be so. */

const list = (folder: string): string[] => attempt(() => readdirSync(folder), []);

export async function readCondition(facts: Facts, env: NodeJS.ProcessEnv): Promise<Condition> {
  const modules = existsSync(`/lib/modules/${release()}/modules.dep`) ? 'there' : list('/lib/modules').length > 0 ? 'others' : 'none';
  const config = configOf();
  const drivers = driversOf(modules, config);
  const isOther = facts.root && facts.person.uid !== 0;
  return {
    namespaces: list('/proc/self/ns').filter((name) => !name.includes('_')).sort(),
    userNamespaces: attempt(() => Number(readFileSync('/proc/sys/user/max_user_namespaces', 'utf8')), null),
    modules, drivers,
    callFilters: existsSync('/proc/sys/kernel/seccomp/actions_avail'), deviceFilters: config === null ? null : /^CONFIG_CGROUP_BPF=y$/m.test(config),
    through: isOther ? (env.SUDO_UID ? 'sudo' : 'pkexec') : null,
    closed: await closed(facts), listens: facts.sound.pulse !== null && isListening(facts.sound.pulse),
    wayland: waylandOf(facts, env), undriven: undriven(), nvidiaLibraries: nvidiaVersionsIn(['/'], list), left: leftBy(facts), barriers: await barriersOf(facts, drivers),
  };
}

/** A driver has a folder in /sys/module as long as it is loaded, one that is built in only if it has parameters: modules.builtin has all of those, modules.dep what can be loaded. */
function driversOf(modules: Condition['modules'], config: string | null): Record<string, DriverState> {
  const text = (name: string) => attempt(() => readFileSync(`/lib/modules/${release()}/${name}`, 'utf8'), '');
  const [builtin, loadable] = [text('modules.builtin'), text('modules.dep')];
  const fileSystems = attempt(() => readFileSync('/proc/filesystems', 'utf8'), '');
  const has = (from: string, name: string) => new RegExp(`(^|/)${name.replaceAll('_', '[-_]')}\\.ko`, 'm').test(from);
  const state = (name: string): DriverState => {
    if (existsSync(`/sys/module/${name}`) || has(builtin, name) || new RegExp(`\\t${name}$`, 'm').test(fileSystems) || (name === 'loop' && existsSync('/dev/loop-control'))) return 'there';
    const option = wanted[name]?.option ?? 'CONFIG_INPUT_UINPUT';
    if (config !== null) return new RegExp(`^${option}=y$`, 'm').test(config) ? 'there' : has(loadable, name) ? 'loadable' : 'missing';
    return has(loadable, name) ? 'loadable' : modules === 'none' ? 'unknown' : 'missing';
  };
  return Object.fromEntries([...Object.keys(wanted), 'uinput'].map((name) => [name, state(name)]));
}

/** What the kernel was built with, where that is told: CONFIG_IKCONFIG_PROC, or beside the kernel itself. */
const configOf = (): string | null => attempt(() => gunzipSync(readFileSync('/proc/config.gz')).toString(), null) ?? attempt(() => readFileSync(`/boot/config-${release()}`, 'utf8'), null);

const closed = async (facts: Facts): Promise<string | null> => {
  const number = displayNumber(facts);
  return number === null ? null : await whyClosed(number, facts.x11!.authority);
};

/** /proc/net/unix, proc(5): flag 10000 is a socket that listens (__SO_ACCEPTCON). It is not asked itself: systemd would start what is behind it. */
const isListening = (path: string): boolean => attempt(() => readFileSync('/proc/net/unix', 'utf8'), '').split('\n').some((line) => line.endsWith(` ${path}`) && line.split(/\s+/)[3] === '00010000');

/** A compositor's socket, where the person's own are. */
function waylandOf({ person }: Facts, env: NodeJS.ProcessEnv): string | null {
  const folder = `/run/user/${person.uid}`;
  const name = env.WAYLAND_DISPLAY?.startsWith('/') ? env.WAYLAND_DISPLAY : `${folder}/${env.WAYLAND_DISPLAY ?? list(folder).find((one) => /^wayland-\d+$/.test(one)) ?? 'wayland-0'}`;
  return attempt(() => statSync(name).isSocket(), false) ? name : null;
}

/** Display controllers are of class 03: PCI Code and ID Assignment Specification, "Base Class 03h". */
const undriven = (): Condition['undriven'] => list('/sys/bus/pci/devices').flatMap((pci) => {
  const read = (name: string) => attempt(() => readFileSync(`/sys/bus/pci/devices/${pci}/${name}`, 'utf8').trim(), '');
  return read('class').startsWith('0x03') && !existsSync(`/sys/bus/pci/devices/${pci}/driver`) ? [{ pci, vendor: read('vendor').replace('0x', '') }] : [];
});

/** Machines whose ways back are written down and which nobody is at: what `nestbox clean` would take back. */
function leftBy(facts: Facts): Left[] | null {
  if (!facts.root) return null;
  const names = [...new Set([...list(store.journals), ...sessionNames()])].sort();
  const services = endedServices(facts).map(({ name }): Left => ({ name, kind: 'service' }));
  const open = openVolumes(facts).filter(({ name }) => !existsSync(store.serviceRun(name))).map(({ name }): Left => ({ name, kind: 'volume' }));
  const runs = names.filter((name) => !isHeld(name, facts.programs.flock) && (textOf(store.journal(name)) !== '' || list(store.run(name)).length > 0)).map((name): Left => ({ name, kind: name.startsWith('image.') ? 'image' : name.includes('.') ? 'owners' : 'run' }));
  const all = [...runs, ...services, ...open.filter(({ name }) => !isHeld(name, facts.programs.flock))];
  return all.filter(({ name }, i) => all.findIndex((other) => other.name === name) === i);
}

/** To ask for rules would load the kernel's part of them: where it is not loaded, there are none. */
async function barriersOf({ root, programs }: Facts, { nf_tables }: Condition['drivers']): Promise<Barrier[] | null> {
  if (!root) return null;
  const { run } = processes(programs, () => {}, null);
  const ask = async (read: (text: string) => Table[], ...argv: [ProgramName, ...string[]]): Promise<Table[] | null> => {
    if (!programs[argv[0]]) return null;
    const { code, stdout } = await run(argv).catch(() => ({ code: 1, stdout: '' }));
    return code === 0 ? attempt(() => read(stdout), null) : null;
  };
  const isLoaded = nf_tables === 'there' || nf_tables === 'unknown';
  const [nft, saved] = isLoaded ? [await ask(readRuleset, 'nft', '-j', 'list', 'ruleset'), await ask((text) => readSaved(text, 'iptables-nft'), 'iptables-nft-save')] : [[], []];
  const legacy = attempt(() => readFileSync('/proc/net/ip_tables_names', 'utf8'), '') === '' ? [] : await ask((text) => readSaved(text, 'iptables-legacy'), 'iptables-legacy-save');
  // Of what iptables has made nft prints less than iptables.
  const told = (saved ?? []).map(({ name }) => `ip ${name}`);
  const barriers = barriersIn([...(nft ?? []).filter(({ name }) => !told.includes(name)), ...(saved ?? []), ...(legacy ?? [])], uplink(), filteredBridges());
  return barriers.length === 0 && (nft === null || legacy === null) ? null : barriers;
}

/** The link of the first route to everywhere: /proc/net/route has the destination second, and the mask eighth. */
const uplink = (): string => attempt(() => readFileSync('/proc/net/route', 'utf8'), '').split('\n').map((line) => line.split('\t')).find(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')?.[0] ?? '';

/** Bridges that give what they pass on to the rules as well: as br_netfilter is set for all, or for one (ip-link(8), nf_call_iptables). */
function filteredBridges(): string[] {
  const isOn = (path: string) => attempt(() => readFileSync(path, 'utf8'), '').trim() === '1';
  const all = isOn('/proc/sys/net/bridge/bridge-nf-call-iptables');
  return list('/sys/class/net').filter((name) => existsSync(`/sys/class/net/${name}/bridge`) && (all || isOn(`/sys/class/net/${name}/bridge/nf_call_iptables`))).sort();
}
