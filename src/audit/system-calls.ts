import { type Rule, smallerFor } from '../audit.ts';
import syscalls from '../grants/syscalls.ts';
import { exposedBy } from '../known.ts';

export default {
  summary: 'programs inside may make system calls that containers usually may not',
  look: (known) => known.syscalls.flatMap(({ is, where }) => syscalls.exposes(is, undefined, exposedBy(known)).map(({ can, what }) => ({
    can, what, where, ...smallerFor(known, { nspawn: 'leave it out of SystemCallFilter=' }, 'what the program does with these calls'),
  }))),
} satisfies Rule;
