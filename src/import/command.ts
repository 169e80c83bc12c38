import { basename } from 'node:path/posix';
import { nearest } from '../words.ts';
import { bindOf, capabilitiesOf, isInit, knobOf, needless, portOf, propertyOf, syscallsOf, unsaid, usersOf, variableOf, volatileOf } from './common.ts';
import { type Asked, collector, type Setting } from './settings.ts';
import { boolean } from './text.ts';

/** Command lines of systemd-nspawn(1), options of 219 to 262, with what is before them: variables, sudo, systemd-run. */

/** A word of a command line, with the line that it stands in; `unknown`: a part of it that cannot be known without running something, such as `$USER`. */
export interface Word {
  text: string;
  line: number;
  unknown: string | null;
}

/** Whether an option has a value: none, one that it needs, one that only stands behind `=`. */
type Takes = 'nothing' | 'value' | 'perhaps';

interface Option {
  takes: Takes;
  short?: string;
  says: (value: string) => Asked | Asked[];
}

const flag = (says: () => Asked | Asked[], short?: string): Option => ({ takes: 'nothing', says, ...(short && { short }) });
const value = (says: (value: string) => Asked | Asked[], short?: string): Option => ({ takes: 'value', says, ...(short && { short }) });
const perhaps = (says: (value: string) => Asked | Asked[], short?: string): Option => ({ takes: 'perhaps', says, ...(short && { short }) });

const network = (kind: 'none' | 'veth', bridge: string | null = null): Asked => ({ what: 'network', kind, bridge, address: null, gateway: null });
const besides = (kind: string): Asked[] => [network('none'), unsaid(`${kind} cannot be said; [network.bridge] and [network.networkd] bridge = "..." put a machine beside other computers`)];
const terminal = () => needless('nestbox run has the terminal as it is; nestbox start has none');

