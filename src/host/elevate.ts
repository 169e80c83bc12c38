import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { asRoot } from '../elevation.ts';
import { isProgram, programFolders } from '../probe.ts';

/** The words that call this very nestbox, from wherever: by its name where that leads to it. */
export function ownWords(): string[] {
  const own = realpathSync(process.argv[1]!);
  const named = programFolders.map((folder) => `${folder}/nestbox`).find((path) => isProgram(path) && dirname(realpathSync(path)) === dirname(own));
  return named ? [named] : isProgram(`${dirname(own)}/nestbox`) ? [`${dirname(own)}/nestbox`] : [process.execPath, own];
}

const find = (name: string): string | undefined => programFolders.map((folder) => `${folder}/${name}`).find(isProgram);

/** What asks the person: polkit, where its bus is, or else sudo. null: there is none, or nobody who could answer. */
function toolFor(env: NodeJS.ProcessEnv): string | null {
  const isSomebodyThere = process.stdin.isTTY || env.DISPLAY || env.WAYLAND_DISPLAY;
  if (!isSomebodyThere || process.getuid!() === 0) return null;
  return (existsSync('/run/dbus/system_bus_socket') ? find('pkexec') : undefined) ?? find('sudo') ?? null;
}

/** Runs the same command again as root; returns its exit status, or null where nobody can be asked. */
export async function elevate(words: readonly string[]): Promise<number | null> {
  const tool = toolFor(process.env);
  if (tool === null) return null;
  const [program, ...rest] = asRoot(tool, ownWords(), process.env, process.cwd(), words);
  // Ctrl-C reaches the other one as well, which takes everything back: it is waited for.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  return new Promise((resolve, reject) => {
    const child = spawn(program!, rest, { stdio: 'inherit' });
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
