/** How a command that needs root is run again as root, for a person who is there to allow it (pure). */

/** What it keeps of the person's session, and nothing else: how their display and their sound are reached. */
export const kept = ['DISPLAY', 'XAUTHORITY', 'WAYLAND_DISPLAY', 'XDG_RUNTIME_DIR', 'PULSE_SERVER'] as const;

/** The option, before the command, that tells one of them to the nestbox that runs as root; PWD is where relative paths begin. */
export const keepOption = '--keep';

/** `nestbox`: the words that call nestbox. Both programs begin with a clean environment, whatever their settings say. */
export function asRoot(tool: string, nestbox: readonly string[], env: Readonly<Record<string, string | undefined>>, folder: string, words: readonly string[]): string[] {
  const kept_ = kept.flatMap((name) => (env[name] ? [keepOption, `${name}=${env[name]}`] : []));
  return [tool, ...nestbox, keepOption, `PWD=${folder}`, ...kept_, ...words];
}

/** The words without those options, and what they say; others than the above are left out. */
export function readKept(words: readonly string[]): { words: string[]; folder: string | null; env: Record<string, string> } {
  const env: Record<string, string> = {};
  let folder: string | null = null;
  let at = 0;
  for (; words[at] === keepOption; at += 2) {
    const [, name = '', value = ''] = /^(\w+)=(.*)$/s.exec(words[at + 1] ?? '') ?? [];
    if (name === 'PWD') folder = value;
    else if ((kept as readonly string[]).includes(name)) env[name] = value;
  }
  return { words: words.slice(at), folder, env };
}
