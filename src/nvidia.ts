import { dirname } from 'node:path/posix';
import type { Bind, Device, Edits, Link } from './edits.ts';
import { lacks, type Problem, warns } from './errors.ts';
import type { Facts, GraphicsCard, NvidiaDriver } from './facts.ts';
import { ownFolders } from './linker.ts';
import { nodeEdit } from './nodes.ts';
import { listed } from './words.ts';

/** What programs need of NVIDIA's own driver beside the nodes that all graphics cards have. */

/** Where a machine has the driver's libraries from: this host, or a package of its own. */
export type Libraries = 'host' | 'inside';

/** Of these cards, the ones with that driver. */
export const nvidiaCards = (cards: readonly GraphicsCard[]): GraphicsCard[] => cards.filter(({ driver }) => driver === 'nvidia');

/** The nodes that every card's programs open, whose numbers the driver's README and nvidia-modprobe give: fixed for the first two, from /proc/devices for the rest. */
const shared = ({ majors }: NvidiaDriver): { path: string; major: number | undefined; minor: number }[] => [
  { path: '/dev/nvidiactl', major: 195, minor: 255 },
  { path: '/dev/nvidia-modeset', major: 195, minor: 254 },
  { path: '/dev/nvidia-uvm', major: majors['nvidia-uvm'], minor: 0 },
  { path: '/dev/nvidia-uvm-tools', major: majors['nvidia-uvm'], minor: 1 },
];

/** What this host or this root lacks for it. */
export function nvidiaNeeds({ nvidia, inside }: Facts, cards: readonly GraphicsCard[], libraries: Libraries): Problem[] {
  if (cards.length === 0) return [];
  if (!nvidia) return [warns("NVIDIA's own driver is not ready: /proc/driver/nvidia/version is not there", "programs inside draw without the card until it is (modprobe nvidia), going on")];
  const { version, majors } = nvidia;
  const uvm = majors['nvidia-uvm'] === undefined ? [warns('the part of the driver that CUDA computes with is not loaded', 'modprobe nvidia-uvm; programs that only draw do without, going on')] : [];
  if (libraries === 'host') {
    const has = (name: string) => nvidia.libraries.some((library) => library.name === `${name}.so.${version}`);
    if (has('libnvidia-glcore') || has('libcuda')) return uvm;
    return [...uvm, lacks(`this host has no libraries of NVIDIA's driver ${version}, which the kernel runs`, 'install those of the same version (after an update of the driver: reboot), or those inside with [gpu.nvidia] libraries = "inside"')];
  }
  // A root that is still to be made is looked at when it is there.
  if (!inside || inside.nvidia.includes(version)) return uvm;
  return [...uvm, inside.nvidia.length === 0
    ? lacks(`there are no libraries of NVIDIA's driver in the machine, and the kernel of this host runs ${version}`, `install them inside, of version ${version}, or use this host's with libraries = "host"`)
    : lacks(`the libraries of NVIDIA's driver in the machine are ${listed(inside.nvidia)}, and the kernel of this host runs ${version}: they work in the same version alone`, `install ${version} inside, or use this host's with libraries = "host"`)];
}

/** The driver's nodes for these cards, and its libraries where the host gives them. */
export function nvidiaEdits(facts: Facts, cards: readonly GraphicsCard[], libraries: Libraries): Partial<Edits> {
  const { nvidia } = facts;
  if (cards.length === 0 || !nvidia) return {};
  return { devices: nodesOf(facts, nvidia, cards), ...(libraries === 'host' && librariesOf(facts, nvidia)) };
}

function nodesOf(facts: Facts, nvidia: NvidiaDriver, cards: readonly GraphicsCard[]): Device[] {
  const minors = nvidia.cards.filter(({ pci }) => cards.some((card) => card.pci?.toLowerCase() === pci?.toLowerCase())).map(({ minor }) => minor);
  // A node that nobody has asked the driver for yet is not on the host; here it can be made all the same.
  const wanted = [...minors.map((minor) => ({ path: `/dev/nvidia${minor}`, major: 195, minor })), ...shared(nvidia)];
  const capabilities = nvidia.capabilities.filter((path) => facts.nodes[path]);
  return [
    ...wanted.flatMap(({ path, major, minor }): Device[] => (facts.nodes[path] ? [nodeEdit(facts, path)] : major === undefined ? [] : [{ path, type: 'c', major, minor, group: null, mode: 0o666 }])),
    // Parts of a card (MIG): those that everybody on the host may use; the others change how cards are divided.
    ...capabilities.filter((path) => facts.nodes[path]!.mode & 0o004).map((path): Device => ({ ...nodeEdit(facts, path), as: { uid: 0, gid: 0, mode: 0o444 }, rights: 'r' })),
  ];
}

/** Into the folder where the root's linker looks by itself, where that is known: then its own cache need not be covered. */
function librariesOf({ inside }: Facts, { libraries, files }: NvidiaDriver): Pick<Edits, 'binds' | 'links' | 'libraries'> {
  const own = ownFolders(inside?.linkerCache ?? []);
  // Those of 32-bit programs are of no use to a root that runs none.
  const placed = libraries.filter(({ flags }) => own.size === 0 || own.has(flags)).map((library) => {
    const isPlugin = library.folder.endsWith('/vdpau');
    const folder = own.get(library.flags) ?? (isPlugin ? dirname(library.folder) : library.folder);
    return { ...library, isPlugin, to: isPlugin ? `${folder}/vdpau` : folder };
  }).filter(({ name, to }, i, all) => all.findIndex((other) => other.name === name && other.to === to) === i);
  const bind = (from: string, to: string): Bind => ({ from, to, write: false, owner: 'as-is', passes: true });
  const links = placed.flatMap(({ name, to, soname, isPlugin }): Link[] => {
    if (isPlugin) return [{ path: `${to}/${soname}`, to: name }];
    const base = name.replace(/\.so\..*/, '');
    switch (base) {
      case 'libcuda': case 'libnvidia-opticalflow': return [{ path: `${to}/${base}.so`, to: soname }]; // many programs ask for them under this name
      case 'libGLX_nvidia': return [{ path: `${to}/libGLX_indirect.so.0`, to: name }]; // libglvnd's name for GLX over the X connection
      case 'libnvidia-allocator': return [{ path: `${to}/gbm/nvidia-drm_gbm.so`, to: `../${soname}` }]; // Mesa's libgbm looks for a driver by the kernel's name of it
      default: return [];
    }
  });
  return {
    binds: [...placed.map(({ folder, name, to }) => bind(`${folder}/${name}`, `${to}/${name}`)), ...files.map(({ from, to }) => bind(from, to))],
    links,
    libraries: [...new Set(placed.filter(({ isPlugin }) => !isPlugin).map(({ to }) => to))],
  };
}

/** Paths of the host that librariesOf() binds. */
export const nvidiaPaths = (nvidia: NvidiaDriver | null | undefined): string[] =>
  nvidia ? [...nvidia.libraries.map(({ folder, name }) => `${folder}/${name}`), ...nvidia.files.map(({ from }) => from)] : [];
