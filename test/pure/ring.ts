import { readdirSync } from 'node:fs';

/** All tests of the ring in one process: to load what they have in common takes longer than most of them. */
for (const name of readdirSync(new URL('.', import.meta.url)).filter((one) => one.endsWith('.test.ts')).sort()) await import(`./${name}`);
