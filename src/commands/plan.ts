import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { meet, readMachineFile } from '../meet.ts';
import { plan as planOf } from '../plan.ts';
import { positionOf } from '../positions.ts';
import { probe } from '../probe.ts';
import { describe } from '../apply.ts';

/** Prints all that a run would do, each step with the line of the machine file that asked for it. */
export default async function plan([argument, ...argv]: string[], { json }: { json?: boolean }): Promise<number> {
  if (!argument) throw new Complaint('which machine?', 'nestbox plan FILE');
  const base: Facts = probe(process.env);
  const read = readMachineFile(argument, base);
  const spec = argv.length > 0 ? { ...read.spec, run: argv } : read.spec;
  const { machine, facts } = await meet(spec, read.file, base);
  const { opening, lasting, passing } = planOf(machine, facts, read.place);
  const lineOf = (by: string) => (by === '' || !named(read.text, by) ? null : positionOf(read.text, by.split('.')).line);
  if (json) {
    const show = (planned: typeof lasting) => planned.map(({ step, by }) => ({ ...step, by: by || null, line: lineOf(by) }));
    console.log(JSON.stringify({ ...(opening.length > 0 && { opening: show(opening) }), lasting: show(lasting), passing: show(passing) }, null, 2));
    return 0;
  }
  const show = (title: string, planned: typeof lasting) => {
    if (planned.length === 0) return;
    console.log(`${title}:`);
    for (const { step, by } of planned) {
      const line = lineOf(by);
      const [first = '', ...rest] = describe(step).split('\n');
      console.log(`${(line === null ? '-' : `${line}`).padStart(4)}  ${first}${rest.map((more) => `\n      ${more}`).join('')}`);
    }
  };
  show('before all else, taken back at the end', opening);
  const masks = machine.source.kind === 'template' ? (machine.source.masks ?? []) : [];
  if (masks.length > 0 && !lasting.some(({ step }) => step.kind === 'mask'))
    console.log(`left out in its root, as a container has no use for it (unmasked = [...] in [root] takes it back):\n${masks.map(({ path, why }) => `      ${path}: ${why}`).join('\n')}`);
  show(`once, kept until 'nestbox rm ${machine.name}'`, lasting);
  show('at each run, taken back at its end', passing);
  return 0;
}

/** Whether the file says anything at this key: else it is a default. */
const named = (text: string, by: string): boolean => {
  const whole = positionOf(text, by.split('.'));
  return whole.line > 1 || whole.column > 1 || new RegExp(`^\\s*\\[?${by.split('.')[0]}\\b`).test(text);
};
