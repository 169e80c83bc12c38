import { type Rule, unbounded } from '../audit.ts';

export default {
  summary: 'nothing bounds how much memory is used',
  look: (known) => unbounded(
    known, 'memory', 'all-memory', 'programs inside can use all memory; the kernel then ends programs, also those of the host',
    { nestbox: 'limits = { memory = "4G" }', nspawn: 'MemoryMax=4G in the unit', lxc: 'lxc.cgroup2.memory.max = 4G' }, 'the rest of the memory',
  ),
} satisfies Rule;
