import * as v from 'valibot';
import { lacks, type Problem } from '../errors.ts';
import { defineGrant } from '../grant.ts';
import { nodeEdit } from '../nodes.ts';
import { path } from '../schema.ts';

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

  exposes: (paths) => paths.map((path) => ({ risk: 'medium' as const, what: `the kernel's driver of ${path} takes commands straight from programs inside` })),
});
