import * as v from 'valibot';
import { lacksProgram } from '../errors.ts';
import { defineRoot } from '../root.ts';
import { path, says } from '../schema.ts';
import { logicalVolume, mountPointOf } from '../volumes.ts';

export default defineRoot({
  summary: 'an encrypted volume (LUKS 1 or 2) that holds a root file system, opened at each start and closed at each end',
  options: v.strictObject({
    luks: v.pipe(path, says('An LVM volume, a partition, or a file.')),
    'key-file': v.optional(v.pipe(path, says('A file with the key, that root alone can read; the passphrase is asked for if absent.'))),
    discard: v.optional(v.pipe(v.boolean(), says('Pass on which blocks are free: an SSD lives longer, and whoever has it can see how much is in use.')), false),
  }),
  volume: ({ luks }) => luks,
  paths: ({ 'key-file': key }) => (key ? [key] : []),
  needs: ({ luks }, { programs, volume, distribution }) => [
    ...(programs.cryptsetup ? [] : [lacksProgram('cryptsetup', 'open an encrypted volume', { distribution })]),
    ...(logicalVolume(luks, volume) && !programs.lvchange ? [lacksProgram('lvchange', 'activate an LVM volume', { distribution })] : []),
  ],
  source: ({ luks, 'key-file': keyFile = null, discard }, { volume }, _, machine) => ({
    kind: 'directory', path: mountPointOf(machine), volume: { path: luks, lv: logicalVolume(luks, volume), luks: { keyFile, discard } },
  }),
});
