import * as v from 'valibot';
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

export default defineGrant({
  summary: 'single device nodes of the host, by path',
  options: v.array(v.pipe(path, v.startsWith('/dev/', 'expected a path below /dev'))),

  paths: (paths) => paths,

  needs: (paths, { facts }) =>
    paths.flatMap((path, i): Problem[] => {
      if (facts.nodes[path]) return [];
      const found = facts.paths[path];
      if (!found) return [{ ...lacks(`there is no ${path} on this host`, 'plug the device in, or load its driver'), at: [i] }];
      return [{ ...lacks(`${path} is ${found.kind === 'directory' ? 'a folder' : 'not a device'}`, found.kind === 'directory' ? 'name the nodes in it one by one' : 'files = [...] gives files'), at: [i] }];
    }),

  edits: (paths, { facts }) => ({ devices: paths.map((path) => nodeEdit(facts, path)) }),

  exposes: (paths) => paths.map((path) => {
    const [, what] = grave.find(([pattern]) => pattern.test(path)) ?? [];
    return what ? { risk: 'high' as const, what: `programs inside ${what} (${path})` } : { risk: 'medium' as const, what: `the kernel's driver of ${path} takes commands straight from programs inside` };
  }),
});
