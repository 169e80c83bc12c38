import * as v from 'valibot';
import { defineRoot } from '../root.ts';
import { says } from '../schema.ts';

export default defineRoot({
  summary: 'the running system: its /usr and /etc with a writable layer above that is thrown away; no homes, no secrets',
  options: v.strictObject({ host: v.pipe(v.literal(true, 'expected true'), says('true')) }),
  paths: () => ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'],
  needs: () => [],
  source: () => ({ kind: 'host', folders: ['usr', 'etc'] }),
});
