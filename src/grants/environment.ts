import * as v from 'valibot';
import { defineGrant } from '../grant.ts';
import { line } from '../schema.ts';

export default defineGrant({
  summary: 'environment variables of the program inside',
  options: v.record(v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected a name of letters, digits and _')), line),
  needs: () => [],
  edits: (environment) => ({ environment }),
  exposes: () => [],
});
