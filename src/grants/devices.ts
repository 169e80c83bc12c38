import * as v from 'valibot';
import { cdiEdits, cdiExposes, cdiNeeds, cdiPaths } from '../cdi.ts';
import { isCdiName } from '../cdi/names.ts';
import type { Exposure } from '../edits.ts';
import { lacks, type Problem } from '../errors.ts';
import { defineGrant } from '../grant.ts';
import { nodeEdit } from '../nodes.ts';
import { path } from '../schema.ts';

/** Nodes that give away more than one device. */
const grave: [pattern: RegExp, what: string][] = [
  [/^\/dev\/(input\/|hidraw)/, 'can read all that is typed or moved on that device'],
  [/^\/dev\/uinput$/, 'can type and click as the person at the host'],
  [/^\/dev\/(mem|kmem|port)$/, 'can change the memory of the kernel: the host is theirs'],
  [/^\/dev\/(sd|nvme|vd|mmcblk|dm-|loop|mapper\/)/, 'can read and change the disk below its file systems'],
  [/^\/dev\/tty(\d|S)/, 'can read what is typed on that terminal'],
];

const exposureOf = (path: string): Exposure => {
  const [, what] = grave.find(([pattern]) => pattern.test(path)) ?? [];
  return what ? { risk: 'high', what: `programs inside ${what} (${path})` } : { risk: 'medium', what: `the kernel's driver of ${path} takes commands straight from programs inside` };
};

const isPath = (name: string): boolean => name.startsWith('/');
const described = (names: readonly string[]): string[] => names.filter((name) => !isPath(name));

const node = v.pipe(path, v.startsWith('/dev/', 'expected a path below /dev'));
const cdiName = v.pipe(v.string(), v.check(isCdiName, 'expected a path below /dev, or vendor/class=name of a CDI device, such as "nvidia.com/gpu=all"'));

export default defineGrant({
  summary: 'single device nodes of the host, by path, and what files in /etc/cdi and /var/run/cdi describe (CDI), by name',
  options: v.array(v.pipe(v.string(), v.rawTransform(({ dataset: { value }, addIssue, NEVER }) => {
    const { success, output, issues } = v.safeParse(value.includes('=') && !isPath(value) ? cdiName : node, value);
    if (success) return output;
    for (const { message } of issues) addIssue({ message });
    return NEVER;
  }))),

  paths: (names, { cdi }) => [...names.filter(isPath), ...cdiPaths(described(names), cdi)],

  needs: (names, context) =>
    names.flatMap((name, i): Problem[] => {
      if (!isPath(name)) return cdiNeeds(described(names), name, context).map((problem) => ({ ...problem, at: [i] }));
      const { facts } = context;
      if (facts.nodes[name]) return [];
      const found = facts.paths[name];
      if (!found) return [{ ...lacks(`there is no ${name} on this host`, 'plug the device in, or load its driver'), at: [i] }];
      return [{ ...lacks(`${name} is ${found.kind === 'directory' ? 'a folder' : 'not a device'}`, found.kind === 'directory' ? 'name the nodes in it one by one' : 'files = [...] gives files'), at: [i] }];
    }),

  edits(names, { facts }) {
    const { devices = [], ...more } = cdiEdits(described(names), facts);
    return { devices: [...names.filter(isPath).map((name) => nodeEdit(facts, name)), ...devices], ...more };
  },

  exposes: (names, facts) => [
    ...names.filter(isPath).map(exposureOf),
    ...(facts ? cdiExposes(described(names), facts.cdi ?? [], exposureOf) : []),
    ...(described(names).length > 0 ? [{ risk: 'medium' as const, what: 'whoever writes the files that describe devices (/etc/cdi, /var/run/cdi) decides what comes with them' }] : []),
  ],
});
