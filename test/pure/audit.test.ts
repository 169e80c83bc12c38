import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { audit, type Report, scoreOf, tell } from '../../src/audit.ts';
import { isAffected } from '../../src/audit/settings-beside.ts';
import { rules } from '../../src/audit/index.ts';
import { type Danger, dangers, floors, levelOf, levels } from '../../src/dangers.ts';
import { nameOfRule } from '../../src/device-dangers.ts';
import { type Known, quietHost, type Said } from '../../src/known.ts';
import { knownMachine, placeIn } from '../../src/known/machine.ts';
import { namesCdi } from '../../src/machine.ts';
import { readSpec } from '../../src/spec.ts';
import { isOlder } from '../../src/versions.ts';
import { exampleNames, exampleText, here, meetStored, storedHost } from './hosts.ts';

const where = { file: 'a.nspawn', line: 1, column: null, text: 'said' };
const said = <T>(is: T): Said<T> => ({ is, where });
const yes = said(true);
const no = said(false);

/** A container in which nothing is open. */
const shut: Known = {
  name: 'a', made: 'nspawn', file: 'a.nspawn', hostRoot: no, asRoot: no, ownNetwork: yes, shares: [], deviceList: yes, devices: [], capabilities: [], syscalls: [], binds: [],
  bounds: { cpu: yes, memory: yes, tasks: yes, disk: yes }, strangers: [], kernelFiles: no, besideRoot: no, opened: [], host: { ...quietHost, home: '/home/of-somebody' }, unseen: [],
};

const root = { hostRoot: yes, asRoot: yes };
const binds = (...paths: [from: string, write?: boolean][]) => ({ binds: paths.map(([from, write = false]) => said({ from, to: from, write })) });
const host = (more: Partial<Known['host']>) => ({ host: { ...shut.host, ...more } });
const bounds = (which: keyof Known['bounds'], is: boolean | null) => ({ bounds: { ...shut.bounds, [which]: is === null ? null : said(is) } });

