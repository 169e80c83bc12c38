import { store } from '../store.ts';
import { keyed, type Tries } from './common.ts';

/** The terminal or seat that it has is still its own, and what brings it keyboards and mice is there. */
export const seat: Tries = (subject) => {
  const { machine: { edits, origin, name } } = subject;
  const taken = edits.before.find(({ kind }) => kind === 'seat' || kind === 'terminal');
  if (!taken) return [];
  const asked = keyed(subject, origin.get(taken));
  return [
    taken.kind === 'seat'
      ? { what: 'its keyboards are taken for the seat', asked, as: 'host', try: ['serves', `${store.seats}/${name}`], expect: 'allowed', layer: 'seat' }
      : { what: 'its terminal is taken for it', asked, as: 'host', try: ['serves', taken.kind === 'terminal' ? taken.file : ''], expect: 'allowed', layer: 'seat' },
  ];
};
