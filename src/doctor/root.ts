import { type Check, type Finding, works } from '../doctor.ts';
import { installing } from '../packages.ts';

/** How root's rights are come by, which making and running machines takes. */
export default {
  title: "Root's rights",
  look({ facts, condition: { through } }): Finding[] {
    const { programs, root, person } = facts;
    if (through) return [works(`nestbox runs as root for ${person.name}, through ${through}`)];
    if (root) return [works('nestbox runs as root')];
    const tools = (['pkexec', 'sudo'] as const).filter((name) => programs[name]);
    return tools.length > 0 ? [works(`nestbox asks for them by ${tools.join(' or ')} when it needs them`)]
      : [{ state: 'limited', what: 'neither pkexec nor sudo is installed: nestbox cannot ask for them', words: [], mend: `${installing(['sudo'], facts)}; or call nestbox as root`, packages: ['sudo'] }];
  },
} satisfies Check;