/** For each rule what makes it fire and with which dangers, and the nearest that does not. */
const cases: Record<string, { fires: [Partial<Known>, Danger[]][]; quiet: Partial<Known>[] }> = {
  'access-lists': { fires: [[host({ leftovers: [{ kind: 'access', path: '/dev/dri/card0', what: 'user 100044' }] }), ['driver']]], quiet: [host({ leftovers: [{ kind: 'seat', path: '/etc/udev/rules.d/72-seat-x.rules', what: 'seat1' }] })] },
  capabilities: { fires: [[{ ...root, capabilities: [said('CAP_SYS_MODULE'), said('CAP_SYS_TIME')] }, ['kernel', 'settings']], [{ capabilities: [said('CAP_SYS_MODULE'), said('CAP_SYS_TIME')] }, ['calls']]], quiet: [root] },
  'control-sockets': { fires: [[binds(['/run/docker.sock']), ['root']], [binds(['/var/run/docker.sock', true]), ['root']], [binds(['/run/libvirt/libvirt-sock']), ['root']], [binds(['/run']), ['root']]], quiet: [binds(['/run/docker.sock.d']), binds(['/run/user/1000/app'])] },
  'device-list': { fires: [[{ ...root, deviceList: no }, ['disks']], [{ ...root, deviceList: no, capabilities: [said('all')] }, ['memory']]], quiet: [{ deviceList: no }, { ...root, deviceList: yes }, { hostRoot: yes, asRoot: no, deviceList: no }, { ...root, deviceList: null }] },
  devices: {
    fires: [[{ devices: [said('char-*')] }, ['keys']], [{ ...root, devices: [said('/dev/mem')], capabilities: [said('CAP_SYS_RAWIO')] }, ['memory']], [{ ...root, devices: [said('/dev/mem')] }, ['calls']], [{ devices: [said('/dev/uinput')] }, ['typing']], [{ devices: [said('char-tty')] }, ['keys']], [{ devices: [said('block-*')] }, ['disks']],
      [{ devices: [said('/dev/dri/card0'), said('/dev/dri/renderD128')] }, ['display', 'driver']], [{ deviceList: no, ...binds(['/dev/snd'], ['/dev/input']) }, ['microphone', 'keys']]],
    quiet: [{ deviceList: yes, ...binds(['/dev/snd']) }, { deviceList: no, ...binds(['/dev/net/tun'], ['/dev/null']) }],
  },
  disk: { fires: [[bounds('disk', false), ['disk']]], quiet: [bounds('disk', null)] },
  'frozen-devices': { fires: [[host({ leftovers: [{ kind: 'devices', path: '/etc/systemd/system.control/systemd-nspawn@a.service.d/50-DeviceAllow.conf', what: 'the devices of a' }] }), ['driver']]], quiet: [host({ leftovers: [{ kind: 'access', path: '/dev/kvm', what: 'user 100044' }] })] },
  'host-ids': { fires: [[root, ['root']], [{ hostRoot: yes, asRoot: no }, ['files']]], quiet: [{ hostRoot: no, asRoot: yes }, { hostRoot: null, asRoot: yes }] },
  'host-network': { fires: [[{ ownNetwork: no }, ['services']]], quiet: [{ ownNetwork: null }, { ownNetwork: yes }] },
  'kernel-files': { fires: [[{ ...root, kernelFiles: yes }, ['root']], [{ ...root, ...binds(['/sys', true]) }, ['root']]], quiet: [{ hostRoot: no, kernelFiles: yes }, { ...root, ...binds(['/sys']) }] },
  'loose-emulator': { fires: [[host({ looseEmulators: ['/usr/local/bin/qemu-arm'] }), ['root']]], quiet: [host({})] },
  memory: { fires: [[bounds('memory', false), ['all-memory']]], quiet: [bounds('memory', null)] },
  'open-display': { fires: [[{ ownNetwork: no, ...host({ openDisplays: [0] }) }, ['keys', 'typing', 'screen']], [{ opened: [{ can: 'windows', what: 'an untrusted key', where }], ...host({ openDisplays: [0] }) }, ['keys', 'typing', 'screen']]], quiet: [host({ openDisplays: [0] }), { ownNetwork: no }] },
  'private-files': { fires: [[binds(['/home/of-somebody/.ssh']), ['secrets']], [binds(['/home/of-somebody']), ['secrets']], [binds(['/etc/shadow']), ['secrets']], [binds(['/']), ['secrets']]], quiet: [binds(['/home/of-somebody/games']), binds(['/etc/localtime']), binds(['/srv/share'])] },
  processes: { fires: [[bounds('tasks', false), ['all-processes']]], quiet: [bounds('tasks', null)] },
  processors: { fires: [[bounds('cpu', false), ['cpu']]], quiet: [bounds('cpu', null)] },
  'seat-rules': { fires: [[host({ leftovers: [{ kind: 'seat', path: '/etc/udev/rules.d/72-seat-drm.rules', what: 'seat1' }] }), ['keys']]], quiet: [host({ leftovers: [{ kind: 'devices', path: '/run/systemd/system.control/x', what: 'the devices of a' }] })] },
  'session-bus': { fires: [[binds(['/run/user/1000/bus']), ['session']], [binds(['/run/user/1000']), ['session']], [binds(['/run/dbus/system_bus_socket']), ['services']]], quiet: [binds(['/run/user/1000/app-proxy/bus.sock'])] },
  'settings-beside': { fires: [[{ besideRoot: yes, ...host({ nspawn: '252.39-1~deb12u1' }) }, ['root']], [{ besideRoot: yes, ...host({ nspawn: '255.4' }) }, ['root']]], quiet: [{ besideRoot: yes, ...host({ nspawn: '252.39-1~deb12u2' }) }, { besideRoot: yes }, host({ nspawn: '247.3' })] },
  'setuid-folder': { fires: [[{ ...root, ...binds(['/srv/share', true]) }, ['root']]], quiet: [{ ...root, ...binds(['/srv/share']) }, { asRoot: yes, ...binds(['/srv/share', true]) }, { hostRoot: yes, asRoot: no, ...binds(['/srv/share', true]) }] },
  'shared-namespaces': { fires: [[{ shares: [said('ipc'), said('pid'), said('uts')] }, ['processes', 'processes', 'settings']], [{ ...root, shares: [said('cgroup')] }, ['settings']], [{ shares: [said('cgroup')] }, ['hints']]], quiet: [{}] },
  'sound-socket': { fires: [[binds(['/run/user/1000/pulse']), ['microphone', 'sound-server']], [binds(['/run/user/1000/pulse/native']), ['microphone', 'sound-server']], [binds(['/run/user/1000/pipewire-0']), ['microphone']]], quiet: [binds(['/etc/pulse']), binds(['/run/user/1000/pulse.d'])] },
  'strange-image': { fires: [[{ strangers: [said('/srv/pi.img')] }, ['driver']]], quiet: [{}] },
  'system-files': { fires: [[{ ...root, ...binds(['/etc', true]) }, ['root']], [binds(['/home/of-somebody', true]), ['session']], [binds(['/home/of-somebody/.bashrc', true]), ['session']]], quiet: [{ ...root, ...binds(['/etc']) }, { ...root, ...binds(['/var/lib/mysql', true], ['/opt/legacy', true]) }, binds(['/etc', true]), binds(['/home/of-somebody/games', true])] },
  'system-calls': { fires: [[{ ...root, syscalls: [said(['add_key', 'keyctl'])] }, ['secrets']], [{ ...root, syscalls: [said(['bpf'])] }, ['kernel']], [{ syscalls: [said(['bpf'])] }, ['calls']]], quiet: [{ ...root, syscalls: [said(['~mount'])] }] },
  'udev-control': { fires: [[{ ...root, ...binds(['/run/udev']) }, ['settings']], [{ ...root, ...binds(['/run/udev/control']) }, ['settings']]], quiet: [binds(['/run/udev/control']), { ...root, ...binds(['/run/udev/data']) }] },
  'wayland-socket': { fires: [[binds(['/run/user/1000/wayland-0']), ['screen']]], quiet: [binds(['/run/user/1000/wayland-0.lock'])] },
  'writable-files': { fires: [[binds(['/srv/share', true]), ['files']]], quiet: [binds(['/srv/share']), { made: 'nestbox', ...binds(['/srv/share', true]) }] },
  'x11-folder': { fires: [[binds(['/tmp/.X11-unix', true]), ['display']]], quiet: [binds(['/tmp/.X11-unix']), binds(['/tmp/.X11-unix/X0', true])] },
  'x11-key': { fires: [[{ ownNetwork: no, ...binds(['/home/of-somebody/.Xauthority']) }, ['keys', 'typing', 'screen']], [{ ownNetwork: no, ...binds(['/run/user/1000/xauth_AbC']) }, ['keys', 'typing', 'screen']]], quiet: [binds(['/home/of-somebody/.Xauthority']), { ownNetwork: no }] },
  'x11-socket': { fires: [[binds(['/tmp/.X11-unix']), ['keys', 'typing', 'screen']], [binds(['/tmp/.X11-unix/X0'], ['/home/of-somebody/.Xauthority']), ['keys', 'typing', 'screen']]], quiet: [binds(['/home/of-somebody/.Xauthority']), binds(['/tmp/.X11-unix-old'])] },
};

