import * as v from 'valibot';
import { lacksProgram } from '../errors.ts';
import { defineRoot } from '../root.ts';
import { line, says } from '../schema.ts';
import { templateKey } from '../templates.ts';

const word = (what: string, example: string) => v.pipe(v.string(), v.regex(/^[a-z0-9][a-zA-Z0-9.+:~-]*$/, `expected ${what}, such as "${example}"`));

export default defineRoot({
  summary: 'Debian, or a distribution made like it, from its packages',
  options: v.strictObject({
    debian: v.pipe(word('the name of a suite', 'bookworm'), says('The suite: bookworm, trixie, sid ...')),
    packages: v.optional(v.pipe(v.array(word('the name of a package', 'steam-installer')), says('Packages besides those of the variant.')), []),
    variant: v.optional(v.pipe(v.picklist(['minbase', 'important', 'standard', 'apt', 'essential', 'required']), says('How much is in it to begin with; see mmdebstrap(1).')), 'minbase'),
    components: v.optional(v.pipe(v.array(word('the name of a component', 'main')), says('Such as contrib, non-free.')), ['main']),
    mirror: v.optional(v.pipe(line, v.regex(/^(https?|file|copy):\/\/?[^\s]+$/, 'expected the address of a mirror, such as "http://deb.debian.org/debian"'), says('Where the packages come from.'))),
  }),
  paths: () => [],
  needs: (_, { programs }) => [
    ...(programs.mmdebstrap ? [] : [lacksProgram('mmdebstrap', 'make a Debian root')]),
    ...(programs.unshare ? [] : [lacksProgram('unshare', 'make a Debian root')]),
  ],
  source: ({ debian, packages, variant, components, mirror }, { architecture }) => ({
    kind: 'template',
    key: templateKey('debian', debian, { debian, packages: [...packages].sort(), variant, components, mirror, architecture }),
    build: (target) => [{
      kind: 'build', target, what: `make a Debian ${debian} root`,
      argv: [
        'mmdebstrap', '--mode=root', '--format=directory', `--variant=${variant}`, `--components=${components.join(',')}`,
        ...(packages.length > 0 ? [`--include=${packages.join(',')}`] : []),
        // The packages' own archives are of no use inside; what apt has to fetch again is its index.
        '--aptopt=Acquire::Languages "none"', '--dpkgopt=force-unsafe-io',
        debian, target, ...(mirror ? [mirror] : []),
      ],
    }],
  }),
});
