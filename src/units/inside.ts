import type { Machine } from '../machine.ts';

/** Who runs something in a machine, by their name inside. */
export interface Somebody {
  name: string;
  home: string;
  shell: string;
}

/** Set for what is run in a machine that has booted: its services have them, and so should what is run beside these. */
const variables = ({ edits, environment }: Machine, terminal: string | null): string[] =>
  Object.entries({ ...environment, ...(terminal && { TERM: terminal }), ...edits.environment }).map(([name, value]) => `--setenv=${name}=${value}`);

/** In ExecStart= of a unit `$` begins a variable, also in one that is made on the spot. */
const literal = (argv: readonly string[]): string[] => argv.map((word) => word.replaceAll('$', '$$$$'));

/**
 * Runs a program in a machine whose init is systemd, as a unit of that: so it is in the machine's control groups, under its device rights,
 * and its exit status comes back; systemd-run(1).
 */
export const execInside = (machine: Machine, { name, home }: Somebody, argv: readonly string[], terminal: string | null): string[] => [
  'systemd-run', '--quiet', '--collect', '--wait', `--machine=${machine.name}`, terminal ? '--pty' : '--pipe', '--service-type=exec',
  `--property=User=${name}`, `--working-directory=${home}`, ...variables(machine, terminal), '--', '/usr/bin/env', '--', ...literal(argv), // env(1) tells a program that is not there as a shell does
];

/** Whether systemd-run(1) can open a terminal in a machine: that of 252 loses its bus when it does, that of 257 does not. */
export const opensTerminals = (version: number | null): boolean => (version ?? 0) >= 257;

/** A login on those before: a session as well, but nobody tells the exit status of its shell; machinectl(1). */
export const olderLoginInside = (machine: Machine, { name }: Somebody, terminal: string): string[] => ['machinectl', 'shell', '--quiet', ...variables(machine, terminal), `${name}@${machine.name}`];

/** A login as at a terminal of its own: PAM makes the session, and with it the runtime folder and the user's own bus. */
export const loginInside = (machine: Machine, { name, home, shell }: Somebody, terminal: string): string[] => [
  'systemd-run', '--quiet', '--collect', '--wait', `--machine=${machine.name}`, '--pty', '--service-type=exec',
  `--property=User=${name}`, '--property=PAMName=login', `--working-directory=${home}`, ...variables(machine, terminal), '--', shell, '-l',
];
