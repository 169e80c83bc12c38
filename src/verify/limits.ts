import { firstKeyed, type Tries } from './common.ts';

/** The limits that hold for it: the narrowest of its control group and of those above. */
export const limits: Tries = (subject) => {
  const { machine: { edits } } = subject;
  // A seat has limits of its own.
  return Object.entries(edits.limits).map(([of, value]) => ({
    what: `limit of ${of}`, asked: firstKeyed(subject, [['limits', of], ['seat']]), as: 'host', try: ['limit', of as 'cpu'], expect: { only: [`${value}`], needs: [`${value}`] }, layer: 'limit',
  }));
};
