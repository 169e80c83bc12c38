import { dirname } from 'node:path/posix';
import { addAccounts, readAccountFiles, removeAccounts } from '../accounts.ts';
import { Complaint } from '../errors.ts';
import type { Host } from '../host.ts';
import { hidePrivate, inLayers, makeAbove, makeLinkInside, makeMountPoint, makePlaces, missingIn, missingPlaces, mustStayInside, removeEmpty, removeLinkInside, withoutLinks } from '../layers.ts';
import { firstId } from '../names.ts';
import type { Kinds, Step } from '../step.ts';
import { preferencesFile } from '../merged.ts';
import { store } from '../store.ts';
import { pasteable } from '../words.ts';
import { never, nothing } from './common.ts';

/** What is done to a machine's root before it runs. */
export const roots: Kinds<'build' | 'merged' | 'fetched-in' | 'fetched-out' | 'mask' | 'seal' | 'verify' | 'copy-tree' | 'owners' | 'hide-private' | 'accounts' | 'accounts-end' | 'places' | 'mount-point' | 'remove-empty' | 'link-inside' | 'link-inside-end'> = {
  build: {
    describe: ({ what, argv }) => `${what}\n  ${pasteable(argv)}`,
    done: never,
    inverse: nothing, // `target` is removed as a whole by whoever made it
    do: (step, host) => host.build(step),
  },
  merged: {
    describe: ({ root, folders }) => `make links in ${root} to the folders of /usr: ${folders.join(', ')}; and choose no package that would make them later`,
    done: never,
    inverse: nothing, // as with build
    async do({ root, folders, preferences }, host) {
      await host.mkdir(`${root}/usr`, 0o755);
      for (const name of folders) {
        await host.mkdir(`${root}/usr/${name}`, 0o755);
        await host.symlink(`usr/${name}`, `${root}/${name}`);
      }
      for (const path of ['etc', 'etc/apt', 'etc/apt/preferences.d']) await host.mkdir(`${root}/${path}`, 0o755);
      await host.write(`${root}/${preferencesFile}`, preferences, 0o644);
    },
  },
  'fetched-in': {
    describe: ({ root }) => `show apt in ${root} the packages of ${store.fetched} that were fetched before; it takes those that have the sums of the signed list`,
    done: never,
    inverse: nothing, // as with build
    do: (step, host) => host.bringFetched(step),
  },
  'fetched-out': {
    describe: ({ root }) => `keep the packages that were fetched into ${root} in ${store.fetched}`,
    done: never,
    inverse: nothing, // a cache: whoever finds it can do without
    do: ({ root }, host) => host.keepFetched(root),
  },
  mask: {
    describe: ({ root, made }) => `leave out in ${root} what a container has no use for:${made.map(({ path, why }) => `\n  ${path}: ${why}`).join('')}`,
    done: async ({ made }) => made.length === 0,
    inverse: nothing, // as with build
    async do({ root, made }, host) {
      const inside = host.within(root); // a link that a package brings must not mask anything of the host's
      for (const { path, to, text, mode } of made) {
        if ((await inside.kind(path)) !== null) continue;
        await makeAbove(host, [root], path);
        await (to === null ? inside.write(path, text, mode) : inside.symlink(to, path));
      }
    },
  },
  seal: {
    describe: ({ template }) => `write into ${template}/seal which files its root has`,
    done: never,
    inverse: nothing, // as with build
    do: async ({ template }, host) => host.write(`${template}/seal`, await sealOf(host, template), 0o600),
  },
  verify: {
    describe: ({ template }) => `see whether the files of ${template} are those that it was built with`,
    done: async ({ template }, host) => {
      const before = await host.read(`${template}/seal`);
      return before === null || before === (await sealOf(host, template));
    },
    inverse: nothing,
    do: async ({ template, key }) => {
      throw new Complaint(`the template '${key}' has been changed since it was built: some files in ${template} are others, or are gone`, `nestbox rm the machines that use it (nestbox templates lists them), and nestbox templates --prune ${key}: the next machine builds it anew`);
    },
  },
  'copy-tree': {
    describe: ({ from, to }) => `copy ${from}/ to ${to}/`,
    done: never,
    inverse: nothing, // as with build
    do: (step, host) => host.copyTree(step),
  },
  owners: {
    describe: ({ directory, from, to }) => (to === 0 ? `give the files of ${directory}/ back their owners: ids from ${from} become those from 0` : `give all files of ${directory}/ other owners: ids from ${from} become those from ${to}`),
    // The root folder is the last that is changed, and the notes are there from before the first: what was cut off is never taken for done.
    done: async ({ directory, to, notes, onward }, host) => {
      const stat = await host.stat(directory);
      return (await host.kind(notes)) === null && (stat === null || (!onward && firstId(stat.uid) === to));
    },
    // A file that has been changed cannot be told from one that has always had that id: where there may be some of these, only the way on is exact.
    inverse: async (step) => [step.onward ? step : { ...step, from: step.to, to: step.from }],
    do: async (step, host) => ((await host.kind(step.directory)) === null ? host.remove(step.notes) : host.changeOwners(step)),
  },
  'hide-private': {
    describe: ({ below }) => `hide what not everybody may read below ${below}`,
    done: async ({ below }, host) => (await host.kind(below)) === null,
    inverse: nothing, // they are in the overlay's own folder, which is removed as a whole
    do: ({ below, upper }, host) => hidePrivate(host, below, upper),
  },
  accounts: {
    describe: ({ layers, add }) =>
      [...add.users.map((user) => `add user ${user.name} (${user.uid}:${user.gid}, home ${user.home})`), ...add.groups.map((group) => `add group ${group.name} (${group.gid})`),
        ...add.members.map(({ group, user }) => `add ${user} to group ${group}`)].join(', ').concat(` in ${layers[0]}`),
    done: never,
    // A layer of its own is removed as a whole; the person's directory is not.
    inverse: async ({ layers, add }, host) => {
      await readAccountFiles(host, layers); // what it complains about is no reason to come back
      return layers.length > 1 ? [] : [{ kind: 'accounts-end', layers, add }];
    },
    do: ({ layers, add }, host) => addAccounts(host, layers, add),
  },
  'accounts-end': {
    describe: ({ layers }) => `take the accounts that nestbox added out of ${layers[0]}`,
    done: never,
    inverse: nothing,
    do: ({ layers, add }, host) => removeAccounts(host, layers, add),
  },
  places: {
    describe: ({ layers }) => `make sure that ${layers[0]} has the folders that every root has`,
    async done({ layers }, host) {
      await mustStayInside(host, layers); // asked for at each run: whose root it is can have changed it since
      return (await missingPlaces(host, layers)).length === 0;
    },
    inverse: async ({ layers }, host) => (await missingPlaces(host, layers)).map((path) => ({ kind: 'remove-empty' as const, layer: layers[0]!, path })),
    do: ({ layers }, host) => makePlaces(host, layers),
  },
  'mount-point': {
    describe: ({ layers, path }) => `make sure that ${path} exists in ${layers[0]}`,
    done: async ({ layers, path }, host) => (await inLayers(host, layers, await withoutLinks(host, layers, path))) !== null,
    inverse: async ({ layers, path }, host) => emptied(layers, await missingIn(host, layers, await withoutLinks(host, layers, path))),
    do: async ({ layers, path, type }, host) => makeMountPoint(host, layers, await withoutLinks(host, layers, path), type),
  },
  'remove-empty': {
    describe: ({ layer, path }) => `remove ${layer}${path} if it is empty`,
    done: never,
    inverse: nothing,
    do: ({ layer, path }, host) => removeEmpty(host, layer, path),
  },
  'link-inside': {
    describe: ({ layers, path, to }) => `link ${path} to ${to} in ${layers[0]}`,
    done: async ({ layers, path, to }, host) => {
      const at = await withoutLinks(host, layers, path);
      const there = await inLayers(host, layers, at);
      return there !== null && (await host.within(there).readLink(at)) === to;
    },
    inverse: async ({ layers, path, to }, host) => {
      const at = await withoutLinks(host, layers, path);
      const before = await host.within(layers[0]!).readLink(at);
      const back: Step = before === null ? { kind: 'link-inside-end', layer: layers[0]!, path: at, to } : { kind: 'link-inside', layers, path: at, to: before };
      return [back, ...emptied(layers, await missingIn(host, layers, dirname(at)))];
    },
    do: async ({ layers, path, to }, host) => makeLinkInside(host, layers, await withoutLinks(host, layers, path), to),
  },
  'link-inside-end': {
    describe: ({ layer, path, to }) => `remove ${layer}${path} if it is the link to ${to}`,
    done: never,
    inverse: nothing,
    do: ({ layer, path, to }, host) => removeLinkInside(host, layer, path, to),
  },
};

/** One line about all files below the root of a template. */
async function sealOf(host: Host, template: string): Promise<string> {
  const argv = ['nestbox-native', 'seal', `${template}/root`];
  const { code, stdout, stderr } = await host.run(argv);
  if (code !== 0) throw new Complaint(`${template} cannot be read: ${stderr.trim()}`, pasteable(argv));
  return stdout;
}

/** Deepest first. */
const emptied = (layers: string[], paths: string[]): Step[] => paths.map((path) => ({ kind: 'remove-empty', layer: layers[0]!, path }));
