import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, promises, readFileSync, statSync } from 'node:fs';
import { constants as os } from 'node:os';
import type { Readable } from 'node:stream';
import { Complaint, packages, type ProgramName } from '../errors.ts';
import { unable } from './distribution.ts';
import type { Facts } from '../facts.ts';
import { type Host, must, saidBy } from '../host.ts';
import { programFolders } from '../probe.ts';
import type { Place, Step } from '../step.ts';
import { launchWords } from '../steps/programs.ts';
import { pasteable } from '../words.ts';
import { removeGroup, signalUntilEmpty } from './groups.ts';
import { descendants, isFirst, namespace } from './inside.ts';
import { takesConnections, until } from './ready.ts';

/** Programs of the host: run, watched and ended. */

const cleanEnvironment = { PATH: programFolders.join(':'), LANG: 'C.UTF-8' };

export interface Processes extends Pick<Host, 'run' | 'unlock' | 'build' | 'unpack' | 'serve' | 'contain' | 'stop' | 'endGroup' | 'interrupted'> {
  /** Exit status of the container that has ended. */
  status: number;
  /** Runs a program on the person's own terminal; returns its exit status. */
  foreground(argv: readonly string[]): Promise<number>;
  /** From now on signals of the person are noted, or passed on to the container, and end nothing by themselves. */
  takeSignals(): void;
  /** `lasting`: the program waits for the disk where it wants to; what others make would be made anew after a power cut. */
  build(step: Extract<Step, { kind: 'build' }>, lasting?: boolean): Promise<void>;
}

const passedOn = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const;

