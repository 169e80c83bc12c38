import { type Check, type Finding, type Left, works } from '../doctor.ts';

const said: Record<Left['kind'], string> = {
  run: 'a run was cut off, and what it has changed is still to be taken back', service: 'it has ended by itself, and its units are still in place', volume: 'its volume is still open',
  image: 'a change of a disk image was cut off', owners: 'nestbox unshift was cut off: the owners of some files are changed and those of others are not',
};

/** What crashed runs have left. */
export default {
  title: 'Left behind',
  look({ condition: { left } }): Finding[] {
    if (left === null) return [{ state: 'untold', what: 'whether crashed runs have left something: only root may look there', words: [], mend: 'sudo nestbox doctor' }];
    if (left.length === 0) return [works('nothing: no run was cut off')];
    return left.map(({ name, kind }) => ({ state: 'limited', what: `'${name}': ${said[kind]}`, words: [], mend: `nestbox clean ${name}` }));
  },
} satisfies Check;
