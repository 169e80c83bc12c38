import { basename, dirname } from 'node:path/posix';
import { readCommand } from './command.ts';
import { bindOf, capabilitiesOf, knobOf, needless, portOf, propertyOf, syscallsOf, unsaid, usersOf, variableOf, volatileOf } from './common.ts';
import { type Asked, collector, type Setting } from './settings.ts';
import { boolean, type IniLine, iniLines, iniWords } from './text.ts';

/** .nspawn files (systemd.nspawn(5), settings of 219 to 262) and the units that run systemd-nspawn, or drop-ins of those. */

/** The machine that a file is for, by its path: NAME.nspawn, systemd-nspawn@NAME.service and the folder of its drop-ins. */
export function nameOfFile(file: string): string | null {
  const unit = [basename(file), basename(dirname(file))].map((part) => /^systemd-nspawn@(.+)\.service(\.d)?$/.exec(part)?.[1]).find((name) => name !== undefined);
  const name = unit ?? /^(.+)\.nspawn$/.exec(basename(file))?.[1] ?? null;
  return name?.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) ?? null;
}

type Say = (value: string) => Asked | Asked[];

const yes = (value: string, then: (yes: boolean) => Asked | Asked[]): Asked | Asked[] => {
  const said = boolean(value);
  return said === null ? unsaid('is neither yes nor no') : then(said);
};

const networkOf = (kind: 'none' | 'veth', bridge: string | null = null): Asked => ({ what: 'network', kind, bridge, address: null, gateway: null });

const limit: Say = () => unsaid("a limit of each process, for which there is no word; [limits] are the machine's as a whole");

/** What each setting of a .nspawn file asks for. Those of [Network] that decide together are read below. */
const says: Record<string, Record<string, Say>> = {
  Exec: {
    Boot: (value) => yes(value, (boot) => ({ what: 'boot', value: boot })),
    Ephemeral: (value) => yes(value, (ephemeral) => ({ what: 'ephemeral', value: ephemeral })),
    ProcessTwo: (value) => yes(value, (two) => (two ? [{ what: 'boot', value: false }, needless('so it is in every machine that runs a program')] : needless('a program is always process 2: the first one looks after what it leaves behind'))),
    Parameters: (value) => ({ what: 'words', words: iniWords(value) }),
    Environment: (value) => iniWords(value).map((word) => variableOf(word)),
    User: (value) => ({ what: 'user', name: value }),
    WorkingDirectory: () => unsaid("a program starts in the home of its user; run = [\"env\", \"--chdir=...\", ...] starts it elsewhere"),
    PivotRoot: () => unsaid('makes another folder of the root its root, for which there is no word'),
    Capability: (value) => capabilitiesOf(value, 'add'),
    DropCapability: (value) => capabilitiesOf(value, 'drop'),
    AmbientCapability: () => unsaid('gives capabilities to a program that is not root, for which there is no word'),
    NoNewPrivileges: (value) => yes(value, (on) => ({ what: 'no-new-privileges', value: on })),
    KillSignal: () => needless('nestbox tells an init to end as it is used to'),
    Personality: () => unsaid('nestbox sees from the root whether its programs are of 32 bits'),
    MachineID: () => unsaid('the root has an id of its own in /etc/machine-id'),
    PrivateUsers: (value) => usersOf(value),
    NotifyReady: () => needless('nestbox waits until a system is ready in any case'),
    SystemCallFilter: (value) => syscallsOf(value),
    OOMScoreAdjust: () => unsaid('when memory is short, which machine ends first is not said; limits.memory keeps one from taking it all'),
    CPUAffinity: () => unsaid('on which processors it runs is not said; limits.cpu says how much of them it gets'),
    Hostname: (value) => ({ what: 'hostname', name: value }),
    ResolvConf: () => needless('nestbox tells programs inside whom to ask for names, by the kind of network'),
    Timezone: () => unsaid('the time zone is that of the root; [environment] TZ = "Europe/Berlin" sets another'),
    LinkJournal: () => needless('nestbox logs NAME reads what is written inside'),
    SuppressSync: () => unsaid('nothing that is written is held back from the disk'),
    PrivateUsersDelegate: () => unsaid('no further ranges of ids are given to containers inside'),
    RestrictAddressFamilies: () => needless('nestbox allows those that programs need: local, Internet, netlink and packets'),
    ...Object.fromEntries(['CPU', 'FSIZE', 'DATA', 'STACK', 'CORE', 'RSS', 'NOFILE', 'AS', 'NPROC', 'MEMLOCK', 'LOCKS', 'SIGPENDING', 'MSGQUEUE', 'NICE', 'RTPRIO', 'RTTIME'].map((name) => [`Limit${name}`, limit])),
  },
  Files: {
    ReadOnly: (value) => yes(value, (on) => (on ? unsaid('no root is read-only; ephemeral = true throws away what is changed in it') : needless('so it is in every machine'))),
    Volatile: (value) => volatileOf(value),
    Bind: (value) => bindOf(value, true),
    BindReadOnly: (value) => bindOf(value, false),
    BindUser: () => unsaid("an account of the host with its home: user = \"...\" makes one of that name, files = [{ path = \"/home/...\", write = true }] shows the home"),
    BindUserShell: () => unsaid('goes with BindUser='),
    TemporaryFileSystem: () => unsaid('/tmp and /run are in memory in every machine, and other folders cannot be'),
    Inaccessible: () => unsaid('nothing of the root can be hidden from the programs in it'),
    Overlay: () => unsaid('layers over other folders than the root cannot be said; ephemeral = true is one over all of it'),
    OverlayReadOnly: () => unsaid('layers over other folders than the root cannot be said'),
    PrivateUsersOwnership: (value) => ownershipOf(value),
    PrivateUsersChown: (value) => yes(value, (on) => ({ what: 'ownership', how: on ? 'chown' : 'off' })), // its name before 249
  },
};

