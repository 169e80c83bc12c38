import { iconPaths, type Program, readProgram } from '../desktop.ts';
import { Complaint, NeedsRoot } from '../errors.ts';
import { ownWords } from '../host/elevate.ts';
import { become, exportedOf, exportProgram, menuOf, menuOfAll, unexport } from '../host/exports.ts';
import { listInRoot, readInRoot } from '../host/root-files.ts';
import { meet, readMachineFile } from '../meet.ts';
import { probe } from '../probe.ts';
import { table } from '../text.ts';
import { nearest } from '../words.ts';

export interface ExportOptions {
  archive?: string;
  remove?: boolean;
  system?: boolean;
  'no-icon'?: boolean;
  json?: boolean;
  verbose?: boolean;
}

/** Where roots have their desktop entries; one of the former is before one of the latter. */
const folders = ['/usr/local/share/applications', '/usr/share/applications'];

/** Puts programs of a machine into the host's menu, or takes them out; or packs the machine into one file. */
export default async function export_([name, ...ids]: string[], options: ExportOptions): Promise<number> {
  if (!name) throw new Complaint('which machine?', 'nestbox export NAME [PROGRAM]...');
  if (options.archive !== undefined) return (await import('./export/archive.ts')).default(name, ids, options.archive, options);
  const facts = probe(process.env);
  if (options.system && !facts.root) throw new NeedsRoot('only root can change the menu of all', `sudo nestbox ${process.argv.slice(2).join(' ')}`);
  const menu = options.system ? menuOfAll : menuOf(facts.person);
  if (options.remove) {
    if (!options.system) become(facts.person);
    const there = exportedOf(name, menu);
    for (const id of ids) if (!there.includes(id)) throw new Complaint(`'${id}' of '${name}' is not in the menu`, there.length > 0 ? `there is ${there.join(', ')}` : undefined);
    for (const id of ids.length > 0 ? ids : there) unexport(name, id, menu);
    return 0;
  }
  if (!facts.root) throw new NeedsRoot('only root can look into the roots of machines', `sudo nestbox ${process.argv.slice(2).join(' ')}`);
  const file = readMachineFile(name, facts);
  const { machine: { layers } } = await meet(file.spec, file.file, facts);
  if (layers.length === 0) throw new Complaint(`the root of '${name}' is not there yet, or not open`, `nestbox create ${name}; one on a volume is open while it runs`);
  const programs = programsIn(layers);
  const chosen = ids.map((id) => programs.find((program) => program.id === id) ?? missing(name, id, programs));
  const icons = chosen.map(({ icon }) => (icon === null || options['no-icon'] ? null : iconPaths(icon).map((path) => readInRoot(layers, path, 2 ** 20)).find((bytes) => bytes !== null) ?? null));
  if (!options.system) become(facts.person);
  if (ids.length === 0) show(programs, exportedOf(name, menu), options);
  for (const [i, program] of chosen.entries()) console.log(exportProgram(name, program, icons[i]!, ownWords(), menu).join('\n'));
  return 0;
}

function programsIn(layers: readonly string[]): Program[] {
  const seen = new Set<string>();
  return folders.flatMap((folder) => listInRoot(layers, folder).filter((file) => file.endsWith('.desktop')).slice(0, 2000).flatMap((file) => {
    const text = seen.has(file) ? null : readInRoot(layers, `${folder}/${file}`, 2 ** 16);
    if (text === null) return [];
    seen.add(file);
    return readProgram(file.slice(0, -'.desktop'.length), text.toString('utf8')) ?? [];
  })).sort((a, b) => (a.id < b.id ? -1 : 1));
}

function missing(name: string, id: string, programs: readonly Program[]): never {
  const meant = nearest(id, programs.map((program) => program.id));
  throw new Complaint(`'${name}' offers no program '${id}'`, meant ? `did you mean '${meant}'?` : `nestbox export ${name} lists what it offers`);
}

function show(programs: readonly Program[], exported: readonly string[], { json }: ExportOptions): void {
  if (json) console.log(JSON.stringify(programs.map(({ id, name, argv }) => ({ id, name, argv, exported: exported.includes(id) })), null, 2));
  else if (programs.length > 0) console.log(table([['PROGRAM', 'IN THE MENU', 'NAME'], ...programs.map(({ id, name }) => [id, exported.includes(id) ? 'yes' : '-', name])]));
}
