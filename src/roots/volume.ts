import * as v from 'valibot';
import { lacksProgram } from '../errors.ts';
import { defineRoot } from '../root.ts';
import { path, says } from '../schema.ts';
import { logicalVolume, mountPointOf } from '../volumes.ts';

export default defineRoot({
  summary: 'an LVM volume, or another block device, that holds a root file system, mounted at each start',
  options: v.strictObject({ volume: v.pipe(path, says('The block device.')) }),
  volume: ({ volume }) => volume,
  paths: () => [],
  needs: ({ volume: path_ }, { programs, volume, distribution }) => (logicalVolume(path_, volume) && !programs.lvchange ? [lacksProgram('lvchange', 'activate an LVM volume', { distribution })] : []),
  source: ({ volume: path_ }, { volume }, _, machine) => ({ kind: 'directory', path: mountPointOf(machine), volume: { path: path_, lv: logicalVolume(path_, volume), luks: null } }),
});
