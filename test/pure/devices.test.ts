import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classEdit, classNames, matches, nearestClass, nodesOf } from '../../src/classes.ts';
import { deviceList, devicePolicy, limitSettings, scopeProperties } from '../../src/devices.ts';
import type { Device } from '../../src/edits.ts';
import { apply } from '../../src/apply.ts';
import { MemoryHost } from '../../src/host/memory.ts';
import { modeInside, nodeEdit } from '../../src/nodes.ts';
import { readSpec } from '../../src/spec.ts';
import { meetStored, storedHost } from './hosts.ts';

const device = (type: 'c' | 'b', major: number, minor: number): Device => ({ path: `/dev/${major}-${minor}`, type, major, minor, group: 44, mode: 0o660 });

test('a machine that is granted nothing may open what every container has, and no more', () => {
  const { settings, check } = devicePolicy('/cg', { devices: [], classes: [] });
  assert.deepEqual(settings[0], { file: '/cg/devices.deny', value: 'a' }, 'all is forbidden before anything is allowed');
  assert.deepEqual(check, { file: '/cg/devices.list', lines: ['c 1:3 rwm', 'c 1:5 rwm', 'c 1:7 rwm', 'c 1:8 rwm', 'c 1:9 rwm', 'c 5:0 rwm', 'c 5:2 rwm', 'c 10:200 rwm', 'c 136:* rw'] });
});

test('a granted device may be read and written; its node is made outside', () => {
  const lines = devicePolicy('/cg', { devices: [device('c', 226, 128), device('b', 8, 0)], classes: [] }).check.lines;
  assert.deepEqual(lines.slice(-2), ['c 226:128 rw', 'b 8:0 rw']);
  assert.ok(!lines.some((line) => /^. (226|8):.*m/.test(line)));
});

test('a device that is granted twice, or that every container has, is listed once', () => {
  assert.deepEqual(deviceList([device('c', 226, 0), device('c', 226, 0), device('c', 1, 3), device('c', 136, 7)]), [{ type: 'c', major: 226, minor: 0, rights: 'rw' }]);
  assert.equal(deviceList([device('b', 1, 3)]).length, 1, 'block 1:3 is a RAM disk, not /dev/null');
});

test('a device may be opened for what either of its names allows, and one without rights not at all', () => {
  const rights = (...given: ('' | 'r' | 'w' | 'rw')[]) => deviceList(given.map((one) => ({ ...device('c', 10, 229), rights: one }))).map((rule) => rule.rights);
  assert.deepEqual([rights('r'), rights('w'), rights('r', 'w'), rights('', 'r'), rights('')], [['r'], ['w'], ['rw'], ['r'], []]);
  assert.deepEqual(deviceList([{ ...device('c', 10, 229), rights: 'r' }, device('c', 10, 229)]), [{ type: 'c', major: 10, minor: 229, rights: 'rw' }]);
});

test('limits are settings of the controller that holds them, in both versions', () => {
  const folder = (controller: string) => `/${controller}`;
  const limits = { cpu: 1.5, memory: 2 ** 30, tasks: 100 };
  assert.deepEqual(limitSettings(limits, { version: 1, own: {}, controllers: [] }, folder), [
    { file: '/cpu/cpu.cfs_period_us', value: '100000' }, { file: '/cpu/cpu.cfs_quota_us', value: '150000' }, { file: '/memory/memory.limit_in_bytes', value: '1073741824' }, { file: '/pids/pids.max', value: '100' },
  ]);
  assert.deepEqual(limitSettings(limits, { version: 2, own: {}, controllers: [] }, () => '/g'), [{ file: '/g/cpu.max', value: '150000 100000' }, { file: '/g/memory.max', value: '1073741824' }, { file: '/g/pids.max', value: '100' }]);
  assert.deepEqual(limitSettings({}, { version: 1, own: {}, controllers: [] }, folder), []);
  assert.equal(limitSettings({ cpu: 0.01 }, { version: 2, own: {}, controllers: [] }, () => '/g')[0]!.value, '1000 100000', 'the least that the kernel takes is 1000');
});

test('a control group whose device list does not read back is refused', async () => {
  const host = new MemoryHost();
  host.folders('/sys/fs/cgroup/devices');
  const folder = '/sys/fs/cgroup/devices/m';
  await apply([{ kind: 'cgroup', folders: [folder], ...devicePolicy(folder, { devices: [device('c', 226, 128)], classes: [] }) }], host, null);
  assert.match((await host.read(`${folder}/devices.list`))!, /c 226:128 rw/);
  await host.endGroup([folder]);
  host.set = async () => {}; // a kernel that takes the words and does nothing
  await assert.rejects(apply([{ kind: 'cgroup', folders: [folder], ...devicePolicy(folder, { devices: [], classes: [] }) }], host, null), /nothing was started|should be/);
});

