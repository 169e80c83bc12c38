import { existsSync } from 'node:fs';
import { resolve as absolute } from 'node:path';
import { isArchiveName, peeking, withArchive } from '../archives.ts';
import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { linux } from '../host/linux.ts';
import { writePattern } from '../host/pattern.ts';
import { type MachineFile, machineFile, readMachineFile } from '../meet.ts';
import { itsName } from '../pattern.ts';
import { probe } from '../probe.ts';
import { store } from '../store.ts';
import { note } from '../text.ts';
import { type Asks, inSession, make } from './run.ts';

/** Makes a machine's root, and installs its file under /etc/nestbox, so that every command takes it by name. */
export default async function create([argument, ...more]: string[], options: Asks): Promise<number> {
  if (!argument || more.length > 0) throw new Complaint('which machine file?', 'nestbox create FILE');
  const facts = probe(process.env);
  const read = isArchiveName(argument) ? await readArchive(argument, facts) : readMachineFile(argument, facts);
  const file = { ...read, spec: { ...read.spec, fleeting: false } }; // also of an image
  const { name } = file.spec;
  const installed = `${store.files}/${name}.toml`;
  const mustNotBeThere = ({ store: { machines } }: Facts) => {
    if (machines.some((machine) => machine.name === name)) throw new Complaint(`there is a machine '${name}' already`, `nestbox rm ${name} removes it`);
  };
  // One that is whole has its ways back: without these it was cut off, and is taken back first.
  if (existsSync(`${store.machine(name)}/undo`)) mustNotBeThere(facts);
  return inSession(file, facts, options, async (session, host, tell, now) => {
    mustNotBeThere(now);
    const there = await host.read(installed);
    if (there !== null && there !== file.text) throw new Complaint(`${installed} is there already, and says something else`, 'remove it, or give this machine another name');
    await make({ ...file, file: installed }, now, session, host, tell, 'run', [{ kind: 'mkdir', path: store.files, mode: 0o755 }, { kind: 'write', path: installed, text: file.text, mode: 0o644, fresh: true }]);
    const said = (machine: string) => `'${machine}' is made: nestbox ${file.spec.boot ? 'start' : 'run'} ${machine}`;
    if (read.file === absolute(argument)) await writePattern(file, said(itsName), host);
    note(said(name));
    return 0;
  });
}

/** The machine that an archive holds, which nestbox export has made. */
async function readArchive(argument: string, facts: Facts): Promise<MachineFile> {
  const { code, stdout, stderr } = await linux(facts.programs).run(peeking(absolute(argument)));
  if (code !== 0 || stdout === '') throw new Complaint(`${argument} is no archive that nestbox export has made`, stderr.trim().split('\n')[0] ?? '');
  return machineFile(withArchive(stdout, absolute(argument)), absolute(argument), argument);
}
