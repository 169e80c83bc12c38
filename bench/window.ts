// scripts/bench window [--rounds N] [--json] [--short]
// From the command to xterm's window on the screen, an X server of the host's (Xvfb): the launcher beside plain systemd-nspawn, bubblewrap and the host's own xterm.
import { spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { FamilyWild, MagicCookie, writeXauthority } from '../src/x11.ts';
import { root as shared } from '../test/nestbox.ts';
import { front, inFolder, native, nestbox, plannedIn } from './machines.ts';
import { type Goal, measure, must, options, report, type Variant } from './measure.ts';

const { rounds = 25, json, short } = options();
const number = 97;
const socket = `/tmp/.X11-unix/X${number}`;
const program = ['xterm', '-e', 'sleep', '1000'];
const machines = ['x11', 'headless'] as const;
const root = short ? shared : '\n[root]\ndebian = "bookworm"\npackages = ["xterm"]\n';
const nameOf = (display: string) => `nestbox-bench-window-${display}`;

await inFolder(async (folder) => {
  const key = `${folder}/key`;
  writeFileSync(key, writeXauthority([{ family: FamilyWild, address: new Uint8Array(), number: `${number}`, name: MagicCookie, data: readFileSync('/proc/sys/kernel/random/uuid').subarray(0, 16) }]), { mode: 0o600 });
  mkdirSync('/tmp/.X11-unix', { recursive: true, mode: 0o1777 });
  const server = spawn('Xvfb', [`:${number}`, '-screen', '0', '1280x800x24', '-auth', key, '-nolisten', 'tcp', '-noreset'], { stdio: 'ignore' });
  const session = { DISPLAY: `:${number}`, XAUTHORITY: key };
  try {
    for (let i = 0; !existsSync(socket) && i < 200; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    for (const display of machines) {
      writeFileSync(`${folder}/${display}.toml`, `name = "${nameOf(display)}"\ndisplay = "${display}"\nnetwork = "none"\n${root}`);
      must(nestbox('run', `${folder}/${display}.toml`, '--', 'true'), session);
    }
    const of = <K extends 'overlay' | 'container'>(kind: K) => plannedIn(kind, session, `${folder}/x11.toml`, '--', ...program)[0]!;
    const mounted = of('overlay');
    // The same overlay by hand, with an upper folder of its own: one cannot be in two overlays at once.
    const [top, at, inside] = [`${folder}/top`, `${folder}/mounted`, `${folder}/inside`];
    for (const path of [top, `${top}/upper`, `${top}/work`, at]) mkdirSync(path);
    must([native, 'overlay', at, top, 'upper', 'work', mounted.lower, `${mounted.shift}`]);
    // A key that root inside can read, as somebody would give it by hand: the person's.
    writeFileSync(inside, readFileSync(key), { mode: 0o600 });
    chownSync(inside, mounted.shift, mounted.shift);
    try {
      const times = `${folder}/time`;
      const watched = (name: string, argv: string[], environment: Record<string, string> = {}): Variant => ({
        name, argv: [process.execPath, '--import', 'tsx', new URL('window-watch.ts', import.meta.url).pathname, socket, key, times, ...argv],
        environment: { ...session, ...environment }, took: () => Number(readFileSync(times, 'utf8')),
      });
      const step = of('container');
      const plain = step.argv.map((word) => (word.startsWith('--directory=') ? `--directory=${at}` : word.startsWith('--bind-ro=/run/nestbox/') ? `--bind-ro=${inside}:/run/nestbox/xauth` : word));
      const tree = mounted.lower;
      const variants: Variant[] = [
        ...(existsSync('/usr/bin/xterm') ? [watched('host', program)] : []),
        watched('nspawn', [plain[0]!, '--console=pipe', ...plain.slice(1)], step.environment),
        ...(existsSync('/usr/bin/bwrap') ? [watched('bubblewrap', ['bwrap', '--ro-bind', tree, '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp', '--tmpfs', '/run', '--ro-bind', socket, socket, '--ro-bind', key, '/run/xauth', '--setenv', 'XAUTHORITY', '/run/xauth', '--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--die-with-parent', ...program])] : []),
        watched('launcher', [front, 'exec', '--start', nameOf('x11'), '--', ...program]),
        watched('nestbox run, with Node', nestbox('run', nameOf('x11'), '--', ...program)),
        // No window of theirs is on the host's screen: these run to their end, once an answer of the X server is there.
        { name: 'a client, display = "headless"', argv: [front, 'exec', '--start', nameOf('headless'), '--', 'xterm', '-e', 'true'], environment: session },
        { name: 'the same on the host\'s display', argv: [front, 'exec', '--start', nameOf('x11'), '--', 'xterm', '-e', 'true'], environment: session },
      ];
      const others: Goal[] = [
        { name: 'nestbox run, with Node', to: 'nspawn', goal: null },
        ...variants.filter(({ name }) => name === 'host' || name === 'bubblewrap').map(({ name }) => ({ name: 'launcher', to: name, goal: null })),
        { name: 'a client, display = "headless"', to: 'the same on the host\'s display', goal: null },
      ];
      const goals: Goal[] = [
        { name: 'launcher', to: 'nspawn', goal: 0.7, margin: 2 },
        ...(short ? [] : others),
      ];
      report('The first window', measure(short ? variants.filter(({ name }) => goals.some((goal) => goal.name === name || goal.to === name)) : variants, { rounds, warmups: 3 }), goals, {}, json);
    } finally {
      must(['umount', at]);
    }
  } finally {
    server.kill();
    must(nestbox('rm', ...machines.map(nameOf)));
  }
});
