import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { apply } from '../../src/apply.ts';
import { linux } from '../../src/host/linux.ts';
import { type Desktop, desktops, type Host, leaveOut, person, type Recipe, recipe } from './recipe.ts';

/** Where disks and warm states are kept. What is in there can be deleted at any time that no computer runs. */
export const cache = process.env.NESTBOX_LAB ?? '/var/cache/nestbox/lab';

/** A name for what is made from `what`: another one as soon as anything in it is another. */
export const keyOf = (what: unknown): string => createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 12);

/** Says what is being done: building takes minutes. */
export const progress = (text: string): void => { process.stderr.write(`lab: ${text}\n`); };

/** Runs a program to its end; what it says is in the error if it fails. */
export async function does(program: string, ...words: string[]): Promise<string> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; });
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}\nended with ${status}:\n${stderr.slice(-4000)}`);
  return stdout;
}

/**
 * Holds one of these files until the function that is given back is called, or this process ends: its end of the pipe
 * closes then, and with it cat(1) and the lock.
 */
async function lock(why: string, ...names: [string] | [string, string]): Promise<() => void> {
  mkdirSync(cache, { recursive: true });
  const [first, second = first] = names.map((name) => `${cache}/${name}`) as [string, string?];
  const holder = spawn('sh', ['-c', 'exec 8>"$0" 9>"$1"; until flock -n 8 || flock -n 9; do sleep 0.2; done; echo; exec cat', first, second], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = setTimeout(() => progress(why), 2000);
  await once(holder.stdout, 'data');
  clearTimeout(waiting);
  return () => { holder.stdin.end(); };
}

/** A place for a computer. There are two: one alone leaves a processor idle half of the time. */
export const place = (): Promise<() => void> => lock('two other computers run on this machine; waiting for an end', 'lock', 'lock-2');

/** What is made is made once. */
export async function making<T>(make: () => Promise<T>): Promise<T> {
  const release = await lock('another one builds disks; waiting for its end', 'making');
  try {
    return await make();
  } finally {
    release();
  }
}

/** The folder at `path`; where it is absent it is made by `make`, in another place, so that it is never there half made. Others of its `kind` are old, and go. */
export async function kept(parent: string, kind: string, key: string, make: (folder: string) => Promise<void>): Promise<string> {
  const path = `${parent}/${kind}-${key}`;
  if (existsSync(path)) return path;
  for (const name of readdirSync(parent)) if (name.startsWith(`${kind}-`)) rmSync(`${parent}/${name}`, { recursive: true, force: true });
  mkdirSync(`${path}.new`);
  await make(`${path}.new`);
  renameSync(`${path}.new`, path);
  return path;
}

/** The folder with a host's disk.raw, vmlinuz and initrd; built where they are absent, which takes some minutes. To be called within making(). */
export const image = (host: Host): Promise<string> => kept(cache, host, keyOf(recipe(host)), (folder) => build(recipe(host), folder));

/** The folder with desktops.raw, the disk of the roots that have desktops in them; built where it is absent. To be called within making(). */
export const desktopDisk = (): Promise<string> => kept(cache, 'desktops', keyOf(desktops), async (folder) => {
  const began = Date.now();
  for (const desktop of desktops) {
    progress(`desktops, ${Math.round((Date.now() - began) / 1000)} s: ${desktop.name}, a ${desktop.suite} with ${desktop.packages.length} packages and what they need`);
    await furnish(desktop, `${folder}/tree/${desktop.name}`);
  }
  await writeDisk(`${folder}/tree`, `${folder}/desktops.raw`, 2048);
  rmSync(`${folder}/tree`, { recursive: true });
  progress(`desktops, ${Math.round((Date.now() - began) / 1000)} s: done`);
});

async function furnish({ suite, packages, files, enabled, made }: Desktop, tree: string): Promise<void> {
  mkdirSync(dirname(tree), { recursive: true });
  await debian(suite, packages, tree);
  const inside = (...words: string[]) => does('chroot', tree, ...words);
  rmSync(`${tree}/etc/hostname`); // this machine's, and a machine has its own name
  await inside('useradd', '--create-home', '--shell=/bin/bash', '--groups=video', person.name);
  await inside('sh', '-c', `echo ${person.name}:${person.password} | chpasswd`);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(tree + path), { recursive: true });
    writeFileSync(tree + path, text);
  }
  await inside('chown', '-R', `${person.name}:`, `/home/${person.name}`);
  if (enabled.length > 0) await inside('systemctl', '--quiet', 'enable', ...enabled);
  await apply([{ kind: 'mask', root: tree, made }], linux({}), null);
}

/** An ext4 with what is in a folder, and as many MiB free. All is written now what the kernel would else go on to write after mounting it. */
async function writeDisk(tree: string, disk: string, free: number): Promise<void> {
  const used = Number((await does('du', '-sm', tree)).split('\t')[0]);
  await does('mke2fs', '-q', '-t', 'ext4', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', '-d', tree, disk, `${Math.round(used * 1.1) + free}M`);
}

/** mmdebstrap(1) into a folder, its mounts for itself. It finds the key of the suite in debian-archive-keyring by itself. */
const debian = (suite: string, packages: string[], path: string, ...options: string[]): Promise<string> => does(
  'unshare', '--mount', 'mmdebstrap', '--mode=root', '--format=directory', '--variant=minbase', `--include=${packages.join(',')}`,
  ...[...leaveOut.map((glob) => `path-exclude=${glob}`), 'force-confold', 'force-unsafe-io'].map((option) => `--dpkgopt=${option}`),
  ...options, suite, path);

async function build(recipe: Recipe, folder: string): Promise<void> {
  const tree = `${folder}/tree`;
  const began = Date.now();
  const say = (text: string) => progress(`${recipe.suite}, ${Math.round((Date.now() - began) / 1000)} s: ${text}`);
  say(`installing ${recipe.packages.length} packages and what they need`);
  furnishHost(recipe, `${folder}/files`);
  await debian(recipe.suite, recipe.packages, tree, `--essential-hook=sync-in ${folder}/files /`);
  // mmdebstrap empties some of them at its end.
  await does('cp', '-r', '--no-dereference', `${folder}/files/.`, tree);
  await does('chroot', tree, 'passwd', '--quiet', '--delete', 'root');
  await does('chroot', tree, 'systemctl', '--quiet', 'enable', ...recipe.enabled);
  if (recipe.node) {
    copyFileSync(recipe.node.path, `${tree}/usr/local/bin/node`);
    await does('chroot', tree, '/usr/local/bin/node', '--version');
  }
  for (const name of ['vmlinuz', 'initrd.img']) copyFileSync(`${tree}/${name}`, `${folder}/${name}`);

  say('installing the root of the machines in it');
  for (const name of ['roots', 'desktops']) mkdirSync(`${tree}/srv/${name}`);
  await debian('bookworm', recipe.root, `${tree}/srv/roots/debian`);
  await does('chroot', `${tree}/srv/roots/debian`, 'passwd', '--quiet', '--delete', 'root');

  say('writing the disk');
  // What systemd looks at, to tell whether the system has been updated since the last start: systemd-update-done.service(8).
  for (const path of ['etc', 'var']) writeFileSync(`${tree}/${path}/.updated`, `TIMESTAMP_NSEC=${Date.now() * 1e6}\n`);
  await writeDisk(tree, `${folder}/disk.raw`, recipe.free);
  for (const path of [tree, `${folder}/files`]) rmSync(path, { recursive: true });
  say(`done: ${(await does('du', '-sm', `${folder}/disk.raw`)).split('\t')[0]} MiB`);
}

/** The files of the recipe, below `at`. */
function furnishHost(recipe: Recipe, at: string): void {
  const write = (path: string, text: string, mode: number) => {
    mkdirSync(dirname(at + path), { recursive: true });
    writeFileSync(at + path, text);
    chmodSync(at + path, mode);
  };
  for (const [path, text] of Object.entries(recipe.files)) write(path, text, 0o644);
  for (const [path, text] of Object.entries(recipe.executables)) write(path, text, 0o755);
  for (const unit of recipe.masked) symlinkSync('/dev/null', `${at}/etc/systemd/system/${unit}`);
}
