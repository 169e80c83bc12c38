import { type Rule, smallerFor } from '../audit.ts';
import { bound } from '../known.ts';

/** The sockets of X servers are in one folder: the host's, and those of other machines' own servers. */
export default {
  summary: 'the folder of the sockets of X servers is bound as a whole, so that they can be removed or replaced',
  look: (known) => bound(known, /^\/tmp(\/\.X11-unix)?$/).filter(({ is: { write } }) => write).map(({ where }) => ({
    can: 'display', where, what: 'programs inside can remove the sockets of X servers and listen in their place: programs of the host and of other machines then draw and type there. A system that boots removes them by itself (tmpfiles.d)',
    ...smallerFor(known, { nestbox: 'display = "nested"', nspawn: 'BindReadOnly=/tmp/.X11-unix/X0', lxc: 'lxc.mount.entry = /tmp/.X11-unix/X0 tmp/.X11-unix/X0 none bind,ro,create=file 0 0' }, 'displays that come later'),
  })),
} satisfies Rule;
