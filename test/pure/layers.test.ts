import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addAccounts, accountsFor } from '../../src/accounts.ts';
import { Complaint } from '../../src/errors.ts';
import { MemoryHost } from '../../src/host/memory.ts';
import { node } from '../../src/host/memory-tree.ts';
import { hidePrivate, inLayers, makeAbove, makeLinkInside, makeMountPoint, missingIn, mustStayInside, removeLinkInside, withoutLinks } from '../../src/layers.ts';
import { apply, undo } from '../../src/apply.ts';
import type { Facts } from '../../src/facts.ts';
import { masksOf, type Unmasked } from '../../src/masks.ts';
import type { Step } from '../../src/step.ts';
import { bootsFrom, templateKey } from '../../src/templates.ts';
import { memoryJournal } from './world.ts';

/** A root with an upper layer over a template, on a host with files of its own. */
function host(): MemoryHost {
  const made = new MemoryHost();
  made.put('/etc/passwd', node('file', 0o644, undefined, "the host's own\n"));
  made.put('/etc/shadow', node('file', 0o600, undefined, "the host's secrets\n"));
  made.put('/lower/etc/passwd', node('file', 0o644, undefined, 'root:x:0:0::/root:/bin/sh\n'));
  made.put('/lower/etc/group', node('file', 0o644, undefined, 'root:x:0:\n'));
  Object.assign(made.folders('/lower/srv'), { mode: 0o2770, uid: 7, gid: 8 });
  made.folders('/lower/srv/data');
  made.folders('/upper');
  return made;
}
const layers = ['/upper', '/lower'];
const link = (to: string) => node('link', 0o777, undefined, to);
const hostFiles = (from: MemoryHost) => from.snapshot().filter((line) => line.startsWith('/etc') || line.startsWith('/root') || line.startsWith('/home'));

test('a path is found in the uppermost layer that has it, and a whiteout hides it', async () => {
  const h = host();
  assert.equal(await inLayers(h, layers, '/etc/passwd'), '/lower');
  h.put('/upper/etc/passwd', node('file', 0o644));
  assert.equal(await inLayers(h, layers, '/etc/passwd'), '/upper');
  h.put('/upper/etc/group', node('other', 0o600, undefined, 'c 0:0'));
  assert.equal(await inLayers(h, layers, '/etc/group'), null);
  assert.deepEqual(await missingIn(h, layers, '/srv/data/a/b'), ['/srv/data/a/b', '/srv/data/a', '/srv/data', '/srv'], 'also the folders that a lower layer has: they are made in the upper one');
});

test('a folder that is made in the upper layer has the owner and mode that it has below', async () => {
  const h = host();
  await makeMountPoint(h, layers, '/srv/data/deep/point', 'directory');
  assert.deepEqual(await h.stat('/upper/srv'), { kind: 'directory', uid: 7, gid: 8, mode: 0o2770 });
  assert.equal(await h.kind('/upper/srv/data/deep/point'), 'directory');
  await makeMountPoint(h, layers, '/etc/resolv.conf', 'file');
  assert.equal(await h.kind('/upper/etc/resolv.conf'), 'file');
});

test('what is left out in a root that boots is never left out on the host, wherever the links of a package lead', async () => {
  const h = host();
  h.folders('/etc/systemd');
  h.put('/built/etc', link('settings'));
  h.folders('/built/settings');
  await apply([{ kind: 'mask', root: '/built', made: masksOf([]) }], h, null);
  assert.equal(await h.readLink('/built/settings/systemd/system/fstrim.timer'), '/dev/null');
  h.put('/other/etc/systemd', link('/etc/systemd'));
  const before = hostFiles(h);
  await assert.rejects(apply([{ kind: 'mask', root: '/other', made: masksOf([]) }], h, null), /leads outside/);
  assert.deepEqual(hostFiles(h), before);
});

