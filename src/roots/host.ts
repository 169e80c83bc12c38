import * as v from 'valibot';
import { defineRoot } from '../root.ts';
import { says } from '../schema.ts';

/** Links into /usr, or folders of their own where /usr is not merged: file-hierarchy(7). */
const beside = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

export default defineRoot({
  summary: 'the running system: its /usr and /etc with a writable layer above that is thrown away; no homes, no secrets',
  options: v.strictObject({ host: v.pipe(v.literal(true, 'expected true'), says('true')) }),
  paths: () => beside.map((name) => `/${name}`),
  needs: () => [],
  source: (_, { paths }) => {
    const links = Object.fromEntries(beside.flatMap((name) => {
      const to = paths[`/${name}`]?.link;
      return to ? [[name, to]] : [];
    }));
    return { kind: 'host', folders: ['usr', 'etc', ...beside.filter((name) => paths[`/${name}`] && !(name in links))], links };
  },
});
