import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { audit, type Report } from '../../src/audit.ts';
import { levels } from '../../src/dangers.ts';
import { concerning, strangersIn, wholeVersion } from '../../src/host/surroundings.ts';
import { imported, readArguments, readForeign } from '../../src/import.ts';
import { readCommand } from '../../src/import/command.ts';
import { readLxc } from '../../src/import/lxc.ts';
import { readNspawn, readUnit } from '../../src/import/nspawn.ts';
import type { Foreign } from '../../src/import/settings.ts';
import { quietHost } from '../../src/known.ts';
import { knownForeign } from '../../src/known/foreign.ts';
import { knownMachine } from '../../src/known/machine.ts';
import { knownProcess, type Seen } from '../../src/known/process.ts';
import { sarif } from '../../src/sarif.ts';
import { readSpec } from '../../src/spec.ts';
import { splitWords } from '../../src/words.ts';
import { here, meetStored, storedHost } from './hosts.ts';

/** Audits of what nestbox did not make: the recipes that people have, and what is dangerous in each. */

const host = { ...quietHost, home: '/home/of-somebody' };
const reportOf = (way: Foreign['way'], settings: Foreign['settings'], file: string): Report => audit(knownForeign('a', file, { way, settings }, host));
const nspawn = (text: string, file = '/etc/systemd/nspawn/a.nspawn', dropIn = ''): Report => reportOf('unit', [...readNspawn(text, file), ...readUnit(dropIn, '/etc/systemd/system/systemd-nspawn@a.service.d/a.conf').settings], file);
const lxc = (text: string): Report => reportOf('lxc', readLxc(text, '/var/lib/lxc/a/config'), '/var/lib/lxc/a/config');
const command = (line: string): Report => reportOf('nspawn', readCommand(splitWords(line).map((text) => ({ text, line: 1, unknown: null })), 'start.sh'), 'start.sh');

/** The dangers above those of every container, and the lines that open them. */
const opened = ({ findings }: Report): string[] => findings.filter(({ level }) => level !== 'contained').map(({ can, where: { line, text } }) => `${can} ${line ?? '-'} ${text}`);

test('a .nspawn file that says nothing is contained, by what systemd-nspawn@.service does', () => {
  const report = nspawn('[Exec]\nBoot=yes\n');
  assert.deepEqual([report.level, opened(report)], ['contained', []]);
  assert.deepEqual(report.findings.map(({ can }) => can).sort(), ['all-memory', 'cpu', 'disk', 'network']);
});

test('the recipe of forums: the ids and the network of the host, X, sound, the session, every device', () => {
  const report = nspawn('[Exec]\nPrivateUsers=no\n[Network]\nPrivate=no\nVirtualEthernet=no\n[Files]\nBind=/tmp/.X11-unix\nBindReadOnly=/home/of-somebody/.Xauthority\nBind=/run/user/1000/pulse\nBind=/run/user/1000/bus\nBind=/dev/dri\n', undefined,
    '[Service]\nDeviceAllow=char-* rwm\nDeviceAllow=/dev/fb0 rw\nEnvironment=SYSTEMD_NSPAWN_SHARE_NS_IPC=1 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1\n');
  assert.equal(report.level, 'host-equivalent');
  assert.deepEqual(opened(report), [
    'root 2 PrivateUsers=no', 'root 4 Environment=SYSTEMD_NSPAWN_SHARE_NS_IPC=1 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1', 'session 10 Bind=/run/user/1000/bus',
    'keys 2 DeviceAllow=char-* rwm', 'keys 7 Bind=/tmp/.X11-unix', 'typing 7 Bind=/tmp/.X11-unix', 'screen 7 Bind=/tmp/.X11-unix', 'sound-server 9 Bind=/run/user/1000/pulse', 'microphone 9 Bind=/run/user/1000/pulse', 'display 7 Bind=/tmp/.X11-unix',
    'services 4 Private=no', 'processes 4 Environment=SYSTEMD_NSPAWN_SHARE_NS_IPC=1 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1',
  ]);
});

test('what it shares of an IPC namespace is the host\'s, unless it is started in another one', () => {
  const processes = (line: string) => opened(nspawn('[Exec]\nBoot=no\n', undefined, `[Service]\nEnvironment=SYSTEMD_NSPAWN_SHARE_NS_IPC=1\n${line}\n`)).map((one) => one.split(' ')[0]);
  assert.deepEqual(['', 'IPCNamespacePath=/proc/1/ns/ipc', 'PrivateIPC=no'].map(processes), [['processes'], ['processes'], ['processes']]);
  assert.deepEqual(['IPCNamespacePath=/run/nestbox-services/a/ipc', 'PrivateIPC=yes'].map(processes), [[], []]);
});