const ownershipOf = (value: string): Asked => (value === 'chown' || value === 'map' || value === 'off' ? { what: 'ownership', how: value } : value === 'auto' ? { what: 'ownership', how: 'map' } : unsaid('is no way to give a root its owners'));

/** The text of a .nspawn file. Its [Network] replaces what the unit says as soon as one setting of it decides: settings_network_configured() in nspawn-settings.c. */
export function readNspawn(text: string, file: string): Setting[] {
  const { settings, add, clear } = collector(file);
  const lines = iniLines(text);
  const name = nameOfFile(file);
  if (name !== null) add(1, basename(file), { what: 'name', name });
  for (const { section, key, value, line } of lines.filter((one) => one.section !== 'Network')) {
    const shown = key === '' ? value : `${key}=${value}`;
    const say = says[section] && Object.hasOwn(says[section], key) ? says[section][key] : undefined;
    if (value === '' && key === 'Environment') clear(line, 'variable');
    else if (value === '' && key !== 'PrivateUsers') add(line, shown, needless('says nothing'));
    else for (const asked of [say ? say(value) : strange(section, key)].flat()) add(line, shown, asked);
  }
  readNetwork(lines.filter(({ section }) => section === 'Network'), add);
  return settings;
}

/** A setting that stands in the wrong section is one that systemd passes over. */
function strange(section: string, key: string): Asked {
  if (key === '') return unsaid('is no setting');
  const place = [...Object.keys(says), 'Network'].find((other) => (other === 'Network' ? networkKeys.includes(key) : Object.hasOwn(says[other]!, key)));
  return unsaid(place ? `systemd passes over it: it belongs to [${place}]` : `systemd has no such setting in [${section}]`);
}

const networkKeys = ['Private', 'VirtualEthernet', 'VirtualEthernetExtra', 'Interface', 'MACVLAN', 'IPVLAN', 'Bridge', 'Zone', 'Port', 'NamespacePath'];

const noInterface = (kind: string) => unsaid(`${kind} cannot be said; [network.bridge] and [network.networkd] bridge = "..." put a machine beside other computers`);

