import { type Rule, smallerFor } from '../audit.ts';
import { exposuresOf } from '../grants/capabilities.ts';

export default {
  summary: 'root inside has capabilities that containers usually do not have',
  look: (known) => known.capabilities.flatMap(({ is, where }) => exposuresOf([is], { isHostRoot: known.hostRoot?.is !== false, sharesNetwork: known.ownNetwork?.is === false }).map(({ can, what }) => ({
    can, what, where, ...smallerFor(known, { nspawn: 'leave it out of Capability=', lxc: 'lxc.cap.drop with it' }, 'what programs inside do with it'),
  }))),
} satisfies Rule;
