import { parse } from 'smol-toml';
import { isDeepStrictEqual } from 'node:util';
import { Complaint } from './errors.ts';

/** A machine as one file: an archive of its root, with its machine file, less its [root], as the first member (pure). */

/** The member that the machine file is; all others begin with ./ and are the root's. */
export const member = 'nestbox-machine.toml';

/** Whether `create` is given an archive, by its name. */
export const isArchiveName = (path: string): boolean => /\.(tar|tar\.\w+|tgz|nestbox)$/.test(path);

/** A machine file without [root], comments and all; a Complaint where that cannot be cut out. */
export function withoutRoot(text: string, file: string): string {
  const lines = text.split('\n');
  let inRoot = false;
  const rest = lines.filter((line) => {
    if (/^\s*\[/.test(line)) inRoot = /^\s*\[\s*root\s*(\.|\])/.test(line);
    return !inRoot;
  }).join('\n');
  const { root: _, ...wanted } = parse(text);
  let kept: object | null = null;
  try {
    kept = { ...parse(rest) };
  } catch {
    // said below
  }
  if (!isDeepStrictEqual(kept, wanted)) throw new Complaint(`${file}: its [root] cannot be told from the rest`, 'write it as a table of its own, after the other keys');
  return `${rest.trimEnd()}\n`;
}

/** The machine file of a machine that comes out of the archive at this path. */
export const withArchive = (text: string, path: string): string => `${text.trimEnd()}\n\n[root]\ntar = ${JSON.stringify(path)}\n`;

/** Packs a root, to standard output. Numeric: the ids are the root's own; a program's capabilities are an attribute. `beside`: the folder with the machine file. */
export const packing = (root: string, beside: string): string[] => [
  'tar', '--create', '--file', '-', '--zstd', '--format=posix', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls', '--sparse', '--one-file-system',
  '--anchored', `--exclude=./${member}`, '--directory', beside, member, '--directory', root, '.',
];

/** Writes the machine file of an archive to standard output, and reads no further. */
export const peeking = (archive: string): string[] => ['tar', '--extract', '--to-stdout', '--occurrence=1', '--file', archive, member];
