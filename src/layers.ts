import { dirname, join } from 'node:path/posix';
import { Complaint } from './errors.ts';
import { isWithin } from './facts.ts';
import { type Host, must } from './host.ts';
import { firstId } from './names.ts';
import type { Owner } from './step.ts';

/**
 * A root as the folders that an overlay is made of, uppermost first; one folder for a root that is used in place. They
 * are read and changed here while nothing is mounted and nothing runs. What is inside may be hostile, and its owner may change it
 * meanwhile: a link in the way must never lead a root write out of the layer. So all is done by way of host.within(), which holds the folders open.
 */

/** The uppermost layer that has the path, or null. Links at the end are not followed, links on the way must stay inside. */
export async function inLayers(host: Host, layers: readonly string[], path: string): Promise<string | null> {
  for (const layer of layers) {
    const stat = await host.within(layer).stat(path);
    if (!stat) continue;
    return stat.kind === 'other' ? null : layer; // a whiteout: deleted in an upper layer
  }
  return null;
}

/** A link of a root leads out of it. */
class LedAway extends Complaint {}

/** `to`: null where that cannot be told. */
export const leadsOutside = (path: string, to: string | null): LedAway =>
  new LedAway(`${path} in the machine's root leads outside of it${to ? `, to ${to}` : ''}`, 'a link in the root points to an absolute path: make it a relative one');

/**
 * The same path without the links of the root on its way, as a container sees it: /lib/firmware -> /usr/lib/firmware. What
 * is not there yet has none.
 */
export async function withoutLinks(host: Host, layers: readonly string[], path: string): Promise<string> {
  let at = '';
  const parts = path.split('/').filter(Boolean);
  for (const [i, part] of parts.entries()) {
    const next = `${at}/${part}`;
    const layer = i === parts.length - 1 ? null : await inLayers(host, layers, next);
    if (layer === null || (await host.within(layer).kind(next)) !== 'link') {
      at = next;
      continue;
    }
    const to = await host.resolve(layer === '/' ? next : `${layer}${next}`);
    if (to === null || !isWithin(to, layer)) throw leadsOutside(path, to);
    at = layer === '/' ? to : to.slice(layer.length);
  }
  return at || '/';
}

/** Folders from the top down to `path` that the uppermost layer does not have, deepest first: what makeAbove() and makeMountPoint() will make there. */
export async function missingIn(host: Host, layers: readonly string[], path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = path; at !== '/'; at = dirname(at)) if ((await inLayers(host, layers.slice(0, 1), at)) === null) missing.push(at);
  return missing;
}

/** Makes the folders above `path` in the uppermost layer, with the owner and mode that they have below. */
export async function makeAbove(host: Host, layers: readonly string[], path: string): Promise<void> {
  const parent = dirname(path);
  if (parent === '/') return;
  await makeAbove(host, layers, parent);
  const upper = host.within(layers[0]!);
  const stat = await upper.stat(parent);
  if (stat && stat.kind !== 'directory' && stat.kind !== 'link') throw new Complaint(`${parent} in the machine's root is not a folder`);
  if (stat) return;
  const below = await inLayers(host, layers, parent);
  const like = below ? await host.within(below).stat(parent) : null;
  if (like && like.kind === 'link') throw leadsOutside(path, await host.resolve(`${below}${parent}`));
  await upper.mkdir(parent, like ? like.mode & 0o7777 : 0o755, like ? { uid: like.uid, gid: like.gid } : await rootOf(host, layers));
}

/** Root, as the files of the layer have it: users = "shift" has given them other ids. */
async function rootOf(host: Host, layers: readonly string[]): Promise<Owner> {
  const stat = await host.stat(layers[0]!);
  return { uid: firstId(stat?.uid ?? 0), gid: firstId(stat?.gid ?? 0) };
}

export async function makeMountPoint(host: Host, layers: readonly string[], path: string, type: 'file' | 'directory'): Promise<void> {
  await makeAbove(host, layers, path);
  const upper = host.within(layers[0]!);
  if ((await upper.stat(path)) !== null) return;
  const owner = await rootOf(host, layers);
  if (type === 'directory') await upper.mkdir(path, 0o755, owner);
  else await upper.write(path, '', 0o644, owner);
}