test('every rule fires where its exposure is, and not where it nearly is', () => {
  assert.deepEqual(Object.keys(cases).sort(), Object.keys(rules).sort());
  for (const [name, { fires, quiet }] of Object.entries(cases)) {
    const { look } = rules[name]!;
    assert.ok(fires.length > 0 && quiet.length > 0, name);
    for (const [known, can] of fires) assert.deepEqual(look({ ...shut, ...known }).map((found) => found.can), can, `${name}: ${JSON.stringify(known)}`);
    for (const known of [...quiet, {}]) assert.deepEqual(look({ ...shut, ...known }), [], `${name}: ${JSON.stringify(known)}`);
  }
});

test('what is found says where it stands, in a sentence, and which word would do where there is one', () => {
  for (const { fires } of Object.values(cases))
    for (const [known] of fires)
      for (const { what, where: place, smaller } of audit({ ...shut, ...known }).findings) {
        assert.match(what, /^[a-z].*[^.]$/);
        assert.ok(place.file !== '' && place.text !== '', what);
        if (smaller) assert.ok(smaller.say !== '' && /^\S.*[^.]$/.test(smaller.loses), what);
      }
});

test('a container in which nothing is open has no score, and says so', () => {
  const report = audit(shut);
  assert.deepEqual([report.level, report.score, report.findings], ['contained', 0, []]);
  assert.match(tell(report), /^a: contained, 0 of 100 \(a\.nspawn\)\n\nNothing was found/);
});