test('what is left out is in the name of the template; a machine that is made keeps its own, unless its file asks for another', () => {
  const source = (unmasked: Unmasked | undefined, template?: string, boots = true) => {
    const facts = { store: { machines: template === undefined ? [] : [{ name: 'desk', template }] } } as unknown as Facts;
    return bootsFrom((more) => templateKey('debian', 'trixie', { packages: ['dbus'], ...more }), boots, unmasked, facts, 'desk');
  };
  const { key, masks } = source(undefined);
  const [bare, asked] = [source('all').key, key.replace(/-[0-9a-f]{8}$/, '')];
  assert.match(key, /^debian-trixie-[0-9a-f]{16}-[0-9a-f]{8}$/);
  assert.deepEqual(masks, masksOf([]));
  assert.equal(new Set([key, bare, source(['fstrim.timer']).key, source(undefined, undefined, false).key]).size, 4);
  assert.deepEqual(source(undefined, `${asked}-01234567`), { key: `${asked}-01234567`, masks }, 'of an earlier list');
  assert.deepEqual(source(undefined, asked), { key: asked, masks }, 'from when the list was not in the name');
  const before = source(undefined, undefined, false).key;
  assert.deepEqual(source(undefined, before), { key: before, masks: [] }, 'from when nothing was left out');
  for (const other of [`${asked}0`, source(['fstrim.timer']).key, bare]) assert.equal(source(undefined, other).key, key, other);
});

/** What a hostile root may have in place of a folder or a file. */
const hostile: [string, (h: MemoryHost) => void][] = [
  ['an absolute link in the upper layer', (h) => h.put('/upper/etc', link('/etc'))],
  ['an absolute link in the template', (h) => (h.folders('/lower').children.delete('etc'), h.put('/lower/etc', link('/etc')))],
  ['a link with dots', (h) => h.put('/upper/etc', link('../etc'))],
  ['a link through another', (h) => (h.put('/upper/etc', link('one')), h.put('/upper/one', link('../../../../etc')))],
  ['a link to a link of the host', (h) => (h.put('/host-link', link('/etc')), h.put('/upper/etc', link('../host-link')))],
  ['a link in a circle', (h) => (h.put('/upper/etc', link('circle')), h.put('/upper/circle', link('etc')))],
  ['a file where a folder should be', (h) => h.put('/upper/etc', node('file', 0o644))],
];

for (const [what, make] of hostile)
  test(`nothing is written outside of a root that has ${what}`, async () => {
    const h = host();
    make(h);
    const before = hostFiles(h);
    const add = accountsFor({ users: [], groups: [] }, { name: 'steam' }, [29], String);
    const attempts: (() => Promise<unknown>)[] = [
      () => makeMountPoint(h, layers, '/etc/resolv.conf', 'file'), () => makeMountPoint(h, layers, '/etc/deep/er', 'directory'), () => makeAbove(h, layers, '/etc/shadow').then(() => h.within('/upper').write('/etc/shadow', 'mine', 0o644)), () => addAccounts(h, layers, add),
      () => apply([{ kind: 'mount-point', layers, path: '/etc/x', type: 'file' }], h, null),
    ];
    for (const attempt of attempts) await attempt().catch((error: unknown) => assert.ok(error instanceof Complaint, `${error}`));
    assert.deepEqual(hostFiles(h), before);
  });

test('a link that stays within its layer is followed', async () => {
  const h = host();
  h.put('/upper/var/data', node('directory', 0o755));
  h.put('/upper/srv', link('var'));
  await makeMountPoint(h, layers, '/srv/data/point', 'directory');
  assert.equal(await h.kind('/upper/var/data/point'), 'directory');
});

test('what a mount point needed is taken away again, and what was there or has come since stays', async () => {
  const h = host();
  const before = h.snapshot().filter((line) => line.startsWith('/lower'));
  const journal = memoryJournal();
  const steps: Step[] = [{ kind: 'mount-point', layers: ['/lower'], path: '/a/b/c', type: 'directory' }, { kind: 'mount-point', layers: ['/lower'], path: '/etc/passwd', type: 'file' }];
  await apply(steps, h, journal.journal);
  await undo(h, journal.journal);
  assert.deepEqual(h.snapshot().filter((line) => line.startsWith('/lower')), before);
  await apply(steps, h, journal.journal);
  h.put('/lower/a/b/kept', node('file', 0o644));
  await undo(h, journal.journal);
  assert.deepEqual([await h.kind('/lower/a/b/c'), await h.kind('/lower/a/b/kept')], [null, 'file']);
});

