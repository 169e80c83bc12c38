import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Facts, VolumeFact } from '../../src/facts.ts';
import { plan, preparing } from '../../src/plan.ts';
import type { Step } from '../../src/step.ts';
import { unitsOf } from '../../src/units/files.ts';
import { closing, isInside, isOpen, isThere, logicalVolume, needsOfVolume, opening, type Volume } from '../../src/volumes.ts';
import { hostNames, meetStored, storedHost } from './hosts.ts';
import { everyGrant, machineWith, nameOf } from './world.ts';

/** Roots on volumes. */

const laptop = storedHost('laptop') as Facts & { blocks: Pick<VolumeFact, 'devices' | 'mounted' | 'swaps'> };
const fact = (more: Partial<VolumeFact>): VolumeFact => ({ ...laptop.blocks, kind: 'block', device: null, format: null, there: 'nothing', ...more });
const encrypted: Volume = { path: '/dev/vg/work', lv: 'vg/work', luks: { keyFile: null, discard: false } };
const complaints = (more: Partial<VolumeFact>, volume = encrypted) => needsOfVolume('work', volume, { ...laptop, volume: fact(more) }).map(({ what }) => what);

test('a logical volume is told by what the kernel says of it, and by its path while it is not active', () => {
  const absent = fact({ kind: null });
  const paths = { '/dev/vg/work': 'vg/work', '/dev/mapper/vg-work': 'vg/work', '/dev/mapper/my--vg-a--b': 'my-vg/a-b', '/dev/sda9': null, '/dev/disk/by-uuid': null, '/dev/mapper/crypt': null, '/dev/disk/by-id/x': null };
  for (const [path, lv] of Object.entries(paths)) assert.equal(logicalVolume(path, absent), lv, path);
  assert.equal(logicalVolume('/dev/disk/by-id/dm-name-vg-work', fact({ device: 'dm-3' })), 'vg/work');
  assert.equal(logicalVolume('/dev/mapper/a-b', fact({ device: 'dm-8' })), null); // opened by hand
  assert.equal(logicalVolume('/srv/folder/file', fact({ kind: 'file' })), null);
});

test('its own mapping and its own mount stand in nobody\'s way, and another\'s do', () => {
  const own = { ...laptop.blocks.devices, 'dm-20': { mapper: { name: 'nestbox-work', uuid: 'CRYPT-LUKS2-1234-nestbox-work' }, of: ['dm-3'] } };
  const mounted = [...laptop.blocks.mounted, { at: '/var/lib/machines/work', device: 'dm-20' }];
  const open = { device: 'dm-3', format: 'luks2' as const, devices: own, mounted, there: 'mounted' as const };
  assert.deepEqual(complaints(open), []);
  assert.ok(isOpen('work', fact(open)));
  assert.ok(!isOpen('other', fact(open)));
  assert.deepEqual(complaints({ ...open, mounted: [...mounted, { at: '/mnt', device: 'dm-20' }] }), ['/dev/vg/work is mounted on /mnt']);
  // The name is taken by a mapping of something else.
  assert.deepEqual(complaints({ ...open, devices: { ...own, 'dm-20': { ...own['dm-20'], of: ['dm-4'] } }, mounted: [], there: 'nothing' }), ['/dev/mapper/nestbox-work is there already, and is not /dev/vg/work']);
  assert.deepEqual(complaints({ kind: null, device: null }), []);
});

test('what is at the place where it will be mounted is left alone, unless it is an empty folder', () => {
  const refused = ['/var/lib/machines/work is there already, and the root of a machine on a volume is mounted there'];
  assert.deepEqual(complaints({ device: 'dm-3', there: 'empty' }), []);
  assert.deepEqual(complaints({ device: 'dm-3', there: 'other' }), refused);
  assert.deepEqual(complaints({ device: 'dm-3', there: 'mounted', mounted: [...laptop.blocks.mounted, { at: '/var/lib/machines/work', device: 'dm-4' }] }), refused);
});

