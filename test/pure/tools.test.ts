import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { test } from 'node:test';
import { needsOf } from '../../src/elf.ts';
import { toolEdits, toolNames } from '../../src/foreign/tools.ts';
import { here, meetStored, storedHost } from './hosts.ts';
import { machineWith } from './world.ts';

const native = readFileSync(here('../../native/tools.c'), 'utf8');

test('the program that chooses knows the same tools, in the same place', () => {
  assert.deepEqual([...native.matchAll(/\{ \.name = "([\w-]+)"/g)].map(([, name]) => name), [...toolNames]);
  const folder = /#define FOLDER "(.*)"/.exec(native)?.[1];
  const { binds = [] } = toolEdits({ chooser: '/chooser', loader: '/loader', programs: [{ name: 'tar', path: '/usr/bin/tar' }], libraries: [{ name: 'libc.so.6', path: '/lib/libc.so.6' }] });
  assert.deepEqual(binds.map(({ from, to }) => [from, to]), [['/loader', `${folder}/loader`], ['/lib/libc.so.6', `${folder}/lib/libc.so.6`], ['/usr/bin/tar', `${folder}/programs/tar`], ['/chooser', `${folder}/bin/tar`]]);
  assert.ok(binds.every(({ write, passes }) => !write && passes));
});

test('apt is told of a method of the host where the host has it', () => {
  const text = (...names: string[]) => toolEdits({ chooser: '/chooser', loader: '/loader', programs: names.map((name) => ({ name, path: `/usr/bin/${name}` })), libraries: [] }).texts?.[0]?.text ?? '';
  assert.match(text('dpkg-deb', 'apt-method-file'), /^Dir::Bin::Methods::file "\/run\/nestbox\/tools\/bin\/apt-method-file";\n/m);
  assert.doesNotMatch(text('dpkg-deb'), /Methods/);
});

test('tools are for a root that is emulated, unless the file says no', () => {
  const bound = (host: string, architecture: string | undefined, native: boolean) => {
    const spec = machineWith(storedHost(host), [{ topic: 'foreign', kind: null, options: { native } }], { root: { source: 'debian', options: { debian: 'bookworm', packages: [], variant: 'minbase', components: ['main'], ...(architecture && { architecture }) } } });
    const { edits } = meetStored(spec, storedHost(host), '/etc/nestbox/law.toml').machine;
    return [edits.binds.some(({ to }) => to.startsWith('/run/nestbox/tools/')), edits.texts.some(({ text }) => text.includes('DPkg::Path'))];
  };
  assert.deepEqual(bound('laptop', 'arm64', true), [true, true]);
  assert.deepEqual(bound('laptop', 'arm64', false), [false, false]);
  assert.deepEqual(bound('laptop', undefined, true), [false, false]);
  assert.deepEqual(bound('laptop', 'i386', true), [false, false], 'its processor runs that by itself');
  assert.deepEqual(bound('raspberry-pi', 'arm64', true), [false, false]);
});

test('what a program needs is read off its headers; what is cut off or no program needs nothing', () => {
  const file = openSync(process.execPath, 'r');
  const readAt = (offset: number, length: number) => {
    const bytes = Buffer.alloc(Math.min(length, 2 ** 20));
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, offset));
  };
  const needs = needsOf(readAt);
  const start = Buffer.from(readAt(0, 2 ** 16));
  closeSync(file);
  assert.match(needs?.interpreter ?? '', /\/ld-linux/);
  assert.ok(needs?.libraries.includes('libc.so.6'), needs?.libraries.join(' '));
  for (let length = 0; length < 1024; length += 7) needsOf((offset, wanted) => start.subarray(offset, Math.min(offset + wanted, length)));
  assert.equal(needsOf(() => Buffer.from('#!/bin/sh\n'.padEnd(64))), null);
});
