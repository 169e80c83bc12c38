import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { inverseOf } from '../apply.ts';
import { attempt } from '../attempt.ts';
import { needsOf } from '../elf.ts';
import type { Facts } from '../facts.ts';
import type { Host } from '../host.ts';
import type { Machine } from '../machine.ts';
import { programFolders } from '../probe.ts';
import type { Plan } from '../plan.ts';
import type { Spec } from '../spec.ts';
import { store } from '../store.ts';
import { variables, warmOf, type Witnesses, wordsOf } from '../warm.ts';
import { scopeWords } from './processes.ts';
import type { RunState } from './session.ts';

/** The clock of time stamps goes by ticks: what was changed so shortly before it was read may be changed again without a trace. Milliseconds. */
export const tick = 20;

/** How many sets of variables are kept for one machine. */
const most = 8;

/** How something was found, as native/warm-check.c finds it; null: it cannot be told from what it will be after one more change. */
type Found = string[] | null;

function same(path: string, since: number): Found {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stat) return ['same', path, ''];
  if (Number(stat.ctimeMs) > since - tick) return null;
  return ['same', path, `${stat.dev} ${stat.ino} ${stat.size} ${stat.ctimeNs / 1_000_000_000n}.${stat.ctimeNs % 1_000_000_000n}`];
}

function like(path: string, since: number): Found {
  const stat = attempt(() => statSync(path, { bigint: true, throwIfNoEntry: false }), undefined);
  if (!stat) return ['like', path, '', ''];
  if (Number(stat.ctimeMs) > since - tick) return null;
  return ['like', path, `${stat.dev} ${stat.ino} ${stat.mode} ${stat.uid} ${stat.gid} ${stat.rdev}`, attempt(() => readlinkSync(path), '')];
}

/** How all of it is found now. */
export function found({ same: files, none, like: things, texts, displays }: Witnesses, since: number): Found[] {
  const own = dirname(realpathSync(process.argv[1]!));
  return [
    ['boot', readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')],
    ...variables.map((name) => (process.env[name] === undefined ? ['unset', name] : ['set', name, process.env[name]!])),
    ...[`${own}/program.cjs`, `${own}/nestbox-native`, ...files].map((path) => same(path, since)),
    ...none.map((path) => (lstatSync(path, { throwIfNoEntry: false }) ? null : ['none', path])),
    ...things.map((path) => like(path, since)),
    ...texts.map((path) => ['text', path, readFileSync(path, 'utf8')]),
    ...displays.map((number) => ['display', `${number}`]),
  ];
}

/** FNV-1a of 64 bits (RFC 9923), as fnv1a() of native/main.c makes it: in two halves, as these are numbers of which no bit is lost, and faster than a BigInt. */
export function fnv1a(text: string): string {
  let [high, low] = [0xcbf29ce4, 0x84222325];
  for (const byte of Buffer.from(text)) {
    low = (low ^ byte) >>> 0;
    const product = low * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0; // the prime is 2^40 + 0x1b3
    low = product >>> 0;
  }
  return [high, low].map((half) => half.toString(16).padStart(8, '0')).join('');
}

/** Of the variables and of these texts, as native/warm-check.c makes it. */
export const keyOf = (env: NodeJS.ProcessEnv, ...texts: string[]): string => fnv1a([...variables.map((name) => (env[name] === undefined ? '-\0' : `=${env[name]}\0`)), ...texts.map((text) => `${text}\0`)].join(''));

/** `program`: the machine's own, null where it boots unless told otherwise. `since`: from when on the host was looked at, in milliseconds of Date.now(). */
export interface Written {
  machine: Machine;
  facts: Facts;
  spec: Spec;
  plan: Plan;
  notes: string[];
  state: Omit<RunState, 'pid' | 'started' | 'argv'>;
  since: number;
  program: string[] | null;
}

/** X servers that are linked with libsystemd take over sockets of sd_listen_fds(3): Xtrans.c of libxtrans, HAVE_SYSTEMD_DAEMON. */
const takesSocket = (path: string): boolean => attempt(() => needsOf((offset, length) => {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(length, 2 ** 20));
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, offset));
  } finally {
    closeSync(file);
  }
})?.libraries.some((name) => name.startsWith('libsystemd.so')) ?? false, false);

