import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: options.timeout ?? 120_000, env: { ...process.env, ...options.env }, input: options.input ?? '' });
  return { status, stdout, stderr };
}

/** Starts nestbox and gives its process; the test that starts it sees to its end. */
export const start = (args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess =>
  spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });

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
