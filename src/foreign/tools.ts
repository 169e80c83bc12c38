import type { Edits } from '../edits.ts';
import { programPath } from '../places.ts';

/** Programs of this host that can stand in for a root's own, with all that they need to be started. */
export interface Tools {
  /** nestbox-native: under the name of each, it chooses between the host's and the root's. */
  chooser: string;
  /** The dynamic linker. */
  loader: string;
  programs: { name: string; path: string }[];
  /** `name`: by which they are asked for. */
  libraries: { name: string; path: string }[];
}

/** Those that may stand in, and native/tools.c says with which arguments: whichever version of them does it, the same comes out to the byte. */
export const toolNames = ['dpkg-deb', 'dpkg-split', 'tar', 'rm', 'bzip2', 'gzip', 'xz', 'zstd', 'b2sum', 'md5sum', 'sha1sum', 'sha224sum', 'sha256sum', 'sha384sum', 'sha512sum', 'apt-method-file'] as const;

/** Those that no $PATH leads to, on the host and in the root. apt(8) has a program of its own for each way to a package: this one adds up what is in a file, and says where it is. */
export const toolPlaces: Partial<Record<(typeof toolNames)[number], string>> = { 'apt-method-file': '/usr/lib/apt/methods/file' };

/** Nothing else looks into this place: programs for the root's processor could make nothing of it. native/tools.c knows it. */
const folder = '/run/nestbox/tools';

/** apt(8) gives dpkg, and so all that dpkg starts, this $PATH; its own is what follows our folder (DPkg::Path, apt.conf(5)). */
const settings = (names: readonly string[]): string => `// Written by nestbox: programs of the host unpack packages, as the root's own are emulated ([foreign] native).
DPkg::Path "${folder}/bin:${programPath}";
${names.includes('apt-method-file') ? `Dir::Bin::Methods::file "${folder}/bin/apt-method-file";\n` : ''}`;

/** What of the host a root for another processor is given, so that packages are unpacked at the host's speed. */
export const toolEdits = ({ chooser, loader, programs, libraries }: Tools): Partial<Edits> => ({
  binds: [
    { from: loader, to: `${folder}/loader` },
    ...libraries.map(({ name, path }) => ({ from: path, to: `${folder}/lib/${name}` })),
    ...programs.flatMap(({ name, path }) => [{ from: path, to: `${folder}/programs/${name}` }, { from: chooser, to: `${folder}/bin/${name}` }]),
  ].map((bind) => ({ ...bind, write: false, owner: 'as-is', passes: true })),
  texts: [{ path: '/etc/apt/apt.conf.d/99nestbox', text: settings(programs.map(({ name }) => name)) }],
});