const laptop = storedHost('laptop');

test('a class is named as systemd names it, and is what /proc/devices says', () => {
  assert.deepEqual(classEdit(laptop, 'char-alsa', false), { name: 'char-alsa', type: 'c', make: false, majors: [116] });
  assert.deepEqual(classEdit(laptop, 'block-loop', true), { name: 'block-loop', type: 'b', make: true, majors: [7] });
  assert.deepEqual(classEdit(storedHost('desktop-nvidia'), 'char-nvidia*', false).majors, [195, 234, 508]);
  assert.deepEqual(classEdit(laptop, 'char-loop', false).majors, [], 'a block device is none of characters');
  assert.ok(classNames(laptop).includes('char-drm') && classNames(laptop).includes('block-device-mapper'));
});

test('a class that is not there has the nearest name beside it', () => {
  for (const [name, meant] of [['char-alsaa', 'char-alsa'], ['char-dri', 'char-drm'], ['block-device_mapper', 'block-device-mapper'], ['char-loop', undefined]]) assert.equal(nearestClass(laptop, name!), meant);
});

test('patterns of classes are those of fnmatch', () => {
  for (const [pattern, text, expected] of [
    ['alsa', 'alsa', true], ['alsa', 'alsa2', false], ['nvidia*', 'nvidia', true], ['nvidia*', 'nvidia-uvm', true], ['*', '/dev/vc/0', true], ['tty?', 'ttyS', true], ['tty?', 'tty', false], ['tty[SU]*', 'ttyUSB', true],
    ['tty[!S]*', 'ttyS', false], ['tty[!S]*', 'ttyUSB', true], ['i2c.', 'i2cx', false], ['a[b', 'a[b', true], ['[a-c]', 'b', true], ['[c-a]', 'b', false], ['cpu/cpuid', 'cpu/cpuid', true],
  ] as const) assert.equal(matches(pattern, text), expected, `${pattern} ${text}`);
});

test('the nodes that a class has now are given as well, but not those that every container has', () => {
  const facts = { ...laptop, nodes: { ...laptop.nodes, '/dev/null': { type: 'c' as const, major: 1, minor: 3, uid: 0, gid: 0, mode: 0o666 }, '/dev/mem': { type: 'c' as const, major: 1, minor: 1, uid: 0, gid: 15, mode: 0o640 } } };
  assert.deepEqual(nodesOf(facts, [classEdit(facts, 'char-mem', false)]).map(({ path }) => path), ['/dev/mem']);
  assert.ok(nodesOf(facts, [classEdit(facts, 'char-alsa', false)]).every(({ path, major }) => path.startsWith('/dev/snd/') && major === 116));
});

test('the rule of a class stands for all its numbers; single devices that it covers have none of their own', () => {
  const alsa = classEdit(laptop, 'char-alsa', false);
  const lines = devicePolicy('/cg', { devices: [device('c', 116, 2), device('c', 226, 128)], classes: [alsa, alsa] }).check.lines;
  assert.deepEqual(lines.slice(-3), ['c 136:* rw', 'c 116:* rw', 'c 226:128 rw']);
  const properties = scopeProperties({ devices: [device('c', 116, 2), device('c', 226, 128)], classes: [alsa], limits: {} });
  assert.deepEqual(properties.slice(-2), ['DeviceAllow=char-alsa rw', 'DeviceAllow=/dev/char/226:128 rw']);
});

test('the right to make nodes of a class is given only where somebody inside could', () => {
  for (const [users, rule] of [['own', 'c 116:* rw'], ['host', 'c 116:* rwm']]) {
    const spec = readSpec(`name = "m"\nusers = "${users}"\ndevices = ["char-alsa"]\nroot.debian = "trixie"`, 'm.toml');
    const { machine } = meetStored(spec, laptop, 'm.toml');
    assert.ok(devicePolicy('/cg', machine.edits).check.lines.includes(rule!), users);
    assert.ok(machine.edits.devices.some(({ path }) => path === '/dev/snd/controlC0'));
  }
});

test('a node is open inside to whom it is open on the host: the world, a group, or root alone', () => {
  for (const [gid, mode, group, inside] of [[44, 0o660, 44, 0o660], [44, 0o666, null, 0o666], [0, 0o666, null, 0o666], [0, 0o600, null, 0o600], [0, 0o644, null, 0o644], [44, 0o664, 44, 0o664], [29, 0o600, 29, 0o660]] as const) {
    const device = nodeEdit({ ...laptop, nodes: { '/dev/x': { type: 'c', major: 10, minor: 1, uid: 0, gid, mode } } }, '/dev/x');
    assert.deepEqual([device.group, modeInside(device)], [group, inside], `${gid} ${mode.toString(8)}`);
  }
});
