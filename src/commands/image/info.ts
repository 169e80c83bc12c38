import { Complaint } from '../../errors.ts';
import { architectureOf } from '../../foreign/elf.ts';
import { openImage, readInsideExt, usesOfImage } from '../../host/images.ts';
import { type Content, formatNames, isExt, plainText } from '../../image/filesystems.ts';
import { inspect, type Part } from '../../image/inspect.ts';
import { probe } from '../../probe.ts';
import { sizeOf, table as columns } from '../../text.ts';
import type { ImageOptions } from '../image.ts';

/** Tells what there is in an image, by reading a few of its bytes. */
export default async function info([file, ...more]: string[], { json }: ImageOptions): Promise<number> {
  if (!file || more.length > 0) throw new Complaint('which image?', 'nestbox image info FILE');
  const { programs } = probe(process.env);
  const image = openImage(file);
  try {
    const { table, parts, complaints, size } = inspect(image.read, image.size);
    const whole = complaints.length === 0;
    const systems = whole ? parts.flatMap((part) => (part.content && isExt(part.content.format) ? (systemIn(programs.debugfs, image.file.path, part) ?? []) : [])) : [];
    const uses = usesOfImage(image.file);
    const { path } = image.file;
    const said = {
      image: path, size, allocated: image.allocated, table: table.kind, id: table.id, sector: table.sector,
      partitions: (table.partitions.length > 0 ? table.partitions : [null]).map((partition) => {
        const part = parts.find((one) => one.partition === partition);
        const { format = null, label = null, uuid = null, used = null, size: own = null } = part?.content ?? ({} as Partial<Content>);
        return { number: partition?.number ?? null, start: partition?.start ?? 0, size: partition?.size ?? size, type: partition?.type ?? null, name: partition?.name === undefined ? null : plainText(partition.name), bootable: partition?.bootable ?? false, partuuid: partition?.uuid ?? null, format, label, uuid, fileSystem: own, used };
      }),
      systems, uses, remarks: table.remarks, complaints,
    };
    if (json) console.log(JSON.stringify(said, null, 2));
    else {
      console.log(`${path}: ${sizeOf(size)}${image.kind === 'file' && image.allocated < size ? `, of which ${sizeOf(image.allocated)} are on the disk` : ''}, ${{ mbr: `DOS partition table ${table.id}`, gpt: `GPT ${table.id}`, none: 'no partition table' }[table.kind]}`);
      const rows = said.partitions.filter(({ number, format }) => number !== null || format !== null).map((one) => {
        const part = parts.find(({ partition }) => (partition?.number ?? null) === one.number);
        const extended = table.partitions.find(({ number }) => number === one.number)?.extended;
        return [one.number === null ? '-' : `${one.number}`, `${one.start / table.sector}`, sizeOf(one.size), one.type ?? '-', extended ? 'extended' : holds(part), one.used === null ? '-' : sizeOf(one.used), one.label ?? one.name ?? '-', one.bootable ? 'boot' : ''];
      });
      if (rows.length > 0) console.log(columns([['PARTITION', 'SECTOR', 'SIZE', 'TYPE', 'HOLDS', 'USED', 'LABEL', ''], ...rows]));
      for (const { partition, distribution, architecture } of systems) console.log(`${partition === null ? '' : `partition ${partition}: `}${[distribution, architecture].filter(Boolean).join(', ')}`);
      for (const line of [...uses.map((use) => `in use: ${use}`), ...table.remarks]) console.log(line);
    }
    if (!whole && !json) console.log(`not whole:\n${complaints.map((what) => `  ${what}`).join('\n')}`);
    return whole ? 0 : 1;
  } finally {
    image.close();
  }
}

const holds = (part: Part | undefined): string => {
  const content = part?.content;
  if (!content) return '-';
  const smaller = content.size !== null && content.size > 0 && part.size - content.size >= 2 ** 20 ? ` of ${sizeOf(content.size)}` : '';
  return `${content.packed ? content.packed.as : formatNames[content.format]}${smaller}`;
};

interface System {
  partition: number | null;
  distribution: string | null;
  architecture: string | null;
}

/** Of a root file system: os-release(5), and what its programs are for. */
function systemIn(debugfs: string | undefined, path: string, { partition, start }: Part): System | null {
  if (!debugfs) return null;
  const read = (name: string) => readInsideExt(debugfs, path, start, name);
  const release = ['/usr/lib/os-release', '/etc/os-release'].map((name) => read(name).toString('utf8')).find((text) => /^(PRETTY_NAME|ID)=/m.test(text));
  const field = (key: string) => plainText(new RegExp(`^${key}="?([^"\\n]*)`, 'm').exec(release ?? '')?.[1] ?? '');
  const distribution = field('PRETTY_NAME') || field('ID') || null;
  if (distribution === null) return null;
  const architecture = ['/usr/bin/env', '/usr/bin/busybox', '/bin/busybox', '/usr/lib/systemd/systemd'].map((name) => architectureOf(read(name))?.name).find(Boolean) ?? null;
  return { partition: partition?.number ?? null, distribution, architecture };
}
