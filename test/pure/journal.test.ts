import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import { MemoryHost } from '../../src/host/memory.ts';
import { node } from '../../src/host/memory-tree.ts';
import { journalOn, parseJournal } from '../../src/journal.ts';
import { apply, undo } from '../../src/apply.ts';
import type { Step } from '../../src/step.ts';
import { memoryJournal } from './world.ts';

const folder = (path: string): Step => ({ kind: 'mkdir', path, mode: 0o755 });

test('the way back is in the journal before its step begins', async () => {
  const host = new MemoryHost();
  const seen: string[] = [];
  const { journal } = memoryJournal();
  await apply([folder('/run/a'), folder('/run/a/b')], host, {
    ...journal,
    append: async (inverse) => {
      seen.push(`${inverse.map((step) => ('path' in step ? step.path : '')).join()} ${await host.kind('/run/a')} ${await host.kind('/run/a/b')}`);
    },
  });
  assert.deepEqual(seen, ['/run/a null null', '/run/a/b directory null']);
});

test('a last line that is cut off is ignored: its step had not begun', () => {
  const lines = `${JSON.stringify([{ kind: 'remove', path: '/a' }])}\n${JSON.stringify([{ kind: 'unmount', at: '/b' }])}\n`;
  for (let length = 0; length <= lines.length; length++) {
    const whole = (lines.slice(0, length).match(/\n/g) ?? []).length;
    assert.equal(parseJournal(lines.slice(0, length)).length, whole);
  }
});

test('a path with a line break stays one line of the journal', async () => {
  const { journal, ...kept } = memoryJournal();
  void kept;
  await journal.append([{ kind: 'remove', path: '/a\nb' }]);
  assert.deepEqual(await journal.entries(), [[{ kind: 'remove', path: '/a\nb' }]]);
});

test('ways back go last first, and what was there before nestbox stays', async () => {
  const host = new MemoryHost();
  host.folders('/run/there');
  const before = host.snapshot();
  const { journal } = memoryJournal();
  await apply([folder('/run/there'), folder('/run/there/a'), { kind: 'write', path: '/run/there/a/file', text: 'x\n', mode: 0o644 }], host, journal);
  const told: string[] = [];
  await undo(host, journal, (step) => told.push('path' in step ? step.path : ''));
  assert.deepEqual(told, ['/run/there/a/file', '/run/there/a']);
  assert.deepEqual(host.snapshot(), before);
});

test('a file that is written over gets its text back', async () => {
  const host = new MemoryHost();
  host.put('/etc/file', node('file', 0o644, undefined, 'old\n'));
  const before = host.snapshot();
  const { journal } = memoryJournal();
  await apply([{ kind: 'write', path: '/etc/file', text: 'new\n', mode: 0o644 }], host, journal);
  assert.equal(await host.read('/etc/file'), 'new\n');
  await undo(host, journal);
  assert.deepEqual(host.snapshot(), before);
});

test('where nothing is to be there, a file that comes meanwhile is somebody else\'s, and what was begun is ours', async () => {
  const step: Step = { kind: 'write', path: '/etc/file', text: 'new\n', mode: 0o644, fresh: true };
  for (const [found, stays] of [['theirs\n', true], ['new\n and more', true], ['', false], ['ne', false], ['ne\0\0', false], ['new\n', false]] as const) {
    const host = new MemoryHost();
    const { journal } = memoryJournal();
    const append: typeof journal.append = async (inverse) => {
      await journal.append(inverse);
      host.put('/etc/file', node('file', 0o644, undefined, found));
    };
    await assert.rejects(apply([step], host, { ...journal, append }), /it is there already/);
    assert.equal(await host.read('/etc/file'), found);
    await undo(host, journal);
    assert.equal(await host.kind('/etc/file'), stays ? 'file' : null, JSON.stringify(found));
  }
});

test('one way back that fails does not keep the others from being tried, and stays in the journal', async () => {
  const host = new MemoryHost();
  const kept = memoryJournal();
  await apply([folder('/run/a'), folder('/run/b'), folder('/run/c')], host, kept.journal);
  const remove = host.remove.bind(host);
  host.remove = async (path) => (path === '/run/b' ? Promise.reject(new Complaint('it is in use')) : remove(path));
  await assert.rejects(undo(host, kept.journal), /it is in use/);
  assert.deepEqual([await host.kind('/run/a'), await host.kind('/run/b'), await host.kind('/run/c')], [null, 'directory', null]);
  assert.notEqual(kept.text, '');
  host.remove = remove;
  await undo(host, kept.journal);
  assert.equal(await host.kind('/run/b'), null);
  assert.equal(kept.text, '');
});

test('what outlives a power cut is on the disk before its step begins, and the rest does not wait for the disk', async () => {
  const written: boolean[] = [];
  const journal = journalOn({ append: async (_, sync) => void written.push(sync), read: async () => '', remove: async () => {} });
  await journal.append([{ kind: 'remove-tree', path: '/var/lib/nestbox/machines/a' }]);
  await journal.append([{ kind: 'unmount', at: '/run/a' }]);
  assert.deepEqual(written, [true, false]);
});
