import { parseArgs } from 'node:util';
import { readKept } from './elevation.ts';
import { Complaint, NeedsRoot, reasons } from './errors.ts';
import { examplesOf, groups } from './groups.ts';
import { version } from './version.ts';
import { nearest } from './words.ts';

export interface Option {
  type: 'boolean' | 'string';
  short?: string;
  takes?: string;
  does: string;
}

export interface Command {
  takes: string;
  does: string;
  options: Record<string, Option>;
  /** How many of its words come before those of another program: from there on, options are that program's. */
  own?: number;
  /** Returns the exit status. */
  load: () => Promise<{ default: (words: string[], options: Record<string, never>) => Promise<number> }>;
}

const json: Option = { type: 'boolean', does: 'as JSON' };
const passphrase: Option = { type: 'string', takes: 'N', does: 'read the passphrase of its encrypted root from this descriptor' };
const verbose: Option = { type: 'boolean', short: 'v', does: 'say each step' };

/** Every command, its words and its options: help is made from this table alone. */
export const commands: Record<string, Command> = {
  run: {
    takes: 'FILE|NAME|IMAGE [-- PROGRAM [ARGUMENT]...]', does: 'run the program of a machine, or another one in it, and take everything back at its end; a disk image, or a disk, is a machine too',
    options: { partition: { type: 'string', takes: 'N', does: 'of an image: the partition with the root, where it is not found by itself' }, 'record-audio': { type: 'string', takes: 'FILE.wav', does: 'write down what it plays (audio = "playback")' }, 'passphrase-fd': passphrase, verbose }, load: () => import('./commands/run.ts'),
  },
  start: { takes: 'FILE|NAME...', does: 'have systemd run machines, and wait until they are ready', options: { 'passphrase-fd': passphrase, verbose }, load: () => import('./commands/start.ts') },
  stop: { takes: 'NAME...', does: 'stop machines, and take back what systemd was given for them', options: { verbose }, load: () => import('./commands/stop.ts') },
  restart: { takes: 'FILE|NAME...', does: 'stop machines and start them as their files say now', options: { 'passphrase-fd': passphrase, verbose }, load: () => import('./commands/restart.ts') },
  enable: { takes: 'FILE|NAME...', does: 'let machines come up with this host', options: { now: { type: 'boolean', does: 'and start them' }, 'passphrase-fd': passphrase, verbose }, load: () => import('./commands/enable.ts') },
  disable: { takes: 'NAME...', does: 'let machines not come up with this host', options: { now: { type: 'boolean', does: 'and stop them' }, verbose }, load: () => import('./commands/disable.ts') },
  create: { takes: 'FILE|ARCHIVE', does: 'make a machine and install its file, to be used by name; also of an archive that nestbox export has made', options: { 'passphrase-fd': passphrase, verbose }, load: () => import('./commands/create.ts') },
  plan: { takes: 'FILE|NAME [-- PROGRAM [ARGUMENT]...]', does: 'print all that run would do, and which line asked for it', options: { json }, load: () => import('./commands/plan.ts') },
  logs: {
    takes: 'NAME', does: 'show what a machine that systemd runs has written',
    options: { follow: { type: 'boolean', short: 'f', does: 'go on showing what comes' }, lines: { type: 'string', short: 'n', takes: 'NUMBER', does: 'the last lines only' }, host: { type: 'boolean', does: "what this host has of it: nspawn's and its own programs' words" } },
    load: () => import('./commands/logs.ts'),
  },
  render: { takes: 'FILE|NAME', does: 'print the files with which systemd runs the machine', options: { json }, load: () => import('./commands/render.ts') },
  import: {
    takes: 'FILE|NAME..., -- systemd-nspawn [OPTION]...', does: 'write a machine file from what there is: .nspawn files and units, a command systemd-nspawn or a script with one, LXC, distrobox; nothing of it is run',
    options: { output: { type: 'string', short: 'o', takes: 'FILE', does: 'write it there, where no file is yet; to a folder: a file for each machine' }, name: { type: 'string', takes: 'NAME', does: 'call the machine so, or take the one of that name' }, as: { type: 'string', takes: 'KIND', does: 'what it is, where that cannot be told: nspawn, unit, shell, lxc, distrobox' }, json },
    load: () => import('./commands/import.ts'),
  },
  list: { takes: '', does: 'list the machines', options: { json }, load: () => import('./commands/list.ts') },
  status: { takes: 'NAME', does: 'tell what a machine is made of and whether it runs', options: { json }, load: () => import('./commands/status.ts') },
  exec: {
    takes: 'NAME [--] PROGRAM [ARGUMENT]...', does: 'run a program in a machine that runs; its exit status is that of nestbox', own: 1,
    options: { start: { type: 'boolean', does: 'where the machine does not run: in a run of its own' }, user: { type: 'string', short: 'u', takes: 'USER', does: "as this user, by name or number; the machine's own if absent" }, root: { type: 'boolean', does: 'as root' } }, load: () => import('./commands/exec.ts'),
  },
  shell: { takes: 'NAME [USER]', does: 'open a login shell in a machine that runs', options: {}, load: () => import('./commands/shell.ts') },
  attach: {
    takes: 'NAME /dev/...', does: 'give a device to a machine: to the one that runs, until it ends, unless it is said otherwise',
    options: { now: { type: 'boolean', does: 'to the one that runs' }, always: { type: 'boolean', does: 'at each start, from the next one on' } }, load: () => import('./commands/attach.ts'),
  },
  detach: {
    takes: 'NAME /dev/...', does: 'take back a device that was attached',
    options: { now: { type: 'boolean', does: 'from the one that runs' }, always: { type: 'boolean', does: 'from the next start on' } }, load: () => import('./commands/detach.ts'),
  },
  why: { takes: 'FILE|NAME /dev/...', does: 'tell which layer keeps a device from being opened in a machine; tries it when the machine runs', options: { json }, load: () => import('./commands/why.ts') },
  verify: { takes: 'NAME', does: 'try from inside whether a machine that runs has what its file gives it, and nothing else; exit status 3 if it differs', options: { all: { type: 'boolean', does: 'each try in a row of its own' }, json }, load: () => import('./commands/verify.ts') },
  audit: {
    takes: 'FILE|NAME..., or --all', does: 'tell what a hostile program in a machine could do to the host, worst first; also of .nspawn files, LXC configurations and containers that run. Exit status 3: more than --fail-above says',
    options: {
      all: { type: 'boolean', does: 'all machines, and all other containers that run or have files, a line each' }, 'fail-above': { type: 'string', takes: 'LEVEL|SCORE', does: 'contained, exposed, or a number from 0 to 100' },
      json, sarif: { type: 'boolean', does: 'as SARIF 2.1.0, for code hosts' },
    },
    load: () => import('./commands/audit.ts'),
  },
  switch: { takes: 'NAME|host', does: 'bring the screen of a machine, or that of the host, to be seen ([display.vt])', options: {}, load: () => import('./commands/switch.ts') },
  seats: { takes: '', does: 'list the screens, keyboards, mice and sound cards of this computer, which machine has each, and what is free', options: { json }, load: () => import('./commands/seats.ts') },
  seat: {
    takes: 'new', does: 'print a table [seat] for a machine file: asks for a key on each of its keyboards, and a click of each mouse',
    options: { card: { type: 'string', takes: 'CARD', does: 'this graphics card; the first that is free if absent' }, sound: { type: 'string', takes: 'CARD', does: 'this sound card; the first that is free if absent' } }, load: () => import('./commands/seat.ts'),
  },
  screenshot: { takes: 'NAME FILE.png', does: 'write a picture of what a running machine shows (display = "nested" or "headless")', options: {}, load: () => import('./commands/screenshot.ts') },
  templates: {
    takes: '[TEMPLATE]...', does: 'list what machines are made from, and which of them use it',
    options: { prune: { type: 'boolean', does: 'remove those that no machine uses, and where none is named also the packages that were fetched for Debian roots, and system call filters that no start takes any more' }, json }, load: () => import('./commands/templates.ts'),
  },
  rm: { takes: 'NAME...', does: 'remove machines with all that they have changed', options: { 'passphrase-fd': passphrase, verbose }, load: () => import('./commands/rm.ts') },
  unshift: {
    takes: 'NAME|DIRECTORY', does: 'give the files of a root back the owners that an older systemd-nspawn --private-users-chown took from them',
    options: { 'dry-run': { type: 'boolean', does: 'only tell what would be done' }, from: { type: 'string', takes: 'ID', does: 'the first of the 65536 ids that they have; told from the root folder if absent' }, json, verbose }, load: () => import('./commands/unshift.ts'),
  },
  image: {
    takes: 'info|check FILE, grow FILE [SIZE|+SIZE], shrink FILE [SIZE], compress FILE, mount FILE FOLDER, unmount FILE', does: 'look at a disk image or a card, and change the size of what is in it',
    options: {
      partition: { type: 'string', takes: 'NUMBER', does: 'the one that grows or shrinks, the last one if absent; mount: the one with the root' }, margin: { type: 'string', takes: 'SIZE', does: 'shrink: what stays free besides what is used; a tenth of that, at least 16M, if absent' },
      as: { type: 'string', takes: 'xz|zst|gz', does: 'compress: how; xz if absent' }, repair: { type: 'boolean', does: 'check: repair what can be repaired without a loss' },
      'passphrase-fd': passphrase, 'key-file': { type: 'string', takes: 'KEY', does: 'mount: the file with the key of an encrypted root' }, 'dry-run': { type: 'boolean', does: 'only tell what would be done' }, json, verbose,
    },
    load: () => import('./commands/image.ts'),
  },
  export: {
    takes: 'NAME [PROGRAM]...', does: "list what a machine offers to be started, or put programs of it into the host's menu; or pack the machine into one file",
    options: {
      remove: { type: 'boolean', does: 'take them out of the menu; all if none is named' }, system: { type: 'boolean', does: 'the menu of everybody on this host' }, 'no-icon': { type: 'boolean', does: 'without its picture, which the host would have to read' },
      archive: { type: 'string', takes: 'FILE.tar.zst', does: 'root and machine file in one file, which nestbox create takes on another computer' }, json, verbose,
    },
    load: () => import('./commands/export.ts'),
  },
  clean: { takes: '[NAME]...', does: 'take back what crashed runs have left', options: { verbose }, load: () => import('./commands/clean.ts') },
  completion: { takes: 'bash|zsh|fish', does: 'print what lets a shell complete the words of nestbox', options: {}, load: () => import('./commands/completion.ts') },
  help: { takes: '[COMMAND|TOPIC|TOPIC.KIND]', does: 'tell the options of a command, or what a word of the machine file means', options: {}, load: () => import('./commands/help.ts') },
  doctor: { takes: '', does: 'tell what works on this host, what is missing, for which words of machine files that matters, and what mends it. Exit status 3: no machine can run', options: { json: { type: 'boolean', does: 'as JSON, with all facts that plans are made from, and without names, serial numbers and addresses: for a report of a fault' } }, load: () => import('./commands/doctor.ts') },
};

