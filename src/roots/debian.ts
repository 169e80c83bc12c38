import * as v from 'valibot';
import { lacksProgram } from '../errors.ts';
import { nativeName } from '../foreign/binfmt.ts';
import { architectures } from '../foreign/elf.ts';
import type { Facts } from '../facts.ts';
import { unmasked } from '../masks.ts';
import { defineRoot } from '../root.ts';
import { mergedIn, preferencesFile } from '../merged.ts';
import { programPath } from '../places.ts';
import { line, says } from '../schema.ts';
import { bootsFrom, templateKey } from '../templates.ts';

const word = (what: string, example: string) => v.pipe(v.string(), v.regex(/^[a-z0-9][a-zA-Z0-9.+:~-]*$/, `expected ${what}, such as "${example}"`));

/** An init, the bus that it is spoken to on, and what makes a login a session with a runtime folder and a bus of its own. */
const initPackages = ['systemd-sysv', 'dbus', 'dbus-user-session', 'libpam-systemd'];

const isForeign = (asked: string | undefined, facts: Facts): boolean => asked !== undefined && asked !== nativeName(facts);

/** In the place of mmdebstrap's own `apt-get update`: from the lists, before apt has read them, all is taken that cannot get into the root, so that it reads them in no time. */
const narrowed = ({ programs: { 'nestbox-native': native } }: Facts, packages: readonly string[]): string[] =>
  native && /^[\w/.+-]+$/.test(native)
    ? [`--setup-hook=${[native, 'update', '"$1"', 'apt', ...packages].join(' ')}`, '--skip=update']
    : [];

export default defineRoot({
  summary: 'Debian, or a distribution made like it, from its packages',
  options: v.strictObject({
    debian: v.pipe(word('the name of a suite', 'bookworm'), says('The suite: bookworm, trixie, sid ...')),
    packages: v.optional(v.pipe(v.array(word('the name of a package', 'steam-installer')), says('Packages besides those of the variant.')), []),
    variant: v.optional(v.pipe(v.picklist(['minbase', 'important', 'standard', 'apt', 'essential', 'required']), says('How much is in it to begin with; see mmdebstrap(1).')), 'minbase'),
    components: v.optional(v.pipe(v.array(word('the name of a component', 'main')), says('Such as contrib, non-free.')), ['main']),
    architecture: v.optional(v.pipe(v.picklist(architectures.map(({ name }) => name)), says('For which processor, as Debian calls it: arm64, armhf, riscv64 ...; this host\'s own, unless told. See docs/foreign.md.'))),
    mirror: v.optional(v.pipe(line, v.regex(/^(https?|file|copy):\/\/?[^\s]+$/, 'expected the address of a mirror, such as "http://deb.debian.org/debian"'), says('Where the packages come from.'))),
    unmasked,
  }),
  architecture: ({ architecture }) => architecture,
  booted: (options) => ({ ...options, packages: [...new Set([...options.packages, ...initPackages])] }),
  paths: () => [],
  needs: (_, { programs, distribution }) => [
    ...(programs.mmdebstrap ? [] : [lacksProgram('mmdebstrap', 'make a Debian root', { distribution })]),
    ...(programs.unshare ? [] : [lacksProgram('unshare', 'make a Debian root', { distribution })]),
  ],
  source: ({ debian, packages, variant, components, mirror, architecture: asked, unmasked }, facts, _, machine) => ({
    kind: 'template',
    ...bootsFrom((more) => templateKey('debian', debian, { debian, packages: [...packages].sort(), variant, components, mirror, architecture: isForeign(asked, facts) ? asked : facts.architecture, ...more }),
      initPackages.every((name) => packages.includes(name)), unmasked, facts, machine),
    build: (target, seen) => [
      ...mergedIn(target, debian, asked ?? nativeName(facts), packages), { kind: 'fetched-in', root: target, suite: debian, architecture: asked ?? nativeName(facts) }, {
      // Seen elsewhere, as apt fetches as a user of its own, who cannot look into our folders.
      kind: 'build', target, seen, ahead: true, what: `make a Debian ${debian} root${isForeign(asked, facts) ? ` for ${asked}` : ''}`,
      argv: [
        'mmdebstrap', '--mode=root', '--format=directory', `--variant=${variant}`, `--components=${components.join(',')}`,
        // There is in it what was laid there before; and what it has fetched is taken from it when it has ended.
        '--skip=check/empty,essential/unlink,cleanup/apt',
        ...(packages.length > 0 ? [`--include=${packages.join(',')}`] : []),
        // Whether its programs run here is known already.
        ...(isForeign(asked, facts) ? [`--architectures=${asked}`, '--skip=check/qemu'] : []),
        // The first folder is that of native/ahead.c, and is gone with the builder's mounts.
        '--aptopt=Acquire::Languages "none"', `--aptopt=DPkg::Path "/var/cache/apt/ahead:${programPath}"`, ...narrowed(facts, packages), '--dpkgopt=force-unsafe-io',
        debian, seen, ...(mirror ? [mirror] : []),
      ],
    },
    { kind: 'fetched-out', root: target },
    // What is only good for the building, and the host's own name and name servers.
    ...[preferencesFile, 'etc/apt/apt.conf.d/99mmdebstrap', 'etc/dpkg/dpkg.cfg.d/99mmdebstrap', 'etc/hostname', 'etc/resolv.conf', 'etc/hosts'].map((path) => ({ kind: 'remove' as const, path: `${target}/${path}` })),
    { kind: 'write', path: `${target}/etc/resolv.conf`, text: '', mode: 0o644 },
    // As the installer writes it: without it nobody knows localhost.
    { kind: 'write', path: `${target}/etc/hosts`, text: '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n', mode: 0o644 }],
  }),
});
