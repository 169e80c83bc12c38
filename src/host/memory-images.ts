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

  lines(): string[] {
    return [...this.files].map(([path, bytes]) => `image ${path} ${bytes.length} ${bytes.toString('base64').replace(/A{60,}/g, '...')}`);
  }

  async length({ path }: ImageFile): Promise<number | null> {
    return this.files.get(path)?.length ?? null;
  }

  reader({ path }: ImageFile): Read {
    return (offset, length) => (this.files.get(path) ?? Buffer.alloc(0)).subarray(offset, offset + length);
  }

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

  async work({ path }: ImageFile, { start, size }: Extent, _how: unknown, argv: readonly string[]) {
    const bytes = this.files.get(path)!;
    if (start + size > bytes.length) throw new Complaint(`${path} ends before the partition does`);
    const undo = argv[argv.indexOf('-z') + 1]!;
    const blocks = bytes.subarray(start + blocksAt, start + blocksAt + 4);
    if (argv[0] === 'resize2fs') {
      const wanted = Number(argv.at(-1)!.replace(/s$/, '')) / 2;
      if (argv.includes('-z')) this.#act(() => void this.#host.put(undo, node('file', 0o600, undefined, `${blocks.readUInt32LE(0)}`)));
      this.#act(() => blocks.writeUInt32LE(wanted));
    }
    if (argv[0] === 'e2undo') {
      const before = await this.#host.read(argv[2]!);
      this.#act(() => blocks.writeUInt32LE(Number(before)));
    }
    return { code: 0, stdout: '', stderr: '' };
  }
}
