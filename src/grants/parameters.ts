import * as v from 'valibot';
import { defineGrant } from '../grant.ts';

export default defineGrant({
  summary: 'words for the init inside, as they stand on the command line of a kernel; /proc/cmdline inside stays that of the host',
  example: '["systemd.unit=rescue.target", "quiet"]',
  onlyBooted: true,
  // Before 254 systemd splits the command line of the first process at spaces, whatever stood in one word.
  options: v.pipe(v.array(v.pipe(v.string(), v.regex(/^[^\s"'\\\p{Cc}]+$/u, 'expected one word without spaces, quotes and backslashes, such as "systemd.unit=rescue.target"'))), v.minLength(1, 'expected words such as "quiet"')),
  needs: () => [],
  edits: (parameters) => ({ parameters }),
  exposes: () => [],
});
