import { must } from '../host.ts';
import type { Kinds } from '../step.ts';
import { never, nothing } from './common.ts';

type Terminal = { number: number; file: string };

export const terminalCommands = {
  take: ({ number, file }: Terminal): string[] => ['nestbox-native', 'console', 'take', `${number}`, file],
  giveBack: ({ number, file }: Terminal): string[] => ['nestbox-native', 'console', 'give-back', `${number}`, file],
};

export const terminals: Kinds<'terminal' | 'terminal-end'> = {
  terminal: {
    describe: ({ number }) => `take virtual terminal ${number}`,
    done: never,
    inverse: async ({ number, file }) => [{ kind: 'terminal-end', number, file }],
    do: (step, host) => must(host, terminalCommands.take(step)),
  },
  'terminal-end': {
    describe: ({ number }) => `give virtual terminal ${number} back`,
    done: never,
    inverse: nothing,
    do: (step, host) => must(host, terminalCommands.giveBack(step)),
  },
};
