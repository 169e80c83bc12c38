import { type Rule, unbounded } from '../audit.ts';

export default {
  summary: 'nothing bounds how much of the processors is used',
  look: (known) => unbounded(
    known, 'cpu', 'cpu', 'programs inside can keep all processors busy; programs of the host then share them with these',
    { nestbox: 'limits = { cpu = 2.0 }', nspawn: 'CPUQuota=200% in the unit', lxc: 'lxc.cgroup2.cpu.max = 200000 100000' }, 'the rest of the processors',
  ),
} satisfies Rule;
