import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';

/** The program as people run it: the built file, in a process of its own. */
export const program = new URL('../dist/nestbox.cjs', import.meta.url).pathname;

export interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs nestbox to its end. */
export function nestbox(args: string[], options: { env?: NodeJS.ProcessEnv; input?: string; timeout?: number } = {}): Result {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: options.timeout ?? 900_000, env: { ...process.env, ...options.env }, input: options.input ?? '' });
  return { status, stdout, stderr };
}

/** Starts nestbox and gives its process; the test that starts it sees to its end. */
export const start = (args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess =>
  spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });

/** A program that has been started, and what it has said so far. */
export interface Running {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Waits for what it says; fails when it ends without having said it, or is silent for too long: making a root is, for half a minute on a slow computer. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  /** Asks it to end, unless the signal is null, and waits for that. */
  end(signal?: NodeJS.Signals | null): Promise<Result>;
}

/** Follows a program; it ends with the test at the latest. */
export function follow(t: TestContext, child: ChildProcess): Running {
  let [stdout, stderr] = ['', ''];
  let wake = () => {};
  child.stdout?.setEncoding('utf8').on('data', (text: string) => { stdout += text; wake(); });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { stderr += text; wake(); });
  let over = false;
  const exited = once(child, 'exit');
  const closed = once(child, 'close').then(() => { over = true; wake(); });
  const end = async (signal: NodeJS.Signals | null = 'SIGTERM'): Promise<Result> => {
    if (signal && !over) child.kill(signal);
    const hard = setTimeout(() => child.kill('SIGKILL'), 180_000); // an emulated system that is shut down beside others takes its time
    await exited;
    clearTimeout(hard);
    // After a kill, what it had started may live on and hold its output open.
    if (child.signalCode !== 'SIGKILL') await closed;
    for (const stream of [child.stdout, child.stderr]) stream?.destroy();
    return { status: child.exitCode ?? child.signalCode as never, stdout, stderr };
  };
  t.after(() => end());
  return {
    child, stdout: () => stdout, stderr: () => stderr, end,
    async says(pattern) {
      let [limit, heard] = [0, -1];
      for (;;) {
        const length = stdout.length + stderr.length;
        if (length !== heard) [limit, heard] = [Date.now() + 120_000, length];
        const found = pattern.exec(stdout);
        if (found) return found;
        if (over || Date.now() > limit) throw new Error(`${over ? 'it ended' : 'it is silent'} before it said ${pattern}:\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 1000);
          wake = () => { clearTimeout(timer); resolve(); };
        });
      }
    },
  };
}

/** Starts nestbox for the length of the test at most. */
export const running = (t: TestContext, args: string[], env: NodeJS.ProcessEnv = {}): Running => follow(t, start(args, env));

/** Starts nestbox, which stops itself at that point (container/kill-at.cjs says which there are), and gives it then: SIGCONT lets it go on. */
export async function stoppedAt(t: TestContext, point: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Running> {
  const hook = new URL('./container/kill-at.cjs', import.meta.url).pathname;
  const run = follow(t, spawn(process.execPath, ['--require', hook, program, ...args], { env: { ...process.env, ...env, KILL_AT: point, KILL_WITH: 'SIGSTOP' }, stdio: ['ignore', 'pipe', 'pipe'] }));
  while (!/^\d+ \(.*\) T/s.test(readFileSync(`/proc/${run.child.pid}/stat`, 'utf8'))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (run.child.exitCode !== null) throw new Error(`it ended before ${point}: ${run.stderr()}`);
  }
  return run;
}

/** A folder for the length of a test. */
export function folder(t: TestContext): string {
  const path = mkdtempSync('/var/tmp/nestbox-test.');
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A machine file in a folder for the length of the test; `root` is the one that the tests share. */
export function machineFile(t: TestContext, text: string, name = 'machine.toml'): string {
  const path = `${folder(t)}/${name}`;
  writeFileSync(path, text);
  return path;
}

/** The root that container tests share: it is built once and kept as a template. */
export const root = '[root]\ndebian = "bookworm"\npackages = ["x11-apps", "x11-utils", "xdotool", "xterm", "pulseaudio-utils", "iproute2"]\n';
