import { type Rule, smallerFor } from '../audit.ts';
import { keysBound, opensDisplay, socketsBound } from '../displays.ts';

export default {
  summary: "the socket of the host's X server is bound, alone or with its folder",
  look(known) {
    const how = keysBound(known.binds, known.host.home).length > 0 ? 'its key is bound as well' : known.host.openDisplays.length > 0 ? 'the server asks nobody for a key' : 'with a key, or where xhost lets it in, as is meant by it';
    return socketsBound(known.binds).slice(0, 1).flatMap(({ where }) => opensDisplay.map((exposure) => ({
      ...exposure, what: `${exposure.what}: ${how}`, where,
      ...smallerFor(known, { nestbox: 'display = "nested"', nspawn: 'a nested server (Xephyr), with a key of its own', lxc: 'a nested server (Xephyr), with a key of its own' }, 'windows among those of the host'),
    })));
  },
} satisfies Rule;
