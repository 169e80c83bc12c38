import * as v from 'valibot';
import { riskOf } from './dangers.ts';
import type { Grant } from './grant.ts';
import { topics, values } from './grants/index.ts';
import { roots } from './roots/index.ts';

/** What the words of machine files mean, read off the tables that machine files are checked with (pure). */

type Schema = v.GenericSchema<unknown, unknown>;

/** The keys of a table and what is said of each; a list is looked through for the tables that may stand in it. */
export function keysOf(schema: Schema): [key: string, does: string][] {
  const { entries, item, options, wrapped, pipe } = schema as Schema & { entries?: Record<string, Schema & { wrapped?: Schema }>; item?: Schema; options?: unknown[]; wrapped?: Schema; pipe?: Schema[] };
  if (entries) return Object.entries(entries).map(([key, value]) => [key, v.getDescription(value.wrapped ?? value) ?? v.getDescription(value) ?? '']);
  const parts = [wrapped, item, ...(pipe ?? []).slice(1), ...(options ?? [])].filter((part): part is Schema => typeof part === 'object' && part !== null && 'kind' in part && part.kind === 'schema');
  return parts.map(keysOf).find((keys) => keys.length > 0) ?? [];
}

const rows = (keys: readonly (readonly [string, string])[]): string => keys.map(([key, does]) => `  ${key.padEnd(16)} ${does}`.trimEnd()).join('\n');

/** What it lets a hostile program do in its plainest form; nothing where its options cannot be left out. */
export function exposedBy({ options, exposes }: Grant): string[] {
  const plain = v.safeParse(options, {});
  return plain.success ? exposes(plain.output).map(({ can, what }) => `${what} (${riskOf(can)})`) : [];
}

function ofGrant(title: string, grant: Grant): string {
  const keys = keysOf(grant.options);
  const opens = exposedBy(grant);
  return `${title}: ${grant.summary}\n${keys.length > 0 ? `\nOptions:\n${rows(keys)}\n` : ''}${opens.length > 0 ? `\nWhat it opens:\n${opens.map((line) => `  ${line}`).join('\n')}\n` : ''}`;
}

/** `display`, `display.nested`, `files` or `root`, `root.debian` in a few lines; null: there is no such word. */
export function meaning(word: string): string | null {
  const [topic = '', kind, ...more] = word.split('.');
  if (more.length > 0) return null;
  if (topic === 'root') {
    if (kind === undefined) return `[root]: where the machine's file system comes from, one of\n\n${rows(Object.entries(roots).map(([name, { summary }]) => [name, summary]))}\n`;
    const root = Object.hasOwn(roots, kind) ? roots[kind]! : null;
    return root && `[root] ${kind}: ${root.summary}\n\nOptions:\n${rows(keysOf(root.options))}\n`;
  }
  if (Object.hasOwn(values, topic)) return kind === undefined ? ofGrant(topic, values[topic]!) : null;
  if (!Object.hasOwn(topics, topic)) return null;
  const kinds = topics[topic]!;
  if (kind === undefined) return `${topic} = "kind", ["kind", "kind"], "none", or a table [${topic}.kind] with options:\n\n${rows(Object.entries(kinds).map(([name, { summary }]) => [name, summary]))}\n`;
  return Object.hasOwn(kinds, kind) ? ofGrant(`${topic} = "${kind}", or [${topic}.${kind}]`, kinds[kind]!) : null;
}