test('what opens it is taken back in the opposite order, also by who has no journal', () => {
  const kinds = (steps: Step[]) => steps.map(({ kind }) => kind);
  assert.deepEqual(kinds(opening('work', encrypted, '/run/x')), ['mkdir', 'activate', 'unlock', 'check-file-system', 'mount-volume']);
  assert.deepEqual(kinds(closing('work', encrypted)), ['unmount', 'lock', 'deactivate', 'leftover']);
  assert.deepEqual(kinds(opening('work', { path: '/dev/sda2', lv: null, luks: null }, '/run/x')), ['mkdir', 'check-file-system', 'mount-volume']);
  assert.deepEqual(kinds(closing('work', { path: '/dev/sda2', lv: null, luks: null })), ['unmount', 'leftover']);
});

test('what was put into it is told from what was not, and a volume that holds something else by now is not opened for it', () => {
  assert.ok(isInside('work', { kind: 'remove-empty', layer: '/var/lib/machines/work', path: '/srv' }));
  assert.ok(!isInside('work', { kind: 'remove-empty', layer: '/var/lib/machines/workshop', path: '/srv' }));
  assert.ok(!isInside('work', { kind: 'remove-tree', path: '/var/lib/nestbox/machines/work' }));
  assert.ok(isThere(encrypted, fact({ format: 'luks1' })));
  assert.ok(!isThere(encrypted, fact({ format: 'ext' })));
  assert.ok(isThere(encrypted, fact({ kind: null }))); // not active
  assert.ok(!isThere({ ...encrypted, lv: null }, fact({ kind: null })));
});

/** On each host that can have it, as a service; with a driver that brings links and places of its own, where there is one. */
const served = hostNames.flatMap((name) => [[], everyGrant.filter((grant) => nameOf(grant) === 'gpu.nvidia')].flatMap((grants) => {
  const stored = { ...storedHost(name), supervised: true };
  const { machine, facts } = meetStored(machineWith(stored, grants, { name: 'work', root: { source: 'luks', options: { luks: '/dev/vg/work', 'key-file': '/etc/keys/work', discard: true } } }), { ...stored, paths: { ...stored.paths, '/etc/keys/work': laptop.paths['/etc/keys/work']! } }, '/etc/nestbox/work.toml', 'service');
  return machine.problems.some(({ fatal }) => fatal) ? [] : [{ name, machine, ...plan(machine, facts), units: unitsOf(machine, facts, preparing(plan(machine, facts))) }];
}));

test('a unit opens it before anything else and closes it after all else, with time for a person to type', () => {
  assert.ok(served.length >= 3);
  for (const { name, units } of served) {
    const { text } = units.files.find(({ path }) => path.endsWith('/nestbox-work.service'))!;
    const order = ['native activate vg/work', 'native unlock /dev/vg/work nestbox-work work --discards --key-file /etc/keys/work', 'native check /dev/mapper/nestbox-work', 'native mount /dev/mapper/nestbox-work /var/lib/machines/work', 'unmount /var/lib/machines/work', 'lock nestbox-work', 'deactivate vg/work'];
    const places = order.map((words) => text.indexOf(words));
    assert.deepEqual([...places].sort((a, b) => a - b), places, name);
    assert.ok(places[0]! > 0, name);
    assert.match(text, /^TimeoutStartSec=20min$/m);
    assert.deepEqual([units.image!.path, units.image!.to], ['/var/lib/machines/work', '/var/lib/machines/work']);
  }
});

test('what is put into the root of a service, also by a driver, is kept until it is removed: when it is stopped, systemd has closed the volume', () => {
  assert.ok(served.some(({ lasting }) => lasting.some(({ step }) => step.kind === 'link-inside')));
  for (const { name, machine, opening: opened, lasting, passing, units } of served) {
    for (const step of units.once) assert.ok(!isInside(machine.name, step), `${name}: ${step.kind}`);
    assert.ok(lasting.some(({ step }) => isInside(machine.name, step)), name);
    assert.ok(![...opened, ...passing].some(({ step }) => isInside(machine.name, step)), name);
  }
});
