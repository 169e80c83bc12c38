import { type Rule, smallerFor } from '../audit.ts';
import { keysBound, opensDisplay, socketsBound } from '../displays.ts';

export default {
  summary: "the file with the key to the host's X server is bound, and the server is within reach by the host's network",
  // Where its socket is bound, that rule tells it.
  look: (known) => (known.ownNetwork?.is !== false || socketsBound(known.binds).length > 0 ? [] : keysBound(known.binds, known.host.home).slice(0, 1).flatMap(({ where }) => opensDisplay.map((exposure) => ({
    ...exposure, where, ...smallerFor(known, { nestbox: 'display = "nested"', nspawn: 'a nested server (Xephyr), with a key of its own', lxc: 'a nested server (Xephyr), with a key of its own' }, 'windows among those of the host'),
  })))),
} satisfies Rule;
