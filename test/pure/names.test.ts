import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkNames, pickShift, privateNetwork } from '../../src/names.ts';
import { meetStored, storedHost } from './hosts.ts';
import { machineWith } from './world.ts';

const names = Array.from({ length: 500 }, (_, i) => `machine-${i}`);

test('ids are whole ranges of 65536 where systemd-nspawn picks its own, and the same each time', () => {
  for (const name of names) {
    const shift = pickShift(name, []);
    assert.equal(shift % 0x10000, 0);
    assert.ok(shift >= 0x80000 && shift <= 0x6fff0000, name);
    assert.equal(pickShift(name, []), shift);
  }
  assert.ok(new Set(names.map((name) => pickShift(name, []))).size > 480, 'few machines begin at the same place');
});

test('ids keep clear of every range that is taken, however it lies', () => {
  const wanted = pickShift('steam', []);
  for (const range of [{ start: wanted, count: 1 }, { start: wanted + 65535, count: 1 }, { start: wanted - 10, count: 11 }, { start: 0, count: wanted + 1 }, { start: wanted + 1, count: 10 }]) {
    const picked = pickShift('steam', [range]);
    assert.ok(picked + 0x10000 <= range.start || picked >= range.start + range.count, JSON.stringify(range));
  }
  for (const range of [{ start: wanted - 1, count: 1 }, { start: wanted + 65536, count: 1000 }, { start: wanted, count: 0 }]) assert.equal(pickShift('steam', [range]), wanted, 'one that only touches is no reason to move');
});

test('machines one after the other never share ids', () => {
  const taken: { start: number; count: number }[] = [];
  for (const name of names) taken.push({ start: pickShift(name, taken), count: 0x10000 });
  assert.equal(new Set(taken.map(({ start }) => start)).size, names.length);
});

test('ids of machines without a record are kept clear of, and its own are kept', () => {
  const stored = storedHost('laptop');
  const shift = (ids: { name: string; start: number }[]) => meetStored(machineWith(stored, [], {}), { ...stored, store: { ...stored.store, ids } }, '/etc/nestbox/law.toml').machine.shift;
  const wanted = shift([]);
  const other = shift([{ name: 'other', start: wanted }]);
  assert.notEqual(other, wanted);
  // It has chosen these while somebody had the first ones, who has gone.
  assert.equal(shift([{ name: 'law', start: other }]), other);
});

test('links have names that fit the kernel and differ at both ends', () => {
  for (const name of [...names, 'a'.repeat(63)]) {
    const { host, inside } = linkNames(name);
    assert.ok(host.length <= 15 && inside.length <= 15 && host !== inside);
  }
});

test('a private network has four addresses, two of them for the two ends', () => {
  for (const name of names) {
    const { network, host, address, gateway } = privateNetwork(name);
    const [, third, last] = /^10\.213\.(\d+)\.(\d+)\/30$/.exec(network)!.map(Number) as [number, number, number];
    assert.ok(third <= 255 && last <= 252 && last % 4 === 0, network);
    assert.deepEqual([host, address, gateway], [`10.213.${third}.${last + 1}/30`, `10.213.${third}.${last + 2}/30`, `10.213.${third}.${last + 1}`]);
  }
});
