import { Complaint } from '../errors.ts';
import { must } from '../host.ts';
import { writeCache } from '../linker.ts';
import type { Kinds } from '../step.ts';
import { absent, never, nothing, octal, removed } from './common.ts';

/** Folders, files, links and pipes. */
export const files: Kinds<'mkdir' | 'workspace' | 'write' | 'symlink' | 'fifo' | 'linker-cache' | 'rename' | 'remove' | 'remove-tree' | 'leftover' | 'sync'> = {
  mkdir: {
    describe: ({ path, mode }) => `create ${path}/ (mode ${octal(mode)})`,
    done: async ({ path }, host) => (await host.kind(path)) === 'directory',
    inverse: removed,
    do: async ({ path, mode, owner }, host) => {
      try {
        await host.mkdir(path, mode, owner);
      } catch (error) {
        if (!(error instanceof Complaint) || (await host.kind(path)) !== 'directory') throw error; // else another run has made it after done() had looked
      }
    },
  },
  workspace: {
    describe: ({ path }) => `create ${path}/ (mode 0700)`,
    done: never,
    inverse: async ({ path }) => [{ kind: 'remove-tree', path }],
    do: ({ path }, host) => host.mkdir(path, 0o700),
  },
  write: {
    describe: ({ path, text, mode }) => `write ${path} (${text.length} characters, mode ${octal(mode)})`,
    done: async ({ path, text }, host) => (await host.read(path)) === text,
    inverse: async ({ path, text, mode, owner, fresh }, host) => {
      if (fresh) return [{ kind: 'remove', path, text }];
      const before = await host.read(path);
      return [before === null ? { kind: 'remove', path } : { kind: 'write', path, text: before, mode, ...(owner && { owner }) }];
    },
    do: ({ path, text, mode, owner, fresh }, host) => (fresh ? host.writeNew(path, text, mode, owner) : host.write(path, text, mode, owner)),
  },
  symlink: {
    describe: ({ path, to }) => `link ${path} to ${to}`,
    done: never,
    inverse: removed,
    do: ({ path, to }, host) => host.symlink(to, path),
  },
  fifo: {
    describe: ({ path }) => `make a pipe at ${path}`,
    done: never,
    inverse: removed,
    do: ({ path }, host) => must(host, ['mkfifo', '-m', '0644', path]),
  },
  'linker-cache': {
    describe: ({ path, entries }) => `write ${path} (the dynamic linker's cache, ${entries.length} entries)`,
    done: never,
    inverse: removed,
    do: ({ path, entries }, host) => host.write(path, writeCache(entries), 0o644),
  },
  rename: {
    describe: ({ from, to }) => `rename ${from} to ${to}`,
    done: async ({ to }, host) => (await host.kind(to)) !== null, // another build of the same was faster: it serves as well
    inverse: nothing,
    do: async ({ from, to }, host) => {
      try {
        await host.rename(from, to);
      } catch (error) {
        if ((await host.kind(to)) === null) throw error; // else it became so after done() had looked
      }
    },
  },
  remove: {
    describe: ({ path }) => `remove ${path}`,
    async done({ path, text }, host) {
      if (text === undefined) return absent({ path }, host);
      const found = await host.read(path);
      return found === null || !text.startsWith(found.replace(/\0+$/, '')); // zeroes are what a power cut can leave in the place of the rest
    },
    inverse: nothing,
    do: ({ path }, host) => host.remove(path),
  },
  'remove-tree': {
    describe: ({ path }) => `remove ${path}/ and all below it`,
    done: absent,
    inverse: nothing,
    do: ({ path }, host) => host.removeTree(path),
  },
  leftover: {
    describe: ({ path }) => `remove ${path} unless somebody uses it`,
    done: absent,
    inverse: nothing,
    do: ({ path }, host) => host.removeLeftover(path),
  },
  sync: {
    describe: ({ path }) => `write all of ${path}/ to the disk`,
    done: never,
    inverse: nothing,
    do: ({ path }, host) => must(host, ['sync', '--file-system', path]),
  },
};
