import { commands } from '../cli.ts';
import { bash } from '../completion/bash.ts';
import { fish } from '../completion/fish.ts';
import { zsh } from '../completion/zsh.ts';
import { Complaint } from '../errors.ts';

const shells = { bash, zsh, fish };

/** Prints what lets a shell complete the words of nestbox. */
export default async function completion([shell, ...more]: string[]): Promise<number> {
  if (!shell || more.length > 0 || !Object.hasOwn(shells, shell)) throw new Complaint(shell && more.length === 0 ? `there is no completion for '${shell}'` : 'for which shell?', `nestbox completion ${Object.keys(shells).join('|')}`);
  process.stdout.write(shells[shell as keyof typeof shells](commands));
  return 0;
}