test('of a file beside a root what systemd does not heed opens nothing, and what it does depends on its version', () => {
  const text = '[Exec]\nPrivateUsers=no\n[Files]\nBind=/etc\n';
  const beside = (version: string | null) => audit(knownForeign('a', '/var/lib/machines/a.nspawn', { way: 'unit', settings: readNspawn(text, '/var/lib/machines/a.nspawn') }, { ...host, nspawn: version }));
  assert.deepEqual([opened(beside('257.13-1')), opened(beside('257.10-1')).map((one) => one.split(' ')[0])], [[], ['root']]);
  assert.equal(nspawn(text).level, 'host-equivalent');
});

test('systemd-nspawn on a command line shares the ids and the network of the host unless it is told otherwise', () => {
  assert.deepEqual(opened(command('-D /srv/a --bind=/dev/uinput --bind-ro=/etc/shadow')).map((one) => one.split(' ')[0]), ['root', 'typing', 'services', 'secrets']);
  assert.deepEqual(opened(command('-D /srv/a -U --network-veth')), []);
  assert.deepEqual(opened(command('-D /srv/a -U --private-network --capability=CAP_SYS_MODULE')), [], 'with ids of its own it is over nothing of the host');
  assert.deepEqual(opened(command('-D /srv/a --private-network --capability=CAP_SYS_MODULE')).map((one) => one.split(' ')[0]), ['kernel', 'root']);
});

test('a script of systemd-nspawn and a file of distrobox are read as nestbox import reads them', () => {
  const of = (file: string, text: string) => readForeign([{ file, text }]).map((foreign) => audit(knownForeign('a', file, foreign, host)));
  const [script] = of('start.sh', '#!/bin/sh\nxhost +local:\nexec systemd-nspawn -U -D /srv/a \\\n  --bind-ro=/tmp/.X11-unix/X0 \\\n  # sound\n  --bind=/run/user/1000/pulse -b\n');
  assert.deepEqual(opened(script!), ['keys 4 --bind-ro=/tmp/.X11-unix/X0', 'typing 4 --bind-ro=/tmp/.X11-unix/X0', 'screen 4 --bind-ro=/tmp/.X11-unix/X0', 'sound-server 6 --bind=/run/user/1000/pulse', 'microphone 6 --bind=/run/user/1000/pulse', 'services - systemd-nspawn by itself: the network of the host']);
  const [box] = of('boxes.ini', '[games]\nimage=archlinux:latest\n');
  for (const can of ['session', 'keys', 'microphone', 'services', 'secrets']) assert.ok(box!.findings.some((one) => one.can === can), can);
  assert.equal(new Set(box!.findings.map(({ can, what, where }) => `${can} ${what} ${where.line}`)).size, box!.findings.length, 'each once');
});

test('an LXC configuration without a mapping of ids is root of the host, and one with it is not', () => {
  assert.deepEqual(opened(lxc('lxc.uts.name = a\nlxc.rootfs.path = /srv/a\n')).map((one) => one.split(' ')[0]), ['memory', 'kernel', 'root']);
  const common = 'lxc.include = /usr/share/lxc/config/debian.common.conf\nlxc.rootfs.path = dir:/srv/a\nlxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\n';
  assert.deepEqual(opened(lxc(`${common}lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n`)), ['neighbours 3 lxc.net.0.type = veth']);
  assert.ok(opened(lxc(common)).some((one) => one.startsWith('root')) && !opened(lxc(common)).some((one) => one.startsWith('memory')), 'common.conf denies devices');
});

test('devices of an LXC configuration are told by their numbers', () => {
  const own = 'lxc.include = /usr/share/lxc/config/common.conf\nlxc.idmap = u 0 100000 65536\n';
  const can = (line: string) => lxc(`${own}${line}\n`).findings.filter(({ where }) => where.line === 3).map((found) => found.can);
  assert.deepEqual(can('lxc.cgroup2.devices.allow = c 1:1 rwm'), ['calls']);
  assert.deepEqual(can('lxc.cgroup.devices.allow = c 10:223 rwm'), ['typing']);
  assert.deepEqual(can('lxc.cgroup.devices.allow = c 226:* rwm'), ['display']);
  assert.deepEqual(can('lxc.cgroup.devices.allow = c 226:128 rwm'), ['driver']);
  assert.deepEqual(can('lxc.cgroup.devices.allow = b 8:0 rwm'), ['disks']);
  assert.deepEqual(can('lxc.cgroup.devices.allow = c 1:3 rwm'), []);
  assert.deepEqual(can('lxc.cgroup.devices.allow = b *:* m'), []);
});

