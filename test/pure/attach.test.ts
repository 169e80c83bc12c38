import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, describe, undo } from '../../src/apply.ts';
import { attaching, deviceOf } from '../../src/attach.ts';
import { devicePolicy } from '../../src/devices.ts';
import type { Device } from '../../src/edits.ts';
import { Failure, MemoryHost } from '../../src/host/memory.ts';
import { node } from '../../src/host/memory-tree.ts';
import { withAttached } from '../../src/machine.ts';
import { readSpec } from '../../src/spec.ts';
import { meetStored, storedHost } from './hosts.ts';
import { memoryJournal } from './world.ts';

const folder = '/sys/fs/cgroup/devices/nestbox-m';
const running = { leader: { pid: 42, started: '1000' }, place: { kind: 'cgroup' as const, folders: [folder, '/sys/fs/cgroup/systemd/nestbox-m'] }, shift: 655360, account: { uid: 1000, gid: 1000 } };
const midi: Device = { path: '/dev/snd/midiC1D0', type: 'c', major: 116, minor: 40, group: 29, mode: 0o660 };
const render: Device = { path: '/dev/dri/renderD128', type: 'c', major: 226, minor: 128, group: 104, mode: 0o660 };

/** A host on which a machine runs that was given the render node, with a group that it has made below its own. */
async function world(): Promise<MemoryHost> {
  const host = new MemoryHost();
  const { settings } = devicePolicy(folder, { devices: [render], classes: [] });
  for (const path of [folder, `${folder}/inside`, `${folder}/inside/own`, '/sys/fs/cgroup/systemd/nestbox-m']) host.folders(path);
  for (const path of [folder, `${folder}/inside`, `${folder}/inside/own`]) for (const { file, value } of settings) await host.set(file.replace(folder, path), value);
  for (const path of ['dev/dri', 'run']) host.folders(`/proc/42/root/${path}`);
  host.put('/proc/42/root/dev/dri/renderD128', node('other', 0o660, { uid: 655360, gid: 655464 }, 'c 226:128'));
  return host;
}

test('a device that is attached has its rule in every group, a node with an owner that exists inside, and what udev knows of it', async () => {
  const host = await world();
  const before = host.snapshot();
  const journal = memoryJournal();
  const steps = attaching(running, midi, 'E:ID_MODEL=Keys\n');
  await apply(steps, host, journal.journal);
  for (const below of ['', '/inside', '/inside/own']) assert.match((await host.read(`${folder}${below}/devices.list`))!, /^c 116:40 rw$/m);
  assert.deepEqual(await host.stat('/proc/42/root/dev/snd/midiC1D0'), { kind: 'other', uid: 656360, gid: 655389, mode: 0o660 });
  assert.equal(await host.read('/proc/42/root/run/udev/data/c116:40'), 'E:ID_MODEL=Keys\n');
  for (const step of steps) assert.match(describe(step), /^[^\p{Cc}]+$/u);
  assert.equal(deviceOf(JSON.parse(journal.text.split('\n')[0]!)[0]), midi.path);
  await undo(host, journal.journal);
  assert.deepEqual(host.snapshot(), before);
  assert.equal(journal.text, '');
});

test('what the machine was started with is found to be there, and is not taken away with what is attached', async () => {
  const host = await world();
  const before = host.snapshot();
  const journal = memoryJournal();
  await apply(attaching(running, render, null), host, journal.journal);
  assert.equal(journal.text, '', 'nothing was to be done');
  // A group that the machine has made, and narrowed: it gets the rule, and keeps it as the machine itself has it.
  await host.set(`${folder}/inside/own/devices.deny`, 'c 226:128 rw');
  await apply(attaching(running, render, null), host, journal.journal);
  assert.equal(journal.text, '');
  assert.deepEqual(host.snapshot().length, before.length);
});

test('whichever effect of an attach fails, all of it is taken back', async () => {
  for (let effect = 1; ; effect++) {
    const host = await world();
    const before = host.snapshot();
    const journal = memoryJournal();
    const first = host.effects;
    host.failAt = { effect: first + effect, late: effect % 2 === 0 };
    if (await apply(attaching(running, midi, 'E:X=1\n'), host, journal.journal).then(() => true, (error: unknown) => { assert.ok(error instanceof Failure); return false; })) {
      assert.ok(effect > 4, 'there were effects');
      break;
    }
    host.failAt = null;
    await undo(host, journal.journal);
    assert.deepEqual(host.snapshot(), before, `after effect ${effect}`);
  }
});

test('when the machine has ended, taking back is nothing to be done, and giving is refused', async () => {
  const host = await world();
  const journal = memoryJournal();
  await apply(attaching(running, midi, null), host, journal.journal);
  await host.removeTree('/proc/42');
  await host.endGroup([folder]);
  await assert.rejects(apply(attaching(running, midi, null), host, null), /the container has ended|exit status 3/);
  await undo(host, journal.journal);
  assert.equal(journal.text, '');
});

test('devices that are kept are given at each start as if the file had named them, and a missing one is told with the way to forget it', () => {
  const stored = storedHost('laptop');
  const facts = { ...stored, store: { ...stored.store, machines: [{ name: 'm', template: null, directory: '/srv/chroot/old', shift: null, file: 'm.toml', devices: ['/dev/tty7', '/dev/ttyUSB9'] }] }, paths: new Proxy(stored.paths, { has: () => true }) };
  const spec = readSpec('name = "m"\n[root]\ndirectory = "/srv/chroot/old"\n', 'm.toml');
  const { machine } = meetStored(withAttached(spec, facts), facts, 'm.toml');
  const problem = machine.problems.find(({ what }) => what.includes('ttyUSB9'))!;
  assert.match(problem.mend, /nestbox detach --always m \/dev\/ttyUSB9$/);
  assert.deepEqual(problem.at, []);
  facts.store.machines[0]!.devices = ['/dev/tty7'];
  const { machine: whole } = meetStored(withAttached(spec, facts), facts, 'm.toml');
  assert.deepEqual(whole.edits.devices.map(({ path }) => [path, whole.origin.get(whole.edits.devices[0])]), [['/dev/tty7', 'attached']]);
  assert.equal(withAttached({ ...spec, ephemeral: true }, facts).grants.length, spec.grants.length, 'what is thrown away keeps nothing');
});
