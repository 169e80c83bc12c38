import * as v from 'valibot';
import { lacks, lacksProgram } from '../errors.ts';
import { defineRoot } from '../root.ts';
import { path, says } from '../schema.ts';
import { templateKey } from '../templates.ts';

export default defineRoot({
  summary: 'an archive of a root file system, such as a Gentoo stage3',
  options: v.strictObject({ tar: v.pipe(path, says('The archive, compressed in any way that GNU tar knows.')) }),
  paths: ({ tar }) => [tar],
  needs: ({ tar }, { paths, programs, distribution }) => {
    const found = paths[tar];
    if (!found) return [{ ...lacks(`${tar} does not exist on this host`, 'name an archive of a root file system'), at: ['tar'] }];
    if (found.kind !== 'file') return [{ ...lacks(`${tar} is not a file`, found.kind === 'directory' ? `directory = "${tar}" uses a directory` : 'name an archive of a root file system'), at: ['tar'] }];
    return programs.tar ? [] : [lacksProgram('tar', 'unpack the archive', { distribution })];
  },
  source: ({ tar }, { paths }) => {
    const found = paths[tar];
    return {
      kind: 'template',
      key: templateKey('tar', tar.split('/').at(-1)!.replace(/\.t.*$/, ''), { tar, size: found?.size, modified: found?.modified }),
      build: (target) => [{
        kind: 'build', target, what: `unpack ${tar}`,
        // Numeric, as the ids are the archive's own and not those of accounts with the same names here.
        argv: ['tar', '--extract', '--file', tar, '--directory', target, '--numeric-owner', '--same-owner', '--preserve-permissions', '--xattrs', '--xattrs-include=*', '--acls', '--delay-directory-restore',
          // A line for every 100 MB.
          '--checkpoint=10000', '--checkpoint-action=echo=%{read}T'],
      }],
    };
  },
});
