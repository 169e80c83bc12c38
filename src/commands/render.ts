import { Complaint } from '../errors.ts';
import { meet, readMachineFile } from '../meet.ts';
import { plan, preparing } from '../plan.ts';
import { probe } from '../probe.ts';
import { unitsOf } from '../units/files.ts';

/** Prints the files that systemd would be given: with these it runs the machine without nestbox. */
export default async function render([argument, ...more]: string[], { json }: { json?: boolean }): Promise<number> {
  if (!argument || more.length > 0) throw new Complaint('which machine?', 'nestbox render FILE|NAME');
  const base = probe(process.env);
  const file = readMachineFile(argument, base);
  // Files can be written anywhere; it is starting them that needs systemd.
  const { machine, facts } = await meet(file.spec, file.file, { ...base, supervised: true, networkd: true }, 'service');
  const { files, image } = unitsOf(machine, facts, preparing(plan(machine, facts, file.place)));
  if (json) console.log(JSON.stringify({ files, links: image ? [image] : [] }, null, 2));
  else console.log([...files.map(({ path, text }) => `# ${path}\n${text}`), ...(!image || image.path === image.to ? [] : [`# ${image.path} -> ${image.to}`])].join('\n'));
  return 0;
}
