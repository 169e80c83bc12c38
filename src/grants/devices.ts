import * as v from 'valibot';
import { cdiEdits, cdiExposes, cdiNeeds, cdiPaths } from '../cdi.ts';
import { isCdiName } from '../cdi/names.ts';
import { classEdit, isClass, nearestClass, nodesOf } from '../classes.ts';
import type { Exposure } from '../edits.ts';
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

const exposureOf = (path: string): Exposure => {
  const [, what] = grave.find(([pattern]) => pattern.test(path)) ?? [];
  return what ? { risk: 'high', what: `programs inside ${what} (${path})` } : { risk: 'medium', what: `the kernel's driver of ${path} takes commands straight from programs inside` };
};

const isPath = (name: string): boolean => name.startsWith('/');
const described = (names: readonly string[]): string[] => names.filter((name) => !isPath(name) && !isClass(name));

const cdiName = v.pipe(v.string(), v.check(isCdiName, 'expected a path below /dev, a class such as "char-alsa", or vendor/class=name of a CDI device, such as "nvidia.com/gpu=all"'));

export default defineGrant({
  summary: 'device nodes of the host, by path; all of a class, also what is plugged in later; and what files in /etc/cdi and /var/run/cdi describe (CDI), by name',
  example: '["/dev/kvm", "char-alsa", "nvidia.com/gpu=all"]',
  options: v.array(v.pipe(v.string(), v.rawTransform(({ dataset: { value }, addIssue, NEVER }) => {
    const { success, output, issues } = v.safeParse(value.includes('=') && !isPath(value) ? cdiName : device, value);
    if (success) return output;
    for (const { message } of issues) addIssue({ message });
    return NEVER;
  }))),

  paths: (names, { cdi }) => [...names.filter(isPath), ...cdiPaths(described(names), cdi)],
  classes: (names) => names.filter(isClass),

  needs: (names, context) =>
    names.flatMap((name, i): Problem[] => {
      const { facts } = context;
      if (isClass(name)) {
        if (classEdit(facts, name, false).majors.length > 0) return [];
        const meant = nearestClass(facts, name);
        return [{ ...lacks(`this host has no devices '${name}'`, meant ? `did you mean '${meant}'?` : 'load their driver: /proc/devices has the names of those that are loaded'), at: [i] }];
      }
      if (!isPath(name)) return cdiNeeds(described(names), name, context).map((problem) => ({ ...problem, at: [i] }));
      if (facts.nodes[name]) return [];
      const found = facts.paths[name];
      if (!found) return [{ ...lacks(`there is no ${name} on this host`, 'plug the device in, or load its driver'), at: [i] }];
      return [{ ...lacks(`${name} is ${found.kind === 'directory' ? 'a folder' : 'not a device'}`, found.kind === 'directory' ? 'name the nodes in it one by one, or their class' : 'files = [...] gives files'), at: [i] }];
    }),

  edits(names, { facts, shift }) {
    const { devices = [], ...more } = cdiEdits(described(names), facts);
    // Only root with the host's ids can make nodes; to one with ids of its own the kernel says no, whatever the rules.
    const classes = names.filter(isClass).map((name) => classEdit(facts, name, shift === 0));
    return { devices: [...names.filter(isPath).map((name) => nodeEdit(facts, name)), ...nodesOf(facts, classes), ...devices], classes, ...more };
  },

  exposes: (names, facts) => [
    ...names.filter((name) => isPath(name) || isClass(name)).map(exposureOf),
    ...(facts ? cdiExposes(described(names), facts.cdi ?? [], exposureOf) : []),
    ...(described(names).length > 0 ? [{ risk: 'medium' as const, what: 'whoever writes the files that describe devices (/etc/cdi, /var/run/cdi) decides what comes with them' }] : []),
  ],
});
