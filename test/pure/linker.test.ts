import assert from 'node:assert/strict';
import { test } from 'node:test';
import { libraryOf } from '../../src/elf.ts';
import { type CacheEntry, cacheWith, compareNames, linksTo, ownFolders, readCache, writeCache } from '../../src/linker.ts';

const wide = 0x303;
const narrow = 0x003;

/** The smallest shared library for x86-64 with a name: an ELF header, two segments, two dynamic entries and the names. */
function shared(soname: string, change: (view: DataView) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array(64 + 2 * 56 + 3 * 16 + 1 + soname.length + 1);
  const view = new DataView(bytes.buffer);
  const [dynamic, strings, base] = [64 + 112, 64 + 112 + 48, 0x1000];
  view.setUint32(0, 0x7f454c46);
  bytes.set([2, 1, 1], 4);
  view.setUint16(16, 3, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 2, true);
  const segment = (at: number, type: number, offset: number, length: number) => {
    view.setUint32(at, type, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, BigInt(base + offset), true);
    view.setBigUint64(at + 32, BigInt(length), true);
  };
  segment(64, 1, 0, bytes.length);
  segment(120, 2, dynamic, 48);
  for (const [i, [tag, value]] of [[14, 1], [5, base + strings], [0, 0]].entries()) {
    view.setBigUint64(dynamic + i * 16, BigInt(tag!), true);
    view.setBigUint64(dynamic + i * 16 + 8, BigInt(value!), true);
  }
  bytes.set(new TextEncoder().encode(soname), strings + 1);
  change(view);
  return bytes;
}
const readAt = (bytes: Uint8Array) => (offset: number, length: number) => bytes.slice(offset, offset + length);

test("a library's own name is read off its headers", () => {
  assert.deepEqual(libraryOf('libcuda.so.570.1', readAt(shared('libcuda.so.1'))), { name: 'libcuda.so.570.1', soname: 'libcuda.so.1', flags: wide });
  assert.deepEqual(libraryOf('lib.so', readAt(shared('lib.so', (view) => view.setUint16(18, 183, true))))?.flags, 0xa03, 'aarch64');
});

test('what is no library, or only half of one, is none; a name that leads elsewhere is not taken', () => {
  const whole = shared('libcuda.so.1');
  assert.equal(libraryOf('x', readAt(new TextEncoder().encode('#!/bin/sh\necho 64 bytes of text that are no library at all, not one'))), null);
  assert.equal(libraryOf('x', readAt(shared('x', (view) => view.setUint16(16, 2, true)))), null, 'a program');
  assert.equal(libraryOf('x', readAt(shared('x', (view) => view.setUint16(18, 99, true)))), null, 'of an unknown machine');
  for (let length = 0; length < whole.length; length++) assert.doesNotThrow(() => libraryOf('x', readAt(whole.slice(0, length))), `${length} bytes`);
  for (const evil of ['../../etc/passwd', '/etc/passwd', 'a b', '']) assert.equal(libraryOf('libx.so', readAt(shared(evil)))?.soname, 'libx.so', evil);
  for (let at = 0; at < whole.length; at++)
    for (const byte of [0, 0x7f, 0xff]) assert.doesNotThrow(() => libraryOf('x', readAt(shared('libcuda.so.1', (view) => view.setUint8(at, byte)))), `byte ${at}`);
});

test('names are in the order that the linker halves its way through', () => {
  const sorted = ['libz3.so.4', 'libz.so.1', 'libcuda.so.10', 'libcuda.so.9', 'libcuda.so', 'liba.so'];
  assert.deepEqual([...sorted].sort((a, b) => compareNames(b, a)), sorted);
  assert.equal(compareNames('lib.so.1', 'lib.so.1'), 0);
});

const libc: CacheEntry = { soname: 'libc.so.6', path: '/lib/x86_64-linux-gnu/libc.so.6', flags: wide };
const libz: CacheEntry = { soname: 'libz.so.1', path: '/lib/x86_64-linux-gnu/libz.so.1', flags: wide };

test('a cache reads back as it was written, the first of two for the same name', () => {
  const entries = [libc, libz, { ...libz, flags: narrow, path: '/usr/lib32/libz.so.1' }, { ...libc, path: '/elsewhere/libc.so.6' }];
  assert.deepEqual(readCache(writeCache(entries)), [libz, { ...libz, flags: narrow, path: '/usr/lib32/libz.so.1' }, libc]);
  assert.deepEqual(readCache(writeCache([])), []);
});

test('a cache that is broken, or none, makes nothing fail', () => {
  const whole = writeCache([libc, libz]);
  assert.equal(readCache(new Uint8Array(0)), null);
  assert.equal(readCache(new TextEncoder().encode('hello')), null);
  for (let length = 0; length < whole.length; length++) assert.doesNotThrow(() => readCache(whole.slice(0, length)));
  for (let at = 20; at < whole.length; at++) assert.doesNotThrow(() => readCache(whole.map((byte, i) => (i === at ? 0xff : byte))));
  assert.deepEqual(readCache(Uint8Array.from([...new Uint8Array(48), ...whole])), [libz, libc], 'an older cache may stand before it');
});

const cuda = { name: 'libcuda.so.570.1', soname: 'libcuda.so.1', flags: wide, folder: '/usr/lib/x86_64-linux-gnu' };

test('where the linker of a root looks by itself, its cache is left alone', () => {
  assert.deepEqual(ownFolders([libc, libz]), new Map([[wide, '/lib/x86_64-linux-gnu']]));
  assert.equal(cacheWith([libc, libz], [cuda]), null, '/lib leads to /usr/lib');
  assert.equal(cacheWith([libc, { ...libz, soname: 'libcuda.so.1', path: '/lib/x86_64-linux-gnu/libcuda.so.1' }], [cuda]), null, 'it is the place of the link that is made');
});

test('elsewhere the cache leads to the libraries, before what the root has under the same name', () => {
  const elsewhere = { ...cuda, folder: '/usr/lib64' };
  const other = { soname: 'libcuda.so.1', path: '/opt/old/libcuda.so.1', flags: wide };
  assert.deepEqual(readCache(writeCache(cacheWith([libc, other], [elsewhere])!)), [{ soname: 'libcuda.so.1', path: '/usr/lib64/libcuda.so.1', flags: wide }, libc]);
  assert.deepEqual(cacheWith([libc, other], [cuda])![0], { soname: 'libcuda.so.1', path: '/usr/lib/x86_64-linux-gnu/libcuda.so.1', flags: wide }, 'also in its own folder, where its cache says something else');
  assert.deepEqual(cacheWith(null, [cuda])?.length, 1, 'a root without a cache');
  assert.deepEqual(cacheWith([libc], [{ ...cuda, flags: narrow }])?.length, 2, 'a root without programs of that kind');
});

test('links lead from the name that programs ask for to the file', () => {
  assert.deepEqual(linksTo([cuda, { ...cuda, name: 'libsame.so', soname: 'libsame.so' }]), [{ path: '/usr/lib/x86_64-linux-gnu/libcuda.so.1', to: 'libcuda.so.570.1' }]);
});
