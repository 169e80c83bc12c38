import { isCdiName } from '../cdi/names.ts';
import { isClass } from '../classes.ts';

/** Devices as people name them elsewhere, by path, folder or number, as the machine file names them. */

/** What one name asks for: a name in `devices`, nothing, as every machine has it, or no word for it. */
export type Named = { device: string; wider?: string } | { needless: string } | { unsaid: string } | { file: true };

/** Folders of nodes, and the class that has all of them: a folder that is bound shows also what is plugged in later. */
const folders: Record<string, string> = { '/dev/dri': 'char-drm', '/dev/snd': 'char-alsa', '/dev/input': 'char-input', '/dev/bus/usb': 'char-usb_device', '/dev/bus': 'char-usb_device', '/dev/vfio': 'char-vfio' };

/** Folders and sockets in /dev that are no devices. */
const files = /^\/dev\/(shm|mqueue|hugepages|log|initctl)(\/|$)/;

/** What systemd-nspawn makes for every machine. */
const always = /^\/dev\/(null|zero|full|random|urandom|tty|console|ptmx|pts(\/.*)?|net|net\/tun|fd|stdin|stdout|stderr|core)$/;

/** By a path below /dev. */
export function namedByPath(path: string): Named {
  if (files.test(path)) return { file: true };
  if (always.test(path)) return { needless: 'every machine has it' };
  if (Object.hasOwn(folders, path)) return { device: folders[path]!, wider: `every device of ${path}, also what is plugged in later` };
  if (/^\/dev\/(disk|block|char|mapper|serial|by-id|cpu|v4l)$/.test(path) || path === '/dev') return { unsaid: 'a folder of devices: devices = [...] names them one by one, or a class of them' };
  return { device: path };
}

/** Major numbers with their class, of Documentation/admin-guide/devices.txt and of drivers with a fixed one; the paths of single nodes. */
const majors: Record<string, string> = {
  'c 4': 'char-tty', 'c 13': 'char-input', 'c 29': 'char-fb', 'c 81': 'char-video4linux', 'c 116': 'char-alsa', 'c 180': 'char-usb', 'c 188': 'char-ttyUSB', 'c 166': 'char-ttyACM', 'c 189': 'char-usb_device', 'c 195': 'char-nvidia*',
  'c 226': 'char-drm', 'c 21': 'char-sg', 'c 10': 'char-misc', 'b 7': 'block-loop', 'b 8': 'block-sd', 'b 11': 'block-sr', 'b 179': 'block-mmc', 'b 43': 'block-nbd', 'b 253': 'block-device-mapper', 'b 254': 'block-device-mapper',
};

const nodes: Record<string, string> = {
  'c 10:229': '/dev/fuse', 'c 10:232': '/dev/kvm', 'c 10:223': '/dev/uinput', 'c 10:237': '/dev/loop-control', 'c 10:236': '/dev/mapper/control', 'c 10:238': '/dev/vhost-net', 'c 1:11': '/dev/kmsg', 'c 1:1': '/dev/mem', 'c 195:255': '/dev/nvidiactl', 'c 195:254': '/dev/nvidia-modeset',
};

/** Those that every machine may open. */
const open = /^c (1:[35789]|5:[012]|136:(\*|\d+)|10:200)$/;

/** The path of a node by its number, where that is always the same. */
function nodeOf(type: string, major: number, minor: number): string | null {
  const known = nodes[`${type} ${major}:${minor}`];
  if (known) return known;
  if (type === 'b') return major === 7 ? `/dev/loop${minor}` : null;
  switch (major) {
    case 4: return minor < 64 ? `/dev/tty${minor}` : `/dev/ttyS${minor - 64}`;
    case 13: return minor >= 64 && minor < 96 ? `/dev/input/event${minor - 64}` : minor === 63 ? '/dev/input/mice' : null;
    case 29: return `/dev/fb${minor}`;
    case 81: return `/dev/video${minor}`;
    case 166: return `/dev/ttyACM${minor}`;
    case 188: return `/dev/ttyUSB${minor}`;
    case 195: return minor < 254 ? `/dev/nvidia${minor}` : null;
    case 226: return minor < 64 ? `/dev/dri/card${minor}` : minor >= 128 && minor < 192 ? `/dev/dri/renderD${minor}` : null;
    default: return null;
  }
}

/** By a rule for control groups: a path, a class, or TYPE MAJOR:MINOR. */
export function namedByRule(name: string, rights: string): Named {
  if (name === 'a') return { unsaid: 'every device may be opened: devices = [...] names those that are needed, or classes such as "char-drm"' };
  if (!/[rw]/.test(rights)) return { needless: 'nodes are made by nestbox, and what is not named cannot be opened' };
  if (isCdiName(name)) return { device: name };
  if (name.startsWith('/dev/')) {
    const [, kind, numbers] = /^\/dev\/(char|block)\/(\d+:\d+)$/.exec(name) ?? [];
    return kind ? namedByRule(`${kind === 'char' ? 'c' : 'b'} ${numbers}`, rights) : namedByPath(name);
  }
  if (name === 'char-pts') return { needless: 'every machine has it' };
  if (isClass(name)) return { device: name };
  if (open.test(name)) return { needless: 'every machine has it' };
  const [, type, major, minor] = /^([cb]) (\d{1,4}|\*):(\d{1,7}|\*)$/.exec(name) ?? [];
  if (type === undefined) return { unsaid: 'is no rule of devices' };
  if (major === '*') return { unsaid: 'every device may be opened: devices = [...] names those that are needed, or classes such as "char-drm"' };
  const node = minor === '*' ? null : nodeOf(type, Number(major), Number(minor));
  if (node) return { device: node };
  const of = majors[`${type} ${major}`];
  if (!of) return { unsaid: `which devices have the number ${major} is not the same everywhere: /proc/devices has the name of their class, devices = ["${type === 'c' ? 'char' : 'block'}-..."]` };
  return minor === '*' ? { device: of } : { device: of, wider: `a node of that number alone has no name here, so all of ${of} may be opened` };
}
