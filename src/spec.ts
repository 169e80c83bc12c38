import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { type Acceptable, acceptable, Complaint } from './errors.ts';
import { topics, values } from './grants/index.ts';
import { acceptWords } from './engine.ts';
import { engines } from './engines/index.ts';
import { check, type Elsewhere, isTable, keysAt, kindOf, type Mistake, type Path, shown } from './mistakes.ts';
import { positionOf } from './positions.ts';
import { roots } from './roots/index.ts';
import { hostName, line, machineName, says, userId, userName } from './schema.ts';
import { listed, nearest, splitWords } from './words.ts';

/** What the person wrote, validated; nothing of a host in it yet. */
export interface Spec {
  name: string;
  engine: string;
  /** Of each engine, by its name: its own table of the file. */
  engineOptions: Record<string, unknown>;
  root: { source: string; options: unknown };
  user: { name: string; uid?: number | undefined } | null;
  users: 'own' | 'host' | 'shift';
  ephemeral: boolean;
  /** It is made for one run alone, and nothing is kept of it: nestbox run IMAGE. */
  fleeting?: boolean;
  hostname: string;
  /** The root's own init is started, and not `run`. */
  boot: boolean;
  run: string[];
  accept: Acceptable[];
  /** In the order of the file. `kind` is null for a topic whose value is not a kind, such as files. `attached`: not by the file, but by nestbox attach --always. */
  grants: { topic: string; kind: string | null; options: unknown; attached?: true }[];
}

const words = v.union([v.pipe(line, v.minLength(1, 'expected a program')), v.pipe(v.array(line), v.minLength(1, 'expected a program and its arguments'))], 'expected a command line, or a list with a program and its arguments');

/** Engines that have a table of their own. */
export const engineTables = Object.entries(engines).filter(([, { options, lacks }]) => keysAt(options, []).some((key) => key !== 'accept' || acceptWords(lacks).length > 0));

/** The keys that are neither a topic of grants, nor [root], nor the table of an engine. */
export const base = v.strictObject({
  name: v.pipe(machineName, says('The name of the machine.')),
  engine: v.optional(v.pipe(v.picklist(Object.keys(engines)), says('The program that runs the container.')), 'nspawn'),
  user: v.optional(v.pipe(v.union([userName, v.pipe(v.strictObject({ name: v.pipe(userName, says('The name inside.')), uid: v.optional(v.pipe(userId, says('Its numeric id inside.'))) }), v.check(({ name, uid }) => name !== 'root' || uid === undefined, 'the number of root is 0: leave uid out'))], 'expected a user name, or a table with name and uid'), says('Who runs the program inside; made there when missing. Root if absent.'))),
  users: v.optional(v.pipe(v.picklist(['own', 'host', 'shift']), says('own: root inside is nobody on the host, by mapped mounts. shift: the same, by giving all files of the root other owners. host: root inside is root.')), 'own'),
  ephemeral: v.optional(v.pipe(v.boolean(), says('Throw all changes of the root away at the end.')), false),
  hostname: v.optional(v.pipe(hostName, says('The host name inside; the name of the machine if absent.'))),
  boot: v.optional(v.pipe(v.boolean(), says("Start the root's own init, as a computer does, in place of a program.")), false),
  run: v.optional(v.pipe(words, says('The program: a command line split into words (no shell), or a list.')), ['/bin/sh']),
  accept: v.optional(v.pipe(v.array(v.picklist(acceptable)), says('Losses of protection that are understood: each is refused unless it is named here.')), []),
});

/** Mistakes that are told at a time: the place of each is looked for in the whole text. */
const mostTold = 20;

/** Text of a machine file -> Spec, or a Complaint with a line for every mistake: `file:line:column: key: what is wrong`. */
export function readSpec(text: string, file: string): Spec {
  const tree = readToml(text, file);
  const mistakes: Mistake[] = [];
  const spec = build(tree, mistakes);
  if (mistakes.length === 0) return spec as Spec;
  const placed = mistakes.slice(0, mostTold).map((mistake) => ({ ...mistake, ...positionOf(text, mistake.path) })).sort((a, b) => a.line - b.line || a.column - b.column);
  throw new Complaint(placed.map(({ path, what, mend, line: row, column }) =>
    `${file}:${row}:${column}: ${path.length > 0 ? `${path.map((key) => shown(String(key))).join('.')}: ` : ''}${what}${mend ? `\n${mend.replace(/^/gm, '  ')}` : ''}`).join('\n') + (mistakes.length > mostTold ? `\n  and ${mistakes.length - mostTold} more` : ''));
}

function readToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [first = '', , ...excerpt] = error.message.split('\n');
    const told = first.replace('Invalid TOML document: ', '');
    const [what, mend] = tomlMistakes[told] ?? [told];
    const endsThere = told.startsWith('control characters') && /^[\r\n]/.test(text.split('\n').slice(error.line - 1).join('\n').slice(error.column - 1));
    throw new Complaint(`${file}:${error.line}:${error.column}: ${endsThere ? 'this text is not closed at the end of its line' : what}`, [...(mend ? [mend] : []), excerpt.join('\n').trimEnd().replace(/[^\P{Cc}\n]/gu, '\ufffd')].join('\n'));
  }
}

/** The TOML reader's words where they would not help. */
const tomlMistakes: Record<string, [string, string?]> = {
  'invalid value': ['expected a value', 'a text stands in quotes: name = "steam"'],
  'trying to redefine an already defined table or value': ['this is said twice', 'leave one of the two out; options of a kind stand in [topic.kind] alone, without topic = "kind"'],
  'expected comma or end of structure': ["expected ',' or the end of the list or table"],
};

/** Advice on a key in the wrong table. */
const elsewhere: Elsewhere = (key) => {
  if (Object.hasOwn(base.entries, key) || Object.hasOwn(topics, key) || Object.hasOwn(values, key)) return `'${key}' belongs above the first [table] of the file`;
  const places = [
    ...Object.entries(topics).flatMap(([topic, kinds]) => Object.entries(kinds).filter(([, { options }]) => keysAt(options, []).includes(key)).map(([kind]) => `[${topic}.${kind}]`)),
    ...Object.entries(values).filter(([, { options }]) => keysAt(options, []).includes(key)).map(([name]) => `[${name}]`),
    ...engineTables.filter(([, { options }]) => keysAt(options, []).includes(key)).map(([name]) => `[${name}]`),
  ];
  return places.length > 0 ? `'${key}' belongs to ${listed(places, 'or')}` : undefined;
};

function build(tree: Record<string, unknown>, mistakes: Mistake[]): Spec | undefined {
  const grants: Spec['grants'] = [];
  const plain: Record<string, unknown> = {};
  const engineOptions: Record<string, unknown> = Object.fromEntries(Object.entries(engines).map(([name, engine]) => [name, v.parse(engine.options, {})]));
  let root: Spec['root'] | undefined;
  for (const [key, value] of Object.entries(tree)) {
    if (key === 'root') root = readRoot(value, mistakes);
    else if (Object.hasOwn(topics, key)) grants.push(...readTopic(key, value, mistakes));
    else if (Object.hasOwn(values, key)) grants.push({ topic: key, kind: null, options: check(values[key]!.options, value, [key], mistakes, elsewhere) });
    else if (engineTables.some(([name]) => name === key)) engineOptions[key] = check(engines[key]!.options, value, [key], mistakes, elsewhere);
    else plain[key] = value;
  }
  if (!('root' in tree)) mistakes.push({ path: [], what: "there is no [root]: where does the machine's file system come from?", mend: `[root]\ndebian = "bookworm"   (or ${listed(Object.keys(roots).filter((name) => name !== 'debian'), 'or')})` });
  if (!Object.hasOwn(tree, 'network')) grants.push({ topic: 'network', kind: 'private', options: v.parse(topics.network!.private!.options, {}) });
  if (!Object.hasOwn(tree, 'foreign')) grants.push({ topic: 'foreign', kind: null, options: v.parse(values.foreign!.options, {}) });
  const others = [...Object.keys(topics), ...Object.keys(values), 'root', ...engineTables.map(([name]) => name)];
  const sources: Elsewhere = (key) => (Object.hasOwn(roots, key) ? `'${key}' belongs to [root]` : elsewhere(key));
  const options = check(base, plain, [], mistakes, sources, others) as v.InferOutput<typeof base> | undefined;
  if (!options) return undefined;
  const run = typeof options.run === 'string' ? readWords(options.run, mistakes) : options.run;
  if (run && !run[0]) mistakes.push({ path: ['run'], what: 'expected a program' });
  if (options.boot && 'run' in tree) mistakes.push({ path: ['run'], what: "boot = true starts the root's own init, and not this program", mend: 'leave one of the two out; nestbox exec NAME -- PROGRAM runs a program in a machine that has booted' });
  for (const topic of options.boot ? [] : Object.keys(tree).filter((key) => values[key]?.onlyBooted)) mistakes.push({ path: [topic], what: "this is for the root's own init, and the machine runs a program in its place", mend: 'say boot = true, or leave it out' });
  if (!root || !run) return undefined;
  return {
    name: options.name,
    engine: options.engine,
    engineOptions,
    root: options.boot && root.options !== undefined ? { ...root, options: roots[root.source]!.booted?.(root.options) ?? root.options } : root,
    user: typeof options.user === 'string' ? { name: options.user } : (options.user ?? null),
    users: options.users,
    ephemeral: options.ephemeral,
    hostname: options.hostname ?? options.name,
    boot: options.boot,
    run,
    accept: options.accept,
    grants,
  };
}

