import type { Rule } from '../audit.ts';
import { opensDisplay, socketsBound } from '../displays.ts';

export default {
  summary: "an X server of the host asks nobody for a key (xhost +, xhost +local:), and is within reach by the host's network",
  look(known) {
    const { openDisplays } = known.host;
    if (openDisplays.length === 0 || known.ownNetwork?.is !== false || socketsBound(known.binds).length > 0) return [];
    const shown = openDisplays.map((number) => `:${number}`).join(', ');
    const { where } = known.ownNetwork;
    return opensDisplay.map((exposure) => ({ ...exposure, what: `${exposure.what}: the display ${shown} lets in everybody who reaches it`, where, smaller: { say: `DISPLAY=:${openDisplays[0]} xhost -local: (and xhost -)`, loses: 'programs of other accounts that have no key' } }));
  },
} satisfies Rule;
