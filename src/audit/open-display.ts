import type { Rule } from '../audit.ts';
import { opensDisplay } from '../displays.ts';
import { bound } from '../known.ts';

export default {
  summary: "an X server of the host asks nobody for a key (xhost +, xhost +local:), and is within reach: by the host's network, or by its socket",
  look(known) {
    const { openDisplays } = known.host;
    if (openDisplays.length === 0) return [];
    const reached = known.ownNetwork?.is === false ? [known.ownNetwork.where] : bound(known, new RegExp(`^/tmp(/\\.X11-unix(/X(${openDisplays.join('|')}))?)?$`)).map(({ where }) => where);
    const shown = openDisplays.map((number) => `:${number}`).join(', ');
    return reached.slice(0, 1).flatMap((where) => opensDisplay.map((exposure) => ({ ...exposure, what: `${exposure.what}: the display ${shown} lets in everybody who reaches it`, where, smaller: { say: `DISPLAY=${shown} xhost -local: (and xhost -)`, loses: 'programs of other accounts that have no key' } })));
  },
} satisfies Rule;
