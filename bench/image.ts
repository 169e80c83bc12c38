// scripts/bench image [--rounds N] [--json] [--short]: `nestbox image grow` of a Raspberry Pi image beside the same done by hand
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

const { rounds = 25, json, short } = options();
await inFolder((folder) => {
  const tree = piTree(`${folder}/tree`);
  const { path: original, start } = diskImage(`${folder}/original.img`, tree, { size: 600 * MiB });
  const path = `${folder}/pi.img`;
  // What was written before is on the disk: each waits for its own alone.
  const before = () => {
    must(['cp', '--sparse=always', '--reflink=auto', original, path]);
    must(['sync', '-f', folder]);
  };
  // sfdisk waits a quarter of a second for whoever may have the disk open, and looks whether the kernel has it; told that it is a file it does neither.
  const byHand = (name: string, sfdisk: string) => {
    writeFileSync(`${folder}/${name}`, `set -e
truncate -s 2G "$1"
echo ', +' | ${sfdisk} -N 2 "$1"
loop=$(losetup --find --show --offset ${start} "$1")
e2fsck -f -y "$loop"
resize2fs "$loop"
losetup --detach "$loop"
`);
    return ['sh', `${folder}/${name}`, path];
  };
  const measured = measure([
    { name: 'by hand', argv: byHand('by-hand', 'sfdisk -q'), before },
    ...(short ? [] : [{ name: 'by hand, quickest', argv: byHand('quickest', 'sfdisk -q --no-reread --no-tell-kernel'), before }]),
    { name: 'nestbox image grow', argv: nestbox('image', 'grow', path, '2G'), before },
  ], { rounds, warmups: 1 });
  report('600 MB become 2 GB', measured, [{ name: 'nestbox image grow', to: 'by hand', goal: 1.2, margin: 1.5 }, ...(short ? [] : [{ name: 'nestbox image grow', to: 'by hand, quickest', goal: null }])], { 'by hand': 'truncate, sfdisk, losetup, e2fsck -f, resize2fs, losetup --detach' }, json);
});
