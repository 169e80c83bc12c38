import * as v from 'valibot';
import { listed, nearest } from './words.ts';

export type Path = (string | number)[];

/** Something in a machine file that cannot be read: at which key, what is wrong, and what to do. */
export interface Mistake {
  path: Path;
  what: string;
  mend?: string | undefined;
}

type Schema = v.GenericSchema<unknown, unknown>;
type Issue = v.BaseIssue<unknown>;

/** Where a key is known that stands in the wrong place, as advice; undefined: nowhere. */
export type Elsewhere = (key: string) => string | undefined;

/** The value as the schema makes it, or undefined with every mistake noted. `alsoKnown`: keys beside those of the schema. */
export function check(schema: Schema, value: unknown, at: Path, mistakes: Mistake[], elsewhere: Elsewhere = () => undefined, alsoKnown: string[] = []): unknown {
  // A list would pass for a table with the keys 0, 1 ...
  if ((schema.type === 'strict_object' || schema.type === 'record') && !isTable(value)) {
    mistakes.push({ path: at, what: `expected a table, found ${kindOf(value)}` });
    return undefined;
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  for (const issue of result.issues)
    for (const { path, told } of complaintsOf(issue)) mistakes.push({ path: [...at, ...path], ...explain(told, schema, path, elsewhere, alsoKnown) });
  return undefined;
}

const pathOf = (issue: Issue): Path => (issue.path ?? []).map(({ key }) => key as string | number);

/** Of a choice of shapes, the complaints of the one that was meant: that of the same kind as what is there. */
function complaintsOf(issue: Issue): { path: Path; told: Issue }[] {
  const path = pathOf(issue);
  const otherKind = (inner: Issue) => inner.kind === 'schema' && (!inner.path || (inner.type === 'strict_object' && !isTable(issue.input)));
  const meant = issue.type === 'union' ? ((issue.issues ?? []) as Issue[]).filter((inner) => !otherKind(inner)) : [];
  return meant.length === 0 ? [{ path, told: issue }] : meant.flatMap(complaintsOf).map(({ path: inner, told }) => ({ path: [...path, ...inner], told }));
}

/** valibot's issue in a person's words. Our own messages are kept; its own all begin with "Invalid". */
function explain(issue: Issue, schema: Schema, path: Path, elsewhere: Elsewhere, alsoKnown: string[]): { what: string; mend?: string | undefined } {
  if (issue.type === 'strict_object' && path.length > 0 && issue.expected === 'never') return unknownKey(String(path.at(-1)), [...keysAt(schema, path.slice(0, -1)), ...(path.length === 1 ? alsoKnown : [])], elsewhere);
  if (issue.type === 'strict_object' && path.length > 0 && issue.received === 'undefined') return { what: 'is missing', mend: descriptionAt(schema, path) };
  if (issue.type === 'picklist') {
    const known = (issue.expected ?? '').match(/"[^"]*"|[^\s()|]+/g)?.map((word) => word.replaceAll('"', '')) ?? [];
    const meant = typeof issue.input === 'string' ? nearest(issue.input, known) : undefined;
    return { what: typeof issue.input === 'string' ? `'${shown(issue.input)}' is not known here` : `${kindOf(issue.input)} is not known here`, mend: meant ? `did you mean '${meant}'?` : `expected ${listed(known.map((word) => (issue.expected!.includes(`"${word}"`) ? `'${word}'` : word)), 'or')}` };
  }
  if (!issue.message.startsWith('Invalid')) return { what: issue.message };
  return {
    what: `expected ${expectations[issue.type] ?? issue.expected}, found ${kindOf(issue.input)}`,
    mend: issue.type === 'array' && typeof issue.input === 'string' ? `["${shown(issue.input)}"] is a list of one` : undefined,
  };
}

function unknownKey(key: string, known: string[], elsewhere: Elsewhere): { what: string; mend: string } {
  const meant = nearest(key, known);
  return { what: 'there is no such key', mend: meant ? `did you mean '${meant}'?` : (elsewhere(key) ?? (known.length > 0 ? `expected ${listed(known, 'or')}` : 'leave it out')) };
}

const expectations: Record<string, string> = {
  string: 'a text in quotes', number: 'a number', boolean: 'true or false', array: 'a list', strict_object: 'a table', object: 'a table', record: 'a table', integer: 'a whole number',
};

interface Inner {
  entries?: Record<string, Schema>;
  wrapped?: Schema;
  options?: unknown[];
  item?: Schema;
}

/** The tables at `path` of the schema; looks through optional, pipe, union and array. */
function tablesAt(schema: unknown, path: Path): Record<string, Schema>[] {
  const { entries, wrapped, options, item } = schema as Inner;
  if (wrapped) return tablesAt(wrapped, path);
  if (Array.isArray(options) && typeof options[0] === 'object') return options.flatMap((option) => tablesAt(option, path));
  if (entries) return path.length === 0 ? [entries] : tablesAt(entries[String(path[0])] ?? {}, path.slice(1));
  return item && path.length > 0 ? tablesAt(item, path.slice(1)) : [];
}

export const keysAt = (schema: unknown, path: Path): string[] => tablesAt(schema, path).flatMap(Object.keys);

function descriptionAt(schema: Schema, path: Path): string | undefined {
  const entry = tablesAt(schema, path.slice(0, -1)).map((entries) => entries[String(path.at(-1))]).find(Boolean);
  return entry && v.getDescription((entry as Inner).wrapped ?? entry);
}

export const isTable = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** Text of a machine file in a message: it cannot add a line there, nor move the cursor. Of a long one the beginning, and no more is looked at: one line can be told of thousands of times. */
export const shown = (text: string): string => {
  const safe = text.slice(0, 81).replace(/\p{Cc}/gu, (c) => JSON.stringify(c).slice(1, -1).replace(/^[\x7f-\x9f]$/, `\\u00${c.charCodeAt(0).toString(16)}`));
  return safe.length > 80 ? `${safe.slice(0, 79)}…` : safe;
};

export const kindOf = (value: unknown): string =>
  value === undefined ? 'nothing' : typeof value === 'string' ? `the text '${shown(value)}'` : typeof value === 'number' || typeof value === 'bigint' ? (Number.isNaN(value) ? 'nan' : `the number ${value}`) : typeof value === 'boolean' ? `${value}`
    : Array.isArray(value) ? 'a list' : value instanceof Date ? 'a date' : 'a table';