test('what an LXC configuration shares or leaves writable is told at its line', () => {
  const own = 'lxc.include = /usr/share/lxc/config/common.conf\n';
  assert.ok(opened(lxc(`${own}lxc.mount.auto = proc:rw sys:ro\n`)).includes('root 2 lxc.mount.auto = proc:rw sys:ro'));
  assert.ok(!opened(lxc(`${own}lxc.mount.auto = proc:mixed sys:ro\n`)).some((one) => one.includes(' 2 ')));
  assert.ok(opened(lxc(`${own}lxc.namespace.keep = ipc net\n`)).some((one) => one.startsWith('processes 2')));
  assert.ok(opened(lxc(`${own}lxc.net.0.type = none\n`)).includes('services 2 lxc.net.0.type = none'));
  assert.deepEqual(lxc(`${own}lxc.include = /etc/lxc/more.conf\n`).unseen, ['what /etc/lxc/more.conf says (/var/lib/lxc/a/config:2)']);
});

test('whatever people have can be audited, at lines that are there, and the machine file that comes of it opens no more', () => {
  const folder = here('import/');
  const stored = storedHost('laptop');
  const facts = { ...stored, paths: new Proxy(stored.paths, { has: () => true }) };
  for (const name of readdirSync(folder).filter((one) => one.endsWith('.txt'))) {
    const [given = ''] = readFileSync(new URL(name, folder), 'utf8').split(/^<<<\n/m);
    const parts = given.split(/^>>> (.*)\n/m).slice(1);
    const sources = parts.flatMap((file, i) => (i % 2 === 0 ? [{ file, text: parts[i + 1]! }] : []));
    for (const foreign of given.startsWith('$ ') ? [readArguments(splitWords(given.slice(2)))] : readForeign(sources)) {
      const theirs = audit(knownForeign('a', sources[0]?.file ?? 'a command', foreign, host));
      for (const { where: { file, line } } of theirs.findings) assert.ok(line === null || line <= (sources.find((one) => one.file === file)?.text ?? given).split('\n').length, `${name}: ${file}:${line}`);
      if (!/^(nspawn|lxc-)/.test(name)) continue; // enough of them: to meet a host takes longest
      const { text } = imported(foreign, [name], { folder: '/home/of-somebody', name: null });
      const spec = readSpec(text, 'a.toml');
      const met = meetStored(spec, facts, '/etc/nestbox/a.toml');
      const ours = audit(knownMachine({ shown: 'a.toml', text, spec }, met.machine, met.facts, host));
      assert.ok(levels.indexOf(ours.level) <= levels.indexOf(theirs.level), `${name}: ${theirs.level}, and then ${ours.level}`);
    }
  }
});

/** A container of systemd-nspawn -U as it looks from outside. */
const seen: Seen = {
  name: 'a', pid: 4711, uidMap: '         0 1878458368      65536\n', status: 'Name:\tsystemd\nUid:\t0\t0\t0\t0\nNoNewPrivs:\t0\nCapBnd:\t00000000fdecbfff\n', shares: { net: false, ipc: false, pid: false, uts: false, cgroup: false },
  mounts: [
    { at: '/', type: 'ext4', readOnly: false, from: null }, { at: '/proc', type: 'proc', readOnly: false, from: null }, { at: '/proc/sys', type: 'proc', readOnly: true, from: null }, { at: '/dev/null', type: 'devtmpfs', readOnly: false, from: '/dev/null' },
    { at: '/run/host/incoming', type: 'tmpfs', readOnly: true, from: '/run/systemd/nspawn/propagate/a' }, { at: '/sys/fs/cgroup', type: 'cgroup2', readOnly: false, from: '/sys/fs/cgroup' },
  ],
  devices: ['c 1:3 rwm', 'c 136:* rw', 'c 10:200 rwm'], limits: { cpu: null, memory: null, tasks: '16384 (/sys/fs/cgroup/pids.max)' }, onHostDisk: true,
};
const running = (more: Partial<Seen>): Report => audit(knownProcess({ ...seen, ...more }, host));

