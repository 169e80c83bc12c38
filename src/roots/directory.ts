import * as v from 'valibot';
import { lacks } from '../errors.ts';
import { defineRoot } from '../root.ts';
import { path, says } from '../schema.ts';

export default defineRoot({
  summary: 'a directory that holds a root file system already, used where it is',
  options: v.strictObject({ directory: v.pipe(path, v.check((text) => text !== '/', "expected a directory below '/': [root] host = true is the running system"), says('The directory.')) }),
  paths: ({ directory }) => [directory],
  needs: ({ directory }, { paths }) => {
    const found = paths[directory];
    if (!found) return [{ ...lacks(`${directory} does not exist on this host`, 'name a directory that holds a root file system'), at: ['directory'] }];
    return found.kind === 'directory' ? [] : [{ ...lacks(`${directory} is not a directory`, found.kind === 'file' ? `tar = "${directory}" unpacks an archive` : 'name a directory that holds a root file system'), at: ['directory'] }];
  },
  source: ({ directory }) => ({ kind: 'directory', path: directory }),
});
