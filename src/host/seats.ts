import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import type { InputKind, SeatFacts } from '../facts.ts';

/** What seats can be made of, as the kernel and udev know it. */
const text = (path: string): string => attempt(() => readFileSync(path, 'utf8').trim(), '');
const list = (folder: string): string[] => attempt(() => readdirSync(folder), []).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));

/** What udev has found out about a device: lines E:NAME=VALUE of its entry; device_get_device_id() of systemd's sd-device names it. */
const property = (entry: string, name: string): string | null => new RegExp(`^E:${name}=(.*)$`, 'm').exec(entry)?.[1] ?? null;
const entryOf = (id: string): string => text(`/run/udev/data/${id}`);

/** Where udev knows of none, a device's place on a PCI bus. */
const placeOf = (entry: string, device: string): string | null => {
  const pci = /.*\/([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])(\/|$)/.exec(attempt(() => realpathSync(device), ''))?.[1];
  return property(entry, 'ID_PATH') ?? (pci ? `pci-${pci}` : null);
};

/** Names of udev's builtin input_id, the more telling ones first. */
const kinds: [string, InputKind][] = [['KEYBOARD', 'keyboard'], ['TOUCHPAD', 'touchpad'], ['TOUCHSCREEN', 'touchscreen'], ['TABLET', 'tablet'], ['MOUSE', 'mouse'], ['JOYSTICK', 'joystick']];

function readInputs(): SeatFacts['inputs'] {
  const folder = '/sys/class/input';
  return list(folder).filter((name) => name.startsWith('event')).flatMap((node) => {
    const device = `${folder}/${node}/device`;
    if (text(`${device}/phys`).startsWith('nestbox/')) return []; // what machines have of it
    const entry = entryOf(`c${text(`${folder}/${node}/dev`)}`);
    const found = kinds.filter(([name]) => property(entry, `ID_INPUT_${name}`) === '1').map(([, kind]) => kind);
    return [{ node, name: text(`${device}/name`), path: property(entry, 'ID_PATH'), id: `${text(`${device}/id/vendor`)}:${text(`${device}/id/product`)}`, kinds: found.length > 0 ? found : ['other' as const] }];
  });
}

export function readSeats(): Omit<SeatFacts, 'claims'> {
  const drm = '/sys/class/drm';
  const console_ = attempt(() => realpathSync('/sys/class/graphics/fb0/device'), null);
  return {
    connectors: list(drm).flatMap((node) => {
      const [, card, name] = /^card(\d+)-(.+)$/.exec(node) ?? [];
      return name ? [{ card: Number(card), name, connected: text(`${drm}/${node}/status`) === 'connected' }] : [];
    }),
    cards: list(drm).filter((name) => /^card\d+$/.test(name)).map((name) => ({
      index: Number(name.slice(4)), path: placeOf(entryOf(`c${text(`${drm}/${name}/dev`)}`), `${drm}/${name}/device`), isConsole: console_ !== null && attempt(() => realpathSync(`${drm}/${name}/device`), '') === console_,
    })),
    sounds: list('/sys/class/sound').filter((name) => /^card\d+$/.test(name)).map((name) => ({ index: Number(name.slice(4)), path: placeOf(entryOf(`+sound:${name}`), `/sys/class/sound/${name}/device`) })),
    inputs: readInputs(),
  };
}