/** Notes something, where that can be: what it was noted of is done all the same. */
export async function whereItCan(noting: () => Promise<void>): Promise<void> {
  try {
    await noting();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error; // else the disk is full, or it cannot be written for another reason of the system's
  }
}

/** Notes the run that is about to begin. */
export const writeWarm = (run: Written, host: Host): Promise<void> => whereItCan(async () => {
  const note = await noteOf(run, host);
  if (note) keep(note, most);
});

/** Whether the run is noted, and goes on as it is noted. `locked`: does something with the lock of the machine held, or throws. */
export async function isNoted(run: Written, host: Host, locked: (work: () => void) => void): Promise<boolean> {
  const note = await noteOf(run, host);
  if (!note) return false;
  if (!isKept(note)) await whereItCan(async () => locked(() => keep(note, most)));
  return isKept(note);
}

/** Records as textOf() has them, in a file of their own. */
export interface Note {
  folder: string;
  key: string;
  text: string;
}

/** So that the next one needs no Node. What cannot be said, or may have changed since it was read, is not noted: null. */
async function noteOf({ machine, facts, spec, plan, notes, state, since, program }: Written, host: Host): Promise<Note | null> {
  const warm = warmOf(machine, facts, spec, plan, programFolders);
  if (!warm) return null;
  const witnesses = found(warm.from, since);
  if (witnesses.includes(null)) return null;
  const find = (name: string) => facts.programs[name as keyof Facts['programs']] ?? '';
  const scope = machine.place.kind === 'unit' ? scopeWords(machine.place).map((word, i) => (i === 0 ? find(word) : word)) : [];
  const steps = await Promise.all(warm.steps.map(async (step) => ['step', `${JSON.stringify(await inverseOf(step, host))}\n`, ...wordsOf(step, { find, takesSocket: (name) => takesSocket(find(name)), scope, words: machine.boot ? 0 : machine.argv.length })]));
  const records = [
    ...(witnesses as string[][]), ['state', JSON.stringify(state).slice(1)], ['root', machine.root], ...warm.inside.map(({ path, covered, unless }) => [covered ? 'covered' : 'inside', path, ...(unless === undefined ? [] : [unless])]), ...notes.map((note) => ['note', note]), ...steps,
    ...(machine.boot ? [['program', ...machine.argv]] : program ? [['program', ...program]] : []),
  ];
  const folder = `${store.machine(machine.name)}/warm`;
  const key = keyOf(process.env);
  // A machine that boots can be told to run a program instead: that is another plan. One that has a program of its own does not boot any more.
  if (program) rmSync(`${folder}/${key}.boot`, { force: true });
  return { folder, key: machine.boot ? `${key}.boot` : key, text: textOf(records) };
}

const listed = (words: readonly string[]): string => `${[words.length, ...words].join('\0')}\0`;

/** With their sum: what a power cut has torn has another one. */
export function textOf(records: readonly (readonly string[])[]): string {
  const said = records.map(listed).join('');
  return `${said}${listed(['end', fnv1a(said)])}`;
}

function isKept(note: Note): boolean {
  const path = `${note.folder}/${note.key}`;
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.uid === 0 && (stat.mode & 0o7777) === 0o600 && readFileSync(path, 'utf8') === note.text;
}

/** Writes records down, unless they are there; where there are more than so many other files in their folder, these go. */
export function keep(note: Note, most: number): void {
  if (isKept(note)) return;
  const { folder } = note;
  const path = `${folder}/${note.key}`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const others = readdirSync(folder).filter((name) => `${folder}/${name}` !== path);
  if (others.length >= most) for (const name of others) rmSync(`${folder}/${name}`);
  writeFileSync(`${path}.new`, note.text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
