import { basename } from 'node:path/posix';
import { store } from '../store.ts';
import { mark } from '../units/files.ts';
import { atGate } from '../units/settings.ts';
import type { Asked, Place, Setting, SettingOf } from './settings.ts';
import { iniLines, iniWords } from './text.ts';

/**
 * Files that nestbox itself has written for systemd (`nestbox render`): what they show of nestbox's own preparations is a word of the machine
 * file again. The machine file is not in them, and what lasts from one start to the next is not either: accounts, masked units, packages.
 */

interface Part {
  file: string;
  text: string;
}

export const isOwn = (text: string): boolean => text.startsWith(`# ${mark}`) || text.includes(`\n# ${mark} for the machine '`);

/** ExecStart= of a unit as argument lists: several stand in one line, with --then between them. */
function commandsIn(text: string, key = 'ExecStart'): string[][] {
  return iniLines(text).filter((line) => line.key === key).flatMap(({ value }) => {
    const lists: string[][] = [[]];
    for (const word of iniWords(value.replace(/ \\ /g, ' '), true).map((one) => one.replaceAll('$$', '$').replaceAll('%%', '%'))) if (word === '--then') lists.push([]);
    else lists.at(-1)!.push(word);
    const [first = [], ...more] = lists;
    return [basename(first[0] ?? '') === 'nestbox-native' && first[1] === 'each' ? first.slice(2) : first, ...more];
  }).map((argv) => (argv[0] === undefined ? argv : [basename(argv[0]), ...argv.slice(1)]));
}

const programIn = (argv: readonly string[] | undefined): string[] | undefined => argv?.slice(argv.indexOf('--') + 1);