test('a container that runs with ids of its own is contained, and what it has of the host besides is found', () => {
  assert.deepEqual([running({}).level, running({}).findings.map(({ can }) => can)], ['contained', ['disk', 'all-memory', 'cpu']]);
  const bind = (from: string, readOnly: boolean) => ({ mounts: [...seen.mounts, { at: '/mnt', type: 'ext4', readOnly, from }] });
  assert.deepEqual(opened(running(bind('/home/of-somebody/.ssh', true))).map((one) => one.split(' ')[0]), ['secrets']);
  assert.deepEqual(opened(running(bind('/run/user/1000/pulse', true))).map((one) => one.split(' ')[0]), ['sound-server', 'microphone']);
  assert.deepEqual(opened(running({ shares: { ...seen.shares, net: true, ipc: true } })).map((one) => one.split(' ')[0]), ['services', 'processes']);
  assert.deepEqual(opened(running({ devices: ['c 226:* rwm', 'DeviceAllow'] })).map((one) => one.split(' ')[0]), ['display']);
  assert.deepEqual(opened(running({ devices: ['char-drm rw', 'char-pts rw', '/dev/net/tun rwm'] })).map((one) => one.split(' ')[0]), ['display']);
});

test('one that runs with the ids of the host is as good as root, and its list of devices decides on the rest', () => {
  const ids = { uidMap: '         0          0 4294967295\n' };
  assert.deepEqual(opened(running(ids)).map((one) => one.split(' ')[0]), ['root']);
  assert.deepEqual(opened(running({ ...ids, devices: ['a *:* rwm'] })).map((one) => one.split(' ')[0]), ['root', 'disks']);
  assert.deepEqual(opened(running({ ...ids, mounts: seen.mounts.filter(({ at }) => at !== '/proc/sys') })).map((one) => one.split(' ')[0]), ['root', 'root']);
  assert.ok(opened(running({ ...ids, status: seen.status.replace('00000000fdecbfff', '000001ffffffffff') })).some((one) => one.startsWith('kernel')));
});

test('what only root may see is said not to be known, and nothing is said to be shut', () => {
  const report = running({ shares: { net: null, ipc: null, pid: null, uts: null, cgroup: null }, devices: null });
  assert.equal(report.unseen.length, 2);
  assert.equal(report.level, 'contained');
});

test('what the host has left is told with the container that it was of', () => {
  const acl = '# file: /dev/dri/card0\nuser:100044:rw-\ngroup:44:rw-\n\n# file: /dev/dri/renderD128\nuser:1000:rw-\n';
  const found = strangersIn(acl);
  assert.deepEqual(found, [{ kind: 'access', path: '/dev/dri/card0', what: 'user 100044' }]);
  const all = { ...host, leftovers: [...found, { kind: 'devices' as const, path: '/x/50-DeviceAllow.conf', what: 'the devices of systemd-nspawn@a.service' }] };
  assert.deepEqual(concerning(all, 'a', 65536).leftovers.map(({ kind }) => kind), ['access', 'devices']);
  assert.deepEqual(concerning(all, 'b', 131072).leftovers, []);
  assert.equal(wholeVersion('systemd 252 (252.39-1~deb12u2)\n+PAM +AUDIT'), '252.39-1~deb12u2');
});

test('a report as SARIF has a result with a line for each finding, a rule for each danger, and a path as code hosts take it', () => {
  const reports = [nspawn('[Exec]\nPrivateUsers=no\n[Files]\nBind=/home/of somebody\n', 'my files/a.nspawn'), lxc('lxc.uts.name = a\n'), running({})];
  const { runs: [{ results, tool }] } = sarif(reports, '0.1.0') as { runs: [{ results: { level: string; locations: { physicalLocation: { artifactLocation: { uri: string }; region: { startLine: number } } }[]; ruleId: string; ruleIndex: number }[]; tool: { driver: { rules: { id: string }[] } } }] };
  assert.equal(results.length, reports.reduce((sum, { findings }) => sum + findings.length, 0));
  for (const { ruleId, ruleIndex, locations } of results) assert.ok(tool.driver.rules[ruleIndex]!.id === ruleId && locations[0]!.physicalLocation.region.startLine >= 1);
  assert.deepEqual([results[0]!.level, results[0]!.locations[0]!.physicalLocation], ['error', { artifactLocation: { uri: 'my%20files/a.nspawn' }, region: { startLine: 2 } }]);
});
