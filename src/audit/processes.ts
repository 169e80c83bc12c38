import { type Rule, smallerFor } from '../audit.ts';

export default {
  summary: 'nothing bounds how many processes there are',
  look: (known) => (known.bounds.tasks?.is === false ? [{
    can: 'all-processes', where: known.bounds.tasks.where, what: 'programs inside can start processes until the kernel has no number left for one, on the host as well',
    ...smallerFor(known, { nestbox: 'limits = { tasks = 4096 }', nspawn: 'TasksMax=4096 in the unit', lxc: 'lxc.cgroup2.pids.max = 4096' }, 'nothing that is noticed'),
  }] : []),
} satisfies Rule;