/** The settings of a machine's files, less nestbox's own, and with the grants that they come from. `language`: of the host that they were made on. */
export function ownSettings(parts: readonly Part[], settings: readonly Setting[], name: string, language: string): Setting[] {
  const unit = (part?: string) => parts.find(({ file }) => basename(file) === `nestbox-${name}${part ? `.${part}` : ''}.service`)?.text ?? '';
  const prepares = commandsIn(unit());
  const native = (job: string) => prepares.filter(([program, first]) => program === 'nestbox-native' && first === job).map((argv) => argv.slice(2));
  /** What a service of nestbox's runs: behind `launch --user ID:ID [--output FILE UID GID] --`. */
  const service = (part: string): string[] | null => programIn(commandsIn(unit(part))[0])?.map((word, i) => (i === 0 ? basename(word) : word)) ?? (isNamed(part) ? [] : null);
  /** The drop-in needs it, also where its own unit was not given to be read. */
  const isNamed = (part: string) => parts.some(({ text }) => text.includes(`nestbox-${name}.${part}.service`));
  const run = `${store.serviceRun(name)}/`;
  const at: Place = settings[0]?.at ?? { file: 'nestbox', line: 1 };
  const out: Setting[] = [];
  const add = (asked: Asked): void => {
    out.push({ ...asked, at, text: `${name}.nspawn` });
  };
  const grant = (topic: string, kind: string, options: SettingOf<'grant'>['options'] = {}): void => add({ what: 'grant', topic, kind, options });
  const binds = settings.filter((one) => one.what === 'bind');
  const isBound = (to: string) => binds.some((bind) => bind.to === to);
  const nodes = binds.filter(({ from }) => from.startsWith(`${run}nodes/`)).map(({ to }) => to);

  // Grants, each by the service or the place that only it has.
  const xephyr = service('xephyr');
  const xvfb = service('xvfb');
  const after = (argv: readonly string[], option: string) => (argv.includes(option) ? argv[argv.indexOf(option) + 1] : undefined);
  const terminal = native('console')[0]?.[1];
  if (xephyr) {
    const [size, title] = [after(xephyr, '-screen'), after(xephyr, '-title')];
    grant('display', 'nested', { ...(size && size !== '1280x800' && { size }), ...(title && title !== name && { title }), ...(xephyr.includes('-fullscreen') && { fullscreen: true }) });
  } else if (xvfb) {
    const [, size = '', depth] = /^(.*)x(\d+)$/.exec(xvfb[xvfb.indexOf('-screen') + 2] ?? '') ?? [];
    grant('display', 'headless', { ...(size !== '' && size !== '1280x800' && { size }), ...(depth && depth !== '24' && { depth: Number(depth) }) });
  } else if (terminal !== undefined) grant('display', 'vt', { terminal: Number(terminal), ...(service('input')?.includes('--visible') && { input: 'visible' }) });
  else if (isBound('/run/nestbox/xauth')) grant('display', 'x11', { ...(service('x11') && { 'shared-memory': true }) });
  else if (binds.some(({ to }) => /^\/tmp\/\.X11-unix\/X\d+$/.test(to))) {
    grant('display', 'x11', { access: 'xhost' }); // there is no key
  }
  const record = after(commandsIn(unit('recorder'))[0] ?? [], '--output');
  if (service('pulseaudio')) grant('audio', 'playback', { ...(record !== undefined && { record }) });
  else if (service('pulse')) grant('audio', 'pulse');
  const alsa = isBound('/etc/asound.conf') ? nodes.flatMap((path) => /^\/dev\/snd\/controlC(\d+)$/.exec(path)?.[1] ?? [])[0] : undefined;
  if (alsa !== undefined) grant('audio', 'alsa', { card: Number(alsa), ...(nodes.some((path) => new RegExp(`^/dev/snd/pcmC${alsa}D\\d+c$`).test(path)) && { record: true }) });
  const drivers = binds.filter(({ from }) => /nvidia|libcuda|libnvcuvid/i.test(from) && !from.startsWith(run) && !from.startsWith('/dev/'));
  const cards = nodes.flatMap((path) => /^\/dev\/dri\/card(\d+)$/.exec(path)?.[1] ?? []);
  // A file of the maker's gives more than the driver: the programs and the socket as well.
  if (isBound('/run/nvidia-persistenced/socket')) add({ what: 'device', name: 'nvidia.com/gpu=all', rights: 'rw', allow: true });
  else if (drivers.length > 0 && terminal === undefined) {
    if (cards.length > 0) grant('gpu', 'card', cards.length === 1 ? { card: Number(cards[0]) } : {});
    else grant('gpu', nodes.filter((path) => path.startsWith('/dev/dri/renderD')).length > 1 ? 'render' : 'nvidia');
  } else if (nodes.includes('/dev/nvidiactl') && terminal === undefined) grant('gpu', 'nvidia', { libraries: 'inside' });
  const hasDriver = drivers.length > 0 || nodes.includes('/dev/nvidiactl');

  // In the order of their services, which need one another.
  const rank = ({ topic }: SettingOf<'grant'>) => parts.findIndex(({ file }) => (topic === 'display' ? /\.(xephyr|xvfb|input)\.service$/ : topic === 'audio' ? /\.(pulseaudio|pulse)\.service$/ : /$^/).test(file));
  out.sort((a, b) => (a.what === 'grant' && b.what === 'grant' && rank(a) >= 0 && rank(b) >= 0 ? rank(a) - rank(b) : 0));

  const granted = (path: string): boolean => (terminal !== undefined && /^\/dev\/(tty\d+|fb0|dri\/.*|nvidia.*)$/.test(path)) || (hasDriver && /^\/dev\/(dri\/|nvidia)/.test(path))
    || (alsa !== undefined && (/^\/dev\/snd\/(seq|timer)$/.test(path) || new RegExp(`^/dev/snd/(controlC${alsa}|hwC${alsa}D\\d+|pcmC${alsa}D\\d+[pc])$`).test(path)));
  addNetwork(commandsIn(unit('network')), add, grant, settings, isBound('/etc/resolv.conf'));
  addRoot(parts, native, add, name, settings, run);

  const mapped = new Map(native('bind').map(([from = '', where = '']) => [where, from]));
  const boots = settings.some((one) => one.what === 'boot' && one.value);
  const displays = xephyr !== null || xvfb !== null || isBound('/run/nestbox/xauth') || out.some((one) => one.what === 'grant' && one.topic === 'display');
  for (const one of settings) {
    if (one.what === 'unsaid' || one.what === 'ownership' || one.what === 'network' || one.what === 'port' || one.what === 'no-new-privileges' || one.what === 'device-policy') continue;
    if (one.what === 'hostname' && one.name === name) continue;
    if (one.what === 'words' && atGate.every((word, i) => one.words[i] === word)) out.push({ ...one, words: one.words.slice(atGate.length) });
    else if (one.what === 'users') out.push({ ...one, first: null, text: name });
    else if (one.what === 'bind') {
      const from = mapped.get(one.from) ?? one.from;
      const isNode = one.from.startsWith(`${run}nodes/`);
      if (from.startsWith(`${run}files/`)) out.push({ what: 'unsaid', why: `a file or folder that is bound by nestbox-${name}.service: give that to be read as well`, at: one.at, text: one.text });
      if (isNode ? granted(one.to) || isOfClass(one.to, settings) : from.startsWith(run) || one.to.startsWith('/run/nestbox/') || one.to === '/etc/resolv.conf' || (displays && one.to.startsWith('/tmp/.X11-unix/')) || drivers.includes(one) || isOfDriver(from, drivers.length > 0) || (terminal !== undefined && /^\/(dev\/input|run\/udev\/)/.test(one.to))) continue;
      out.push({ ...one, from: isNode ? one.to : from });
    } else if (one.what === 'device') {
      if (!granted(one.name) && !(terminal !== undefined && one.name === 'char-input')) out.push(one);
    } else if (one.what === 'variable') {
      const isOurs = one.name === 'LANG' ? one.value === language : one.name === 'XDG_RUNTIME_DIR' ? /^\/run\/user\/\d+$/.test(one.value ?? '') : /^(DISPLAY|XAUTHORITY)$/.test(one.name) ? displays : one.name === 'PULSE_SERVER' ? isBound('/run/nestbox/pulse') : one.name === 'ALSA_CARD' && alsa !== undefined;
      if (!isOurs) out.push(one);
    } else if (one.what === 'syscalls' && terminal !== undefined && boots) {
      const names = one.names.filter((call) => call !== '@memlock');
      if (names.length > 0) out.push({ ...one, names });
    } else out.push(one);
  }
  return out;
}

