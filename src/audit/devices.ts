import type { Found, Rule } from '../audit.ts';
import { exposureOfDevice } from '../device-dangers.ts';
import { bound, touchesHardware } from '../known.ts';

/** A node or a folder of nodes that is bound: it opens where no list says otherwise. */
export default {
  summary: 'devices that may be opened: memory, disks, keyboards, terminals, uinput, graphics cards, whole classes, wildcards',
  look: (known): Found[] => [
    ...known.devices.map(({ is, where }) => ({ ...exposureOfDevice(is, touchesHardware(known)), where })),
    ...(known.deviceList?.is === true ? [] : bound(known, /^\/dev\/(?!shm|mqueue|pts|net\/tun|null|zero|u?random|full)./).map(({ is: { from }, where }) => ({ ...exposureOfDevice(from, touchesHardware(known)), where }))),
  ],
} satisfies Rule;
