import { type Host, saidBy } from '../host.ts';
import type { Kinds, Step } from '../step.ts';
import { never, nothing } from './common.ts';

type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** The same for nestbox and for the units of a service. nestbox-native keeps who has an entry, and mounts binfmt_misc for the first. */
export const emulatorCommands = {
  register: ({ entry, machine, line }: Of<'emulator'>): string[] => ['nestbox-native', 'binfmt', 'register', entry, machine, line],
  withdraw: ({ entry, machine }: Pick<Of<'emulator'>, 'entry' | 'machine'>): string[] => ['nestbox-native', 'binfmt', 'withdraw', entry, machine],
};

/** Emulators for the programs of other processors. Neither asks whether it is done: that another machine has the entry is no reason not to have it too. */
export const emulators: Kinds<'emulator' | 'emulator-end'> = {
  emulator: {
    describe: ({ entry, architecture, line }) => `have the kernel run programs for ${architecture} by ${line.split(':').at(-2)}: entry ${entry} of binfmt_misc, which is mounted unless it is`,
    done: never,
    inverse: async ({ entry, machine }) => [{ kind: 'emulator-end', entry, machine }],
    do: (step, host) => does(host, emulatorCommands.register(step)),
  },
  'emulator-end': {
    describe: ({ entry }) => `withdraw the entry ${entry} of binfmt_misc, unless another machine has it`,
    done: never,
    inverse: nothing,
    do: (step, host) => does(host, emulatorCommands.withdraw(step)),
  },
};

async function does(host: Host, argv: string[]): Promise<void> {
  const { code, stderr } = await host.run(argv);
  if (code !== 0) throw saidBy(stderr, argv, code);
}
