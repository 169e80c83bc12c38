import { basename } from 'node:path/posix';
import type { HookEdit } from './schema.ts';

/** What a hook would do to a container, said as edits; nothing that a CDI file names is ever run. */
export type HookDone =
  | { kind: 'links'; links: { path: string; to: string }[] }
  | { kind: 'libraries'; folders: string[] }
  /** It holds already, or nothing is lost without it; `warn`: the person should know all the same. */
  | { kind: 'left'; name: string; warn: boolean }
  /** It cannot be told what it does. */
  | { kind: 'unknown'; name: string; why: string };

/**
 * The hooks of NVIDIA's container toolkit (cmd/nvidia-cdi-hook of its source), by the name of the program and its first
 * words: `nvidia-cdi-hook NAME ...` and, before version 1.17, `nvidia-ctk hook NAME ...`.
 */
export function judgeHook({ path, args = [] }: HookEdit): HookDone {
  const program = basename(path);
  const words = args.slice(1); // the first is the name by which the program is called
  const shown = [path, ...words].join(' ');
  const unknown = (why: string): HookDone => ({ kind: 'unknown', name: shown, why });
  if (program !== 'nvidia-cdi-hook' && program !== 'nvidia-ctk') return unknown('nestbox runs no hooks, and does not know what this one is for');
  const named = words.filter((word) => !['--debug', '--quiet', '-d', '-q'].includes(word));
  const [name, ...rest] = program === 'nvidia-ctk' ? (named[0] === 'hook' ? named.slice(1) : []) : named;
  if (name === undefined) return unknown('it names no hook');
  const options = optionsOf(rest);
  if (!options) return unknown('its options are not those of that hook');
  const all = (option: string) => options.filter(([key]) => key === option).map(([, value]) => value);
  switch (name) {
    case 'create-symlinks': {
      const links = all('link').map((link) => link.split('::'));
      const wrong = links.find((parts) => parts.length !== 2 || !isPath(parts[1]!) || !isTarget(parts[0]!, parts[1]!));
      if (wrong) return unknown(`'${wrong.join('::')}' is no link as TARGET::PATH within the machine`);
      return { kind: 'links', links: links.map(([to, at]) => ({ path: at!, to: to! })) };
    }
    case 'update-ldcache': {
      const folders = all('folder');
      const wrong = folders.find((folder) => !isPath(folder));
      return wrong === undefined ? { kind: 'libraries', folders } : unknown(`'${wrong}' is no folder`);
    }
    // The folders of granted devices have that mode anyhow.
    case 'chmod': return { kind: 'left', name, warn: !(all('mode').every((mode) => /^0?755$/.test(mode)) && all('path').every((at) => at.startsWith('/dev/'))) };
    // It keeps the driver's library from making device nodes: nobody in a machine can.
    case 'disable-device-node-modification': return { kind: 'left', name, warn: false };
    case 'enable-cuda-compat': case 'update-application-profile': return { kind: 'left', name, warn: true };
    default: return unknown('this hook is not known here');
  }
}

const isPath = (text: string): boolean => text.startsWith('/') && text.length > 1 && !text.endsWith('/') && !/\p{Cc}/u.test(text) && !text.split('/').includes('..');

/** Absolute ones are inside; of relative ones the dots may not lead above the root. */
const isTarget = (to: string, path: string): boolean => to !== '' && !/\p{Cc}/u.test(to) && (to.startsWith('/') ? isPath(to) : !above(to, path));

function above(to: string, path: string): boolean {
  let depth = path.split('/').filter(Boolean).length - 1;
  for (const part of to.split('/').filter((word) => word !== '' && word !== '.')) {
    depth += part === '..' ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

/** --key value and --key=value; null: something else stands there. */
function optionsOf(words: string[]): [string, string][] | null {
  const options: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    const [, key, value] = /^--?([a-z-]+)(?:=([^]*))?$/.exec(words[i]!) ?? [];
    if (key === undefined) return null;
    const given = value ?? words[++i];
    if (given === undefined) return null;
    options.push([key, given]);
  }
  return options;
}
