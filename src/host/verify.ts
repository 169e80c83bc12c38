import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { attempt } from '../attempt.ts';
import { Complaint } from '../errors.ts';
import { type Facts, isWithin } from '../facts.ts';
import { portsIn } from '../ports.ts';
import { capabilitiesIn } from '../powers.ts';
import { readMounts } from '../probe.ts';
import type { Answer, Attempt, Try, Who } from '../verify.ts';
import { dotted } from '../verify/devices.ts';
import { digestOf } from '../verify/units.ts';
import { unable } from './distribution.ts';
import { entryArguments } from './enter.ts';
import { linux } from './linux.ts';
import type { RunningMachine } from './running.ts';

/** Tries what src/verify.ts lists: inside by nestbox-native, and on this host by looking at what the kernel and systemd say. */

/** Milliseconds for all tries of one account: each that waits for somebody does so for two seconds. */
const patience = 120_000;

/** What a running `nestbox-native verify listen` has: a port on 127.0.0.1, an abstract name, and memory that is shared, by its number and what is in it. */
interface Listening {
  port: string;
  name: string;
  segment: readonly [id: string, text: string];
  close(): void;
}

const text = (path: string): string => attempt(() => readFileSync(path, 'utf8'), '');

/** As native/verify.c reads a word: what could be taken for its end is written as in a URL, and an empty one as a hyphen. */
const encoded = (word: string): string => (word === '' ? '-' : word.replace(/[\s%-]/g, (one) => `%${one.charCodeAt(0).toString(16).padStart(2, '0')}`));

/** Answers of `nestbox-native`, started with these words, to lines of tries; those that it was too late for have none. */
function answered(native: string, argv: readonly string[], lines: readonly string[]): Promise<{ answers: Map<number, string>; errors: string; status: number | null }> {
  const child = spawn(native, argv, { env: {}, stdio: ['pipe', 'pipe', 'pipe'], detached: true, cwd: '/' });
  let [out, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (more: string) => { out += more; });
  child.stderr.setEncoding('utf8').on('data', (more: string) => { errors += more; });
  child.stdin.on('error', () => {}); // it has ended: its status tells
  child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  const timer = setTimeout(() => child.kill('SIGKILL'), patience);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => {
      clearTimeout(timer);
      const said = [...out.matchAll(/^(\d+) (.*)$/gm)].map(([, number, word]) => [Number(number), word!] as const);
      resolve({ answers: new Map(said), errors, status });
    });
  });
}

async function listen(native: string): Promise<Listening> {
  const child: ChildProcess = spawn(native, ['verify', 'listen'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Complaint('nothing can be listened at on this host')));
    child.stdout!.setEncoding('utf8').once('data', resolve);
  });
  const [port = '', name = '', id = '', text = ''] = line.trim().split(' ');
  return { port, name, segment: [id, text], close: () => child.stdin!.end() };
}

/** DEV:INO of a file of this host, as stat(2) has it; null: it is not there. */
const idOf = (path: string): string | null => attempt(() => {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
}, null);

/** A try as native/verify.c takes it; null: there is nothing on this host to try it with. */
function lineOf(tried: Try, { port, name, segment }: Listening): string | null {
  const words = (): readonly string[] | null => {
    switch (tried[0]) {
      case 'loopback': return ['port', '127.0.0.1', port];
      case 'abstract': return ['socket', `@${name}`];
      case 'segment': return ['segment', ...segment];
      case 'same': {
        const id = idOf(tried[2]);
        return id === null ? null : ['same', tried[1], id];
      }
      case 'open': return ['open', tried[1], tried[2], tried[3] ?? ''];
      case 'x11': return ['x11', tried[1], tried[2] ?? '', tried[3]];
      default: return tried;
    }
  };
  return words()?.map(encoded).join(' ') ?? null;
}

/** Tries all of them: each account's inside in one process, those of the host beside. The answers are in the same order. */
export async function tryAll(attempts: readonly Attempt[], running: RunningMachine, facts: Facts, user: string): Promise<Answer[]> {
  const native = facts.programs['nestbox-native'];
  if (!native) throw unable('nestbox-native', 'try what a machine may do');
  const listening = await listen(native);
  const answers: Answer[] = attempts.map(() => ({ found: null }));
  const inside = async (who: Exclude<Who, 'host'>) => {
    if (attempts.every(({ as }) => as !== who)) return;
    const mine = attempts.flatMap(({ as, try: one }, i) => (as === who ? [[i, lineOf(one, listening)] as const] : []));
    for (const [i, line] of mine) if (line === null) answers[i] = { found: 'nothing' };
    const lines = mine.flatMap(([i, line]) => (line === null ? [] : [`${i} ${line}`]));
    const { answers: said, errors, status } = await answered(native, entryArguments(running, { user: who === 'user' ? user : 'root', environment: {}, terminal: false, does: 'try' }, process.pid), lines);
    if (said.size === 0 && lines.length > 0) throw new Complaint(`nothing can be tried inside '${running.name}'${status === 3 ? ': the machine has ended' : ''}`, errors.trim() || undefined);
    for (const [i, found] of said) answers[i] = { found };
  };
  try {
    await Promise.all([inside('user').then(() => inside('root')), ...attempts.map(async ({ as, try: one }, i) => {
      if (as === 'host') answers[i] = { found: await onHost(one, running, facts) };
    })]);
    // What has not come of it inside may not on the host either.
    const failed = attempts.flatMap(({ host, expect }, i) => (host && expect === 'allowed' && answers[i]!.found !== 'OK' ? [`${i} ${lineOf(host, listening) ?? 'open /nonexistent r -'}`] : []));
    if (failed.length > 0) for (const [i, host] of (await answered(native, ['verify', 'try'], failed)).answers) answers[i] = { ...answers[i]!, host };
  } finally {
    listening.close();
  }
  return answers;
}

