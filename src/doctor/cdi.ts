import { cdiNeeds } from '../cdi.ts';
import { type Check, type Finding, works } from '../doctor.ts';
import type { CdiFile, Facts } from '../facts.ts';

/** Files that describe devices (CDI): broken ones, and those that name what is not on this host any more. */
export default {
  title: 'Device descriptions (CDI)',
  look({ facts }): Finding[] {
    return (facts.cdi ?? []).map((file): Finding => {
      const names = namesOf(file);
      const words = [file.kind ? `devices = ["${file.kind}=..."]` : 'devices = [...]'];
      const mend = file.kind === 'nvidia.com/gpu' ? `nvidia-ctk cdi generate --output=${file.path}` : `make ${file.path} anew with the program that wrote it, or remove it`;
      if (file.spec === null) return { state: 'missing', what: `${file.path} cannot be used\n${file.complaints.slice(0, 3).join('\n')}`, words, mend };
      const faults = faultsOf(file, names, facts);
      if (faults.length === 0) return works(`${file.path}: ${names.length} device${names.length === 1 ? '' : 's'} of ${file.kind}`, ...words);
      return { state: 'limited', what: `${file.path} is stale\n${faults.slice(0, 3).join('\n')}${faults.length > 3 ? `\nand ${faults.length - 3} more` : ''}`, words, mend };
    });
  },
} satisfies Check;

/** Of one file alone: whose names stand before whose is no matter here. */
export const namesOf = ({ spec }: CdiFile): string[] => spec?.devices.map(({ name }) => `${spec.kind}=${name}`) ?? [];

function faultsOf(file: CdiFile, names: readonly string[], facts: Facts): string[] {
  const context = { facts: { ...facts, cdi: [file] }, shift: 2 ** 20, accept: ['no-hooks' as const], sharesNetwork: false };
  return [...new Set(names.flatMap((name) => cdiNeeds(names, name, context)).flatMap(({ what, fatal }) => (fatal ? [what] : [])))];
}
