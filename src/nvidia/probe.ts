import type { Library } from '../elf.ts';
import type { NvidiaDriver } from '../facts.ts';

/** What is known of NVIDIA's own driver, given a way to read files: the host's facts, and what is in a root. */

interface Reading {
  text(path: string): string;
  list(path: string): string[];
  readLibrary(path: string): Library | null;
}

/** Where distributions put the driver's libraries: of one architecture after the other. */
const folders = [
  '/usr/lib64', '/usr/lib64/nvidia', '/usr/lib', '/usr/lib/nvidia', '/usr/lib32',
  ...['x86_64-linux-gnu', 'aarch64-linux-gnu', 'i386-linux-gnu'].flatMap((machine) => [`/usr/lib/${machine}`, `/usr/lib/${machine}/nvidia/current`]),
];

/** Beside the linker's folders: what other libraries load from a folder of their own. */
const below = ['vdpau'];

/** Libraries of the driver that have a version of their own: those by which EGL meets window systems. */
const ownVersions = /^libnvidia-egl-(gbm|wayland|wayland2|xcb|xlib)\.so\.\d+\.\d+[.\d]*$/;

/** Where loaders look for descriptions of the driver (libglvnd, the EGL platforms, Vulkan, OpenCL), on the host in either place, and inside in the one that each of them knows; the driver's README, "Installed components". */
const descriptions: [folder: string, to: string, pattern: RegExp][] = [
  ['glvnd/egl_vendor.d', '/usr/share', /nvidia\.json$/],
  ['egl/egl_external_platform.d', '/usr/share', /nvidia_\w+\.json$/],
  ['vulkan/icd.d', '/etc', /^nvidia_icd.*\.json$/],
  ['vulkan/implicit_layer.d', '/etc', /^nvidia_layers\.json$/],
  ['OpenCL/vendors', '/etc', /^nvidia\.icd$/],
  ['nvidia', '/usr/share', /^nvoptix\.bin$/],
];

/** The driver that is loaded, and all of it that programs use, as far as it is of the same version. */
export function findNvidia({ text, list, readLibrary }: Reading): NvidiaDriver | null {
  const version = versionIn(text('/proc/driver/nvidia/version')) ?? /^\d[\d.]+/.exec(text('/sys/module/nvidia/version'))?.[0];
  if (!version) return null;
  const libraries = folders.flatMap((folder) => ['', ...below.map((name) => `/${name}`)].flatMap((part) => list(`${folder}${part}`).filter((name) => name.endsWith(`.so.${version}`) || ownVersions.test(name))
    .flatMap((name) => {
      const library = readLibrary(`${folder}${part}/${name}`);
      return library ? [{ ...library, folder: `${folder}${part}` }] : [];
    })));
  return {
    version,
    cards: list('/proc/driver/nvidia/gpus').map((pci) => ({ pci, minor: Number(/Device Minor:\s*(\d+)/.exec(text(`/proc/driver/nvidia/gpus/${pci}/information`))?.[1] ?? 0) })),
    majors: Object.fromEntries(text('/proc/devices').split('\n').flatMap((line) => {
      const [, number, name] = /^\s*(\d+) (nvidia\S*)$/.exec(line) ?? [];
      return name ? [[name, Number(number)]] : [];
    })),
    capabilities: list('/dev/nvidia-caps').map((name) => `/dev/nvidia-caps/${name}`).sort(),
    libraries,
    files: [
      ...descriptions.flatMap(([folder, to, pattern]) => {
        const from = ['/etc', '/usr/share', '/usr/local/share'].map((start) => `${start}/${folder}`).find((path) => list(path).some((name) => pattern.test(name)));
        return from ? list(from).filter((name) => pattern.test(name)).map((name) => ({ from: `${from}/${name}`, to: `${to}/${folder}/${name}` })) : [];
      }),
      ...(list('/usr/bin').includes('nvidia-smi') ? [{ from: '/usr/bin/nvidia-smi', to: '/usr/bin/nvidia-smi' }] : []),
    ],
  };
}

/** "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  ..." */
export const versionIn = (line: string): string | undefined => /Kernel Module(?: for \S+)?\s+(\d+\.\d[\d.]*)/.exec(line)?.[1];

/** Versions of the driver whose libraries are in a root; what makes a version one is the library that CUDA programs, or those that draw, load. */
export function nvidiaVersionsIn(layers: readonly string[], list: (path: string) => string[]): string[] {
  const names = layers.flatMap((layer) => folders.flatMap((folder) => list(`${layer}${folder}`.replace('//', '/'))));
  return [...new Set(names.flatMap((name) => /^lib(?:cuda|nvidia-glcore|nvidia-ml)\.so\.(\d+\.\d[\d.]*)$/.exec(name)?.[1] ?? []))].sort();
}
