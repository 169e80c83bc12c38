import { dirname } from 'node:path/posix';
import { Complaint } from './errors.ts';
import { type Host, must } from './host.ts';
import { firstId } from './names.ts';
import type { Owner } from './step.ts';

/**
 * A root as the folders that an overlay is made of, uppermost first; one folder for a root that is used in place. They
 * are read and changed here while nothing is mounted and nothing runs. What is inside may be hostile: a link in the way
 * must never lead a root write out of the layer.
 */

/** The path in the uppermost layer that has it, or null. Links at the end are not followed, links on the way must stay inside. */
export async function inLayers(host: Host, layers: readonly string[], path: string): Promise<string | null> {
  for (const layer of layers) {
    const found = layer === '/' ? path : `${layer}${path}`;
    const stat = await host.stat(found);
    if (!stat) continue;
    if (stat.kind === 'other') return null; // a whiteout: deleted in an upper layer
    const folder = await host.resolve(dirname(found));
    if (folder === null || !isWithin(folder, layer)) throw leads(path, folder);
    return found;
  }
  return null;
}

const isWithin = (path: string, folder: string): boolean => folder === '/' || path === folder || path.startsWith(`${folder}/`);

const leads = (path: string, to: string | null) =>
  new Complaint(`${path} in the machine's root leads outside of it${to ? `, to ${to}` : ''}`, 'a link in the root points to an absolute path: make it a relative one');

/**
 * The same path without the links of the root on its way, as a container sees it: /lib/firmware -> /usr/lib/firmware. What
 * is not there yet has none.
 */
export async function withoutLinks(host: Host, layers: readonly string[], path: string): Promise<string> {
  let at = '';
  const parts = path.split('/').filter(Boolean);
  for (const [i, part] of parts.entries()) {
    const next = `${at}/${part}`;
    const found = i === parts.length - 1 ? null : await inLayers(host, layers, next);
    if (found === null || (await host.kind(found)) !== 'link') {
      at = next;
      continue;
    }
    const layer = layers.find((one) => one === '/' || found.startsWith(`${one}/`))!;
    const to = await host.resolve(found);
    if (to === null || !isWithin(to, layer)) throw leads(path, to);
    at = layer === '/' ? to : to.slice(layer.length);
  }
  return at || '/';
}

/** Folders from the top down to `path` that the uppermost layer does not have, deepest first: what topPath() and makeMountPoint() will make there. */
export async function missingIn(host: Host, layers: readonly string[], path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = path; at !== '/'; at = dirname(at)) if ((await inLayers(host, layers.slice(0, 1), at)) === null) missing.push(at);
  return missing;
}

/** The path in the uppermost layer, the folders above it made there with the owner and mode that they have below. */
export async function topPath(host: Host, layers: readonly string[], path: string): Promise<string> {
  const parent = dirname(path);
  if (parent !== '/') {
    const top = await topPath(host, layers, parent);
    const stat = await host.stat(top);
    if (stat && stat.kind !== 'directory' && stat.kind !== 'link') throw new Complaint(`${parent} in the machine's root is not a folder`);
    if (!stat) {
      const below = await inLayers(host, layers, parent);
      const like = below ? await host.stat(below) : null;
      if (like && like.kind === 'link') throw leads(path, await host.resolve(below!));
      await host.mkdir(top, like ? like.mode & 0o7777 : 0o755, like ? { uid: like.uid, gid: like.gid } : await rootOf(host, layers));
    }
    const folder = await host.resolve(top);
    if (folder === null || !isWithin(folder, layers[0]!)) throw leads(path, folder);
  }
  return `${layers[0]}${path}`;
}

/** Root, as the files of the layer have it: users = "shift" has given them other ids. */
async function rootOf(host: Host, layers: readonly string[]): Promise<Owner> {
  const stat = await host.stat(layers[0]!);
  return { uid: firstId(stat?.uid ?? 0), gid: firstId(stat?.gid ?? 0) };
}