test('files and folders that not everybody may read are hidden, and nothing else', async () => {
  const h = host();
  h.put('/etc/hosts', node('file', 0o644));
  h.put('/etc/ssl/private/key', node('file', 0o644));
  h.folders('/etc/ssl/private').mode = 0o710;
  h.put('/etc/key-with\nline break', node('file', 0o600));
  h.folders('/hidden');
  await hidePrivate(h, '/etc', '/hidden');
  assert.deepEqual(h.snapshot().filter((line) => line.startsWith('/hidden') && line.includes('"c 0:0"')).map((line) => line.split(' other')[0]).sort(), ['/hidden/etc/key-with\nline break', '/hidden/etc/shadow', '/hidden/etc/ssl/private']);
});

test('a path is followed as a container does: links of the root on its way, not the one at its end', async () => {
  const h = host();
  h.folders('/lower/usr/lib');
  h.put('/lower/lib', link('usr/lib'));
  h.put('/lower/usr/lib/last', link('elsewhere'));
  h.put('/lower/evil', link('/etc'));
  assert.equal(await withoutLinks(h, layers, '/lib/firmware/a.bin'), '/usr/lib/firmware/a.bin');
  assert.equal(await withoutLinks(h, layers, '/lib/last'), '/usr/lib/last');
  assert.equal(await withoutLinks(h, layers, '/nowhere/at/all'), '/nowhere/at/all');
  await assert.rejects(withoutLinks(h, layers, '/evil/passwd'), /leads outside/);
});

test('a root in which a container has its mounts elsewhere is refused where that is outside, as systemd-nspawn would go there on the host', async () => {
  const outside: [path: string, to: string][][] = [[['/run', '/etc']], [['/run', 'one'], ['/one', 'two/three'], ['/two/three', '/nowhere/yet']], [['/dev', '../dev']], [['/tmp', 'a/b'], ['/a/b', '../../tmp']], [['/proc', 'proc']]];
  const inside: [path: string, to: string][][] = [[['/run', 'var/run'], ['/var/run', '../elsewhere']], [['/tmp', 'not/there']], [['/home', '/somewhere']]];
  for (const [all, refused] of [...outside.map((one) => [one, true] as const), ...inside.map((one) => [one, false] as const)]) {
    const h = host();
    for (const [path, to] of all) h.put(`/upper${path}`, link(to));
    const done = mustStayInside(h, layers);
    if (refused) await assert.rejects(done, /in the machine's root leads outside of it/, JSON.stringify(all));
    else await done;
  }
});

test('a link is made over another link of the root and never over a file, and is taken away only as long as it is the same', async () => {
  const h = host();
  h.put('/lower/usr/lib/libx.so.1', link('libx.so.old'));
  h.put('/lower/usr/lib/liby.so.1', node('file', 0o755));
  await makeLinkInside(h, layers, '/usr/lib/libx.so.1', 'libx.so.new');
  assert.equal(await h.readLink('/upper/usr/lib/libx.so.1'), 'libx.so.new');
  assert.equal(await h.readLink('/lower/usr/lib/libx.so.1'), 'libx.so.old');
  await assert.rejects(makeLinkInside(h, layers, '/usr/lib/liby.so.1', 'x'), /is a file, and a link to x belongs there/);
  await removeLinkInside(h, '/upper', '/usr/lib/libx.so.1', 'another');
  assert.equal(await h.readLink('/upper/usr/lib/libx.so.1'), 'libx.so.new');
  await removeLinkInside(h, '/upper', '/usr/lib/libx.so.1', 'libx.so.new');
  assert.equal(await h.kind('/upper/usr/lib/libx.so.1'), null);
});
