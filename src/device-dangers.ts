import type { Danger } from './dangers.ts';
import { isInEveryContainer } from './devices.ts';
import type { Exposure } from './edits.ts';

/** What a device, or a class of devices, opens: by its path, or by its name in DeviceAllow= of systemd. */

const byName = 'the node alone, by its path';

/** Nodes and classes that give away more than one device. The first that fits is what is told. */
const grave: { of: RegExp; can: Danger; what: string; smaller?: Exposure['smaller'] }[] = [
  { of: /^\/dev\/(mem|kmem|port)$|^char-mem$/, can: 'memory', what: 'can change the memory of the kernel: the host is theirs' },
  { of: /^\/dev\/(sd|hd|nvme|vd|xvd|mmcblk|dm-|md\d|loop\d|mapper\/|disk\/)|^block-/, can: 'disks', what: 'can read and change the disk below its file systems', smaller: { say: '[root] volume = ..., or files = [...] with what is on it', loses: 'the disk itself' } },
  { of: /^\/dev\/(uinput|uhid)$/, can: 'typing', what: 'can type and click as the person at the host' },
  { of: /^\/dev\/(input(\/|$)|hidraw)|^char-(input|hidraw)/, can: 'keys', what: 'can read all that is typed or moved on that device' },
  { of: /^\/dev\/(tty\d|ttyS|vcs)|^char-(tty|ttyS|vcs|\/dev\/vc\/0)$/, can: 'keys', what: 'can read what is typed on that terminal' },
  { of: /^char-misc$/, can: 'typing', what: 'can use what has nothing in common but its number: virtual machines, input as from a keyboard, memory of other programs', smaller: { say: byName, loses: 'the other devices of that number' } },
  { of: /^char-\*$/, can: 'keys', what: 'can use every device of the host but disks: keyboards, terminals and uinput among them', smaller: { say: byName, loses: 'all other devices' } },
  { of: /^\/dev\/(dri|dri\/card\d+)$|^char-drm$/, can: 'display', what: 'become master of the screen when nobody else is, and then decide what it shows', smaller: { say: 'gpu = "render"', loses: 'drawing on the screen itself' } },
  { of: /^\/dev\/snd$|^char-alsa$/, can: 'microphone', what: 'can listen to every microphone of the host', smaller: { say: '[audio.alsa]', loses: 'the other cards, and those that are plugged in later' } },
  { of: /^char-.*[*?[]/, can: 'driver', what: 'can use every device whose driver has a name like that, now and later', smaller: { say: byName, loses: 'devices that come later' } },
];

/** What programs inside could do with it. `touchesHardware`: whether root inside may open memory, which the kernel allows with CAP_SYS_RAWIO over the host alone (open_port() in drivers/char/mem.c). */
export function exposureOfDevice(name: string, touchesHardware: boolean): Exposure {
  const found = grave.find(({ of }) => of.test(name));
  if (found?.can === 'memory' && !touchesHardware) return { can: 'calls', what: `the kernel opens ${name} with CAP_SYS_RAWIO over the host alone, which root inside does not have` };
  if (!found) return { can: 'driver', what: `the kernel's driver of ${name} takes commands straight from programs inside` };
  const { can, what, smaller } = found;
  return { can, what: `programs inside ${what} (${name})`, ...(smaller && { smaller }) };
}

/** Numbers of devices that open more than themselves, by the names above: Documentation/admin-guide/devices.txt. */
const numbered: [type: 'c' | 'b', major: number, minor: number | '*', name: string][] = [
  ['c', 1, 1, '/dev/mem'], ['c', 1, 2, '/dev/kmem'], ['c', 1, 4, '/dev/port'], ['c', 1, '*', 'char-mem'], ['c', 4, '*', 'char-tty'], ['c', 7, '*', 'char-vcs'], ['c', 10, 223, '/dev/uinput'], ['c', 10, 239, '/dev/uhid'],
  ['c', 10, 229, '/dev/fuse'], ['c', 10, 232, '/dev/kvm'], ['c', 10, '*', 'char-misc'], ['c', 13, '*', 'char-input'], ['c', 29, '*', 'char-fb'], ['c', 81, '*', 'char-video4linux'], ['c', 116, '*', 'char-alsa'], ['c', 195, '*', 'char-nvidia'], ['c', 226, '*', 'char-drm'],
];

/** The name of what a rule of control groups opens; null: what every container has, or it may only be made. */
export function nameOfRule(type: string, major: number | '*', minor: number | '*', rights: string): string | null {
  if (!/[rw]/.test(rights)) return null;
  if (major === '*') return type === 'b' ? 'block-*' : 'char-*';
  if (type === 'b') return `block-${major}`;
  if (minor !== '*' && (isInEveryContainer({ type: 'c', major, minor }) || (major === 5 && minor === 1))) return null;
  if (major === 136 || (major === 5 && minor === '*')) return null; // terminals of the container itself
  if (major === 226 && minor !== '*') return minor < 128 ? `/dev/dri/card${minor}` : `/dev/dri/renderD${minor}`;
  const exact = numbered.find(([, known, one]) => known === major && one === minor);
  const whole = numbered.find(([, known, one]) => known === major && one === '*');
  return exact?.[3] ?? (whole ? (minor === '*' || /^char-(input|tty|vcs|alsa|drm)$/.test(whole[3]) ? whole[3] : `/dev/char/${major}:${minor}`) : minor === '*' ? `char-${major}` : `/dev/char/${major}:${minor}`);
}
