import type { Facts } from './facts.ts';
import type { Machine } from './machine.ts';
import { table } from './text.ts';
import { groups } from './verify/index.ts';
import { type Layer, layers } from './verify/layers.ts';

/** Whether a machine that runs has what its file gives it and nothing else: what is to be tried, and what the answers mean (pure). */

/**
 * One thing to be tried. Inside, by native/verify.c: what opens, what is reached, what can be done there. On the host: what the kernel and
 * systemd say of the machine. A word of it is never empty.
 */
export type Try =
  /** `number`: as c:10:229; null: whatever is there. */
  | readonly ['open', path: string, way: 'r' | 'w' | 'rw', number: string | null]
  /** A node of this number, made by whoever tries. */
  | readonly ['node', type: 'c' | 'b', major: string, minor: string]
  /** A setting of the kernel is given the value that it has. */
  | readonly ['setting', path: string]
  | readonly ['write', path: string]
  /** Whether no mount keeps anybody from it. */
  | readonly ['writable', path: string]
  /** Whether the path leads to this file of the host. */
  | readonly ['same', path: string, host: string]
  | readonly ['socket', path: string]
  /** What nestbox itself listens at meanwhile: on 127.0.0.1, and at an abstract name. */
  | readonly ['loopback'] | readonly ['abstract']
  /** Memory that nestbox shares meanwhile with everybody on the host: System V, shmget(2). */
  | readonly ['segment']
  | readonly ['neighbour', address: string]
  | readonly ['names']
  | readonly ['interfaces']
  | readonly ['call', name: string]
  | readonly ['mount', what: 'debugfs' | 'sysctl']
  | readonly ['variable', name: string, value: string]
  | readonly ['nodes', folder: string]
  | readonly ['hostname', name: string]
  | readonly ['x11', socket: string, key: string | null, does: 'enter' | 'draw' | 'keys' | 'screen' | 'record']
  | readonly ['sound', socket: string, does: 'play' | 'record' | 'module']
  /** A line of /proc/PID/status of the first process. */
  | readonly ['status', field: 'CapBnd' | 'NoNewPrivs' | 'Seccomp']
  | readonly ['map', file: 'uid_map' | 'gid_map']
  | readonly ['namespace', kind: 'user' | 'net' | 'pid' | 'mnt' | 'ipc' | 'uts']
  | readonly ['limit', of: 'cpu' | 'memory' | 'tasks' | 'weight']
  /** Ports of the host that lead to it, by the rules in its table of nft. */
  | readonly ['ports', table: string]
  /** Places inside at which something of the host is mounted; `given`: where it is to be, and what of the host, in turn. */
  | readonly ['mounts', ...given: string[]]
  /** Lines of devices.list of its control group, with dots for blanks. */
  | readonly ['list']
  /** A sound server of the host, by the id that it lets in. */
  | readonly ['behind', socket: string, does: 'load', user: string]
  /** Whether somebody listens at a socket of the host, or a file is there. */
  | readonly ['serves', path: string]
  | readonly ['unit-file', path: string, digest: string]
  | readonly ['unit', name: string, property: 'ActiveState' | 'NeedDaemonReload' | 'DropInPaths' | 'DeviceAllow'];

/** Who tries it: the machine's user, root of the machine, or nestbox on the host. */
export type Who = 'user' | 'root' | 'host';

/**
 * allowed, denied: what must come of it. accepted: either, as audit says that it is open.
 * only: of a list, nothing but these; a * at the end stands for any other letters. needs: all of these.
 */
export type Expect = 'allowed' | 'denied' | 'accepted' | { only: string[]; needs?: string[] };

export interface Attempt {
  group: string;
  what: string;
  /** FILE:LINE that asks for it, or 'default'. */
  asked: string;
  as: Who;
  try: Try;
  expect: Expect;
  /** Where a difference is from; by the word of the answer, and `else`. */
  layer: Layer | ({ else: Layer } & Record<string, Layer>);
  /** Those that are as they should be are counted under this, and not listed one by one. */
  sum?: string;
  /** The same on the host: what fails there as well is not the machine's. */
  host?: Try;
}

export interface Answer {
  /** A word: OK, the name of an error number, what a server says; or a list with commas. null: it was not tried. */
  found: string | null;
  /** What came of it on the host, where that was asked. */
  host?: string;
}

export type Verdict = 'as asked' | 'difference' | 'accepted' | 'host' | 'untried';

export interface Row {
  group: string;
  what: string;
  as: Who;
  asked: string;
  given: string;
  found: string;
  verdict: Verdict;
  layer: Layer | null;
  mend: string | null;
}

export interface Report {
  machine: string;
  differences: number;
  /** How many have no answer: what does the tries was ended, or was too slow. */
  untried: number;
  rows: Row[];
}

/** A machine as it is verified. `place`: where its file says it, for a path of keys. */
export interface Subject {
  machine: Machine;
  facts: Facts;
  place(key: readonly (string | number)[]): string;
}

/** Machine + Facts -> all that is to be tried. `facts.nodes`: every device node of the host; `facts.displaysInUse` without the machine's own. */
export const attempts = (subject: Subject): Attempt[] => Object.entries(groups).flatMap(([group, tries]) => tries(subject).map((one) => ({ group, ...one })));

/** A driver has been reached, and has said so: no layer of the machine kept anybody from it. */
const driver = ['EBUSY', 'ENXIO', 'ENODEV', 'EIO', 'ENOMEDIUM', 'EAGAIN', 'EINVAL'];

/** Nothing is there that could be tried. */
const isVoid = ({ found }: Answer) => found === 'nothing';

const matches = (pattern: string, one: string) => (pattern.endsWith('*') ? one.startsWith(pattern.slice(0, -1)) : pattern === one);

