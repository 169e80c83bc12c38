import { rules } from '../src/audit/index.ts';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { acceptable } from '../src/errors.ts';
import { topics, values } from '../src/grants/index.ts';
import { exposedBy } from '../src/meaning.ts';
import { engineTables } from '../src/spec.ts';
import { machineSchema } from './schema.ts';

/** Writes docs/machine-file.md from the same tables that the program reads machine files with, and the table of rules in docs/audit.md; scripts/pages.ts makes nestbox.toml(5) of the former. */

type Json = Record<string, unknown>;

/** A key of a table. What stands between backquotes is to be typed as it is. */
export interface Key {
  key: string;
  value: string;
  absent: string;
  does: string;
}

export interface Section {
  /** 2: a topic, 3: one of its kinds. */
  level: 2 | 3;
  title: string;
  /** Paragraphs before the keys, and after them. */
  before: string[];
  keys: Key[];
  after: string[];
}

const typeOf = ({ type, anyOf, enum: words, const: word, items }: Json): string =>
  words ? (words as unknown[]).map((value) => `\`${JSON.stringify(value)}\``).join(', ') : word !== undefined ? `\`${JSON.stringify(word)}\``
    : anyOf ? [...new Set((anyOf as Json[]).map(typeOf))].join(', or ') : type === 'array' ? `list: ${typeOf((items ?? {}) as Json)}` : type === 'object' ? 'table' : type === 'boolean' ? 'true or false' : type === 'integer' ? 'number' : `${type ?? 'text'}`.replace('string', 'text');

const keys = ({ properties = {}, required = [] }: { properties?: Json; required?: string[] }): Key[] =>
  Object.entries(properties as Record<string, Json>).map(([key, schema]) => ({
    key, value: typeOf(schema), absent: required.includes(key) ? 'must be there' : schema.default === undefined ? '' : `\`${JSON.stringify(schema.default)}\``, does: `${schema.description ?? ''}`,
  }));

/** What stands before the first section. */
export const introduction = [
  `TOML. A mistake is told with its line, its column and the nearest valid word. One grammar for what a machine is given:
\`topic = "kind"\`, \`topic = ["kind", "kind"]\`, or a table \`[topic.kind]\` with options; \`topic = "none"\` says that there is nothing of it.
Paths are absolute; those of the host may begin with \`~/\`, the home of the person who runs nestbox (also through sudo).`,
];

/** All that a machine file can say. */
export function sections(): Section[] {
  const schema = machineSchema() as { properties: Record<string, Json>; required: string[] };
  const special = [...Object.keys(topics), ...Object.keys(values), ...engineTables.map(([name]) => name), 'root'];
  const plain = { properties: Object.fromEntries(Object.entries(schema.properties).filter(([key]) => !special.includes(key))), required: schema.required };
  const kindOf = (topic: string, kind: string) => ((schema.properties[topic]!.anyOf as Json[])[2]!.properties as Record<string, Json>)[kind]!;
  return [
    { level: 2, title: 'The machine', before: [], keys: keys(plain), after: [`\`accept\` knows ${acceptable.map((word) => `\`${word}\``).join(', ')}: nestbox refuses what they stand for until they are named, and says so.`] },
    { level: 2, title: '`[root]`', before: ['One of:'], keys: [], after: [] },
    ...(schema.properties.root!.anyOf as (Json & { properties: Json })[]).map((root): Section => ({ level: 3, title: `\`${Object.keys(root.properties)[0]}\`: ${root.description}`, before: [], keys: keys(root), after: [] })),
    ...Object.entries(topics).flatMap(([topic, kinds]): Section[] => [
      { level: 2, title: `\`${topic}\``, before: [], keys: [], after: [] },
      ...Object.entries(kinds).map(([kind, grant]): Section => {
        const opens = exposedBy(grant);
        return { level: 3, title: `\`${kind}\`: ${grant.summary}`, before: [], keys: keys(kindOf(topic, kind)), after: opens.length === 0 ? [] : [`What it opens: ${opens.join('; ')}.`] };
      }),
    ]),
    ...Object.entries(values).map(([name, { summary, example, onlyBooted }]): Section => {
      const value = schema.properties[name]!;
      const entry = ((value.items as Json | undefined)?.anyOf as Json[] | undefined)?.find(({ type }) => type === 'object') ?? value;
      const what = value.type === 'array' ? `A list${entry === value ? `, such as \`${example}\`.` : '; each is a path, or a table with:'}` : value.type === 'object' ? 'A table.' : `${typeOf(value)}.`;
      return { level: 2, title: `\`${name}\`: ${summary}`, before: [`${onlyBooted ? 'With `boot = true`. ' : ''}${what}`], keys: keys(entry), after: [] };
    }),
    ...engineTables.map(([name, { summary }]): Section => ({ level: 2, title: `\`[${name}]\`: with \`engine = "${name}"\`, ${summary}`, before: [], keys: keys(schema.properties[name]!), after: [] })),
  ];
}

const table = (rows: Key[]): string[] => rows.length === 0 ? [] : [`| key | value | if absent | |\n| --- | --- | --- | --- |\n${rows.map(({ key, value, absent, does }) => `| \`${key}\` | ${value} | ${absent} | ${does.replaceAll('|', '\\|')} |`).join('\n')}`];

/** The whole page. */
export const machineManual = (): string => `<!-- Generated by scripts/manual.ts (npm run generate); do not edit. -->
# The machine file

${introduction.join('\n\n')}

${sections().map(({ level, title, before, keys, after }) => [`${'#'.repeat(level)} ${title}`, ...before, ...table(keys), ...after].join('\n\n')).join('\n\n')}
`;

/** docs/audit.md with the table of rules that the code has; all else of it is written by hand. */
export const auditPage = (page: string): string =>
  page.replace(/(\| rule \| looks for \|\n\| --- \| --- \|\n)(\|.*\n)*/, (_, head: string) => `${head}${Object.entries(rules).map(([name, { summary }]) => `| \`${name}\` | ${summary} |\n`).join('')}`);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync('docs/machine-file.md', machineManual());
  writeFileSync('docs/audit.md', auditPage(readFileSync('docs/audit.md', 'utf8')));
}
