import type { Rule } from '../audit.ts';
import { opensDisplay, socketsBound } from '../displays.ts';

export default {
  summary: "an X server of the host asks nobody for a key (xhost +, xhost +local:), and is within reach: by the host's network, or by its socket that was given with an untrusted key",
  look(known) {
    const { openDisplays } = known.host;
    // What is let in without a key is trusted: an untrusted one need not be shown.
    const untrusted = known.opened.find(({ can }) => can === 'windows')?.where;
    const where = untrusted ?? (known.ownNetwork?.is === false && socketsBound(known.binds).length === 0 ? known.ownNetwork.where : undefined);
    if (openDisplays.length === 0 || !where) return [];
    const shown = openDisplays.map((number) => `:${number}`).join(', ');
    return opensDisplay.map((exposure) => ({ ...exposure, what: `${exposure.what}: the display ${shown} lets in everybody who reaches it`, where, smaller: { say: `DISPLAY=:${openDisplays[0]} xhost -local: (and xhost -)`, loses: 'programs of other accounts that have no key' } }));
  },
} satisfies Rule;
