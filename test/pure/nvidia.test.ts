import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Facts } from '../../src/facts.ts';
import { nvidiaEdits, nvidiaNeeds } from '../../src/nvidia.ts';
import { findNvidia, nvidiaVersionsIn, versionIn } from '../../src/nvidia/probe.ts';
import { storedHost } from './hosts.ts';

/** NVIDIA's own driver, on computers that are not at hand. */

const desktop = storedHost('desktop-nvidia');
const [card] = desktop.graphics;
const told = (facts: Partial<Facts>, libraries: 'host' | 'inside' = 'host') => nvidiaNeeds({ ...desktop, ...facts }, [card!], libraries).map(({ what, mend, fatal }) => `${fatal ? 'refused' : 'warning'}: ${what}; ${mend}`);

test('the version is read from the words of either kind of module', () => {
  assert.equal(versionIn('NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue Apr  8 12:41:17 UTC 2025'), '550.163.01');
  assert.equal(versionIn('NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.153.02  Release Build'), '570.153.02');
  assert.equal(versionIn('no driver'), undefined);
});

const tree: Record<string, string> = {
  '/proc/driver/nvidia/version': 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue Apr  8',
  '/proc/driver/nvidia/gpus/0000:01:00.0/information': 'Model: \t\t NVIDIA GeForce\nDevice Minor: \t 1\n',
  '/proc/devices': 'Character devices:\n195 nvidia\n195 nvidia-modeset\n509 nvidia-uvm\n116 alsa\n',
  '/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.550.163.01': 'libcuda.so.1', '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.163.01': 'libnvidia-ml.so.1', '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.1': 'libnvidia-ml.so.1',
  '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1': 'libnvidia-ml.so.1', '/usr/lib/x86_64-linux-gnu/libc.so.6': 'libc.so.6', '/usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2': 'libnvidia-egl-gbm.so.1', '/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.550.163.01': 'libvdpau_nvidia.so.1',
  '/usr/share/vulkan/icd.d/nvidia_icd.json': '', '/usr/share/vulkan/icd.d/radeon_icd.json': '', '/usr/bin/nvidia-smi': '', '/dev/nvidia-caps/nvidia-cap1': '',
};
const list = (folder: string) => [...new Set(Object.keys(tree).filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1).split('/')[0]!))];
const reading = { text: (path: string) => tree[path] ?? '', list, readLibrary: (path: string) => (tree[path] ? { name: path.split('/').at(-1)!, soname: tree[path], flags: 0x303 } : null) };

test('of the host the libraries of the version that the kernel runs are taken, and no others', () => {
  const found = findNvidia(reading)!;
  assert.equal(found.version, '550.163.01');
  assert.deepEqual(found.cards, [{ pci: '0000:01:00.0', minor: 1 }]);
  assert.equal(found.majors['nvidia-uvm'], 509);
  assert.deepEqual(found.libraries.map(({ folder, name }) => `${folder}/${name}`), [
    '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.163.01', '/usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2', '/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.550.163.01', '/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.550.163.01',
  ]);
  assert.deepEqual(found.files, [{ from: '/usr/share/vulkan/icd.d/nvidia_icd.json', to: '/etc/vulkan/icd.d/nvidia_icd.json' }, { from: '/usr/bin/nvidia-smi', to: '/usr/bin/nvidia-smi' }]);
  assert.equal(findNvidia({ ...reading, text: () => '' }), null);
});

test('the versions in a root are told by its libraries, in whichever layer', () => {
  const layers: Record<string, string[]> = { '/upper/usr/lib/x86_64-linux-gnu': ['libcuda.so.535.1', 'libcuda.so.1', 'libcuda.so'], '/lower/usr/lib64': ['libnvidia-glcore.so.550.163.01', 'libc.so.6'] };
  assert.deepEqual(nvidiaVersionsIn(['/upper', '/lower'], (path) => layers[path] ?? []), ['535.1', '550.163.01']);
});

test('libraries inside of another version are refused with both versions and the remedy', () => {
  const inside = (...nvidia: string[]) => ({ inside: { linkerCache: null, asound: false, nvidia } });
  assert.deepEqual(told(inside('535.216.01'), 'inside'), ["refused: the libraries of NVIDIA's driver in the machine are 535.216.01, and the kernel of this host runs 570.153.02: they work in the same version alone; install 570.153.02 inside, or use this host's with libraries = \"host\""]);
  assert.deepEqual(told(inside(), 'inside'), ["refused: there are no libraries of NVIDIA's driver in the machine, and the kernel of this host runs 570.153.02; install them inside, of version 570.153.02, or use this host's with libraries = \"host\""]);
  assert.deepEqual(told(inside('535.216.01', '570.153.02'), 'inside'), []);
  assert.deepEqual(told({ inside: null }, 'inside'), [], 'a root that is still to be made');
});

test('what the host lacks of the driver is told', () => {
  assert.match(told({ nvidia: { ...desktop.nvidia!, libraries: [] } })[0]!, /^refused: this host has no libraries of NVIDIA's driver 570\.153\.02/);
  assert.match(told({ nvidia: { ...desktop.nvidia!, majors: {} } })[0]!, /^warning: .*CUDA.*modprobe nvidia-uvm.*going on$/);
  assert.match(told({ nvidia: null })[0]!, /^warning: NVIDIA's own driver is not ready/);
});

test('a card gets its own node, and those that are not on the host yet by their numbers; parts of a card only where everybody may use them', () => {
  const { '/dev/nvidia-uvm': _, '/dev/nvidia-uvm-tools': __, ...nodes } = desktop.nodes;
  const { devices } = nvidiaEdits({ ...desktop, nodes }, [card!], 'inside');
  assert.deepEqual(devices!.map(({ path, major, minor }) => `${path} ${major}:${minor}`), ['/dev/nvidia0 195:0', '/dev/nvidiactl 195:255', '/dev/nvidia-modeset 195:254', '/dev/nvidia-uvm 506:0', '/dev/nvidia-uvm-tools 506:1', '/dev/nvidia-caps/nvidia-cap2 509:2']);
  assert.deepEqual(nvidiaEdits(desktop, [], 'host'), {}, 'no card, nothing');
});
