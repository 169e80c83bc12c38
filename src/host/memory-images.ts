import { crc32 } from '../crc32.ts';
import { Complaint } from '../errors.ts';
import type { Images } from '../host.ts';
import type { Change } from '../image/edit.ts';
import type { Read } from '../image/table.ts';
import type { Extent, ImageFile } from '../step.ts';
import type { MemoryHost } from './memory.ts';
import { node } from './memory-tree.ts';

/** Where an ext file system has the number of its blocks: s_blocks_count_lo. */
const blocksAt = 1024 + 4;

/** Disk images in memory, with file systems (ext, of 1024 bytes a block) of which nothing but the first bytes is there. */
export class MemoryImages implements Images {
  readonly files = new Map<string, Buffer>();
  readonly #act: <T>(doing: () => T) => T;
  readonly #host: MemoryHost;

  constructor(act: <T>(doing: () => T) => T, host: MemoryHost) {
    this.#act = act;
    this.#host = host;
  }

  /** Sectors with something in them. */
  lines(): string[] {
    const empty = Buffer.alloc(512);
    return [...this.files].filter(([path]) => !path.endsWith('.nestbox-smaller') || this.#host.tree.find(path)).flatMap(([path, bytes]) => [`image ${path} ${bytes.length}`, ...Array.from({ length: bytes.length / 512 }, (_, i) => i * 512).filter((at) => empty.compare(bytes, at, at + 512) !== 0).map((at) => `image ${path} ${at} ${crc32(bytes.subarray(at, at + 512))}`)]);
  }

  async length({ path }: ImageFile): Promise<number | null> {
    return this.files.get(path)?.length ?? null;
  }

  reader({ path }: ImageFile): Read {
    return (offset, length) => (this.files.get(path) ?? Buffer.alloc(0)).subarray(offset, offset + length);
  }

  async keep(): Promise<void> {}

  async resize({ path }: ImageFile, length: number): Promise<void> {
    this.#act(() => {
      const made = Buffer.alloc(length);
      this.files.get(path)!.copy(made);
      this.files.set(path, made);
    });
  }

  async write({ path }: ImageFile, changes: readonly Change[]): Promise<void> {
    for (const { at, after } of changes) this.#act(() => void Buffer.from(after, 'base64').copy(this.files.get(path)!, at));
  }

  async copy({ path }: ImageFile, copy: string): Promise<void> {
    this.#act(() => {
      this.files.set(copy, Buffer.from(this.files.get(path)!));
      this.#host.put(copy, node('file', 0o644));
    });
  }

  async replace({ path }: ImageFile, copy: string): Promise<void> {
    this.#act(() => {
      this.files.set(path, this.files.get(copy)!);
      this.files.delete(copy);
      this.#host.tree.folder(copy)!.folder.children.delete(copy.split('/').at(-1)!);
    });
  }

  async work({ path }: ImageFile, { start, size }: Extent, _how: unknown, argv: readonly string[]) {
    const bytes = this.files.get(path)!;
    if (start + size > bytes.length) throw new Complaint(`${path} ends before the partition does`);
    const blocks = bytes.subarray(start + blocksAt, start + blocksAt + 4);
    if (argv[0] === 'resize2fs') {
      const wanted = Number(argv.at(-1)!.replace(/s$/, '')) / 2;
      this.#act(() => blocks.writeUInt32LE(wanted));
    }
    return { code: 0, stdout: '', stderr: '' };
  }
}
