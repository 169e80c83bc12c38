import { existsSync } from 'node:fs';
import { Complaint, type ProgramName } from '../../errors.ts';
import { unable } from '../../host/distribution.ts';
import { openImage, pack } from '../../host/images.ts';
import { inspect } from '../../image/inspect.ts';
import { probe } from '../../probe.ts';
import { note, sizeOf } from '../../text.ts';
import type { ImageOptions } from '../image.ts';
import { mustBeFree } from './change.ts';

const ways: Record<string, { program: ProgramName; argv: string[] }> = {
  xz: { program: 'xz', argv: ['xz', '--threads=0', '--compress', '--stdout'] },
  zst: { program: 'zstd', argv: ['zstd', '--threads=0', '-10', '--quiet', '--stdout'] },
  gz: { program: 'gzip', argv: ['gzip', '--no-name', '--stdout'] },
};

/** Writes a packed copy beside an image. */
export default async function compress([file, ...more]: string[], { as = 'xz', 'dry-run': dry }: ImageOptions): Promise<number> {
  if (!file || more.length > 0) throw new Complaint('which image?', 'nestbox image compress FILE');
  const way = Object.hasOwn(ways, as) ? ways[as]! : null;
  if (!way) throw new Complaint(`--as ${as}: it is xz, zst or gz`);
  const { programs } = probe(process.env);
  if (!programs[way.program]) throw unable(way.program, 'pack an image');
  const image = openImage(file);
  try {
    const packed = inspect(image.read, image.size).parts.find(({ content }) => content?.packed)?.content?.packed;
    if (packed) throw new Complaint(`${image.file.path} is packed already: ${packed.as}`);
    if (image.kind === 'block') throw new Complaint(`${image.file.path} is a device: there is no place beside it`, 'name a disk image');
    mustBeFree(image);
    const to = `${image.file.path}.${as}`;
    if (existsSync(to)) throw new Complaint(`${to} is there already`, 'move it away');
    console.log(`${image.file.path}: ${sizeOf(image.size)} to ${to}`);
    if (dry) return 0;
    const size = await pack(programs, way.argv, image, to);
    note(`${to} has ${sizeOf(size)}`);
    return 0;
  } finally {
    image.close();
  }
}