/** Every option, and what it asks for. */
const options: Record<string, Option> = {
  directory: value((path) => (path === '/' ? { what: 'root', kind: 'host', path } : { what: 'root', kind: 'directory', path }), 'D'),
  image: value((path) => ({ what: 'root', kind: /^\/dev\/(mapper|dm-|[^/]+\/)/.test(path) && !path.startsWith('/dev/disk/') ? 'volume' : 'image', path }), 'i'),
  template: value((path) => unsaid(`the root is made from ${path} when there is none: cp -a ${path} FOLDER does that once, and [root] clone = "..." copies a machine`)),
  'oci-bundle': value(() => unsaid('an OCI bundle has a configuration of its own; [root] directory = ".../rootfs" uses its root')),
  mstack: value(() => unsaid('a root of many layers cannot be said')),
  'root-hash': value(() => unsaid('an image with checksums of its own (verity) cannot be said')), 'root-hash-sig': value(() => unsaid('goes with --root-hash=')), 'verity-data': value(() => unsaid('goes with --root-hash=')),
  'image-policy': value(() => unsaid('which partitions may be used is seen from the image')),
  'pivot-root': value(() => unsaid('makes another folder of the root its root, for which there is no word')),
  ephemeral: flag(() => ({ what: 'ephemeral', value: true }), 'x'),
  'read-only': flag(() => unsaid('no root is read-only; ephemeral = true throws away what is changed in it')),
  volatile: perhaps((mode) => volatileOf(mode || 'yes')),
  boot: perhaps((on) => ({ what: 'boot', value: boolean(on || 'yes') !== false }), 'b'),
  'as-pid2': flag(() => [{ what: 'boot', value: false }, needless('so it is in every machine that runs a program')], 'a'),
  chdir: value(() => unsaid("a program starts in the home of its user; run = [\"env\", \"--chdir=...\", ...] starts it elsewhere")),
  setenv: value((word) => variableOf(word), 'E'),
  user: value((name) => ({ what: 'user', name }), 'u'), uid: value((name) => ({ what: 'user', name })), // user became uid in 261
  'kill-signal': value(() => needless('nestbox tells an init to end as it is used to')),
  'notify-ready': value(() => needless('nestbox waits until a system is ready in any case')),
  'suppress-sync': value(() => unsaid('nothing that is written is held back from the disk')),
  machine: value((name) => ({ what: 'name', name }), 'M'),
  hostname: value((name) => ({ what: 'hostname', name })),
  uuid: value(() => unsaid('the root has an id of its own in /etc/machine-id')),
  slice: value(() => needless('machines are in machine.slice'), 'S'),
  property: value((text) => {
    const [key = '', ...rest] = text.split('=');
    return propertyOf(key, rest.join('=')) ?? unsaid('a property of the unit for which there is no word');
  }),
  register: value(() => needless('nestbox registers a machine where there is somebody to register it with')),
  'keep-unit': flag(() => needless('where it runs is nestbox\'s to say')),
  settings: value(() => needless('nestbox says all itself, and no .nspawn file that lies beside a root is looked at')),
  cleanup: flag(() => needless('nestbox clean does')),
  'private-users': perhaps((text) => usersOf(text)),
  'private-users-ownership': value((how) => (how === 'chown' || how === 'map' || how === 'off' ? { what: 'ownership', how } : { what: 'ownership', how: 'map' })),
  'private-users-chown': flag(() => ({ what: 'ownership', how: 'chown' })),
  'private-users-delegate': value(() => unsaid('no further ranges of ids are given to containers inside')),
  'private-network': flag(() => network('none')),
  'network-interface': value(() => besides("an interface of the host's own")), 'network-macvlan': value(() => besides('MACVLAN over an interface of the host')), 'network-ipvlan': value(() => besides('IPVLAN over an interface of the host')),
  'network-veth': flag(() => network('veth'), 'n'),
  'network-veth-extra': value(() => [network('none'), unsaid('a second link cannot be said')]),
  'network-bridge': value((bridge) => network('veth', bridge)),
  'network-zone': value(() => [network('veth'), unsaid('a bridge that is there as long as its machines are cannot be said: the machine has a link of its own')]),
  'network-namespace-path': value(() => unsaid('a network that is there already cannot be said')),
  port: value((text) => portOf(text), 'p'),
  capability: value((names) => capabilitiesOf(names, 'add')), 'drop-capability': value((names) => capabilitiesOf(names, 'drop')),
  'ambient-capability': value(() => unsaid('gives capabilities to a program that is not root, for which there is no word')),
  'no-new-privileges': perhaps((on) => ({ what: 'no-new-privileges', value: boolean(on || 'yes') !== false })),
  'system-call-filter': value((list) => syscallsOf(list)),
  'restrict-address-families': value(() => needless('nestbox allows those that programs need: local, Internet, netlink and packets')),
  'selinux-context': value(() => unsaid('labels of SELinux cannot be said'), 'Z'), 'selinux-apifs-context': value(() => unsaid('labels of SELinux cannot be said'), 'L'),
  rlimit: value(() => unsaid("a limit of each process, for which there is no word; [limits] are the machine's as a whole")),
  'oom-score-adjust': value(() => unsaid('when memory is short, which machine ends first is not said; limits.memory keeps one from taking it all')),
  'cpu-affinity': value(() => unsaid('on which processors it runs is not said; limits.cpu says how much of them it gets')),
  personality: value(() => unsaid('nestbox sees from the root whether its programs are of 32 bits')),
  'resolv-conf': value(() => needless('nestbox tells programs inside whom to ask for names, by the kind of network')),
  timezone: value(() => unsaid('the time zone is that of the root; [environment] TZ = "Europe/Berlin" sets another')),
  'link-journal': value(() => needless('nestbox logs NAME reads what is written inside')),
  bind: value((text) => bindOf(text, true)), 'bind-ro': value((text) => bindOf(text, false)),
  inaccessible: value(() => unsaid('nothing of the root can be hidden from the programs in it')),
  tmpfs: value(() => unsaid('/tmp and /run are in memory in every machine, and other folders cannot be')),
  overlay: value(() => unsaid('layers over other folders than the root cannot be said; ephemeral = true is one over all of it')), 'overlay-ro': value(() => unsaid('layers over other folders than the root cannot be said')),
  'bind-user': value(() => unsaid("an account of the host with its home: user = \"...\" makes one of that name, files = [{ path = \"/home/...\", write = true }] shows the home")),
  'bind-user-shell': value(() => unsaid('goes with --bind-user=')), 'bind-user-group': value(() => unsaid('goes with --bind-user=')),
  console: value(terminal), pipe: flag(terminal, 'P'), quiet: flag(terminal, 'q'), background: value(terminal), 'no-pager': flag(terminal), 'no-ask-password': flag(terminal), system: flag(terminal),
  'set-credential': value(() => unsaid('credentials cannot be said; files = [...] shows a file')), 'load-credential': value(() => unsaid('credentials cannot be said; files = [...] shows a file')),
  'forward-journal': value(() => unsaid('what is written inside stays inside; nestbox logs NAME reads it')),
};

/** A range of ids, and then how the files get them. */
const shortOnly: Record<string, Option> = {
  U: flag(() => [{ what: 'users', ids: 'own', first: null }, { what: 'ownership', how: 'map' }]),
  j: flag(() => needless('nestbox logs NAME reads what is written inside')),
};

const byShort = (letter: string): [string, Option] | undefined => (Object.hasOwn(shortOnly, letter) ? [letter, shortOnly[letter]!] : Object.entries(options).find(([, { short }]) => short === letter));

/** As getopt_long(3): the name, or the beginning of one alone. */
function byLong(given: string): [string, Option] | undefined {
  if (Object.hasOwn(options, given)) return [given, options[given]!];
  const begun = Object.entries(options).filter(([name]) => name.startsWith(given));
  return begun.length === 1 ? begun[0] : undefined;
}