/** `passphrase`: an open descriptor that it can be read from; null: it is asked for. */
export function processes(programs: Facts['programs'], progress: (line: string) => void, passphrase: number | null): Processes {
  let asked: (typeof passedOn)[number] | null = null;
  let builder: ChildProcess | null = null;
  let asking: ChildProcess | null = null;
  let container: { child: ChildProcess; boots: boolean; halt: number | undefined; forwards: boolean; told: Set<string> } | null = null;

  const find = (argv: readonly string[], reason = 'go on'): string[] => {
    const name = argv[0] as ProgramName;
    if (!Object.hasOwn(packages, name)) throw new Error(`'${name}' is not in the table of programs`);
    const path = programs[name];
    if (!path) throw unable(name, reason);
    return [path, ...argv.slice(1)];
  };
  const launch = (options: string[], argv: readonly string[]): string[] => [...find(['nestbox-native']), 'launch', ...options, '--die-with', `${process.pid}`, '--', ...find(argv)];

  /** It dies with us: what it would still do once a crash of ours has been cleaned up would be left behind. Without nestbox-native nothing is changed, only looked at. */
  const run: Host['run'] = (argv, input) => {
    const [program = '', ...rest] = programs['nestbox-native'] ? launch([], argv) : find(argv);
    return new Promise((resolve, reject) => {
      const child = execFile(program, rest, { env: cleanEnvironment, maxBuffer: 2 ** 26, encoding: 'utf8' }, (error, stdout, stderr) => {
        if (error && typeof error.code === 'string') return reject(error);
        resolve({ code: error ? (typeof error.code === 'number' ? error.code : 128) : 0, stdout, stderr });
      });
      child.stdin?.on('error', () => {}).end(input);
    });
  };
  const host = { run } as Host; // all that must() asks for

  async function build({ argv, what, target, seen, ahead }: Extract<Step, { kind: 'build' }>, lasting = false): Promise<void> {
    progress(what);
    // Namespaces of its own: killed with us, it ends whole, and the mounts that it made are gone with it.
    const [program = '', ...rest] = launch([...(lasting ? [] : ['--no-sync']), ...(seen ? ['--own-mounts', '--bind', target, seen] : [])], ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--', ...(ahead ? [...find(['nestbox-native']), 'ahead', seen ?? target, '--'] : []), ...find(argv, what)]);
    const child = spawn(program, rest, { env: cleanEnvironment, stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: '/' });
    builder = child;
    const last: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      eachLine(stream, (line) => {
        if (line.trim() === '') return;
        last.push(line);
        if (last.length > 10) last.shift();
        progress(`  ${line}`);
      });
    if (asked) endBuilder();
    const code = await ended(child).finally(() => {
      builder = null;
    });
    interrupted();
    if (code !== 0) throw new Complaint(`${what}: this failed with exit status ${code}: ${pasteable(argv)}`, last.join('\n'));
  }

  /** Its own standard input is the person's terminal, if there is one. It ends with us, and what it has started with it. */
  async function unlock(argv: readonly string[]): Promise<void> {
    const [program = '', ...rest] = launch([], passphrase === null ? argv : [...argv, '--passphrase-fd', '3']);
    const child = spawn(program, rest, { env: { ...cleanEnvironment, ...(process.env.TERM && { TERM: process.env.TERM }) }, stdio: ['inherit', 'ignore', 'pipe', ...(passphrase === null ? [] : [passphrase])] });
    asking = child;
    if (asked) child.kill('SIGTERM');
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => { said += text; });
    const over = new Promise((resolve) => child.once('close', resolve));
    const code = await ended(child);
    await over;
    asking = null;
    interrupted();
    if (code !== 0) throw saidBy(said, argv, code);
  }

  async function unpack(step: Extract<Step, { kind: 'unpack' }>): Promise<void> {
    let child: ChildProcess | null = null;
    const start = (argv: readonly string[], input: number) => {
      const [program = '', ...rest] = launch([], argv);
      child = spawn(program, rest, { env: cleanEnvironment, stdio: [input, 'pipe', 'pipe'], detached: true, cwd: '/' });
      return child;
    };
    try {
      await (await import('./unpack.ts')).unpack(step, { start, progress, interrupted });
    } finally {
      (child as ChildProcess | null)?.kill('SIGKILL');
    }
  }

  /** By the first process of its namespace, whose death is over only when all others there are dead too. */
  function endBuilder(): void {
    const [first] = descendants(builder!.pid!);
    try {
      if (first === undefined) builder!.kill('SIGKILL');
      else process.kill(first, 'SIGKILL');
    } catch {
      // it has ended in the meantime
    }
  }

  async function foreground(argv: readonly string[]): Promise<number> {
    const [program = '', ...rest] = find(argv);
    for (const signal of passedOn) process.on(signal, () => {}); // the terminal tells the program as well, and it ends by itself
    const child = spawn(program, rest, { env: { ...cleanEnvironment, ...(process.env.TERM && { TERM: process.env.TERM }) }, stdio: 'inherit' });
    return ended(child);
  }

  async function serve(step: Extract<Step, { kind: 'service' }>): Promise<void> {
    const { name, argv, environment, user, place, log, ready, output } = step;
    const within = launchWords(step);
    if (statOf(ready)?.isSocket() && (await takesConnections(ready))) throw new Complaint(`'${name}' is not started: another program listens at ${ready} already`, 'it has been started in the meantime: try again');
    // It is opened by nestbox-native, in a folder that is held: systemd would follow a link that the person puts there.
    const to = output ? ['--output', output.path, `${output.owner.uid}`, `${output.owner.gid}`] : [];
    // Empty before it is waited for: what was in it would be taken for the service's.
    if (output) {
      const { code, stderr } = await run(['nestbox-native', 'launch', ...to, '--', ...find(['nestbox-native']), 'each']);
      if (code !== 0) throw new Complaint(`cannot write ${output.path}`, stderr.trim().replace(/^nestbox-native: /, ''));
    }
    if (place.kind === 'unit') {
      await must(host, [
        'systemd-run', '--quiet', '--collect', '--service-type=exec', `--unit=${place.name}`, `--description=${name}, for a machine of nestbox`,
        ...Object.entries(environment).map(([key, value]) => `--setenv=${key}=${value}`),
        `--property=StandardError=append:${log}`, `--property=StandardOutput=append:${log}`, '--',
        // systemd takes only ids that have an account; these may be a machine's own.
        ...find(['nestbox-native']), 'launch', ...within, '--user', `${user.uid}:${user.gid}`, ...to, '--', ...find(argv),
      ]);
      return until(ready, log, name, () => null);
    }
    const errors = openSync(log, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW, 0o600);
    const [program = '', ...rest] = launch([...place.folders.flatMap((folder) => ['--cgroup', folder]), ...within, '--user', `${user.uid}:${user.gid}`, ...to], argv);
    const child = spawn(program, rest, { env: { ...cleanEnvironment, ...environment }, stdio: ['ignore', errors, errors], detached: true, cwd: '/' });
    closeSync(errors);
    let status: number | null = null;
    const over = ended(child).then((code) => {
      status = code;
    });
    child.unref();
    await until(ready, log, name, () => status, over);
  }

  async function contain(step: Extract<Step, { kind: 'container' }>): Promise<void> {
    const interactive = process.stdin.isTTY && process.stdout.isTTY;
    const forwards = step.halt !== undefined || step.status !== undefined; // then the engine is not asked to end: what it runs dies with it
    const { at, terminal, pipe } = step.console;
    const words = [...step.argv.slice(0, at), ...[interactive ? terminal : pipe].filter(Boolean), ...step.argv.slice(at)];
    // One level below the rules: root with the host's ids can mount its control group and change it, but not beyond the one above.
    const folders = step.place.kind === 'cgroup' ? step.place.folders.map((folder) => `${folder}/inside`) : [];
    for (const folder of folders) mkdirSync(folder, { recursive: true });
    const scope = step.place.kind === 'unit' ? scopeWords(step.place) : [];
    const filters = step.filters === undefined ? [] : ['--filters', step.filters];
    const [program = '', ...rest] = launch(
      [...folders.flatMap((folder) => ['--cgroup', folder]), ...(step.ipc === undefined ? [] : ['--ipc', step.ipc]), ...(forwards ? [] : ['--gently']), ...(scope.length > 0 ? [] : filters)],
      // Not systemd-run, but what it becomes is filtered.
      scope.length > 0 ? [...scope, ...(filters.length > 0 ? [...find(['nestbox-native']), 'launch', ...filters, '--'] : []), ...find(words)] : words,
    );
    const child = spawn(program, rest, { env: { ...cleanEnvironment, ...(process.env.TERM && { TERM: process.env.TERM }), ...step.environment }, stdio: 'inherit' });
    container = { child, boots: step.boots, halt: step.halt, forwards, told: new Set() };
    const over = ended(child);
    if (step.inside) await Promise.race([connect(child, step.inside), over]);
    const status = await over;
    processesOf.status = status === 0 && step.status !== undefined ? statusIn(step.status) : status;
    container = null;
  }

  /** The program inside waits at the gate: whoever opens it for writing gets it open when that has begun to wait. */
  async function connect(child: ChildProcess, { peer, address, gateway, gate }: NonNullable<Extract<Step, { kind: 'container' }>['inside']>): Promise<void> {
    const opened = promises.open(gate, 'w');
    const release = () => void promises.open(gate, constants.O_RDONLY | constants.O_NONBLOCK).then((reader) => reader.close()).catch(() => {}); // ends the waiting of open() when there is nobody inside any more
    child.once('exit', release);
    const writer = await opened;
    child.off('exit', release);
    try {
      const inside = descendants(child.pid!).find((pid) => namespace(pid, 'net') !== namespace('self', 'net'));
      if (inside === undefined) return;
      await must(host, ['ip', 'link', 'set', peer, 'netns', `${inside}`, 'name', 'host0']);
      const commands = [`address add ${address} dev host0`, 'link set lo up', 'link set host0 up', ...(gateway ? [`route add default via ${gateway}`] : [])].map((line) => `${line}\n`).join('');
      const { code, stderr } = await run(['nsenter', `--net=/proc/${inside}/ns/net`, programs.ip!, '-batch', '-'], commands);
      if (code !== 0) throw new Complaint(`the network inside cannot be set up: ${stderr.trim()}`, commands.trimEnd());
    } finally {
      await writer.close();
    }
  }

  function takeSignals(): void {
    for (const signal of passedOn)
      process.on(signal, () => {
        if (!container) {
          asked ??= signal;
          if (builder) endBuilder();
          asking?.kill('SIGTERM'); // else it would go on waiting for a passphrase
          return;
        }
        const program = container.boots ? undefined : descendants(container.child.pid!).filter((pid) => namespace(pid, 'pid') !== namespace('self', 'pid') && !isFirst(pid))[0];
        // The second time it is for the engine: a program that does not listen can be ended all the same.
        if (program !== undefined && !container.told.has(signal)) process.kill(program, signal);
        else if (!container.forwards) container.child.kill('SIGTERM');
        else process.kill(container.child.pid!, container.told.size > 0 ? 'SIGKILL' : (container.halt ?? signal));
        container.told.add(signal);
      });
  }

  function interrupted(): void {
    if (asked) throw new Interrupted(asked);
  }

  /** What waits for a slow disk dies when that has answered, in ms. */
  const farewell = 30_000;

  async function stop(place: Place, grace: boolean): Promise<void> {
    if (place.kind === 'unit') {
      await run(['systemctl', 'stop', place.name]); // one that is not there any more is stopped
      return;
    }
    const there = place.folders.filter((folder) => statOf(folder));
    if (grace) await signalUntilEmpty(there, 'SIGTERM', 3000, true);
    await signalUntilEmpty(there, 'SIGKILL', farewell, false);
  }

  async function endGroup(folders: readonly string[]): Promise<void> {
    const there = folders.filter((folder) => statOf(folder));
    await signalUntilEmpty(there, 'SIGKILL', farewell, false);
    for (const folder of there) await removeGroup(folder);
  }

  const processesOf: Processes = { status: 0, run, unlock, foreground, build, unpack, serve, contain, stop, endGroup, interrupted, takeSignals };
  return processesOf;
}

/** node:readline does it too, and takes 2 ms of each start to load. */
function eachLine(stream: Readable, tell: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split(/[\r\n]+/);
    rest = lines.pop()!;
    for (const line of lines) tell(line);
  }).on('end', () => tell(rest));
}

/** Thrown in place of the step that comes next when the person has asked to stop. */
export class Interrupted extends Error {
  readonly status: number;
  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal}`);
    this.status = 128 + os.signals[signal];
  }
}

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + os.signals[signal!]));
  });

/** What the first process of a container has written down: it is the container's to write. 1: nothing, it was killed. */
function statusIn(path: string): number {
  const [, number] = /^(\d{1,3})\n$/.exec(readFileSync(path, 'utf8').slice(0, 5)) ?? [];
  return number === undefined ? 1 : Number(number) & 255;
}

/** What puts a container into a scope of systemd's: systemd-run(1). */
export const scopeWords = ({ name, properties }: Extract<Place, { kind: 'unit' }>): string[] => ['systemd-run', '--quiet', '--scope', '--slice=machine.slice', `--unit=${name}`, ...properties.map((property) => `--property=${property}`), '--'];

const statOf = (path: string) => statSync(path, { throwIfNoEntry: false });
