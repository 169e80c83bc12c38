import { digest } from './digest.ts';

/** What is derived from a machine's name, the same on each start. */

/** Of an image itself, whichever name it was called by; a dot is in no machine's name. */
export const imageSession = (path: string): string => `image.${digest(path).toString('hex').slice(0, 12)}`;

/** Whether a path can be meant for an image, whatever is there. */
export const isImageName = (path: string): boolean => /\.(img|raw|bin|iso)(\.(xz|gz|zst|zip))?$|\.(xz|gz|zst|zip)$/i.test(path);

/** Of a machine that is an image: the name of its file as far as it can be one, 2024-11-19-raspios.img.xz -> image-2024-11-19-raspios. */
export function nameOfImage(path: string): string {
  const word = path.split('/').at(-1)!.toLowerCase().replace(/(\.(img|raw|bin|iso|xz|gz|zst|zip))+$/, '').replace(/[^a-z0-9]+/g, '-').replace(/^-+/, '');
  return (/^[a-z]/.test(word) ? word : `image-${word}`).slice(0, 63).replace(/-+$/, '');
}

/** How the host's ends of machines' links begin. */
export const linkPrefix = 'nb-';

/** Names of the two ends of its network link: at most 15 characters (IFNAMSIZ in linux/if.h). */
export const linkNames = (machine: string): { host: string; inside: string } => {
  const hash = digest(machine).toString('hex').slice(0, 8);
  return { host: `${linkPrefix}${hash}`, inside: `nbi-${hash}` };
};

/** What all private networks are in. */
export const privateNetworks = '10.213.0.0/16';

/** One of 16384 networks of four addresses below that: .1 is the host, .2 the machine. */
export function privateNetwork(machine: string): { network: string; host: string; address: string; gateway: string } {
  const number = digest(machine).readUInt16BE(8) & 0x3fff;
  const at = (last: number) => `10.213.${number >> 6}.${((number & 63) << 2) + last}`;
  return { network: `${at(0)}/30`, host: `${at(1)}/30`, address: `${at(2)}/30`, gateway: at(1) };
}

/** Where a machine begins to look for a free X display, so that machines that start together do not all take the first: 10 to 999. */
export const firstDisplay = (machine: string): number => 10 + (digest(machine).readUInt16BE(10) % 990);

/** The scope that systemd-machined puts a machine into: the name as unit_name_escape() writes it. */
export const scopeOf = (machine: string): string => `machine-${machine.replaceAll('-', '\\x2d')}.scope`;

/** The service that runs a machine, where systemd does: that of its engine, or systemd-nspawn@.service(8). */
export const serviceOf = (machine: string, { service }: { service?: (machine: string) => string } = {}): string => service?.(machine) ?? `systemd-nspawn@${machine}.service`;

/** The machine that a service runs. */
export const machineOf = (service: string): string => service.replace(/^[^@]*@(.*)\.service$/, '$1');

/** What makes systemd start a service with the host: systemctl enable would make it, and takes it for its own. */
export const enabledLink = (service: string): string => `/etc/systemd/system/multi-user.target.wants/${service}`;

/** Units that belong to a machine. A dot is in no machine's name, so that no two machines have a unit in common. */
export const unitOf = (machine: string, part?: string): string => `nestbox-${machine}${part ? `.${part}` : ''}.service`;

/** All of them, as systemctl(1) takes it. */
export const unitsPattern = (machine: string): string => `nestbox-${machine}.*`;

/** How files begin in the folder of drop-ins that give a device to a service while it runs; native/service.c takes them away. */
export const attachedPrefix = 'nestbox-attached-';

/** Where systemd-nspawn looks for 65536 free ids (UID_SHIFT_PICK_MIN and _MAX in its nspawn.c). */
const firstShift = 0x00080000;
const lastShift = 0x6fff0000;

/** Of the 65536 ids that this one is among. */
export const firstId = (id: number): number => id - (id % 0x10000);

/** UID_BUSY_BASE of systemd's nspawn-def.h: whom a root folder belongs to while systemd-nspawn gives the files below it other owners. */
export const busyIds = 0xfffe0000;

/**
 * The first of the ids that the files of a root have been given, told as systemd-nspawn does from the owner of the root folder (nspawn-patch-uid.c).
 * 0: they have the host's own; 'half': it was cut off while it gave them; null: no root of that kind.
 */
export const shiftOf = ({ uid, gid }: { uid: number; gid: number }): number | 'half' | null =>
  firstId(uid) !== firstId(gid) ? null : firstId(uid) === busyIds ? 'half' : firstId(uid);

/** The ids that a machine's own 65536 are shown as on the host, clear of all ranges in `taken`. */
export function pickShift(machine: string, taken: readonly { start: number; count: number }[]): number {
  const count = (lastShift - firstShift) / 0x10000 + 1;
  for (let i = 0, slot = digest(machine).readUInt32BE(0) % count; i < count; i++, slot = (slot + 1) % count) {
    const start = firstShift + slot * 0x10000;
    if (!taken.some((range) => range.start < start + 0x10000 && start < range.start + range.count)) return start;
  }
  return firstShift; // all 28 thousand are taken: no host has as many
}

/** The id, within the machine's own range, that host programs run under for a person who is root: it owns nothing inside. */
export const helperId = 65533;

/** What the copy of an image is called in which its file system gets smaller, behind the image's own name. */
export const smallerEnd = '.nestbox-smaller';