/** A node that a class gives has no rule of its own. */
const isOfClass = (path: string, settings: readonly Setting[]): boolean => settings.some((one) => one.what === 'device' && /^(char|block)-/.test(one.name)) && !settings.some((one) => one.what === 'device' && one.name === path);

/** Libraries and settings that come with NVIDIA's driver, whatever they are called. */
const isOfDriver = (from: string, has: boolean): boolean => has && /nvidia|\/glvnd\/|\/vulkan\/|^\/usr\/lib\/.*\/(lib(GLX|EGL|GLES|OpenCL|vdpau|nv)|gbm\/|vdpau\/)/i.test(from);

/** A link of nestbox's is made by a unit beside the machine. */
function addNetwork(commands: readonly string[][], add: (asked: Asked) => void, grant: (topic: string, kind: string, options: SettingOf<'grant'>['options']) => void, settings: readonly Setting[], named: boolean): void {
  const ip = (...words: string[]) => commands.find((argv) => words.every((word) => argv.includes(word)));
  const rules = commands.find((argv) => argv[0] === 'nft')?.[1];
  const bridge = ip('link', 'set', 'master')?.at(-1) ?? null;
  const address = ip('in-network', 'address', 'add')?.at(-3) ?? null;
  const ports = [...new Set((rules ?? '').split(';').flatMap((rule) => {
    const [, protocol, host] = /\b(tcp|udp) dport (\d+)\b/.exec(rule) ?? [];
    const inside = /\bdnat to [\d.]+:(\d+)/.exec(rule)?.[1];
    return host && inside ? [`${protocol === 'udp' ? 'udp:' : ''}${host}:${inside}`] : [];
  }))];
  const said = settings.filter((one) => one.what === 'port').map(({ protocol, host, inside }) => `${protocol === 'udp' ? 'udp:' : ''}${host}:${inside}`);
  const network = settings.findLast((one) => one.what === 'network');
  if (bridge) add({ what: 'network', kind: 'veth', bridge, address, gateway: ip('in-network', 'route', 'add')?.at(-1) ?? null });
  else if (rules !== undefined) grant('network', 'private', { ...(ports.length > 0 && { ports }) });
  else if (network?.kind === 'veth') grant('network', 'networkd', { ...(network.bridge && { bridge: network.bridge }), ...(said.length > 0 && { ports: said }), ...(named && { nameservers: 'host' }) });
  else if (network) add(network);
}

/** Where the root comes from, as far as it is in the files: what is built once, from packages or an archive, is not. */
function addRoot(parts: readonly Part[], native: (job: string) => string[][], add: (asked: Asked) => void, name: string, settings: readonly Setting[], run: string): void {
  const link = parts.map(({ text }) => /^# \/var\/lib\/machines\/\S+ -> (\/.*)$/m.exec(text)?.[1]).find((path) => path !== undefined);
  const overlay = native('overlay').find(([at]) => at === `${run}root`);
  const image = /^partition (\d+) of (.*)$/.exec(native('mount').find(([, at]) => at === `/var/lib/machines/${name}`)?.[2] ?? '');
  const lower = overlay?.[4];
  const [device, , , ...options] = native('unlock')[0] ?? [];
  const mounted = native('mount').find(([, at]) => at === `/var/lib/machines/${name}`)?.[2];
  if (overlay?.[1]?.startsWith(`${store.scratch(name)}/`)) add({ what: 'ephemeral', value: true });
  if (image) add({ what: 'root', kind: 'image', path: image[2]!, options: { partition: Number(image[1]) } });
  else if (device !== undefined) add({ what: 'root', kind: 'luks', path: device, options: { ...(options.includes('--key-file') && { 'key-file': options[options.indexOf('--key-file') + 1]! }), ...(options.includes('--discards') && { discard: true }) } });
  else if (mounted !== undefined) add({ what: 'root', kind: 'volume', path: mounted });
  else if (lower === '/' || overlay?.[1]?.includes('/host')) add({ what: 'root', kind: 'host', path: '/' });
  else if (lower !== undefined && !lower.startsWith(`${store.base}/`)) add({ what: 'root', kind: 'directory', path: lower });
  else if (link !== undefined && !link.startsWith(run)) {
    add({ what: 'root', kind: 'directory', path: link });
    const off = settings.some((one) => one.what === 'ownership' && one.how === 'off');
    if (off && settings.some((one) => one.what === 'users' && one.ids === 'own')) add({ what: 'ownership', how: 'chown' });
  } else add({ what: 'unsaid', why: `its root is made by nestbox from something that is not in these files: the machine file is ${/from (\/\S+)\.$/m.exec(parts[0]?.text ?? '')?.[1] ?? 'another'}` });
}
