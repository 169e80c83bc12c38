import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { type Acceptable, acceptable, Complaint } from './errors.ts';
import { topics, values } from './grants/index.ts';
import { engines } from './engines/index.ts';
import { positionOf } from './positions.ts';
import { roots } from './roots/index.ts';
import { hostName, line, machineName, says, userId, userName } from './schema.ts';
import { listed, nearest, splitWords } from './words.ts';

/** What the person wrote, validated; nothing of a host in it yet. */
export interface Spec {
  name: string;
  engine: string;
  root: { source: string; options: unknown };
  user: { name: string; uid?: number | undefined } | null;
  users: 'own' | 'host' | 'shift';
  ephemeral: boolean;
  hostname: string;
  run: string[];
  accept: Acceptable[];
  /** In the order of the file. `kind` is null for a topic whose value is not a kind, such as files. */
  grants: { topic: string; kind: string | null; options: unknown }[];
}

type Path = (string | number)[];
interface Mistake {
  path: Path;
  what: string;
  mend?: string | undefined;
}

const words = v.union([v.pipe(line, v.minLength(1, 'expected a program')), v.pipe(v.array(line), v.minLength(1, 'expected a program and its arguments'))], 'expected a command line, or a list with a program and its arguments');

/** The keys that are neither a topic of grants nor [root]. */
export const base = v.strictObject({
  name: v.pipe(machineName, says('The name of the machine.')),
  engine: v.optional(v.pipe(v.picklist(Object.keys(engines)), says('The program that runs the container.')), 'nspawn'),
  user: v.optional(v.pipe(v.union([userName, v.strictObject({ name: v.pipe(userName, says('The name inside.')), uid: v.optional(v.pipe(userId, says('Its numeric id inside.'))) })], 'expected a user name, or a table with name and uid'), says('Who runs the program inside; made there when missing. Root if absent.'))),
  users: v.optional(v.pipe(v.picklist(['own', 'host', 'shift']), says('own: root inside is nobody on the host, by mapped mounts. shift: the same, by giving all files of the root other owners. host: root inside is root.')), 'own'),
  ephemeral: v.optional(v.pipe(v.boolean(), says('Throw all changes of the root away at the end.')), false),
  hostname: v.optional(v.pipe(hostName, says('The host name inside; the name of the machine if absent.'))),
  run: v.optional(v.pipe(words, says('The program: a command line split into words (no shell), or a list.')), ['/bin/sh']),
  accept: v.optional(v.pipe(v.array(v.picklist(acceptable)), says('Losses of protection that are understood: each is refused unless it is named here.')), []),
});

/** Text of a machine file -> Spec, or a Complaint with a line for every mistake: `file:line:column: key: what is wrong`. */
export function readSpec(text: string, file: string): Spec {
  const tree = readToml(text, file);
  const mistakes: Mistake[] = [];
  const spec = build(tree, mistakes);
  if (mistakes.length === 0) return spec as Spec;
  const placed = mistakes.map((mistake) => ({ ...mistake, ...positionOf(text, mistake.path) })).sort((a, b) => a.line - b.line || a.column - b.column);
  throw new Complaint(placed.map(({ path, what, mend, line: row, column }) =>
    `${file}:${row}:${column}: ${path.length > 0 ? `${path.join('.')}: ` : ''}${what}${mend ? `\n  ${mend}` : ''}`).join('\n'));
}

function readToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = '', , ...excerpt] = error.message.split('\n');
    throw new Complaint(`${file}:${error.line}:${error.column}: ${what.replace('Invalid TOML document: ', '')}`, excerpt.join('\n').trimEnd());
  }
}

function build(tree: Record<string, unknown>, mistakes: Mistake[]): Spec | undefined {
  const grants: Spec['grants'] = [];
  const plain: Record<string, unknown> = {};
  let root: Spec['root'] | undefined;
  for (const [key, value] of Object.entries(tree)) {
    if (key === 'root') root = readRoot(value, mistakes);
    else if (Object.hasOwn(topics, key)) grants.push(...readTopic(key, value, mistakes));
    else if (Object.hasOwn(values, key)) grants.push({ topic: key, kind: null, options: check(values[key]!.options, value, [key], mistakes) });
    else plain[key] = value;
  }
  if (!('root' in tree)) mistakes.push({ path: [], what: "there is no [root]: where does the machine's file system come from?", mend: `[root]\n  debian = "bookworm"   (or ${listed(Object.keys(roots).filter((name) => name !== 'debian'), 'or')})` });
  if (!Object.hasOwn(tree, 'network')) grants.push({ topic: 'network', kind: 'private', options: v.parse(topics.network!.private!.options, {}) });
  const others = [...Object.keys(topics), ...Object.keys(values), 'root'];
  const options = check(base, plain, [], mistakes, others) as v.InferOutput<typeof base> | undefined;
  if (!options || !root) return undefined;
  return {
    name: options.name,
    engine: options.engine,
    root,
    user: typeof options.user === 'string' ? { name: options.user } : (options.user ?? null),
    users: options.users,
    ephemeral: options.ephemeral,
    hostname: options.hostname ?? options.name,
    run: typeof options.run === 'string' ? readWords(options.run, mistakes) : options.run,
    accept: options.accept,
    grants,
  };
}