test('the list of dangers is worst first, and its levels are parts of one scale', () => {
  const weights = Object.values(dangers).map(({ weight }) => weight);
  assert.deepEqual(weights, [...weights].sort((a, b) => b - a));
  for (const danger of Object.keys(dangers) as Danger[]) {
    const score = scoreOf([danger]);
    const level = levelOf(danger);
    assert.ok(score >= floors[level] && (level === 'host-equivalent' || score < floors[levels[levels.indexOf(level) + 1]!]), danger);
  }
});

test('what is added never lowers the score, and no number of small things makes a great one', () => {
  const all = Object.keys(dangers) as Danger[];
  for (const level of levels) {
    const own = all.filter((danger) => levels.indexOf(levelOf(danger)) <= levels.indexOf(level));
    assert.ok(scoreOf(own) < (level === 'host-equivalent' ? 101 : floors[levels[levels.indexOf(level) + 1]!]), level);
  }
  for (let seed = 1; seed < 60; seed++) {
    const some = all.filter((_, i) => ((seed * 2654435761) >>> (i % 31)) & 1);
    for (const more of all) assert.ok(scoreOf([...some, more]) >= scoreOf(some), `${some.join(' ')} + ${more}`);
  }
});

test('the worst comes first in a report, and equals in the order of the file', () => {
  const { findings } = audit({ ...shut, ...root, ...binds(['/srv/a', true], ['/srv/b', true]), devices: [said('/dev/mem')], capabilities: [said('all')] });
  const weights = findings.map(({ can }) => dangers[can].weight);
  assert.deepEqual(weights, [...weights].sort((a, b) => b - a));
  assert.equal(findings[0]!.can, 'memory');
});

test('versions of Debian are compared as deb-version(7) says', () => {
  for (const [older, newer] of [['252.39-1~deb12u1', '252.39-1~deb12u2'], ['252.4', '252.39'], ['257~rc1', '257'], ['257.9', '257.12'], ['9', '10'], ['252.39-1~deb12u2', '252.39-1']]) {
    assert.ok(isOlder(older!, newer!) && !isOlder(newer!, older!), `${older} ${newer}`);
    assert.equal(isOlder(newer!, newer!), false);
  }
  assert.deepEqual(['247.3-7', '252.39-1~deb12u1', '252.39-1~deb12u2', '257.11', '257.13-1', '259.4', '260', '262.1'].map(isAffected), [true, true, false, true, false, false, false, false]);
});

