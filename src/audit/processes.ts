import { type Rule, unbounded } from '../audit.ts';

export default {
  summary: 'nothing bounds how many processes there are',
  look: (known) => unbounded(
    known, 'tasks', 'all-processes', 'programs inside can start processes until the kernel has no number left for one, on the host as well',
    { nestbox: 'limits = { tasks = 4096 }', nspawn: 'TasksMax=4096 in the unit', lxc: 'lxc.cgroup2.pids.max = 4096' }, 'nothing that is noticed',
  ),
} satisfies Rule;
