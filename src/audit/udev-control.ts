import { type Rule, smallerFor } from '../audit.ts';
import { bound } from '../known.ts';

/** udevd takes commands from root alone: udev-ctrl.c of systemd looks at the id of who sends. */
export default {
  summary: "udev's control socket is bound, and root inside is root of the host",
  look: (known) => (known.hostRoot?.is === false ? [] : bound(known, /^\/run(\/udev(\/control)?)?$/).map(({ where }) => ({
    can: 'settings', where, what: "root inside can stop the host's udev, and set variables for all of its rules",
    ...smallerFor(known, { nestbox: '[display.vt], which gives udev\'s messages alone', nspawn: 'BindReadOnly=/run/udev/data', lxc: 'a read-only entry for /run/udev/data' }, 'nothing: libudev reads the data alone'),
  }))),
} satisfies Rule;
