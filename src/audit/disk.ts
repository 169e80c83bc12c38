import { type Rule, unbounded } from '../audit.ts';

export default {
  summary: 'nothing bounds how much is written to the disk of the host',
  look: (known) => unbounded(
    known, 'disk', 'disk', "what programs inside write is on the host's disk, until that is full: then programs of the host that write fail as well",
    { nestbox: '[root] volume = ... or image = ..., which has a size of its own', nspawn: 'an image as root, or a quota of the file system', lxc: 'lxc.rootfs.path on a volume of its own' }, 'room that grows by itself',
  ),
} satisfies Rule;