/** What nestbox says when it is asked for nothing. */
export const usage = (): string => `Usage: nestbox COMMAND [OPTION]...
${groups.map(({ title, commands: own }) => `\n${title[0]!.toUpperCase()}${title.slice(1)}:\n${Object.keys(own).map((name) => `  ${`${name} ${commands[name]!.takes}`.trimEnd()}\n      ${commands[name]!.does}\n`).join('')}`).join('')}
  nestbox COMMAND --help tells the options of one, nestbox help TOPIC what machines can be given. --stack before the command shows where an error came from.
`;

/** What `nestbox COMMAND --help` says. */
export function help(name: string, { takes, does, options }: Command): string {
  const columns = (rows: (readonly [string, string])[], width: number) => rows.map(([left, right]) => (left.length > width ? `  ${left}\n  ${' '.repeat(width)} ${right}\n` : `  ${left.padEnd(width)} ${right}\n`)).join('');
  const rows = Object.entries(options).map(([option, { short, takes: value, does: what }]) => [`${short ? `-${short}, ` : ''}--${option}${value ? ` ${value}` : ''}`, what] as const);
  const examples = columns([...examplesOf(name)], 44);
  const line = `Usage: nestbox ${name} ${rows.length > 0 ? '[OPTION]... ' : ''}${takes}`.trimEnd();
  return `${line}\n\n${does[0]!.toUpperCase()}${does.slice(1)}.\n${rows.length > 0 ? `\n${columns(rows, 28)}` : ''}${examples ? `\nExamples:\n${examples}` : ''}`;
}

