import { type Rule, smallerFor } from '../audit.ts';
import { opensDisplay } from '../displays.ts';
import { showing } from '../known.ts';

/** Files of keys as startx, gdm, sddm and Xwayland of compositors name them. */
const keyFile = /(^|\/)(\.?Xauthority|xauth_\w+|\.mutter-Xwaylandauth\.\w+|\.Xauth)$/;

export default {
  summary: "the file with the key to the host's X server is bound: whoever has it is trusted with all",
  look(known) {
    const own = showing(known, `${known.host.home}/.Xauthority`);
    const files = known.binds.filter((bind) => keyFile.test(bind.is.from) || own.includes(bind));
    const reaches = known.ownNetwork?.is === false || known.binds.some(({ is: { from } }) => /^\/tmp(\/\.X11-unix(\/|$)|$)|^\/$/.test(from));
    return !reaches ? [] : files.flatMap(({ where }) => opensDisplay.map((exposure) => ({
      ...exposure, where, ...smallerFor(known, { nestbox: 'display = "nested"', nspawn: 'a nested server (Xephyr), with a key of its own', lxc: 'a nested server (Xephyr), with a key of its own' }, 'windows among those of the host'),
    })));
  },
} satisfies Rule;