function readWords(text: string, mistakes: Mistake[]): string[] {
  try {
    return splitWords(text);
  } catch (error) {
    mistakes.push({ path: ['run'], what: (error as Error).message });
    return [];
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
        path, what: typeof kind === 'string' ? `'${kind}' is no kind of ${topic}` : `expected a kind of ${topic}, found ${kindOf(kind)}`,
        mend: meant ? `did you mean '${meant}'?` : `expected ${listed(known.map((word) => `'${word}'`), 'or')}`,
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
    return [{ topic, kind, options: check(kinds[kind]!.options, options, path, mistakes) }];
  });
}

function readRoot(value: unknown, mistakes: Mistake[]): Spec['root'] | undefined {
  if (!isTable(value)) {
    mistakes.push({ path: ['root'], what: `expected a table, found ${kindOf(value)}`, mend: '[root]\n  debian = "bookworm"' });
    return undefined;
  }
  const sources = Object.keys(value).filter((key) => Object.hasOwn(roots, key));
  const known = listed(Object.keys(roots), 'or');
  if (sources.length === 1) return { source: sources[0]!, options: check(roots[sources[0]!]!.options, value, ['root'], mistakes) };
  if (sources.length > 1) mistakes.push({ path: ['root', sources[1]!], what: `a root has one source, and there is '${sources[0]}' already`, mend: 'leave one of the two out' });
  else if (Object.keys(value).length === 0) mistakes.push({ path: ['root'], what: `names no source: expected ${known}` });
  else
    for (const key of Object.keys(value)) {
      const meant = nearest(key, Object.keys(roots));
      mistakes.push({ path: ['root', key], what: `'${key}' is no source of a root`, mend: meant ? `did you mean '${meant}'?` : `expected ${known}` });
    }
  return undefined;
}

function check(schema: v.GenericSchema<unknown, unknown>, value: unknown, at: Path, mistakes: Mistake[], alsoKnown: string[] = []): unknown {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  for (const issue of result.issues) {
    const inner = (issue.path ?? []).map(({ key }) => key as string | number);
    mistakes.push({ path: [...at, ...inner], ...explain(issue, schema, inner, alsoKnown) });
  }
  return undefined;
}

/** valibot's issue in a person's words. Our own messages are kept; its own all begin with "Invalid". */
function explain(issue: v.BaseIssue<unknown>, schema: v.GenericSchema<unknown, unknown>, path: Path, alsoKnown: string[]): { what: string; mend?: string | undefined } {
  if (issue.type === 'strict_object' && path.length > 0 && issue.expected === 'never') {
    const known = [...keysAt(schema, path.slice(0, -1)), ...(path.length === 1 ? alsoKnown : [])];
    const meant = nearest(String(path.at(-1)), known);
    return { what: 'there is no such key', mend: meant ? `did you mean '${meant}'?` : `expected ${listed(known, 'or')}` };
  }
  if (issue.type === 'strict_object' && path.length > 0 && issue.received === 'undefined') return { what: 'is missing' };
  if (issue.type === 'picklist') {
    const known = (issue.requirement ?? (issue as { expected?: string }).expected?.match(/"([^"]*)"/g)?.map((word) => word.slice(1, -1)) ?? []) as string[];
    const meant = typeof issue.input === 'string' ? nearest(issue.input, known) : undefined;
    const what = typeof issue.input === 'string' ? `'${issue.input}' is not known here` : `expected a word, found ${kindOf(issue.input)}`;
    return { what, mend: meant ? `did you mean '${meant}'?` : `expected ${listed(known.map((word) => `'${word}'`), 'or')}` };
  }
  if (!issue.message.startsWith('Invalid')) return { what: issue.message };
  return { what: `expected ${expectations[issue.type] ?? issue.expected}, found ${kindOf(issue.input)}` };
}

const expectations: Record<string, string> = {
  string: 'a text in quotes', number: 'a number', boolean: 'true or false', array: 'a list', strict_object: 'a table', object: 'a table', record: 'a table', integer: 'a whole number',
};

/** The keys that the table at `path` of the schema may have; looks through optional, pipe, union and array. */
function keysAt(schema: unknown, path: Path): string[] {
  const { entries, wrapped, options, item } = schema as { entries?: Record<string, unknown>; wrapped?: unknown; options?: unknown[]; item?: unknown };
  if (wrapped) return keysAt(wrapped, path);
  if (Array.isArray(options) && typeof options[0] === 'object') return options.flatMap((option) => keysAt(option, path));
  if (entries) return path.length === 0 ? Object.keys(entries) : keysAt(entries[String(path[0])] ?? {}, path.slice(1));
  return item && path.length > 0 ? keysAt(item, path.slice(1)) : [];
}

const isTable = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

const kindOf = (value: unknown): string =>
  value === undefined ? 'nothing' : typeof value === 'string' ? `the text '${value}'` : typeof value === 'number' || typeof value === 'bigint' ? `the number ${value}` : typeof value === 'boolean' ? `${value}`
    : Array.isArray(value) ? 'a list' : value instanceof Date ? 'a date' : 'a table';
