import { topics, values } from '../grants/index.ts';
import { roots } from '../roots/index.ts';

/** Every word of the machine file that `nestbox help` explains: topics, their kinds, and sources of roots. */
export const words = (): string[] => [
  ...Object.entries(topics).flatMap(([topic, kinds]) => [topic, ...Object.keys(kinds).map((kind) => `${topic}.${kind}`)]),
  ...Object.keys(values), 'root', ...Object.keys(roots).map((root) => `root.${root}`),
];
