import type { Rule } from '../audit.ts';

export default {
  summary: 'an emulator of binfmt_misc that gives the rights of programs (flag C) can be changed by others than root',
  look: (known) => known.host.looseEmulators.map((path) => ({
    can: 'root', where: { file: path, line: null, column: null, text: 'binfmt_misc has it with flag C' }, what: `whoever can write to ${path} becomes root where somebody starts a set-user-id program for that processor, inside or outside`, smaller: { say: `chown root: ${path} && chmod 0755 ${path}, or an entry without C`, loses: 'sudo and the like in roots for that processor' },
  })),
} satisfies Rule;