function readWords(text: string, mistakes: Mistake[]): string[] | undefined {
  try {
    return splitWords(text);
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    mistakes.push({ path: ['run'], what: error.message });
    return undefined;
  }
}

/** `topic = "kind"`, `topic = ["kind", "kind"]` or [topic.kind] with options; "none" alone says that there is nothing of it. */
function readTopic(topic: string, value: unknown, mistakes: Mistake[]): Spec['grants'] {
  const kinds = topics[topic]!;
  const known = [...Object.keys(kinds), 'none'];
  const asked: [Path, unknown, unknown][] = isTable(value)
    ? Object.entries(value).map(([kind, options]) => [[topic, kind], kind, options])
    : Array.isArray(value)
      ? value.map((kind, i) => [[topic, i], kind, {}])
      : [[[topic], value, {}]];
  if (asked.length === 0) mistakes.push({ path: [topic], what: `no kind of ${topic} is named`, mend: `${topic} = "none" says that there is none` });
  const seen = new Set<unknown>();
  return asked.flatMap(([path, kind, options]) => {
    if (typeof kind !== 'string' || !known.includes(kind)) {
      const meant = typeof kind === 'string' ? nearest(kind, known) : undefined;
      mistakes.push({
        path, what: typeof kind === 'string' ? `'${shown(kind)}' is no kind of ${topic}` : `expected a kind of ${topic}, found ${kindOf(kind)}`,
        mend: meant ? `did you mean '${meant}'?` : optionOf(topic, kind) ?? `expected ${listed(known.map((word) => `'${word}'`), 'or')}`,
      });
      return [];
    }
    if (seen.has(kind)) mistakes.push({ path, what: `'${kind}' is named twice` });
    seen.add(kind);
    if (kind === 'none') {
      if (asked.length > 1) mistakes.push({ path, what: "'none' cannot stand beside others" });
      if (isTable(options) && Object.keys(options).length > 0) mistakes.push({ path, what: "'none' has no options" });
      return [];
    }
    const short = path.at(-1) !== kind;
    const lacking = short ? requiredOf(kinds[kind]!.options) : [];
    if (lacking.length > 0) mistakes.push({ path, what: `'${kind}' needs ${listed(lacking)}`, mend: `[${topic}.${kind}]\n${lacking.map((key) => `${key} = ...`).join('\n')}` });
    return lacking.length > 0 ? [] : [{ topic, kind, options: check(kinds[kind]!.options, options, path, mistakes, elsewhere) }];
  });
}

/** The keys that a kind cannot do without. */
const requiredOf = (schema: v.GenericSchema<unknown, unknown>): string[] =>
  (v.safeParse(schema, {}).issues ?? []).map(({ path }) => String(path?.[0]?.key));

/** [display] size = ...: the name of the kind was left out. */
function optionOf(topic: string, key: unknown): string | undefined {
  const places = Object.entries(topics[topic]!).filter(([, { options }]) => keysAt(options, []).includes(String(key))).map(([kind]) => `[${topic}.${kind}]`);
  return places.length > 0 ? `'${key}' belongs to ${listed(places, 'or')}` : undefined;
}

function readRoot(value: unknown, mistakes: Mistake[]): Spec['root'] | undefined {
  if (!isTable(value)) {
    mistakes.push({ path: ['root'], what: `expected a table, found ${kindOf(value)}`, mend: '[root]\ndebian = "bookworm"' });
    return undefined;
  }
  const sources = Object.keys(value).filter((key) => Object.hasOwn(roots, key));
  const known = listed(Object.keys(roots), 'or');
  if (sources.length === 1) return { source: sources[0]!, options: check(roots[sources[0]!]!.options, value, ['root'], mistakes, (key) => ofOtherRoots(key) ?? elsewhere(key)) };
  if (sources.length > 1) mistakes.push({ path: ['root', sources[1]!], what: `a root has one source, and there is '${sources[0]}' already`, mend: 'leave one of the two out' });
  else if (Object.keys(value).every((key) => ofOtherRoots(key))) mistakes.push({ path: ['root'], what: 'names no source', mend: `expected ${known}` });
  else
    for (const key of Object.keys(value).filter((candidate) => !ofOtherRoots(candidate))) {
      const meant = nearest(key, Object.keys(roots));
      mistakes.push({ path: ['root', key], what: `'${shown(key)}' is no source of a root`, mend: meant ? `did you mean '${meant}'?` : `expected ${known}` });
    }
  return undefined;
}

/** A key that goes with other sources than the one that is named. */
function ofOtherRoots(key: string): string | undefined {
  const sources = Object.keys(roots).filter((source) => keysAt(roots[source]!.options, []).includes(key));
  return sources.length > 0 ? `'${key}' goes with ${listed(sources, 'or')}` : undefined;
}
