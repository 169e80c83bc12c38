import { type Rule, smallerFor } from '../audit.ts';

export default {
  summary: 'folders of the host may be written to',
  // Of a machine the grant says so itself.
  look: (known) => (known.made === 'nestbox' ? [] : known.binds.filter(({ is: { write, from } }) => write && !/^\/(dev|proc|sys|run|tmp\/\.X11-unix)(\/|$)/.test(from)).map(({ is: { from }, where }) => ({
    can: 'files', where, what: `programs inside can change and delete what is in ${from}, as far as the id that they have on the host may`, ...smallerFor(known, { nspawn: 'BindReadOnly=', lxc: 'ro among the options of the mount' }, 'changing what is in there'),
  }))),
} satisfies Rule;
