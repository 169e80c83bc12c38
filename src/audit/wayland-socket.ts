import { type Rule, smallerFor } from '../audit.ts';
import { bound } from '../known.ts';

/** Compositors of the wlroots family offer screen copy, virtual keyboards and the clipboard to every client; others let a portal ask. */
export default {
  summary: "the socket of the host's Wayland compositor is bound, without a security context",
  look: (known) => bound(known, /\/wayland-\d+$/).map(({ where }) => ({
    can: 'screen', where, what: 'programs inside are clients like those of the host: where the compositor offers it (sway, labwc, other wlroots), they copy the screen, type, and read the clipboard',
    ...smallerFor(known, { nestbox: 'display = "nested"', nspawn: 'a nested compositor (weston, cage)', lxc: 'a nested compositor (weston, cage)' }, 'windows among those of the host'),
  })),
} satisfies Rule;