export async function makeMountPoint(host: Host, layers: readonly string[], path: string, type: 'file' | 'directory'): Promise<void> {
  const top = await topPath(host, layers, path);
  if ((await host.stat(top)) !== null) return;
  const owner = await rootOf(host, layers);
  if (type === 'directory') await host.mkdir(top, 0o755, owner);
  else await host.write(top, '', 0o644, owner);
}

/** A link at `path`, in the place of another link there, and of nothing else: it is in the way of what a person has in the root. */
export async function makeLinkInside(host: Host, layers: readonly string[], path: string, to: string): Promise<void> {
  const there = await inLayers(host, layers, path);
  if (there !== null && (await host.kind(there)) !== 'link') throw new Complaint(`${path} in the machine's root is ${(await host.kind(there)) === 'directory' ? 'a folder' : 'a file'}, and a link to ${to} belongs there`, `move it away in the machine: ${to === '/dev/null' ? 'what is a file of its own there cannot be masked' : 'a device or a driver of the host brings its own'}`);
  const top = await topPath(host, layers, path);
  if ((await host.stat(top)) !== null) await host.remove(top);
  await host.symlink(to, top);
}

/** Removes a link that was made there, unless something else has come into its place. */
export async function removeLinkInside(host: Host, layer: string, path: string, to: string): Promise<void> {
  const folder = await host.resolve(dirname(`${layer}${path}`));
  if (folder === null || !isWithin(folder, layer)) return;
  if ((await host.readLink(`${layer}${path}`)) === to) await host.remove(`${layer}${path}`);
}

const everyRootHas = ['/usr', '/var', '/etc', '/root', '/proc', '/sys', '/dev', '/run', '/tmp'];
const intoUsr = { '/bin': 'usr/bin', '/sbin': 'usr/sbin', '/lib': 'usr/lib', '/lib64': 'usr/lib64' };

/** What nspawn makes where it is missing (base-filesystem.c of systemd), which it cannot in a root with mapped ids. */
export async function missingPlaces(host: Host, layers: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const path of everyRootHas) if ((await inLayers(host, layers, path)) === null) missing.push(path);
  for (const [path, to] of Object.entries(intoUsr)) if ((await inLayers(host, layers, path)) === null && (await inLayers(host, layers, `/${to}`)) !== null) missing.push(path);
  return missing;
}

export async function makePlaces(host: Host, layers: readonly string[]): Promise<void> {
  for (const path of await missingPlaces(host, layers)) {
    const to = intoUsr[path as keyof typeof intoUsr];
    if (to) await host.symlink(to, await topPath(host, layers, path));
    else await makeMountPoint(host, layers, path, 'directory');
  }
}

/** Removes what makePlaces() or makeMountPoint() made, unless something has come into it. */
export async function removeEmpty(host: Host, layer: string, path: string): Promise<void> {
  const folder = await host.resolve(dirname(`${layer}${path}`));
  if (folder === null || !isWithin(folder, layer)) return; // a link has taken the place of the folder that we knew
  const found = `${layer}${path}`;
  const kind = await host.kind(found);
  if (kind === 'directory' || (kind === 'link' && path in intoUsr) || (kind === 'file' && (await host.read(found)) === '')) await host.remove(found);
}

/** Overlay whiteouts (character device 0:0; Documentation/filesystems/overlayfs.rst) for what not everybody may read. */
export async function hidePrivate(host: Host, below: string, upper: string): Promise<void> {
  const { code, stdout, stderr } = await host.run(['find', below, '-xdev', '-ignore_readdir_race', '(', '-type', 'd', '!', '-perm', '-o=rx', '-prune', '-o', '-type', 'f', '!', '-perm', '-o=r', ')', '-print0']);
  if (code !== 0) throw new Complaint(`it cannot be told which files below ${below} are private`, stderr.trim());
  for (const path of stdout.split('\0').filter(Boolean)) await must(host, ['mknod', await topPath(host, [upper, '/'], path), 'c', '0', '0']);
}
