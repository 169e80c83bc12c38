import * as v from 'valibot';
import { lacks, lacksProgram } from '../errors.ts';
import { unmasked } from '../masks.ts';
import { defineRoot } from '../root.ts';
import { path, says } from '../schema.ts';
import { bootsFrom, templateKey } from '../templates.ts';

/** What makes systemd the init; base has it already. */
const initPackage = 'systemd-sysvcompat';

export default defineRoot({
  summary: 'Arch Linux, from its packages',
  options: v.strictObject({
    arch: v.pipe(v.literal(true, 'expected true'), says('true')),
    packages: v.optional(v.pipe(v.array(v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9@._+-]*$/, 'expected the name of a package, such as "steam"'))), says('Packages besides base.')), []),
    config: v.optional(v.pipe(path, says('A pacman.conf that names the mirrors; /etc/pacman.conf if absent.')), '/etc/pacman.conf'),
    unmasked,
  }),
  booted: (options) => ({ ...options, packages: [...new Set([...options.packages, initPackage])] }),
  paths: ({ config }) => [config],
  needs: ({ config }, { programs, paths, distribution }) => [
    ...(programs.pacstrap ? [] : [lacksProgram('pacstrap', 'make an Arch root', { distribution })]),
    ...(paths[config] ? [] : [{ ...lacks(`${config} does not exist on this host`, 'config = "..." names a pacman.conf'), at: ['config'] }]),
  ],
  source: ({ packages, config, unmasked }, facts, _, machine) => ({
    kind: 'template',
    ...bootsFrom((more) => templateKey('arch', 'base', { packages: packages.filter((name) => name !== initPackage).sort(), config, modified: facts.paths[config]?.modified, architecture: facts.architecture, ...more }), packages.includes(initPackage), unmasked, facts, machine),
    build: (target, seen) => [{
      // Seen at a short path: the socket of the agent that makes its keys is below.
      kind: 'build', target, seen, what: 'make an Arch root',
      // -K, -M: keys of its own, and neither those of the host nor its mirrors.
      argv: ['pacstrap', '-C', config, '-K', '-M', seen, 'base', ...packages],
    },
    // The packages' own archives: they are as large as what was in them.
    { kind: 'remove-tree', path: `${target}/var/cache/pacman/pkg` }, { kind: 'mkdir', path: `${target}/var/cache/pacman/pkg`, mode: 0o755 }],
  }),
});
