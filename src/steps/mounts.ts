import { must } from '../host.ts';
import type { Kinds } from '../step.ts';
import { never, nothing, octal, removed } from './common.ts';

/** Mounts and device nodes. */
export const mounts: Kinds<'overlay' | 'bind' | 'tmpfs' | 'unmount' | 'node'> = {
  overlay: {
    describe: ({ at, top, upper, lower, shift }) => `mount ${lower} on ${at}, changes kept in ${top}/${upper}${shift ? `, ids from ${shift}` : ''}`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: ({ at, top, upper, work, lower, shift }, host) => must(host, ['nestbox-native', 'overlay', at, top, upper, work, lower, ...(shift ? [`${shift}`] : [])]),
  },
  bind: {
    describe: ({ from, at, write, owner, shownAs }) => `mount ${from} on ${at}${write ? '' : ', read-only'}, its owner ${owner.uid}:${owner.gid} as ${shownAs.uid}:${shownAs.gid}`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: ({ from, at, owner, shownAs, write }, host) =>
      must(host, ['nestbox-native', 'bind', from, at, `${owner.uid} ${shownAs.uid} 1`, `${owner.gid} ${shownAs.gid} 1`, ...(write ? [] : ['read-only'])]),
  },
  tmpfs: {
    describe: ({ at, bytes }) => `mount a tmpfs on ${at} (${bytes} bytes)`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: ({ at, mode, bytes, owner, devices }, host) =>
      must(host, ['mount', '-t', 'tmpfs', '-o', `mode=${mode.toString(8)},size=${bytes},uid=${owner.uid},gid=${owner.gid},nosuid,${devices ? 'noexec' : 'nodev'}`, 'nestbox', at]),
  },
  unmount: {
    describe: ({ at }) => `unmount ${at}`,
    done: async ({ at }, host) => !(await host.isMounted(at)),
    inverse: nothing,
    do: ({ at }, host) => must(host, ['nestbox-native', 'unmount', at]),
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
