import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What is at each path of a tree: kind, mode, owner, and content, times apart. Links of one file to each other count as one. */
export function treeOf(root: string): Map<string, string> {
  const found = new Map<string, string>();
  const first = new Map<number, string>();
  const walk = (path: string): void => {
    const stat = lstatSync(`${root}${path}`);
    const owned = `${stat.uid}:${stat.gid} ${(stat.mode & 0o7777).toString(8)}`;
    if (stat.isDirectory()) {
      found.set(path, `folder ${owned}`);
      for (const name of readdirSync(`${root}${path}`).sort()) walk(`${path}/${name}`);
    } else if (stat.isSymbolicLink()) found.set(path, `link to ${readlinkSync(`${root}${path}`)} ${stat.uid}:${stat.gid}`);
    else if (stat.isFile()) {
      const same = stat.nlink > 1 ? first.get(stat.ino) : undefined;
      if (stat.nlink > 1 && !same) first.set(stat.ino, path);
      found.set(path, same ? `the same file as ${same}` : `file ${owned} ${createHash('sha256').update(readFileSync(`${root}${path}`)).digest('hex')}`);
    } else found.set(path, `node ${stat.rdev} ${owned}`);
  };
  walk('');
  return found;
}

/** The paths at which two trees differ, and how. */
export function differing(one: string, other: string): string[] {
  const [left, right] = [treeOf(one), treeOf(other)];
  return [...new Set([...left.keys(), ...right.keys()])].sort().filter((path) => left.get(path) !== right.get(path)).map((path) => `${path}: ${left.get(path) ?? 'nothing'}, ${right.get(path) ?? 'nothing'}`);
}

/** What has times in it, or numbers of the file system's, and so differs between any two installations of the same: logs, the caches of apt and ldconfig. */
export const hasTimes = (path: string): boolean => /^\/var\/(log\/(apt\/|dpkg\.log|alternatives\.log)|cache\/(apt|ldconfig)\/)/.test(path);
