import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PathFact } from '../../src/facts.ts';
import host from '../../src/roots/host.ts';
import { storedHost } from './hosts.ts';

const folder: PathFact = { kind: 'directory', uid: 0, gid: 0, mode: 0o755, size: 4096, modified: 0 };
const from = (paths: Record<string, PathFact | null>) => host.source({ host: true }, { ...storedHost('laptop'), paths }, '', 'law');

test('where /usr is merged, what leads into it is a link inside too, and what is not there is not made', () => {
  assert.deepEqual(from({ '/bin': { ...folder, link: 'usr/bin' }, '/lib': { ...folder, link: '/usr/lib' }, '/lib64': null }), { kind: 'host', folders: ['usr', 'etc'], links: { bin: 'usr/bin', lib: '/usr/lib' } });
});

test('where /usr is not merged, /bin and its like are folders of the snapshot', () => {
  assert.deepEqual(from({ '/bin': folder, '/sbin': folder, '/lib': folder, '/lib64': { ...folder, link: 'lib' } }), { kind: 'host', folders: ['usr', 'etc', 'bin', 'sbin', 'lib'], links: { lib64: 'lib' } });
});
