import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, undo } from '../../src/apply.ts';
import { Failure, MemoryHost } from '../../src/host/memory.ts';
import { node } from '../../src/host/memory-tree.ts';
import type { Facts } from '../../src/facts.ts';
import { shiftOf } from '../../src/names.ts';
import { plan } from '../../src/plan.ts';
import type { Step } from '../../src/step.ts';
import { meetStored, storedHost } from './hosts.ts';
import { machineWith, memoryJournal } from './world.ts';

/** Roots whose files have other owners on the disk. */

const base = 0x4f620000;

test('the ids of a root are told from its folder, as systemd-nspawn tells them', () => {
  assert.equal(shiftOf({ uid: 0, gid: 0 }), 0);
  assert.equal(shiftOf({ uid: 1000, gid: 100 }), 0);
  assert.equal(shiftOf({ uid: base, gid: base }), base);
  assert.equal(shiftOf({ uid: base + 1000, gid: base + 65535 }), base, 'the root folder of an archive may be anybody\'s');
  assert.equal(shiftOf({ uid: base, gid: 0 }), null);
  assert.equal(shiftOf({ uid: 0xfffe0000, gid: 0xfffe0000 }), 'half');
});

const meet = (path: string, more: object, change: (facts: Facts) => Facts = (facts) => facts) => {
  const stored = storedHost('laptop');
  const facts = change({ ...stored, paths: new Proxy(stored.paths, { has: () => true }) });
  return meetStored(machineWith(facts, [], { root: { source: 'directory', options: { directory: path } }, ...more }), facts, '/etc/nestbox/law.toml');
};
const fatal = (met: ReturnType<typeof meet>) => met.machine.problems.filter((problem) => problem.fatal).map(({ what, mend }) => `${what}\n${mend}`).join('\n');

test('users = "shift" takes over a root that has been shifted, and its way back is to the ids that it had', () => {
  const met = meet('/srv/chroot/shifted', { users: 'shift' });
  assert.equal(fatal(met), '');
  const step = plan(met.machine, met.facts).lasting.map((planned) => planned.step).find(({ kind }) => kind === 'owners');
  assert.deepEqual(step, { kind: 'owners', directory: '/srv/chroot/shifted', from: 1331822592, to: met.machine.shift, notes: '/var/lib/nestbox/scratch/law.owners' });
});

test('a machine that was made of a directory says of it by which name it is given back', () => {
  const record = { name: 'law', template: null, directory: '/srv/chroot/shifted', shift: 0x80000, file: '/etc/nestbox/law.toml' };
  const having = (more: object) => (facts: Facts): Facts => ({ ...facts, store: { ...facts.store, machines: [{ ...record, ...more }] } });
  assert.match(fatal(meet('/srv/chroot/shifted', {}, having({}))), /from an older systemd-nspawn --private-users-chown.*\nnestbox unshift law gives them back$/);
  assert.match(fatal(meet('/srv/chroot/shifted', { users: 'shift' }, having({ shifted: true }))), /do not have the ids any more that 'law' has given them\nnestbox rm law; then nestbox unshift \/srv\/chroot\/shifted/);
  assert.equal(fatal(meet('/srv/chroot/shifted', { users: 'shift' }, having({ shifted: true, shift: 1331822592 }))), '');
});

test('a clone of a machine whose directory has been shifted is refused as the machine is', () => {
  const record = { name: 'old', template: null, directory: '/srv/chroot/shifted', shift: 0x80000, file: '/etc/nestbox/old.toml' };
  const stored = storedHost('laptop');
  const facts: Facts = { ...stored, paths: new Proxy(stored.paths, { has: () => true }), store: { ...stored.store, machines: [record] } };
  const met = meetStored(machineWith(facts, [], { root: { source: 'clone', options: { clone: 'old' } } }), facts, 'law.toml');
  assert.match(fatal(met), /the files of \/srv\/chroot\/shifted have ids from 1331822592 on.*\nnestbox unshift \/srv\/chroot\/shifted gives them back, or say users = "shift"$/);
});

test('a root that is gone in the meantime leaves no notes behind', async () => {
  const host = half();
  const { journal } = memoryJournal();
  host.failAt = { effect: 2, late: false };
  await assert.rejects(apply([back], host, journal), Failure);
  host.failAt = null;
  assert.equal(await host.kind(back.notes), 'file');
  await host.removeTree('/srv/old');
  await undo(host, journal);
  assert.equal(await host.kind(back.notes), null);
  assert.deepEqual(await journal.entries(), []);
});

/** A root of which some files have been given back already, some are the host's, and one is nobody's. */
function half(): MemoryHost {
  const host = new MemoryHost();
  for (const path of ['/var/lib/nestbox/scratch', '/srv/old/etc']) host.folders(path);
  Object.assign(host.folders('/srv/old'), { uid: base, gid: base });
  for (const [name, uid] of [['done', 7], ['not-done', base + 7], ['foreign', 200000]] as const) host.put(`/srv/old/etc/${name}`, node('file', 0o644, { uid, gid: uid }));
  return host;
}
const back: Extract<Step, { kind: 'owners' }> = { kind: 'owners', directory: '/srv/old', from: base, to: 0, notes: '/var/lib/nestbox/scratch/unshift.owners', onward: true };

test('wherever it is cut off, both clean and another try lead to the same end: every file has its owner back, and no other is touched', async () => {
  const whole = half();
  await apply([back], whole, memoryJournal().journal);
  assert.deepEqual(await Promise.all(['', '/etc/done', '/etc/not-done', '/etc/foreign'].map(async (path) => (await whole.stat(`/srv/old${path}`))!.uid)), [0, 7, 7, 200000]);
  for (let effect = 1; effect <= whole.effects; effect++)
    for (const late of [false, true])
      for (const way of ['clean', 'again'] as const) {
        const host = half();
        const { journal } = memoryJournal();
        host.failAt = { effect, late };
        await assert.rejects(apply([back], host, journal), Failure);
        host.failAt = null;
        if (way === 'clean') await undo(host, journal);
        else await apply([back], host, journal);
        assert.deepEqual(host.snapshot(), whole.snapshot(), `${way} after effect ${effect}`);
      }
});
