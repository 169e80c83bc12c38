import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, resolve as absolute } from 'node:path';
import { audit as judge, type Report, tell } from '../audit.ts';
import { type Level, levels } from '../dangers.ts';
import { Complaint } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { dropIns, foreignFiles, leaderOf, leadersOfLxc, lookAt, runningContainers } from '../host/containers.ts';
import { concerning, readSurroundings } from '../host/surroundings.ts';
import { kindOf, readForeign } from '../import.ts';
import { nameOfFile } from '../import/nspawn.ts';
import { lastOf } from '../import/settings.ts';
import { longest } from '../import/text.ts';
import type { Known, Surroundings } from '../known.ts';
import { knownForeign } from '../known/foreign.ts';
import { knownMachine } from '../known/machine.ts';
import { knownProcess } from '../known/process.ts';
import { meet, once, type Others, othersOn, readMachineFile } from '../meet.ts';
import { probe } from '../probe.ts';
import { sarif } from '../sarif.ts';
import { store } from '../store.ts';
import { note, table } from '../text.ts';
import { version } from '../version.ts';
import { listed } from '../words.ts';

interface Options {
  all?: boolean;
  json?: boolean;
  sarif?: boolean;
  'fail-above'?: string;
}

/** What all that is looked at has in common. It is read once: else the time for many grows with their square. */
interface Looking {
  facts: Facts;
  host: Surroundings;
  others: Others;
  files(): ReadonlyMap<string, string>;
  lxc(): ReadonlyMap<string, number>;
}

/** Tells what a hostile program inside could do, of a machine file, a machine, or a container of somebody else's. Exit status 3: more than --fail-above says. */
export default async function audit(args: string[], options: Options): Promise<number> {
  if (options.all ? args.length > 0 : args.length === 0) throw new Complaint(options.all ? '--all is for all there are, and a name for one' : 'which machine?', 'nestbox audit FILE|NAME..., or nestbox audit --all');
  if (options.json && options.sarif) throw new Complaint('--json and --sarif are two forms of the same', 'leave one of the two out');
  const bound = options['fail-above'] === undefined ? null : boundOf(options['fail-above']);
  const facts = probe(process.env);
  const host = await readSurroundings(facts);
  const looking: Looking = { facts, host, others: othersOn(facts), files: once(foreignFiles), lxc: once(leadersOfLxc) };
  const reports: Report[] = [];
  for (const one of options.all ? everything(looking) : args)
    try {
      reports.push(...(await known(one, looking)).map(judge));
    } catch (error) {
      if (!options.all || !(error instanceof Complaint)) throw error;
      note(`${one} cannot be looked at, going on\n${error.message}`);
    }
  if (options.all) reports.push(...ofHost(host));
  if (options.sarif) console.log(JSON.stringify(sarif(reports, version), null, 2));
  else if (options.json) console.log(JSON.stringify(options.all || reports.length > 1 ? reports : reports[0], null, 2));
  else if (options.all) console.log(summary(reports));
  else console.log(reports.map(tell).join('\n\n'));
  return bound !== null && reports.some(bound) ? 3 : 0;
}

/** Whether a report is above a level, or above a score from 0 to 100. */
function boundOf(text: string): (report: Report) => boolean {
  const level = levels.indexOf(text as Level);
  if (level >= 0) return (report) => levels.indexOf(report.level) > level;
  const score = Number(text);
  if (!/^\d{1,3}$/.test(text) || score > 100) throw new Complaint(`'${text}' is neither a level nor a score`, `expected ${listed([...levels], 'or')}, or a number from 0 to 100`);
  return (report) => report.score > score;
}

/** Names of machines, of other containers that have files, and of those that run. */
const everything = ({ facts: { store: { machines, services } }, files }: Looking): string[] => {
  const ours = [...machines.map(({ name }) => name), ...services.map(({ name }) => name)];
  return [...new Set([...ours, ...files().keys(), ...runningContainers()])].sort();
};

/** What is of the host itself, and of no container that is looked at. */
function ofHost(host: Surroundings): Report[] {
  if (host.leftovers.length === 0 && host.looseEmulators.length === 0) return [];
  const nothing: Known = {
    name: 'this host', made: 'host', file: '/', hostRoot: null, asRoot: null, ownNetwork: null, shares: [], deviceList: null, devices: [], capabilities: [], syscalls: [], binds: [],
    bounds: { cpu: null, memory: null, tasks: null, disk: null }, strangers: [], kernelFiles: null, besideRoot: null, opened: [], host, unseen: [],
  };
  return [judge(nothing)];
}

function summary(reports: readonly Report[]): string {
  if (reports.length === 0) return 'There are no machines.';
  const sorted = [...reports].sort((a, b) => b.score - a.score);
  return table([['NAME', 'MADE BY', 'LEVEL', 'SCORE', 'WORST'], ...sorted.map(({ name, made, level, score, findings, unseen }) => [name, made, level, `${score}${unseen.length > 0 ? ' at least' : ''}`, findings[0]?.what ?? '-'])]);
}

/** What one argument names: a path, or first a machine of nestbox's, then what runs, then what has files. */
async function known(argument: string, looking: Looking): Promise<Known[]> {
  const { facts, host, files, lxc } = looking;
  if (argument.includes('/') || argument.includes('.')) {
    const text = argument.endsWith('.toml') ? null : read(argument);
    return text !== null && kindOf({ file: argument, text }) !== null ? foreign(withDropIns(argument, dirname(absolute(argument))), nameOfFile(absolute(argument)), host) : [await machine(argument, looking)];
  }
  if (/^\d+$/.test(argument)) return [knownProcess(await lookAt(argument, Number(argument), facts), concerning(host, argument, 0))];
  if (facts.store.machines.some(({ name }) => name === argument) || existsSync(`${store.files}/${argument}.toml`)) return [await machine(argument, looking)];
  const pid = leaderOf(argument, lxc);
  if (pid !== null) return [knownProcess(await lookAt(argument, pid, facts), concerning(host, argument, 0))];
  const file = files().get(argument);
  return file ? foreign(withDropIns(file, '/etc/systemd/system'), argument, host) : [await machine(argument, looking)]; // which complains that there is none
}

async function machine(argument: string, { facts, host, others }: Looking): Promise<Known> {
  const file = readMachineFile(argument, facts);
  const met = await meet(file.spec, file.file, facts, 'run', others);
  return knownMachine({ shown: argument.includes('/') || argument.endsWith('.toml') ? argument : file.file, text: file.text, spec: file.spec }, met.machine, met.facts, concerning(host, met.machine.name, met.machine.shift));
}

const withDropIns = (file: string, folder: string): string[] => {
  const name = file.endsWith('.nspawn') ? nameOfFile(absolute(file)) : null;
  return [file, ...(name === null ? [] : dropIns(name, folder))];
};

/** The containers of other programs that these files are about. */
function foreign(files: readonly string[], name: string | null, host: Surroundings): Known[] {
  const [first = ''] = files;
  return readForeign(files.map((file) => ({ file, text: read(file) ?? '' }))).map((one) => {
    const called = name ?? lastOf(one.settings, 'name')?.name ?? basename(first);
    return knownForeign(called, first, one, concerning(host, called, 0));
  });
}

/** null: there is none, it is too large for a configuration, or no text. */
function read(path: string): string | null {
  try {
    if (!statSync(path).isFile() || statSync(path).size > longest) return null;
    const text = readFileSync(path, 'utf8');
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}
