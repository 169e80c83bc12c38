import { type Rule, smallerFor } from '../audit.ts';

export default {
  summary: "a file system that was made elsewhere is mounted by the kernel of the host",
  look: (known) => known.strangers.map(({ is, where }) => ({
    can: 'driver', where, what: `the kernel's driver of the file system reads whatever ${is} holds, and root inside writes there`,
    ...smallerFor(known, { nestbox: '[root] tar = ..., of what is in it', nspawn: '--image-policy=root=verity+signed+encrypted' }, 'that it is used as it is'),
  })),
} satisfies Rule;