/** What the kernel, or systemd, says of it on this host. */
async function onHost(tried: Try, { leader: { pid }, groups }: RunningMachine, facts: Facts): Promise<string | null> {
  switch (tried[0]) {
    case 'status': {
      const value = new RegExp(`^${tried[1]}:\\s*(\\S+)$`, 'm').exec(text(`/proc/${pid}/status`))?.[1] ?? '';
      return tried[1] === 'CapBnd' ? capabilitiesIn(value || '0').join(',') : value;
    }
    case 'map': return text(`/proc/${pid}/${tried[1]}`).trim().split('\n').map((line) => line.trim().replace(/\s+/g, ' ')).join(',');
    case 'namespace': return attempt(() => (readlinkSync(`/proc/${pid}/ns/${tried[1]}`) === readlinkSync(`/proc/self/ns/${tried[1]}`) ? 'shared' : 'OK'), null);
    case 'limit': return limitOf(tried[1], groups);
    case 'ports': {
      const { code, stdout } = await linux(facts.programs).run(['nft', 'list', 'table', 'ip', tried[1]]);
      return code === 0 ? portsIn(stdout).join(',') : 'no table';
    }
    case 'mounts': return ofTheHost(pid, tried.slice(1)).join(',');
    case 'list': return groups.flatMap((group) => text(`${group}/devices.list`).split('\n').filter(Boolean)).map(dotted).join(',');
    case 'behind': return (await answered(facts.programs['nestbox-native']!, ['launch', '--user', tried[3], '--', facts.programs['nestbox-native']!, 'verify', 'try'], [`0 ${['sound', tried[1], tried[2]].map(encoded).join(' ')}`])).answers.get(0) ?? null;
    case 'serves': return serves(tried[1]);
    case 'unit-file': return attempt(() => (digestOf(readFileSync(tried[1], 'utf8')) === tried[2] ? 'OK' : 'other'), 'absent');
    case 'unit': {
      const { stdout } = await linux(facts.programs).run(['systemctl', 'show', `--property=${tried[2]}`, '--value', tried[1]]);
      return stdout.trim().split(tried[2] === 'DropInPaths' ? /\s+/ : '\n').map((line) => line.trim()).filter(Boolean).join(',');
    }
    default: return null;
  }
}

/** A socket at which somebody listens, or anything else that is there. */
const serves = (path: string): Promise<string> => new Promise((resolve) => {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isSocket()) return resolve(stat ? 'OK' : 'ENOENT');
  const client = createConnection(path);
  client.once('connect', () => { client.destroy(); resolve('OK'); });
  client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'EIO'));
});

/** The folders of a control group and of all above it. */
const upwards = (folder: string): string[] => (folder.startsWith('/sys/fs/cgroup/') ? [folder, ...upwards(folder.slice(0, folder.lastIndexOf('/')))] : []);

/** Files of the limits, of version 2 and of version 1: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */
const limitFiles: Record<Extract<Try, readonly ['limit', string]>[1], string[]> = {
  cpu: ['cpu.max', 'cpu.cfs_quota_us'], memory: ['memory.max', 'memory.limit_in_bytes'], tasks: ['pids.max'], weight: ['cpu.weight', 'cpu.shares'],
};

/** The narrowest that holds, in the unit of the machine file; 'none'. */
function limitOf(of: keyof typeof limitFiles, groups: readonly string[]): string {
  const numbers = groups.flatMap(upwards).flatMap((folder) => limitFiles[of].flatMap((name) => {
    const [value = '', period = text(`${folder}/cpu.cfs_period_us`).trim()] = text(`${folder}/${name}`).trim().split(' ');
    const number = Number(value);
    if (value === '' || value === 'max' || !(number > 0)) return [];
    return of === 'cpu' ? [number / Number(period)] : name === 'cpu.shares' ? [Math.round(number / 10.24)] : [number];
  }));
  // A group that says nothing of a weight has the kernel's 100: the machine's own is the first that says another.
  if (of === 'weight') return `${numbers.find((number) => number !== 100) ?? 100}`;
  const least = Math.min(...numbers);
  return numbers.length === 0 || (of === 'memory' && least > 2 ** 60) ? 'none' : `${Number(least.toFixed(3))}`;
}

/** Where something is mounted inside that is a file system of the host, and not below the machine's own root. `given`: as in Try. */
function ofTheHost(pid: number, given: readonly string[]): string[] {
  const hosts = new Set(readMounts().map(({ device }) => device));
  const mounts = readMounts(`${pid}`);
  const root = mounts.findLast(({ at }) => at === '/');
  const found = mounts.filter((one) => one.at !== '/' && hosts.has(one.device) && !(root && one.device === root.device && isWithin(one.root, root.root))).map(({ at }) => at);
  // A link in its root leads a file that is mounted over it elsewhere: what is there, and not at the link itself, is what was to be at the link. One place for each, and nothing below it.
  const led = given.flatMap((to, i) => (i % 2 === 0 && !found.includes(to) ? [{ to, id: idOf(given[i + 1]!) }] : []));
  return [...new Set(found)].map((at) => {
    const id = idOf(`/proc/${pid}/root${at}`);
    const i = id === null || found.filter((one) => one === at).length > 1 ? -1 : led.findIndex((one) => one.id === id);
    return i < 0 ? at : led.splice(i, 1)[0]!.to;
  });
}