function readNetwork(lines: readonly IniLine[], add: (line: number, text: string, asked: Asked) => void): void {
  const last = (key: string) => lines.findLast((one) => one.key === key && one.value !== '');
  const on = (key: string) => boolean(last(key)?.value ?? '') === true;
  const link = last('Bridge') ?? last('Zone') ?? (on('VirtualEthernet') ? last('VirtualEthernet') : undefined);
  const own = link ?? ['Interface', 'MACVLAN', 'IPVLAN', 'VirtualEthernetExtra'].map(last).find(Boolean) ?? (on('Private') ? last('Private') : undefined);
  const deciding = own ?? last('Private') ?? last('VirtualEthernet');
  for (const { key, value, line } of lines) {
    const text = key === '' ? value : `${key}=${value}`;
    const one: Asked | null = value === '' ? needless('says nothing')
      : key === 'Port' ? portOf(value)
        : key === 'Zone' ? unsaid('a bridge that is there as long as its machines are cannot be said: the machine has a link of its own')
          : key === 'Interface' ? noInterface("an interface of the host's own")
            : key === 'MACVLAN' || key === 'IPVLAN' ? noInterface(`${key} over an interface of the host`)
              : key === 'VirtualEthernetExtra' ? unsaid('a second link cannot be said')
                : key === 'NamespacePath' ? unsaid('a network that is there already cannot be said')
                  : (key === 'Private' || key === 'VirtualEthernet') && boolean(value) === null ? unsaid('is neither yes nor no')
                    : networkKeys.includes(key) ? null : strange('Network', key);
    if (one) add(line, text, one);
  }
  if (!deciding || lines.some(({ key }) => key === 'NamespacePath')) return;
  const text = `${deciding.key}=${deciding.value}`;
  if (!own && [last('Private'), last('VirtualEthernet')].every((one) => !one || boolean(one.value) === null)) return;
  add(deciding.line, text, link ? networkOf('veth', last('Bridge')?.value ?? null) : own ? networkOf('none') : { what: 'network', kind: 'host', bridge: null, address: null, gateway: null });
}

/** Settings of units that only say when it starts and how it is watched. */
const ofUnits = /^(Unit|Install)$/;
const watched = /^(Type|Restart.*|Timeout.*|KillMode|Slice|Delegate.*|SuccessExitStatus|WatchdogSec|RemainAfterExit|Description|Documentation|NotifyAccess|KillSignal|SyslogIdentifier|Standard(Output|Error|Input)|CoredumpReceive|OOMPolicy|TasksAccounting|MemoryAccounting|CPUAccounting|IOAccounting|User|Group)$/;

/** The text of a unit that runs systemd-nspawn, or of a drop-in of one. `instance`: what %i is, where its path does not say it. */
export function readUnit(text: string, file: string, instance: string | null = null): { settings: Setting[]; runs: boolean } {
  const { settings, add, clear } = collector(file);
  const name = nameOfFile(file) ?? instance;
  let runs = false;
  if (nameOfFile(file) !== null) add(1, basename(file), { what: 'name', name: nameOfFile(file)! });
  const full = (value: string) => value.replace(/%([%iIpnN])/g, (specifier, which: string) => (which === '%' ? '%' : /[iI]/.test(which) && name !== null ? name : specifier));
  for (const { section, key, value: raw, line } of iniLines(text)) {
    const value = full(raw);
    const shown = key === '' ? raw : `${key}=${raw}`;
    if (ofUnits.test(section)) add(line, shown, needless('when it starts is said by nestbox start and nestbox enable'));
    else if (section !== 'Service' && section !== 'Scope') add(line, shown, unsaid('is no setting of a unit that runs a machine'));
    else if (key === 'DeviceAllow' && value === '') clear(line, 'device');
    else if (key === 'Environment') for (const word of iniWords(value, true)) add(line, shown, knobOf(word.split('=')[0]!, word.slice(word.indexOf('=') + 1)) ?? needless("a variable of systemd-nspawn's own, not of programs inside"));
    else if (key === 'ExecStart') {
      if (value === '') continue;
      const words = iniWords(value.replace(/^[-@:+!|]+/, ''), true);
      const program = words.findIndex((word) => basename(word) === 'systemd-nspawn');
      if (program < 0) add(line, shown, unsaid('a command of the host, and nestbox runs none'));
      else {
        runs = true;
        settings.push(...readCommand(words.slice(program + 1).map((word) => ({ text: word, line, unknown: /%[a-zA-Z]/.exec(word)?.[0] ?? /\$\{?\w+\}?/.exec(word)?.[0] ?? null })), file));
      }
    } else if (/^Exec/.test(key)) add(line, shown, value === '' ? needless('says nothing') : unsaid('a command of the host, and nestbox runs none'));
    else if (watched.test(key)) add(line, shown, needless('how its unit is watched is what systemd-nspawn@.service says'));
    else for (const asked of propertyOf(key, value) ?? [unsaid('a property of the unit for which there is no word')]) add(line, shown, asked);
  }
  return { settings, runs };
}
