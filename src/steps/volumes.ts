import { type Host, saidBy } from '../host.ts';
import { partialPath } from '../image/packed.ts';
import type { Kinds, Step } from '../step.ts';
import { never, nothing } from './common.ts';

type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** What opens and closes volumes, as argument lists of nestbox-native: the same for nestbox and for the units of a service. */
export const volumeCommands = {
  activate: ({ lv, node, mark }: Of<'activate'>): string[] => ['nestbox-native', 'activate', lv, node, mark],
  deactivate: ({ lv, mark }: Pick<Of<'deactivate'>, 'lv' | 'mark'>): string[] => ['nestbox-native', 'deactivate', lv, mark],
  unlock: ({ device, mapping, machine, keyFile, discard, called }: Of<'unlock'>): string[] => ['nestbox-native', 'unlock', device, mapping, machine, ...(discard ? ['--discards'] : []), ...(keyFile ? ['--key-file', keyFile] : []), ...(called ? ['--called', called] : [])],
  lock: ({ mapping }: Pick<Of<'lock'>, 'mapping'>): string[] => ['nestbox-native', 'lock', mapping],
  check: ({ device, at, volume, beside }: Of<'check-file-system'>): string[] => ['nestbox-native', 'check', device, at, volume, ...(beside ? ['beside'] : [])],
  mount: ({ device, at, volume, beside }: Of<'mount-volume'>): string[] => ['nestbox-native', 'mount', device, at, volume, ...(beside ? ['beside', `${beside.shift}`, ...(beside.write ? [] : ['read-only']), ...(beside.outside ? ['outside'] : [])] : [])],
  loop: ({ file, start, size, link, machine }: Of<'loop'>): string[] => ['nestbox-native', 'loop', file, `${start}`, `${size}`, link, machine],
  loopEnd: ({ machine, start }: Pick<Of<'loop-end'>, 'machine' | 'start'>): string[] => ['nestbox-native', 'loop-end', machine, ...(start === null ? [] : [`${start}`])],
};

/**
 * Volumes that machines' roots are on. None of them asks whether it is done: what was left open by whatever has come before is
 * taken for this machine's own, as it has the name for that, and closed with it. nestbox-native leaves alone what is there.
 */
export const volumes: Kinds<'activate' | 'deactivate' | 'unlock' | 'lock' | 'check-file-system' | 'mount-volume' | 'loop' | 'loop-end' | 'unpack'> = {
  activate: {
    describe: ({ lv }) => `activate the volume ${lv} unless it is active`,
    done: never,
    inverse: async ({ lv, mark }) => [{ kind: 'deactivate', lv, mark }],
    do: (step, host) => does(host, volumeCommands.activate(step)),
  },
  deactivate: {
    describe: ({ lv }) => `deactivate the volume ${lv} if nestbox has activated it`,
    done: async ({ mark }, host) => (await host.kind(mark)) === null,
    inverse: nothing,
    do: (step, host) => does(host, volumeCommands.deactivate(step)),
  },
  unlock: {
    describe: ({ device, mapping, keyFile, discard, called = device }) => `open ${called} (LUKS) as ${mapping} with ${keyFile ? `the key in ${keyFile}` : 'a passphrase'}${discard ? ', telling it which blocks are free' : ''}`,
    done: never,
    inverse: async ({ mapping }) => [{ kind: 'lock', mapping }],
    do: (step, host) => host.unlock(volumeCommands.unlock(step)),
  },
  lock: {
    describe: ({ mapping }) => `close ${mapping}, when nobody is in it any more`,
    done: async ({ mapping }, host) => (await host.kind(`/dev/mapper/${mapping}`)) === null,
    inverse: nothing,
    do: (step, host) => does(host, volumeCommands.lock(step)),
  },
  'check-file-system': {
    describe: ({ device }) => `check the file system on ${device}`,
    done: never,
    inverse: nothing,
    do: (step, host) => does(host, volumeCommands.check(step)),
  },
  'mount-volume': {
    describe: ({ device, at, beside }) => `mount ${device} on ${at}${beside?.write === false ? ', read-only' : ''}${beside?.shift ? `, ids from ${beside.shift}` : ''}`,
    done: never,
    inverse: async ({ at }) => [{ kind: 'unmount', at }, { kind: 'leftover', path: at }],
    do: (step, host) => does(host, volumeCommands.mount(step)),
  },
  loop: {
    describe: ({ file, start, size, link }) => `make a loop device over ${file} (${size} bytes from ${start} on), to which ${link} leads`,
    done: never,
    inverse: async ({ machine, start, link }) => [{ kind: 'loop-end', machine, start }, { kind: 'leftover', path: link }],
    do: (step, host) => does(host, volumeCommands.loop(step)),
  },
  'loop-end': {
    describe: ({ machine, start }) => `let go of ${start === null ? 'all loop devices' : `the loop device from byte ${start} on`} of '${machine}', when nobody is in it any more`,
    done: never,
    inverse: nothing,
    do: (step, host) => does(host, volumeCommands.loopEnd(step)),
  },
  unpack: {
    describe: ({ from, to }) => `unpack ${from} to ${to}, which stays`,
    done: async ({ to }, host) => (await host.kind(to)) !== null,
    inverse: async ({ to }) => [{ kind: 'leftover', path: partialPath(to) }],
    do: (step, host) => host.unpack(step),
  },
};

async function does(host: Host, argv: string[]): Promise<void> {
  const { code, stderr } = await host.run(argv);
  if (code !== 0) throw saidBy(stderr, argv, code);
}