/** What is in a list and should not be, and what should and is not. */
function compared({ only, needs = [] }: Exclude<Expect, string>, found: string): { more: string[]; missing: string[] } {
  const list = found.split(',').filter(Boolean);
  return { more: list.filter((one) => !only.some((pattern) => matches(pattern, one))), missing: needs.filter((one) => !list.includes(one)) };
}

/** What is one number or range is told as such. */
const given = ({ expect, try: [kind] }: Attempt): string => (typeof expect === 'string' ? expect : ['limit', 'map', 'namespace'].includes(kind) ? expect.only.join(', ') : 'these alone');

const words: Record<string, string> = {
  OK: 'works', empty: 'empty', other: 'another one', absent: 'not there', refused: 'refused', closed: 'hung up on', EPERM: 'not permitted', EACCES: 'no access', ENOENT: 'not there', EROFS: 'read-only', ECONNREFUSED: 'nobody answers', ESRCH: 'none is named', ETIMEDOUT: 'no answer',
  ENETUNREACH: 'no way there', EHOSTUNREACH: 'no answer', ENOSYS: 'not permitted',
};

/** An attempt and its answer -> its row; null where there is nothing on this host that could be tried. */
export function judge(attempt: Attempt, answer: Answer, { machine }: Pick<Subject, 'machine'>): Row | null {
  const { group, what, as, asked, expect, layer: from } = attempt;
  const { found, host } = answer;
  if (isVoid(answer)) return null;
  const base = { group, what, as, asked, given: given(attempt) };
  if (found === null) return { ...base, found: 'not tried', verdict: 'untried', layer: null, mend: null };
  const word = words[found] ? `${words[found]}${/^E[A-Z]/.test(found) ? ` (${found})` : ''}` : found;
  const layer = typeof from === 'string' ? from : (from[found] ?? from.else);
  const differs = (told: string): Row => ({ ...base, found: told, verdict: 'difference', layer, mend: layers[layer].mend(machine.name, machine.way) });
  if (typeof expect !== 'string') {
    const { more, missing } = compared(expect, found);
    const told = [...more, ...missing.map((one) => `without ${one}`)].join(', ');
    return more.length + missing.length > 0 ? differs(told) : { ...base, found: base.given, verdict: 'as asked', layer: null, mend: null };
  }
  const reached = found === 'OK' || (['open', 'node'].includes(attempt.try[0]) && driver.includes(found));
  if (expect === 'accepted') return { ...base, found: word, verdict: reached ? 'accepted' : 'as asked', layer: null, mend: null };
  if (expect === 'denied') return reached ? differs(word) : { ...base, found: word, verdict: 'as asked', layer: null, mend: null };
  if (found === 'OK') return { ...base, found: word, verdict: 'as asked', layer: null, mend: null };
  if (host !== undefined && host !== 'OK') return { ...base, found: `${word}; nor on the host: ${words[host] ?? host}`, verdict: 'host', layer: null, mend: null };
  return differs(word);
}

/** All attempts with their answers, in the same order, as a report. */
export function report(tried: readonly Attempt[], answers: readonly Answer[], subject: Pick<Subject, 'machine'>): Report {
  const rows = tried.flatMap((attempt, i) => judge(attempt, answers[i]!, subject) ?? []);
  const count = (verdict: Verdict) => rows.filter((row) => row.verdict === verdict).length;
  return { machine: subject.machine.name, differences: count('difference'), untried: count('untried'), rows };
}

const marks: Record<Verdict, string> = { 'as asked': '', difference: 'DIFFERS', accepted: 'as accepted', host: 'the host cannot', untried: '' };

/** For people: a table, and below it what differs, the layer that it comes from and what mends it. `tried` as given to report(). */
export function tell({ machine, differences, untried, rows }: Report, tried: readonly Attempt[], all: boolean): string {
  const sums = new Map(tried.flatMap(({ group, what, sum }) => (sum === undefined ? [] : [[`${group} ${what}`, sum] as const])));
  const shown: string[][] = [];
  const counted = new Map<string, { row: Row; count: number }>();
  for (const row of rows) {
    const sum = sums.get(`${row.group} ${row.what}`);
    if (all || sum === undefined || row.verdict !== 'as asked') {
      shown.push([row.group, row.what, whoIs[row.as], row.asked, row.given, row.found, marks[row.verdict]]);
      continue;
    }
    const key = `${row.group} ${sum} ${row.as} ${row.asked}`;
    const there = counted.get(key);
    if (there) there.count++;
    else counted.set(key, { row, count: 1 });
  }
  for (const { row, count } of counted.values()) shown.push([row.group, `${sums.get(`${row.group} ${row.what}`)!}: ${count}`, whoIs[row.as], row.asked, row.given, row.given === 'denied' ? 'none works' : 'works', '']);
  shown.sort((a, b) => order(a[0]!) - order(b[0]!)); // stable: within a group as they were tried
  const titles = ['WHAT', '', 'BY', 'ASKED', 'GIVEN', 'FOUND', ''];
  const bad = rows.filter(({ verdict }) => verdict === 'difference');
  const mended = bad.map(({ what, found, layer, mend }) => `  ${what}: ${found}\n    ${layers[layer!].is}\n    ${mend}`);
  const end = differences > 0 ? `${machine} differs from its file in ${differences}:` : untried > 0 ? `${machine} has what its file gives it, as far as that was tried.` : `${machine} has what its file gives it, and nothing else.`;
  return [table([titles, ...shown]), '', ...(untried > 0 ? [`${untried} could not be tried: they took too long, or the machine has ended.`] : []), end, ...mended].join('\n');
}

const whoIs: Record<Who, string> = { user: 'its user', root: 'its root', host: 'the host' };
const names = Object.keys(groups);
const order = (group: string) => names.indexOf(group);
