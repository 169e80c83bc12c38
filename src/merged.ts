import type { Step } from './step.ts';

/** What apt is told while a root is made, below the root. */
export const preferencesFile = 'etc/apt/preferences.d/nestbox';

/**
 * Suites whose init-system-helpers asks for `usrmerge | usr-is-merged`. Where the links of / are not there, the first of these makes them with a Perl program, and with all of Perl for it: 40 MB that
 * nothing else in a small root needs. Later suites have the links in base-files.
 */
const converted = ['bookworm'];

/** Folders of / besides bin, sbin and lib that are links then; as debootstrap makes them (setup_merged_usr in its `functions`). */
const libraries: Record<string, string[]> = { amd64: ['lib32', 'lib64', 'libx32'], i386: ['lib64', 'libx32'], ppc64: ['lib32', 'lib64'], ppc64el: ['lib64'], s390x: ['lib32'], sparc64: ['lib32', 'lib64'], mips64el: ['lib32', 'lib64', 'libo32'] };

/** The step that makes the links before anything is installed; none where the suite does not need it, or the person wants usrmerge itself. `architecture`: Debian's name. */
export const mergedIn = (root: string, suite: string, architecture: string, packages: readonly string[]): Step[] =>
  (!converted.includes(suite) || packages.includes('usrmerge') ? [] : [{
    kind: 'merged', root, folders: ['bin', 'sbin', 'lib', ...(libraries[architecture] ?? [])], preferences: 'Package: usrmerge\nPin: release *\nPin-Priority: -1\n',
  }]);
