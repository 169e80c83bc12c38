import { type Rule, smallerFor } from '../audit.ts';
import { exposuresOf } from '../grants/capabilities.ts';
import { exposedBy, type Where } from '../known.ts';

export default {
  summary: 'root inside has capabilities that containers usually do not have',
  look(known) {
    const lines = new Map<string, { where: Where; names: string[] }>();
    for (const { is, where } of known.capabilities) {
      const key = `${where.file}:${where.line}`;
      lines.set(key, { where, names: [...(lines.get(key)?.names ?? []), is] });
    }
    return [...lines.values()].flatMap(({ where, names }) => exposuresOf(names, exposedBy(known)).map(({ can, what }) => ({
      can, what, where, ...smallerFor(known, { nspawn: 'leave it out of Capability=', lxc: 'lxc.cap.drop with it' }, 'what programs inside do with it'),
    })));
  },
} satisfies Rule;
