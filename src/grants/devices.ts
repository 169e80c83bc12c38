import * as v from 'valibot';
import { cdiEdits, cdiExposes, cdiNeeds, cdiPaths } from '../cdi.ts';
import { isCdiName } from '../cdi/names.ts';
import { classEdit, isClass, nearestClass, nodesOf } from '../classes.ts';
import { exposureOfDevice } from '../device-dangers.ts';
import { lacks, type Problem } from '../errors.ts';
import { allExposed, defineGrant } from '../grant.ts';
import { nodeEdit } from '../nodes.ts';
import { device } from '../schema.ts';

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

  exposes: (names, facts, { touchesHardware } = allExposed) => [
    ...names.flatMap((name, i) => (isPath(name) || isClass(name) ? [{ ...exposureOfDevice(name, touchesHardware), at: [i] }] : [])),
    ...(facts ? cdiExposes(described(names), facts.cdi ?? [], (name) => exposureOfDevice(name, touchesHardware)) : []),
    ...(described(names).length > 0 ? [{ can: 'driver' as const, what: 'whoever writes the files that describe devices (/etc/cdi, /var/run/cdi) decides what comes with them' }] : []),
  ],
});
