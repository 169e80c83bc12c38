import * as v from 'valibot';
import { classEdit, isClass, nearestClass, nodesOf } from '../classes.ts';
import { lacks, type Problem } from '../errors.ts';
import { defineGrant } from '../grant.ts';
import { nodeEdit } from '../nodes.ts';
import { device } from '../schema.ts';

/** Nodes and classes that give away more than one device. */
const grave: [pattern: RegExp, what: string][] = [
  [/^\/dev\/(input\/|hidraw)|^char-(input|hidraw)/, 'can read all that is typed or moved on that device'],
  [/^\/dev\/uinput$/, 'can type and click as the person at the host'],
  [/^\/dev\/(mem|kmem|port)$|^char-mem$/, 'can change the memory of the kernel: the host is theirs'],
  [/^\/dev\/(sd|nvme|vd|mmcblk|dm-|loop|mapper\/)|^block-/, 'can read and change the disk below its file systems'],
  [/^\/dev\/tty(\d|S)|^char-(tty|ttyS|vcs|\/dev\/vc\/0)$/, 'can read what is typed on that terminal'],
  [/^char-misc$/, 'can use what has nothing in common but its number: virtual machines, input as from a keyboard, memory of other programs'],
  [/^char-drm$/, 'become master of the screen when nobody else is, and then decide what it shows'],
  [/^char-alsa$/, 'can listen to every microphone of the host'],
  [/^char-.*[*?[]/, 'can use every device whose driver has a name like that, now and later'],
];

export default defineGrant({
  summary: 'device nodes of the host, by path; or all of a class, also what is plugged in later',
  options: v.array(device),

  paths: (items) => items.filter((item) => !isClass(item)),
  classes: (items) => items.filter(isClass),

  needs: (items, { facts }) =>
    items.flatMap((item, i): Problem[] => {
      if (isClass(item)) {
        if (classEdit(facts, item, false).majors.length > 0) return [];
        const meant = nearestClass(facts, item);
        return [{ ...lacks(`this host has no devices '${item}'`, meant ? `did you mean '${meant}'?` : 'load their driver: /proc/devices has the names of those that are loaded'), at: [i] }];
      }
      if (facts.nodes[item]) return [];
      const found = facts.paths[item];
      if (!found) return [{ ...lacks(`there is no ${item} on this host`, 'plug the device in, or load its driver'), at: [i] }];
      return [{ ...lacks(`${item} is ${found.kind === 'directory' ? 'a folder' : 'not a device'}`, found.kind === 'directory' ? 'name the nodes in it one by one, or their class' : 'files = [...] gives files'), at: [i] }];
    }),

  edits(items, { facts, shift }) {
    // Only root with the host's ids can make nodes; to one with ids of its own the kernel says no, whatever the rules.
    const classes = items.filter(isClass).map((name) => classEdit(facts, name, shift === 0));
    return { devices: [...items.filter((item) => !isClass(item)).map((path) => nodeEdit(facts, path)), ...nodesOf(facts, classes)], classes };
  },

  exposes: (items) => items.map((item) => {
    const [, what] = grave.find(([pattern]) => pattern.test(item)) ?? [];
    return what ? { risk: 'high' as const, what: `programs inside ${what} (${item})` } : { risk: 'medium' as const, what: `the kernel's driver of ${item} takes commands straight from programs inside` };
  }),
});
