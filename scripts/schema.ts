import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ConversionConfig, toJsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { topics, values } from '../src/grants/index.ts';
import { roots } from '../src/roots/index.ts';
import { base, engineTables } from '../src/spec.ts';

/** Writes schema/machine.schema.json, which editors complete and check machine files with, from the one schema in src/. */

type Json = Record<string, unknown>;

const config: ConversionConfig = {
  typeMode: 'input', // what a person writes: `~/games`, not the absolute path that it becomes
  target: 'draft-07', // what editors for TOML know
  errorMode: 'ignore', // checks that JSON Schema has no word for are nestbox's own; they only make it stricter
  // The converter stops at a transformation; a description that stands behind it belongs to the key all the same.
  overrideSchema({ valibotSchema, jsonSchema }) {
    const { entries } = valibotSchema as { entries?: Record<string, v.GenericSchema & { wrapped?: v.GenericSchema }> };
    const properties = jsonSchema.properties as Record<string, Json> | undefined;
    if (!entries || !properties) return null;
    return { ...jsonSchema, properties: Object.fromEntries(Object.entries(properties).map(([key, property]) => {
      const description = v.getDescription(entries[key]!.wrapped ?? entries[key]!);
      return [key, description === undefined ? property : { description, ...property }];
    })) };
  },
  overrideAction({ valibotAction: action, jsonSchema }) {
    if (action.type !== 'starts_with') return null;
    const { requirement } = action as v.StartsWithAction<string, string, undefined>;
    return { ...jsonSchema, pattern: `^${requirement.replaceAll('/', '\\/')}` };
  },
};

function convert(schema: v.GenericSchema<unknown, unknown>, description?: string): Json {
  const { $schema: _, ...json } = toJsonSchema(schema as v.GenericSchema, config) as Json;
  return description === undefined ? json : { description, ...json };
}

const needsNoOptions = (schema: v.GenericSchema<unknown, unknown>): boolean => v.safeParse(schema, {}).success;

/** `topic = "kind"`, `topic = ["kind", "kind"]`, `topic = "none"` or [topic.kind] with options. */
function topicSchema(topic: string): Json {
  const kinds = Object.entries(topics[topic]!);
  const words = kinds.filter(([, { options }]) => needsNoOptions(options));
  return {
    description: `One or more kinds of ${topic}, or none.`,
    anyOf: [
      { oneOf: [...words.map(([kind, { summary }]) => ({ const: kind, description: summary })), { const: 'none', description: `no ${topic} at all` }] },
      { type: 'array', items: { enum: words.map(([kind]) => kind) }, minItems: 1, uniqueItems: true },
      { type: 'object', properties: Object.fromEntries(kinds.map(([kind, { summary, options }]) => [kind, convert(options, summary)])), additionalProperties: false, minProperties: 1 },
    ],
  };
}

/** Of a whole machine file. */
export function machineSchema(): Json {
  const { properties, required, ...rest } = convert(base) as { properties: Json; required: string[] } & Json;
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'A machine of nestbox',
    description: 'Where its root file system comes from, what it may see, hear and touch on this host, and what runs in it.',
    ...rest,
    properties: {
      ...properties,
      root: { description: "Where the machine's file system comes from.", anyOf: Object.values(roots).map(({ summary, options }) => convert(options, summary)) },
      ...Object.fromEntries(Object.keys(topics).map((topic) => [topic, topicSchema(topic)])),
      ...Object.fromEntries(engineTables.map(([name, { summary, options }]) => [name, convert(options, `${summary}: what it alone is told, where engine = "${name}".`)])),
      ...Object.fromEntries(Object.entries(values).map(([name, { summary, options }]) => [name, convert(options, summary)])),
    },
    required: [...required, 'root'],
  };
}

export const machineSchemaText = (): string => `${JSON.stringify(machineSchema(), null, 2)}\n`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync('schema', { recursive: true });
  writeFileSync('schema/machine.schema.json', machineSchemaText());
}