/** The words behind systemd-nspawn: options up to the first word that is none, and then a program with its arguments. */
export function readCommand(words: readonly Word[], file: string): Setting[] {
  const { settings, add } = collector(file);
  let i = 0;
  for (; i < words.length; i++) {
    const { text, line, unknown } = words[i]!;
    if (text === '--') {
      i++;
      break;
    }
    if (!text.startsWith('-') || text === '-') {
      if (unknown === null || text !== unknown) break;
      add(line, text, unsaid(`what ${unknown} is cannot be known without running it: options of systemd-nspawn, perhaps`));
      continue;
    }
    const long = /^--([^=]+)(?:=([\s\S]*))?$/.exec(text);
    if (long) {
      const found = byLong(long[1]!);
      const next = found && found[1].takes === 'value' && long[2] === undefined ? words[++i] : undefined;
      say(found, long[1]!, long[2] ?? next?.text, next ? `${text} ${next.text}` : text, line, next?.unknown ?? unknown);
      continue;
    }
    for (let at = 1; at < text.length; at++) {
      const found = byShort(text[at]!);
      const rest = text.slice(at + 1);
      const next = found?.[1].takes === 'value' && rest === '' ? words[++i] : undefined;
      const given = found?.[1].takes === 'value' ? (next?.text ?? (rest === '' ? undefined : rest)) : undefined;
      say(found, text[at]!, given, next ? `${text} ${next.text}` : text, line, next?.unknown ?? unknown);
      if (found?.[1].takes === 'value') break;
    }
  }
  const rest = words.slice(i);
  if (rest.length > 0) {
    const [first] = rest;
    const shown = rest.map(({ text }) => text).join(' ');
    const unknown = rest.find((word) => word.unknown !== null)?.unknown;
    if (unknown) add(first!.line, shown, unsaid(`the program depends on ${unknown}, which cannot be known without running it`));
    else {
      const boots = isInit(first!.text) && !settings.some((one) => one.what === 'boot' && !one.value);
      if (boots) add(first!.line, first!.text, { what: 'boot', value: true });
      const program = rest.slice(boots ? 1 : 0).map(({ text }) => text);
      if (program.length > 0) add(first!.line, shown, { what: 'words', words: program });
    }
  }
  return settings;

  function say(found: [string, Option] | undefined, name: string, given: string | undefined, shown: string, line: number, unknown: string | null): void {
    if (!found) {
      const meant = name.length > 1 ? nearest(name, Object.keys(options)) : undefined;
      add(line, shown, unsaid(`systemd-nspawn has no such option${meant ? `: --${meant} may be meant` : ''}`));
    } else if (found[1].takes === 'value' && given === undefined) add(line, shown, unsaid('its value is missing'));
    else if (unknown !== null && !isHome(given ?? '', unknown)) add(line, shown, unsaid(ownDisplay(given ?? '') ?? `what ${unknown} is cannot be known without running it`));
    else for (const asked of [found[1].says(given ?? '')].flat()) add(line, shown, asked);
  }
}

/** A path below the home of the person, which a machine file has a sign for. */
const isHome = (given: string, unknown: string): boolean => /^\$\{?HOME\}?$/.test(unknown) && given.split(':').every((part) => !part.includes('$') || /^\$\{?HOME\}?(\/[^$]*)?$/.test(part)) && !given.includes('=');

/** What nestbox says better than a copy of the host's. */
const ownDisplay = (given: string): string | null =>
  /^(DISPLAY|XAUTHORITY|WAYLAND_DISPLAY)=/.test(given) || /X11-unix|Xauthority|XAUTHORITY|wayland/i.test(given) ? 'display = "nested" or "x11" sets what leads to a display'
    : /^PULSE_|pulse|pipewire/i.test(given) ? 'audio = "playback" or "pulse" sets what leads to a sound server' : null;

/** What a command line has before the words `systemd-nspawn`: variables of it, and a scope or service with properties. */
export function readBefore(words: readonly Word[], file: string): Setting[] {
  const { settings, add } = collector(file);
  for (let i = 0; i < words.length; i++) {
    const { text, line } = words[i]!;
    const assignment = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(text);
    const property = /^(?:-p|--property=)(.*)$/.exec(text)?.[1];
    if (assignment) {
      const asked = knobOf(assignment[1]!, assignment[2]!);
      if (asked) add(line, text, asked);
    } else if (property !== undefined && words.some((word) => basename(word.text) === 'systemd-run')) {
      const given = property === '' ? words[++i]?.text ?? '' : property;
      const [key = '', ...rest] = given.split('=');
      for (const asked of propertyOf(key, rest.join('=')) ?? [needless('a property of the unit that it runs in')]) add(line, given, asked);
    }
  }
  return settings;
}
