import { createHash } from 'node:crypto';
import { chmodSync, chownSync, constants, copyFileSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, type Stats, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path/posix';
import { attempt } from '../attempt.ts';
import { store } from '../store.ts';
import type { Step } from '../step.ts';
import { inRoot } from './held.ts';

/**
 * What apt has fetched, kept for the next Debian root. Nothing in here is believed: a package is laid where apt has what it has fetched in part, so that apt takes its sum and compares that with the
 * signed list, and fetches what is another file; a list must have the sum that is in the release file beside it, whose signature apt looks at. So it does no harm that programs of a root have had it in their hands.
 */

/** Longer than the time between two point releases of Debian is of no use: by then most of it has been replaced. In ms. */
const age = 30 * 24 * 3600 * 1000;

/** What one root is shown, in bytes: the ones that were used last. All of a file is copied, as apt gives it to a user of its own who speaks with the network, and writes to it. */
const most = 2 ** 30;

const archives = '/var/cache/apt/archives';
const lists = '/var/lib/apt/lists';
const kept = `${store.fetched}/lists`;
const package_ = /^[a-z0-9][a-z0-9+.-]*_[A-Za-z0-9+.~%-]+_[a-z0-9-]+\.deb$/;
/** apt names a list after its address: HOST_PATH_dists_SUITE_InRelease. */
const release = /_InRelease$/;
const list = /^[A-Za-z0-9][A-Za-z0-9_.+~%:-]*_(InRelease|Packages)$/;

/** Plain files of a folder that have such a name, with what stat(2) says. */
function filesIn(folder: string, wanted: RegExp): { name: string; stat: Stats }[] {
  return attempt(() => readdirSync(folder), []).filter((name) => wanted.test(name)).flatMap((name) => {
    const stat = attempt(() => lstatSync(`${folder}/${name}`), null);
    return stat?.isFile() ? [{ name, stat }] : [];
  });
}

/** Does something with a folder of a root, held open; nothing where there is no such folder. */
const within = (root: string, folder: string, use: (folder: string) => void): void => attempt(() => inRoot(root)(`${folder}/.held`, (way) => use(dirname(way))), undefined);

/** Lays what was fetched before of a suite, for a processor, into a root that is still empty. */
export function bring({ root, suite, architecture }: Extract<Step, { kind: 'fetched-in' }>): void {
  const laid: string[] = [];
  const lay = (to: string, stat: Stats, doing: () => void) => {
    laid.push(to);
    doing();
    utimesSync(to, stat.atime, stat.mtime); // apt asks the server for what is newer
  };
  try {
    // Only what is needed: mmdebstrap gives the folders that it makes to apt's own user.
    for (const folder of [`${root}${archives}/partial`, `${root}${lists}`]) mkdirSync(folder, { recursive: true, mode: 0o755 });
    chmodSync(`${root}${archives}/partial`, 0o700);
    let bytes = 0;
    const packages = filesIn(store.fetched, package_).filter(({ name }) => name.endsWith(`_${architecture}.deb`) || name.endsWith('_all.deb'));
    for (const { name, stat } of packages.sort((a, b) => b.stat.ctimeMs - a.stat.ctimeMs)) {
      bytes += stat.size;
      if (bytes > most) break;
      const [from, to] = [`${store.fetched}/${name}`, `${root}${archives}/partial/${name}`];
      lay(to, stat, () => copyFileSync(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL));
    }
    const known = filesIn(kept, list);
    for (const { name, stat } of known) {
      const base = name.replace(release, '');
      if (!release.test(name) || !base.split('_dists_')[1]?.startsWith(suite)) continue; // also bookworm-security
      const text = readFileSync(`${kept}/${name}`, 'latin1');
      const sums = new Set(text.split('\n').map((line) => line.trim().replace(/ +/g, ' ')));
      lay(`${root}${lists}/${name}`, stat, () => copyFileSync(`${kept}/${name}`, `${root}${lists}/${name}`));
      for (const { name, stat } of known.filter(({ name }) => name.startsWith(`${base}_`) && name.endsWith(`_binary-${architecture}_Packages`))) {
        const data = readFileSync(`${kept}/${name}`);
        const sum = createHash('sha256').update(data).digest('hex');
        if (sums.has(`${sum} ${data.length} ${name.slice(base.length + 1).replaceAll('_', '/')}`)) lay(`${root}${lists}/${name}`, stat, () => writeFileSync(`${root}${lists}/${name}`, data));
      }
    }
  } catch {
    // Such as a full disk: what is needed is fetched.
    for (const path of laid) rmSync(path, { force: true });
  }
}

/** Takes what was fetched out of a root that was made, and forgets what was not used for long. */
export function keep(root: string): void {
  mkdirSync(dirname(store.fetched), { recursive: true, mode: 0o755 });
  for (const folder of [store.fetched, kept]) attempt(() => mkdirSync(folder, { mode: 0o700 }), undefined);
  const move = (from: string, name: string, to: string) => {
    const beside = `${to}/.${process.pid}.${name}`;
    const isMoved = attempt(() => {
      if (attempt(() => (renameSync(from, beside), true), false) === false) copyFileSync(from, beside); // on another file system
      chownSync(beside, 0, 0);
      chmodSync(beside, 0o644);
      renameSync(beside, `${to}/${name}`);
      return true;
    }, false);
    if (!isMoved) rmSync(beside, { force: true });
  };
  const empty = (folder: string, but: RegExp) => {
    for (const { name } of filesIn(folder, /./)) if (!but.test(name)) unlinkSync(`${folder}/${name}`);
  };
  within(root, archives, (folder) => {
    for (const { name, stat } of filesIn(folder, package_)) if (stat.nlink === 1) move(`${folder}/${name}`, name, store.fetched);
    empty(folder, /^lock$/);
  });
  within(root, lists, (folder) => {
    const whole = filesIn(folder, /\.whole$/).filter(({ stat }) => stat.nlink === 1).map(({ name }) => name); // lists that were narrowed
    for (const { name, stat } of filesIn(folder, list)) if (stat.nlink === 1) move(`${folder}/${whole.includes(`${name}.whole`) ? `${name}.whole` : name}`, name, kept);
    empty(folder, /^lock$/);
  });
  for (const folder of [`${archives}/partial`, `${lists}/partial`, `${lists}/auxfiles`]) within(root, folder, (held) => empty(held, /^$/));
  // A root in which apt was unpacked and not asked since has it as the package has it; apt that is asked gives both to the same user.
  within(root, `${archives}/partial`, (theirs) => {
    const { uid, gid, mode } = statSync(theirs);
    within(root, `${lists}/partial`, (held) => {
      chownSync(held, uid, gid);
      chmodSync(held, mode & 0o777);
    });
  });
  within(root, lists, (folder) => attempt(() => rmSync(`${folder}/auxfiles`, { recursive: true, force: true }), undefined));
  within(root, dirname(archives), (folder) => empty(folder, /^$/)); // what apt has read the lists into
  within(root, dirname(archives), (folder) => attempt(() => rmdirSync(`${folder}/ahead`), undefined)); // where packages were unpacked ahead
  for (const folder of [store.fetched, kept])
    for (const { name, stat } of filesIn(folder, /./)) if (Date.now() - stat.ctimeMs > age) rmSync(`${folder}/${name}`, { force: true });
}

/** How much is kept, in bytes on the disk. */
export const size = (): number => [store.fetched, kept].flatMap((folder) => filesIn(folder, /./)).reduce((sum, { stat }) => sum + stat.blocks * 512, 0);

/** Forgets all of it. A build that goes on has copies of its own. */
export function forget(): number {
  const bytes = size();
  rmSync(store.fetched, { recursive: true, force: true });
  return bytes;
}
