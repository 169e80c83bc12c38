import { readFileSync } from 'node:fs';
import { unitRules } from '../classes.ts';
import { ruleLine, rulesOf } from '../devices.ts';
import { Complaint, NeedsRoot } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { attachedTo } from '../host/attachments.ts';
import { tryToOpen } from '../host/enter.ts';
import { linux } from '../host/linux.ts';
import { findRunning, type RunningMachine } from '../host/running.ts';
import { meet, readMachineFile } from '../meet.ts';
import { plan } from '../plan.ts';
import { look, probe } from '../probe.ts';
import { findServed } from '../service.ts';
import { reason, tell, type Tried, why as answer } from '../why.ts';
import { userOf } from './exec.ts';

/** To open one of these is to start its clock: Documentation/watchdog/watchdog-api.rst. */
const notToBeTried = /^\/dev\/watchdog\d*$/;

/** Tells which layer keeps a device from being opened in a machine, and what would change it. Exit status 3: it does not open. */
export default async function why([argument, path, ...more]: string[], { json }: { json?: boolean }): Promise<number> {
  if (!argument || !path || more.length > 0) throw new Complaint('which machine, and which device?', 'nestbox why NAME /dev/...');
  if (!/^\/dev\/./.test(path) || /\p{Cc}|\/\.{0,2}(\/|$)/u.test(path)) throw new Complaint(`${path} is not a path below /dev`);
  const base = probe(process.env);
  const named = !argument.includes('/') && !argument.endsWith('.toml');
  const served = named ? await findServed(argument, base) : null;
  const started = served?.running ?? (named ? findRunning(argument) : null);
  // A machine that runs need not be installed under its name.
  const file = readMachineFile(started ? started.state.file : argument, base);
  const met = served ?? await meet(file.spec, file.file, base);
  const { machine } = met;
  const facts = look(met.facts, [path]);
  const running = started ?? (await findServed(machine.name, base))?.running ?? findRunning(machine.name);
  // A machine that cannot be started gives nothing: then that is the answer, unless there is no such device in the first place.
  if (!running && reason(path, machine, facts)[0]!.passes) plan(machine, facts, file.place);
  if (running && !base.root) throw new NeedsRoot('only root can try it inside', `sudo nestbox why ${argument} ${path}`);
  const tried = running && !notToBeTried.test(path) ? await tryInside(running, path, facts) : null;
  const found = answer(path, machine, { ...facts, paths: { ...met.facts.paths, ...facts.paths } }, { shown: file.file, text: file.text, spec: file.spec }, tried);
  if (json) console.log(JSON.stringify(found, null, 2));
  else console.log(tell(found));
  return found.opens === false ? 3 : 0;
}

async function tryInside(running: RunningMachine, path: string, facts: Facts): Promise<Tried> {
  const user = userOf(running);
  return { user, ...(await tryToOpen(facts.programs, running, user, path)), rules: listOf(running) ?? (await listOfUnit(running, facts)), attached: attachedTo(running.name).includes(path) };
}

/** Version 2 has no list that could be read: what systemd was told is what it enforces. */
async function listOfUnit({ state: { inside: { place } } }: RunningMachine, facts: Facts): Promise<string[] | null> {
  if (place.kind !== 'unit') return null;
  const { stdout } = await linux(facts.programs).run(['systemctl', 'show', '--property=DeviceAllow', '--value', place.name]);
  const named = look(facts, stdout.split('\n').map((line) => line.split(' ')[0]!).filter((name) => name.startsWith('/dev/')));
  return [...rulesOf({ devices: [], classes: [] }), ...unitRules(stdout, { nodes: { ...facts.nodes, ...named.nodes }, deviceClasses: facts.deviceClasses })].map(ruleLine);
}

/** The device list that holds for the programs inside; only groups of version 1 have one that can be read. */
function listOf({ groups }: RunningMachine): string[] | null {
  for (const group of groups)
    try {
      return readFileSync(`${group}/devices.list`, 'utf8').split('\n').filter(Boolean);
    } catch {
      // a group of another controller
    }
  return null;
}
