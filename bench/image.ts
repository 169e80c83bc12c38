// scripts/bench image: `nestbox image grow` of a Raspberry Pi image beside the same done by hand
import { mkdirSync, writeFileSync } from 'node:fs';
import { diskImage, MiB } from '../test/disk-images.ts';
import { inFolder, nestbox } from './machines.ts';
import { measure, must, options, report } from './measure.ts';

/** As many files as a small Raspberry Pi OS has, and as large as these are together. */
function piTree(path: string): string {
  for (let folder = 0; folder < 200; folder++) {
    mkdirSync(`${path}/usr/share/${folder}`, { recursive: true });
    for (let file = 0; file < 100; file++) writeFileSync(`${path}/usr/share/${folder}/${file}`, `${folder} ${file} `.repeat(file * 20));
  }
  return path;
}

const { rounds = 25, json } = options();
await inFolder((folder) => {
  const tree = piTree(`${folder}/tree`);
  const { path: original, start } = diskImage(`${folder}/original.img`, tree, { size: 600 * MiB });
  const path = `${folder}/pi.img`;
  // What was written before is on the disk: each waits for its own alone.
  const before = () => {
    must(['cp', '--sparse=always', '--reflink=auto', original, path]);
    must(['sync', '-f', folder]);
  };
  writeFileSync(`${folder}/by-hand`, `set -e
truncate -s 2G "$1"
echo ', +' | sfdisk -q --no-reread --no-tell-kernel -N 2 "$1"
loop=$(losetup --find --show --offset ${start} "$1")
e2fsck -f -y "$loop"
resize2fs "$loop"
losetup --detach "$loop"
`);
  const measured = measure([
    { name: 'by hand', argv: ['sh', `${folder}/by-hand`, path], before },
    { name: 'nestbox image grow', argv: nestbox('image', 'grow', path, '2G'), before },
  ], { rounds, warmups: 1 });
  report('600 MB become 2 GB', measured, [{ name: 'nestbox image grow', to: 'by hand', goal: 1.2 }], { 'by hand': 'truncate, sfdisk, losetup, e2fsck -f, resize2fs, losetup --detach' }, json);
});
