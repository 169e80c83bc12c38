import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceList, devicePolicy, limitSettings } from '../../src/devices.ts';
import type { Device } from '../../src/edits.ts';
import { apply } from '../../src/apply.ts';
import { MemoryHost } from '../../src/host/memory.ts';

const device = (type: 'c' | 'b', major: number, minor: number): Device => ({ path: `/dev/${major}-${minor}`, type, major, minor, group: 44, mode: 0o660 });

test('a machine that is granted nothing may open what every container has, and no more', () => {
  const { settings, check } = devicePolicy('/cg', []);
  assert.deepEqual(settings[0], { file: '/cg/devices.deny', value: 'a' }, 'all is forbidden before anything is allowed');
  assert.deepEqual(check, { file: '/cg/devices.list', lines: ['c 1:3 rwm', 'c 1:5 rwm', 'c 1:7 rwm', 'c 1:8 rwm', 'c 1:9 rwm', 'c 5:0 rwm', 'c 5:2 rwm', 'c 10:200 rwm', 'c 136:* rw'] });
});

test('a granted device may be read and written; its node is made outside', () => {
  const lines = devicePolicy('/cg', [device('c', 226, 128), device('b', 8, 0)]).check.lines;
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
  await apply([{ kind: 'cgroup', folders: [folder], ...devicePolicy(folder, [device('c', 226, 128)]) }], host, null);
  assert.match((await host.read(`${folder}/devices.list`))!, /c 226:128 rw/);
  await host.endGroup([folder]);
  host.set = async () => {}; // a kernel that takes the words and does nothing
  await assert.rejects(apply([{ kind: 'cgroup', folders: [folder], ...devicePolicy(folder, []) }], host, null), /nothing was started|should be/);
});
