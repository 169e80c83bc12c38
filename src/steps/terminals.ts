import { must } from '../host.ts';
import type { Kinds } from '../step.ts';
import { never, nothing } from './common.ts';

type Terminal = { number: number; file: string };

export const terminalCommands = {
  take: ({ number, file }: Terminal): string[] => ['nestbox-native', 'console', 'take', `${number}`, file],
  giveBack: ({ number, file }: Terminal): string[] => ['nestbox-native', 'console', 'give-back', `${number}`, file],
};

type Seat = { machine: string; inputs: string[] };

export const seatCommands = {
  take: ({ machine, inputs }: Seat): string[] => ['nestbox-native', 'seat', 'take', machine, ...inputs],
  giveBack: ({ machine }: Pick<Seat, 'machine'>): string[] => ['nestbox-native', 'seat', 'give-back', machine],
};

export const terminals: Kinds<'terminal' | 'terminal-end' | 'seat' | 'seat-end'> = {
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
  seat: {
    describe: ({ machine, inputs }) => `give the seat of '${machine}' ${inputs.length === 0 ? 'no keyboard or mouse' : inputs.join(', ')}, away from the host's terminals`,
    done: never,
    inverse: async ({ machine }) => [{ kind: 'seat-end', machine }],
    do: (step, host) => must(host, seatCommands.take(step)),
  },
  'seat-end': {
    describe: ({ machine }) => `give back what the seat of '${machine}' has`,
    done: never,
    inverse: nothing,
    do: (step, host) => must(host, seatCommands.giveBack(step)),
  },
};
