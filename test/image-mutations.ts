/** Images that somebody has damaged, or means harm with: what is written where. From a seed, so that each is the same at each time. */

export interface Mutation {
  name: string;
  /** Bytes of the image, as it is before. */
  writes: { at: number; bytes: Buffer }[];
  /** It is cut off there. */
  length?: number;
}

/** Where things are in the image that is damaged. */
export interface Places {
  kind: 'mbr' | 'gpt' | 'extended' | 'bare';
  size: number;
  /** Of the file system, in bytes. */
  start: number;
  /** Of each record of an extended partition. */
  records: number[];
  frame: number;
}

/** mulberry32. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const number32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
const number64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

/** The Nth of the damaged images of this kind. */
export function mutation(n: number, { kind, size, start, records, frame }: Places): Mutation {
  const below = random(n * 7919 + kind.length);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const noise = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));
  const write = (name: string, ...writes: [number, Buffer][]): Mutation => ({ name, writes: writes.map(([at, bytes]) => ({ at, bytes })) });
  const sectors = size / 512;
  const entry = 446 + 16 * below(2);
  const header = 512;
  const superblock = start + 1024;
  const anywhere = (): (() => Mutation)[] => [
    () => write('one byte of the first sector is another', [below(512), noise(1)]),
    () => write('the file system begins with noise', [superblock, noise(1024)]),
    () => write('the file system has another magic number', [superblock + 56, noise(2)]),
    () => write('the file system says that it is larger than there is room', [superblock + 4, number32(2 ** 30 + below(2 ** 30))]),
    () => write('the file system has no blocks', [superblock + 4, number32(0)]),
    () => write('the file system has blocks of a size that there is not', [superblock + 24, number32(7 + below(2 ** 24))]),
    () => write('the file system has more free blocks than blocks', [superblock + 12, number32(0xffffff00 + below(255))]),
    () => write('the file system says that it has errors', [superblock + 58, Buffer.from([2, 0])]),
    () => write('the file system was not unmounted', [superblock + 58, Buffer.from([0, 0])]),
    () => write('the file system has a feature that nobody knows', [superblock + 96, number32(0x80000000 | below(2 ** 30))]),
    () => write('the groups of the file system are noise', [start + 4096, noise(512)]),
    () => write('the root folder and the inodes are noise', ...Array.from({ length: 8 }, (): [number, Buffer] => [start + 4096 * (4 + below(300)), noise(4096)])),
    () => write('a byte somewhere in the file system is another', [start + below(Math.max(1, size - start - 4096)), noise(1 + below(64))]),
    () => ({ name: 'it is cut off', writes: [], length: pick([0, 1, 511, 512, 513, 1024, 4096, below(size), below(size), start + below(1024), size - 512, size - 1]) }),
    () => write('all of the first 64 KiB is noise', [0, noise(65536)]),
  ];
  const dos = (): (() => Mutation)[] => [
    () => write('a partition begins behind the end', [entry + 8, number32(sectors + below(2 ** 30))]),
    () => write('a partition ends behind the end', [entry + 12, number32(sectors + below(2 ** 30))]),
    () => write('a partition has all the sectors that there are', [entry + 12, number32(0xffffffff)]),
    () => write('a partition has no size', [entry + 12, number32(0)]),
    () => write('a partition begins with the table', [entry + 8, number32(0)]),
    () => write('two partitions overlap', [462 + 8, number32(2048 + below(16384))]),
    () => write('a third partition overlaps', [478 + 4, Buffer.from([0x83])], [478 + 8, number32(2048 + below(20000))], [478 + 12, number32(1 + below(20000))]),
    () => write('a partition has a flag that there is not', [entry, Buffer.from([1 + below(0x7f)])]),
    () => write('there is no signature', [510, noise(2)]),
    () => write('there is a GPT besides', [512, Buffer.from('EFI PART')]),
    () => write('it says that there is a GPT', [450, Buffer.from([0xee])]),
    () => write('a partition is an extended one', [entry + 4, Buffer.from([pick([0x05, 0x0f, 0x85])])]),
  ];
  const chain = (): (() => Mutation)[] => {
    const record = pick(records);
    return [
      () => write('the records lead back to the first', [record + 462, Buffer.concat([Buffer.from([0, 0, 0, 0, 5, 0, 0, 0]), number32(0), number32(100)])]),
      () => write('a record leads to itself', [record + 462, Buffer.concat([Buffer.from([0, 0, 0, 0, 5, 0, 0, 0]), number32((record - frame) / 512), number32(100)])]),
      () => write('a record leads out', [record + 462, Buffer.concat([Buffer.from([0, 0, 0, 0, 5, 0, 0, 0]), number32(sectors + below(2 ** 30)), number32(100)])]),
      () => write('a record leads to noise', [record + 462, Buffer.concat([Buffer.from([0, 0, 0, 0, 5, 0, 0, 0]), number32(4 + below(2000)), number32(100)])]),
      () => write('a record has no signature', [record + 510, noise(2)]),
      () => write('a record is noise', [record, noise(512)]),
      () => write('a logical partition is larger than the extended one', [record + 446 + 12, number32(sectors + below(2 ** 20))]),
      () => write('a logical partition begins with its record', [record + 446 + 8, number32(0)]),
      () => write('a logical partition is an extended one', [record + 446 + 4, Buffer.from([5])]),
      () => write('a record has three entries', [record + 478, Buffer.concat([Buffer.from([0, 0, 0, 0, 0x83, 0, 0, 0]), number32(2), number32(4)])]),
      () => write('there are two extended partitions', [478 + 4, Buffer.from([5])], [478 + 8, number32(20480)], [478 + 12, number32(2048)]),
    ];
  };
  const gpt = (): (() => Mutation)[] => [
    () => write('a byte of the first header is another', [header + below(92), noise(1)]),
    () => write('a byte of the first entries is another', [1024 + below(512), noise(1)]),
    () => write('a byte of the second header is another', [size - 512 + below(92), noise(1)]),
    () => write('a byte of the second entries is another', [size - 33 * 512 + below(512), noise(1)]),
    () => write('both headers are damaged', [header + 16, noise(4)], [size - 512 + 16, noise(4)]),
    () => write('the first header has all entries that there can be', [header + 80, number32(0xffffffff)]),
    () => write('the first header has entries of no size', [header + 84, number32(0)]),
    () => write('the first header has its entries far away', [header + 72, number64(2 ** 52 + below(2 ** 20))]),
    () => write('the first header has a length that it cannot have', [header + 12, number32(pick([0, 1, 91, 513, 0xffffffff]))]),
    () => write('the record before it has a partition besides', [462 + 4, Buffer.from([0x83])], [462 + 8, number32(2048)], [462 + 12, number32(4096)]),
    () => write('there is no record before it', [0, Buffer.alloc(512)]),
    () => write('the second table is gone', [size - 33 * 512, Buffer.alloc(33 * 512)]),
  ];
  return pick([...anywhere(), ...(kind === 'mbr' ? [...dos(), ...dos()] : []), ...(kind === 'extended' ? [...chain(), ...chain(), ...dos()] : []), ...(kind === 'gpt' ? [...gpt(), ...gpt()] : [])])();
}
