import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Facts } from '../../src/facts.ts';
import { readSpec } from '../../src/spec.ts';
import { meetStored, storedHost } from './hosts.ts';

/** The host's kernel sources in a machine, and whether a driver that is built there would fit. */

const text = 'name = "builder"\nusers = "host"\nkernel-sources = "host"\n[root]\ntar = "/srv/images/stage3-amd64-openrc.tar.xz"\n';

function meet(host: string, change: (facts: Facts) => Facts = (facts) => facts) {
  const { machine } = meetStored(readSpec(text, 'builder.toml'), change(storedHost(host)), '/etc/nestbox/builder.toml');
  return { told: machine.problems.filter(({ fatal }) => fatal).map(({ what }) => what), binds: machine.edits.binds.map(({ from, to, write }) => `${from === to ? to : `${from} ${to}`}${write ? ' written' : ''}`), links: machine.edits.links };
}

test('the modules and the folders that they lead to are seen at their own places, read-only, and /usr/src/linux leads to them', () => {
  assert.deepEqual(meet('laptop').binds, ['/lib/modules/6.12.48+deb13-amd64', '/usr/src/linux-headers-6.12.48+deb13-amd64', '/usr/src/linux-headers-6.12.48+deb13-common', '/usr/lib/linux-kbuild-6.12/scripts', '/usr/lib/linux-kbuild-6.12/tools']);
  assert.deepEqual(meet('laptop').links, [{ path: '/usr/src/linux', to: '/usr/src/linux-headers-6.12.48+deb13-amd64' }]);
  // Where the sources are a folder of the modules, one mount is enough.
  assert.deepEqual(meet('rolling').binds, ['/lib/modules/6.19.6-arch1-1']);
  assert.deepEqual(meet('no-systemd').links, [{ path: '/usr/src/linux', to: '/usr/src/linux-6.12.30-gentoo' }]);
});

test('a host without the sources, or that has another kernel installed by now, is told', () => {
  const without = (pattern: RegExp) => (facts: Facts): Facts => ({ ...facts, paths: Object.fromEntries(Object.entries(facts.paths).map(([path, found]) => [path, pattern.test(path) ? null : found])) });
  assert.deepEqual(meet('laptop', without(/build/)).told, ['this host has no sources of the kernel that it runs: /lib/modules/6.12.48+deb13-amd64/build leads nowhere']);
  assert.deepEqual(meet('laptop', without(/^\/lib\/modules/)).told, ['this host has no modules of the kernel that it runs: /lib/modules/6.12.48+deb13-amd64 is not there']);
});

test("a driver of NVIDIA's in the machine must be of the version that the host's kernel runs", () => {
  const stored = storedHost('desktop-nvidia');
  const key = meetStored(readSpec(text, 'builder.toml'), stored, 'builder.toml').machine.source;
  assert.ok(key.kind === 'template');
  const inside = (versions: string[]) => meet('desktop-nvidia', (facts) => ({ ...facts, store: { ...facts.store, templates: [key.key] }, inside: { linkerCache: null, asound: false, nvidia: versions } })).told;
  assert.deepEqual(inside(['550.163.01']), ["NVIDIA's driver in the machine is 550.163.01, and the kernel of this host runs 570.153.02: what is built there would not fit"]);
  assert.deepEqual(inside(['550.163.01', '570.153.02']), []);
  assert.deepEqual(inside([]), []);
});