async function dispatch(words: string[]): Promise<number> {
  const [name, ...args] = words;
  if (name === '--version') return show(`nestbox ${version}\n`);
  if (!name || name === '--help' || name === '-h') return show(usage());
  const command = Object.hasOwn(commands, name) ? commands[name]! : undefined;
  if (!command) {
    const meant = nearest(name, Object.keys(commands));
    throw new Complaint(`there is no command '${name}'`, meant ? `did you mean '${meant}'?` : 'nestbox --help lists them');
  }
  const { values, positionals } = parse(args, command);
  if (values.help) return show(help(name, command));
  return (await command.load()).default(positionals, values as Record<string, never>);
}

function show(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** The words with `--` before those of another program: `exec steam ls -l` needs none. */
function delimited(args: string[], { options, own }: Command): string[] {
  if (own === undefined) return args;
  for (let i = 0, words = 0; i < args.length; i++) {
    const [, long, short] = /^(?:--([\w-]+)|-(\w))$/.exec(args[i]!) ?? [];
    if (args[i] === '--') return args;
    if (Object.entries(options).some(([name, option]) => option.type === 'string' && (name === long || (short !== undefined && option.short === short)))) i++;
    else if (!args[i]!.startsWith('-') && words++ === own) return [...args.slice(0, i), '--', ...args.slice(i)];
  }
  return args;
}

function parse(args: string[], command: Command) {
  const { options } = command;
  try {
    return parseArgs({ args: delimited(args, command), options: { help: { type: 'boolean', short: 'h' }, ...options }, allowPositionals: true });
  } catch (error) {
    const what = (error as Error).message.split('. To specify')[0]!; // node's own words, less its advice
    const given = /'--([\w-]+)/.exec(what)?.[1];
    const meant = given && nearest(given, Object.keys(options));
    throw new Complaint(what.charAt(0).toLowerCase() + what.slice(1), meant ? `did you mean '--${meant}'?` : undefined);
  }
}

/** What root alone may do is done as root, where the person allows it; asked once. */
async function asAllowed(words: string[], asked: boolean): Promise<number> {
  try {
    return await dispatch(words);
  } catch (error) {
    const status = error instanceof NeedsRoot && !asked ? await (await import('./host/elevate.ts')).elevate(words) : null;
    if (status === null) throw error;
    return status;
  }
}

/** The one place that prints an error, and the one that ends the process. */
export async function main(all: string[]): Promise<void> {
  const { words, folder, env } = readKept(all);
  const stack = words[0] === '--stack';
  try {
    if (folder !== null) process.chdir(folder);
    Object.assign(process.env, env);
    process.exitCode = await asAllowed(stack ? words.slice(1) : words, folder !== null);
  } catch (error) {
    process.exitCode = 1;
    const { code, path, syscall } = error as NodeJS.ErrnoException;
    const lines = error instanceof Complaint ? error.message.split('\n') : code && reasons[code] ? [`cannot ${syscall ?? 'use'} ${path ?? 'a file'}: ${reasons[code]}`] : [`this should not have happened: ${(error as Error).message}`, '  nestbox --stack COMMAND ... shows where: please report it'];
    process.stderr.write(lines.map((line) => (line.startsWith(' ') ? `${line}\n` : `nestbox: ${line}\n`)).join(''));
    if (error instanceof Complaint && error.hint) process.stderr.write(error.hint.split('\n').map((line) => `  ${line}\n`).join(''));
    if (stack) process.stderr.write(`${(error as Error).stack}\n`);
  }
  await Promise.all([process.stdout, process.stderr].map(written));
  process.exit(); // a connection or a watcher that is still open must not keep it
}

/** Once all of it is with the reader, or the reader has gone. What does not fit into a pipe at once is still on its way, and an end of the process would cut it off. */
const written = (stream: NodeJS.WriteStream): Promise<void> => new Promise((done) => {
  stream.once('error', () => done());
  stream.write('', () => done());
});
