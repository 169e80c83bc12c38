import { type Check, type Finding, works } from '../doctor.ts';
import { beginningOf, binfmtFolder, type Entry, faultsOf, isOurs, judge, nativeArchitectures, takes } from '../foreign/binfmt.ts';
import { architectures } from '../foreign/elf.ts';
import type { Facts } from '../facts.ts';
import { installing } from '../packages.ts';

/** Which processors' programs run here, and entries of binfmt_misc that stand in the way. */
export default {
  title: 'Programs for other processors',
  look({ facts }): Finding[] {
    const { binfmt } = facts;
    const native = nativeArchitectures(facts);
    const emulated = architectures.map(({ name }) => name).filter((name) => judge(name, facts).runs === 'emulated');
    const words = ['architecture', 'root.image of another processor'];
    return [
      works(`this processor runs ${native.join(', ')}`, 'architecture'),
      ...(binfmt?.off ? [{ state: 'missing' as const, what: 'binfmt_misc is switched off on this host', words, mend: `echo 1 > ${binfmtFolder}/status` }] : []),
      ...(emulated.length > 0 ? [works(`QEMU runs ${emulated.length > 8 ? `${emulated.slice(0, 8).join(', ')} and ${emulated.length - 8} more` : emulated.join(', ')}`, ...words)]
        : binfmt?.off ? [] : [{ state: 'missing' as const, what: 'there is no emulator that another root could use', words, mend: installing(['qemu-user-static'], facts), packages: ['qemu-user-static' as const] }]),
      ...(binfmt?.entries ?? []).filter((entry) => !isOurs(entry)).flatMap((entry) => wrong(entry, facts)),
    ];
  },
} satisfies Check;

function wrong(entry: Entry, facts: Facts): Finding[] {
  const away = `echo -1 > ${binfmtFolder}/${entry.name} takes it away`;
  const taken = architectures.map(({ name }) => name).filter((name) => takes({ ...entry, enabled: true }, beginningOf(name)));
  if (taken.length === 0) return []; // it is for something else than processors, such as Java
  const words = [`architecture = ${taken.map((name) => `"${name}"`).join(', ')}`];
  const own = taken.filter((name) => nativeArchitectures(facts).includes(name));
  if (own.length > 0 && entry.enabled) return [{ state: 'limited', what: `the entry '${entry.name}' of binfmt_misc has ${entry.interpreter} run programs for ${own.join(', ')}, which this processor runs by itself`, words, mend: away }];
  if (!entry.enabled) return [{ state: 'limited', what: `the entry '${entry.name}' of binfmt_misc is switched off`, words, mend: `echo 1 > ${binfmtFolder}/${entry.name}` }];
  const faults = faultsOf(entry);
  return faults.length === 0 ? [] : [{ state: 'limited', what: `the entry '${entry.name}' of binfmt_misc ${faults.join(', and ')}`, words, mend: `${away}; ${installing(['qemu-user-static'], facts)} brings one that works` }];
}
