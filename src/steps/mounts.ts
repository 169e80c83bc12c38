import { must } from '../host.ts';
import type { Kinds, Step } from '../step.ts';
import { never, nothing, octal, removed } from './common.ts';

type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** What mounts and unmounts, as argument lists of programs of the table in errors.ts. */
export const mountCommands = {
  overlay: ({ at, top, upper, work, lower, shift }: Of<'overlay'>): string[] => ['nestbox-native', 'overlay', at, top, upper, work, lower, ...(shift ? [`${shift}`] : [])],
  bind: ({ from, at, owner, shownAs, write }: Of<'bind'>): string[] => ['nestbox-native', 'bind', from, at, ...(!owner || !shownAs ? [] : [`${owner.uid} ${shownAs.uid} 1`, `${owner.gid} ${shownAs.gid} 1`, ...(write ? [] : ['read-only'])])], // without other owners it is made read-only inside
  tmpfs: ({ at, mode, bytes, owner, devices }: Of<'tmpfs'>): string[] => ['mount', '-t', 'tmpfs', '-o', `mode=${mode.toString(8)},size=${bytes},uid=${owner.uid},gid=${owner.gid},nosuid,${devices ? 'noexec' : 'nodev'}`, 'nestbox', at],
  ipc: ({ at }: Of<'ipc'>): string[] => ['nestbox-native', 'ipc', at],
  unmount: ({ at }: { at: string }): string[] => ['nestbox-native', 'unmount', at],
};

/** Is made last in a root whose mounts are on the host: native/chroot.c. */
const marker = (root: string): string => `${root}/run/nestbox/mounts`;

/** Mounts and device nodes. */
export const mounts: Kinds<'overlay' | 'bind' | 'tmpfs' | 'ipc' | 'unmount' | 'chroot-mounts' | 'chroot-unmount' | 'node'> = {
  overlay: {
    describe: ({ at, top, upper, lower, shift }) => `mount ${lower} on ${at}, changes kept in ${top}/${upper}${shift ? `, ids from ${shift}` : ''}`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: (step, host) => must(host, mountCommands.overlay(step)),
  },
  bind: {
    describe: ({ from, at, write, owner, shownAs }) => `mount ${from} on ${at}${write ? '' : ', read-only'}${owner && shownAs ? `, its owner ${owner.uid}:${owner.gid} as ${shownAs.uid}:${shownAs.gid}` : ''}`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: (step, host) => must(host, mountCommands.bind(step)),
  },
  tmpfs: {
    describe: ({ at, bytes }) => `mount a tmpfs on ${at} (${bytes} bytes)`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: (step, host) => must(host, mountCommands.tmpfs(step)),
  },
  ipc: {
    describe: ({ at }) => `make an IPC namespace, for memory that is shared, and keep it at ${at}`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: (step, host) => must(host, mountCommands.ipc(step)),
  },
  unmount: {
    describe: ({ at }) => `unmount ${at}`,
    done: async ({ at }, host) => !(await host.isMounted(at)),
    inverse: nothing,
    do: (step, host) => must(host, mountCommands.unmount(step)),
  },
  'chroot-mounts': {
    describe: ({ root, binds }) => [`mount /proc, /sys, /dev, /run and /tmp in ${root}, to stay there`, ...binds.map(({ from, to, write }) => `  and ${from} on ${to}${write ? '' : ', read-only'}`)].join('\n'),
    done: async ({ root }, host) => (await host.kind(marker(root))) !== null,
    inverse: async ({ root }, host) => [{ kind: 'chroot-unmount', root, before: (await host.mountsBelow((await host.resolve(root)) ?? root)).filter((at) => at !== root) }],
    do: ({ root, binds }, host) => must(host, ['nestbox-native', 'chroot-mounts', root, ...binds.flatMap(({ from, to, write }) => [write ? '--bind' : '--bind-ro', from, to])]),
  },
  'chroot-unmount': {
    describe: ({ root, before }) => `unmount all below ${root}${before.length > 0 ? ` but ${before.join(', ')}, which was there before` : ''}`,
    done: never,
    inverse: nothing,
    do: ({ root, before }, host) => must(host, ['nestbox-native', 'chroot-unmount', root, ...before]),
  },
  node: {
    describe: ({ path, type, major, minor, mode, owner }) => `make device node ${path} (${type} ${major}:${minor}, mode ${octal(mode)}, owner ${owner.uid}:${owner.gid})`,
    done: never,
    inverse: removed,
    do: async ({ path, type, major, minor, mode, owner }, host) => {
      await must(host, ['mknod', '-m', '0600', path, type, `${major}`, `${minor}`]);
      await host.own(path, mode, owner);
    },
  },
};