test('numbers of devices are told by what they open, and those of every container not at all', () => {
  const names = ([type, major, minor, rights]: [string, number | '*', number | '*', string]) => nameOfRule(type, major, minor, rights);
  assert.deepEqual(([['c', 1, 1, 'rwm'], ['c', 10, 223, 'rw'], ['c', 226, '*', 'rw'], ['c', 226, 128, 'rw'], ['b', 8, '*', 'r'], ['c', '*', '*', 'rwm'], ['c', 13, 64, 'r'], ['c', 116, 2, 'rw']] as const).map(([...rule]) => names(rule)),
    ['/dev/mem', '/dev/uinput', 'char-drm', '/dev/dri/renderD128', 'block-8', 'char-*', 'char-input', 'char-alsa']);
  assert.deepEqual(([['c', 1, 3, 'rwm'], ['c', 136, '*', 'rw'], ['c', '*', '*', 'm'], ['b', '*', '*', 'm'], ['c', 5, 1, 'rwm'], ['c', 10, 200, 'rwm']] as const).map(([...rule]) => names(rule)), [null, null, null, null, null, null]);
});

function reportOf(example: string, hostName: string): Report {
  const text = exampleText(example);
  const shown = `examples/${example}.toml`;
  const spec = readSpec(text, shown);
  const { machine, facts } = meetStored(spec, storedHost(hostName), `/etc/nestbox/${example}.toml`);
  return audit(knownMachine({ shown, text, spec }, machine, facts, { ...quietHost, home: facts.person.home }));
}

const golden = ['work-desktop', 'steam', 'music', 'pi', 'banking', 'xhost', 'studio', 'steam-gentoo', 'seat-left', 'rescue'];

test('the audit of these examples is the same as before', () => {
  for (const example of golden) {
    const file = here(`golden/audit/${example}.txt`);
    const found = `${tell(reportOf(example, 'laptop'))}\n`;
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, found);
    assert.equal(found, readFileSync(file, 'utf8'), `${example}: UPDATE_GOLDEN=1 writes it anew`);
  }
});

test('an audit does not depend on what a host lacks for a run, apart from what keeps devices away there', () => {
  const hosts = ['laptop', 'no-systemd', 'raspberry-pi'];
  // Files on the host say what comes with the devices that they describe.
  for (const example of exampleNames.filter((name) => !namesCdi(readSpec(exampleText(name), name)))) {
    const opened = hosts.map((name) => reportOf(example, name).findings.map(({ can }) => can).filter((can) => can !== 'disks' && can !== 'hints').join(' '));
    assert.ok(opened.every((one) => one === opened[0]), `${example}:\n${hosts.map((name, i) => `${name}: ${opened[i]}`).join('\n')}`);
  }
});

test('what an engine does not keep away is opened by the line that accepts it', () => {
  const report = reportOf('steam-gentoo', 'laptop');
  const line = exampleText('steam-gentoo').split('\n').findIndex((text) => text.startsWith('accept')) + 1;
  assert.deepEqual(report.findings.filter(({ where: { line: found } }) => found === line).map(({ can }) => can).sort(), ['files', 'root', 'services']);
});

test('each finding in an example stands at a line of it that has to do with it, or says that none does', () => {
  for (const example of exampleNames)
    for (const { where: { line, text, file } } of reportOf(example, 'laptop').findings) {
      assert.equal(file, `examples/${example}.toml`);
      if (line !== null) assert.ok(exampleText(example).split('\n')[line - 1]!.trim().startsWith(text), `${example}:${line}: ${text}`);
    }
});

test('a place is the element of a list, the kind, or the topic, whatever the file says', () => {
  const file = { shown: 'a.toml', text: 'name = "a"\ndevices = [\n  "/dev/kvm", # fast\n  "/dev/mem",\n]\ndisplay = ["vt"]\n[audio.alsa]\nrecord = true\n' };
  assert.deepEqual(['devices.1', 'display.vt', 'audio.alsa.record', 'audio.alsa', 'network.private', 'limits'].map((path) => placeIn(file, path.split('.')).line), [4, 6, 8, 7, null, null]);
  assert.equal(placeIn(file, ['devices', 0]).text, '"/dev/kvm",');
});
