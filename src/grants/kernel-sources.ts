import * as v from 'valibot';
import type { Bind } from '../edits.ts';
import { lacks, type Problem } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { defineGrant } from '../grant.ts';
import { installingHeaders } from '../packages.ts';
import { listed } from '../words.ts';

/** Where the modules of a kernel are, with links to what they were built from: Documentation/kbuild/modules.rst. */
const modulesOf = (kernel: string): string => `/lib/modules/${kernel}`;

/** What Gentoo's eclasses (linux-info), and drivers that look for no version, take for the sources of the kernel that runs. */
const usual = '/usr/src/linux';

/** Links that lead from there to the sources. Debian's headers are three folders: those of the kernel, those that its flavours share, and the tools. */
const linksOf = (kernel: string): string[] => ['build', 'source', 'build/scripts', 'build/tools'].map((name) => `${modulesOf(kernel)}/${name}`);

/** The folders that these lead to, each once and none that is within another. */
function foldersOf({ kernel, paths }: Facts): string[] {
  const modules = paths[modulesOf(kernel)]?.leads ?? modulesOf(kernel);
  const found = [...new Set(linksOf(kernel).flatMap((path) => (paths[path]?.kind === 'directory' ? (paths[path].leads ?? []) : [])))];
  return found.filter((path) => ![modules, modulesOf(kernel), ...found].some((other) => other !== path && path.startsWith(`${other}/`)));
}

export default defineGrant({
  summary: "the sources (or headers) and modules of the host's kernel, read-only and where builds of drivers look for them",
  options: v.picklist(['host'], 'expected "host"'),

  paths: (_, { kernel }) => [modulesOf(kernel), ...linksOf(kernel)],

  needs(_, { facts: { kernel, paths, nvidia, inside, distribution } }): Problem[] {
    const build = linksOf(kernel)[0]!;
    return [
      ...(paths[modulesOf(kernel)] ? [] : [lacks(`this host has no modules of the kernel that it runs: ${modulesOf(kernel)} is not there`, 'after an update of the kernel: start the host anew')]),
      ...(!paths[modulesOf(kernel)] || paths[build] ? [] : [lacks(`this host has no sources of the kernel that it runs: ${build} leads nowhere`, installingHeaders(kernel, { distribution }))]),
      // A root that is still to be made is looked at when it is there.
      ...(nvidia && inside && inside.nvidia.length > 0 && !inside.nvidia.includes(nvidia.version) ? [lacks(
        `NVIDIA's driver in the machine is ${listed(inside.nvidia)}, and the kernel of this host runs ${nvidia.version}: what is built there would not fit`, `install ${nvidia.version} inside`)] : []),
    ];
  },

  edits(_, { facts }) {
    const { kernel } = facts;
    const seen = (path: string): Bind => ({ from: path, to: path, write: false, owner: 'as-is', folder: true, passes: true });
    const build = facts.paths[linksOf(kernel)[0]!]!.leads ?? linksOf(kernel)[0]!;
    return {
      binds: [seen(modulesOf(kernel)), ...foldersOf(facts).map(seen)],
      links: build === usual ? [] : [{ path: usual, to: build }],
    };
  },

  exposes: () => [],
});