/** A link at `path`, in the place of another link there, and of nothing else: it is in the way of what a person has in the root. */
export async function makeLinkInside(host: Host, layers: readonly string[], path: string, to: string): Promise<void> {
  const there = await inLayers(host, layers, path);
  const kind = there === null ? null : await host.within(there).kind(path);
  if (kind !== null && kind !== 'link') throw new Complaint(`${path} in the machine's root is ${kind === 'directory' ? 'a folder' : 'a file'}, and a link to ${to} belongs there`, `move it away in the machine: ${to === '/dev/null' ? 'what is a file of its own there cannot be masked' : 'a device or a driver of the host brings its own'}`);
  await makeAbove(host, layers, path);
  const upper = host.within(layers[0]!);
  if ((await upper.stat(path)) !== null) await upper.remove(path);
  await upper.symlink(to, path);
}

/** What `doing` does, unless a link has taken the place of a folder that we knew. */
async function unlessLedAway(doing: () => Promise<void>): Promise<void> {
  try {
    await doing();
  } catch (error) {
    if (!(error instanceof LedAway)) throw error;
  }
}

/** Removes a link that was made there, unless something else has come into its place. */
export const removeLinkInside = (host: Host, layer: string, path: string, to: string): Promise<void> => unlessLedAway(async () => {
  const inside = host.within(layer);
  if ((await inside.readLink(path)) === to) await inside.remove(path);
});

export const everyRootHas: readonly string[] = ['/usr', '/var', '/etc', '/root', '/proc', '/sys', '/dev', '/run', '/tmp'];
/** Links that are made where they lead to something. */
export const intoUsr = { '/bin': 'usr/bin', '/sbin': 'usr/sbin', '/lib': 'usr/lib', '/lib64': 'usr/lib64' };

/** What nspawn makes where it is missing (base-filesystem.c of systemd), which it cannot in a root with mapped ids. */
export async function missingPlaces(host: Host, layers: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const path of everyRootHas) if ((await inLayers(host, layers, path)) === null) missing.push(path);
  for (const [path, to] of Object.entries(intoUsr)) if ((await inLayers(host, layers, path)) === null && (await inLayers(host, layers, `/${to}`)) !== null) missing.push(path);
  return missing;
}

/** What systemd-nspawn mounts over, and puts files into: by its path, so that a link there leads it to the same path on the host (seen with version 252). */
export const covered: readonly string[] = ['/dev', '/etc', '/proc', '/run', '/sys', '/tmp', '/var'];

/** A Complaint where one of the folders that containers have mounts and files in is a link that leads out of the root. */
export async function mustStayInside(host: Host, layers: readonly string[]): Promise<void> {
  for (const path of covered) {
    let at = path;
    for (let links = 0; ; links++) {
      const layer = await inLayers(host, layers, at);
      const to = layer === null || layer === '/' ? null : await host.within(layer).readLink(at);
      if (to === null) break;
      const next = join(dirname(at).slice(1), to); // without a / at its beginning, so that what climbs too high is seen
      if (to.startsWith('/') || next.startsWith('..') || links === 40) throw leadsOutside(path, to);
      at = `/${next}`;
    }
  }
}

export async function makePlaces(host: Host, layers: readonly string[]): Promise<void> {
  for (const path of await missingPlaces(host, layers)) {
    const to = intoUsr[path as keyof typeof intoUsr];
    if (to) await host.within(layers[0]!).symlink(to, path); // these are at the top
    else await makeMountPoint(host, layers, path, 'directory');
  }
}

/** Removes what makePlaces() or makeMountPoint() made, unless something has come into it. */
export const removeEmpty = (host: Host, layer: string, path: string): Promise<void> => unlessLedAway(async () => {
  const inside = host.within(layer);
  const kind = await inside.kind(path);
  if (kind === 'directory' || (kind === 'link' && path in intoUsr) || (kind === 'file' && (await inside.read(path)) === '')) await inside.remove(path);
});

/** Overlay whiteouts (character device 0:0; Documentation/filesystems/overlayfs.rst) for what not everybody may read. */
export async function hidePrivate(host: Host, below: string, upper: string): Promise<void> {
  const { code, stdout, stderr } = await host.run(['find', below, '-xdev', '-ignore_readdir_race', '(', '-type', 'd', '!', '-perm', '-o=rx', '-prune', '-o', '-type', 'f', '!', '-perm', '-o=r', ')', '-print0']);
  if (code !== 0) throw new Complaint(`it cannot be told which files below ${below} are private`, stderr.trim());
  for (const path of stdout.split('\0').filter(Boolean)) {
    await makeAbove(host, [upper, '/'], path);
    await must(host, ['mknod', `${upper}${path}`, 'c', '0', '0']); // in a folder of nestbox's own, which nobody else can look into
  }
}
