import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, undo } from '../../src/apply.ts';
import { crc32 } from '../../src/crc32.ts';
import { Complaint } from '../../src/errors.ts';
import { Failure, MemoryHost } from '../../src/host/memory.ts';
import { changesOf, reversed } from '../../src/image/edit.ts';
import { recognise } from '../../src/image/filesystems.ts';
import { inspect } from '../../src/image/inspect.ts';
import { growing, readSize, shrinking, type Subject, toShrink } from '../../src/image/plan.ts';
import { type Read, readTable } from '../../src/image/table.ts';
import type { Step } from '../../src/step.ts';
import { mutation, type Places } from '../image-mutations.ts';
import { memoryJournal } from './world.ts';

/** Disk images: their tables and file systems, as bytes. */

const MiB = 2 ** 20;
const readerOf = (bytes: Buffer): Read => (offset, length) => bytes.subarray(offset, offset + length);

interface Entry {
  type: number;
  start: number;
  size: number;
  flag?: number;
}

function dosEntry(bytes: Buffer, at: number, { type, start, size, flag = 0 }: Entry): void {
  bytes[at] = flag;
  bytes[at + 4] = type;
  bytes.writeUInt32LE(start, at + 8);
  bytes.writeUInt32LE(size, at + 12);
}

const sign = (bytes: Buffer, at = 0): void => void bytes.writeUInt16BE(0x55aa, at + 510);

/** An ext4 of 4096 bytes a block, of which nothing but its first block is there. */
function ext(bytes: Buffer, start: number, size: number): void {
  const at = start + 1024;
  for (const [field, value] of [[0, 128], [4, size / 1024], [12, 1000], [20, 1], [24, 0], [32, 8192], [36, 8192], [40, 128], [76, 1], [92, 4], [96, 0x240], [100, 0x400]] as const) bytes.writeUInt32LE(value, at + field);
  bytes.writeUInt16LE(0xef53, at + 56);
  bytes.writeUInt16LE(1, at + 58);
  Buffer.from('0123456789abcdef', 'latin1').copy(bytes, at + 104);
  bytes.write('rootfs', at + 120);
}

/** As a Raspberry Pi's. Sizes are in MiB. */
function pi(size = 8, more: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(size * MiB);
  bytes.writeUInt32LE(0x6c586e13, 440);
  dosEntry(bytes, 446, { type: 0x0c, start: 2048, size: 2048, flag: 0x80 });
  dosEntry(bytes, 462, { type: 0x83, start: 4096, size: size * 2048 - 4096 });
  sign(bytes);
  ext(bytes, 2 * MiB, (size - 2) * MiB);
  more(bytes);
  return bytes;
}

function extended(): Buffer {
  const bytes = Buffer.alloc(8 * MiB);
  bytes.writeUInt32LE(0x1234abcd, 440);
  dosEntry(bytes, 446, { type: 0x0c, start: 2048, size: 2048 });
  dosEntry(bytes, 462, { type: 0x05, start: 4096, size: 12288 });
  sign(bytes);
  dosEntry(bytes, 4096 * 512 + 446, { type: 0x83, start: 2048, size: 2048 });
  dosEntry(bytes, 4096 * 512 + 462, { type: 0x05, start: 4096, size: 8192 });
  sign(bytes, 4096 * 512);
  dosEntry(bytes, 8192 * 512 + 446, { type: 0x83, start: 2048, size: 6144 });
  sign(bytes, 8192 * 512);
  ext(bytes, 10240 * 512, 3 * MiB);
  return bytes;
}

function gpt(size = 8): Buffer {
  const bytes = Buffer.alloc(size * MiB);
  const last = size * 2048 - 1;
  dosEntry(bytes, 446, { type: 0xee, start: 1, size: last });
  sign(bytes);
  const entries = Buffer.alloc(128 * 128);
  [['28732ac11ff8d211ba4b00a0c93ec93b', 2048, 2048, 'EFI'], ['af3dc60f838472478e793d69d8477de4', 4096, last - 33 - 4096, 'root']].forEach(([type, start, length, name], i) => {
    Buffer.from(type as string, 'hex').copy(entries, i * 128);
    entries.fill(i + 1, i * 128 + 16, i * 128 + 32);
    entries.writeBigUInt64LE(BigInt(start as number), i * 128 + 32);
    entries.writeBigUInt64LE(BigInt((start as number) + (length as number) - 1), i * 128 + 40);
    entries.write(name as string, i * 128 + 56, 'utf16le');
  });
  const header = (own: number, other: number, at: number): void => {
    const made = Buffer.alloc(512);
    made.write('EFI PART');
    for (const [field, value] of [[8, 0x10000], [12, 92], [80, 128], [84, 128], [88, crc32(entries)]] as const) made.writeUInt32LE(value, field);
    for (const [field, value] of [[24, own], [32, other], [40, 34], [48, last - 33], [72, at]] as const) made.writeBigUInt64LE(BigInt(value), field);
    made.fill(7, 56, 72);
    made.writeUInt32LE(crc32(made.subarray(0, 92)), 16);
    made.copy(bytes, own * 512);
    entries.copy(bytes, at * 512);
  };
  header(1, last, 2);
  header(last, 1, last - 32);
  ext(bytes, 2 * MiB, Math.floor(((last - 33 - 4096) * 512) / MiB) * MiB);
  return bytes;
}

const table = (bytes: Buffer) => readTable(readerOf(bytes), bytes.length);
const places = (bytes: Buffer) => table(bytes).partitions.map(({ number, start, size, type }) => [number, start / 512, size / 512, type]);

test('a DOS table is read as sfdisk reads it, also with an extended partition', () => {
  assert.deepEqual(places(pi()), [[1, 2048, 2048, '0c'], [2, 4096, 12288, '83']]);
  assert.deepEqual(table(pi()).partitions.map(({ uuid, bootable }) => [uuid, bootable]), [['6c586e13-01', true], ['6c586e13-02', undefined]]);
  assert.deepEqual(places(extended()), [[1, 2048, 2048, '0c'], [2, 4096, 12288, '05'], [5, 6144, 2048, '83'], [6, 10240, 6144, '83']]);
  assert.deepEqual([pi(), extended(), gpt()].map((bytes) => table(bytes).complaints), [[], [], []]);
});

test('a GPT is read, with names and both copies', () => {
  assert.deepEqual(places(gpt()), [[1, 2048, 2048, 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'], [2, 4096, 12254, '0FC63DAF-8483-4772-8E79-3D69D8477DE4']]);
  assert.deepEqual(table(gpt()).partitions.map(({ name }) => name), ['EFI', 'root']);
  const longer = Buffer.concat([gpt(), Buffer.alloc(MiB)]);
  assert.deepEqual(table(longer).complaints, []);
  assert.deepEqual(table(longer).remarks, ['the second table of the GPT is not at the end of the image, but 1048576 bytes before it']);
});

const changed = (bytes: Buffer, ...writes: [at: number, value: string | number][]): Buffer => {
  for (const [at, value] of writes) if (typeof value === 'string') Buffer.from(value, 'hex').copy(bytes, at); else bytes.writeUInt32LE(value >>> 0, at);
  return bytes;
};

test('what is wrong with a table is said', () => {
  const wrong: [Buffer, RegExp][] = [
    [changed(pi(), [462 + 8, 2048]), /partition 1 and partition 2 overlap, from byte 1048576 on/],
    [changed(pi(), [462 + 12, 20000]), /partition 2 ends at byte 12337152, and the image at 8388608: 3948544 bytes are missing/],
    [changed(pi(), [462 + 8, 2 ** 31]), /partition 2 begins at byte 1099511627776, and the image ends at 8388608/],
    [changed(pi(), [462 + 12, 0]), /partition 2 has no size/],
    [changed(pi(), [446 + 8, 0]), /partition 1 begins at byte 0, where the partition table is/],
    [changed(pi(), [446, '17']), /partition 1 has the flag 0x17/],
    [changed(pi(), [512, Buffer.from('EFI PART').toString('hex')]), /there is a GPT at byte 512 besides the DOS table/],
    [changed(extended(), [8192 * 512 + 466, '05'], [8192 * 512 + 470, 0], [8192 * 512 + 474, 9]), /lead back to byte 2097152: they never end/],
    [changed(extended(), [8192 * 512 + 466, '05'], [8192 * 512 + 470, 4096], [8192 * 512 + 474, 9]), /lead back to byte 4194304: they never end/],
    [changed(extended(), [4096 * 512 + 470, 2 ** 30]), /leads to a record at byte \d+, which is not in it/],
    [changed(extended(), [8192 * 512 + 510, '0000']), /the record at byte 4194304, in the extended partition 2, has no signature/],
    [changed(extended(), [8192 * 512 + 458, 8000]), /partition 6 reaches beyond the extended partition 2/],
    [changed(extended(), [8192 * 512 + 450, '0f']), /an extended partition within the extended partition 2/],
    [changed(extended(), [8192 * 512 + 454, 0]), /partition 6 begins at byte 4194304, where the record is/],
    [changed(extended(), [450, '05']), /there are 2 extended partitions/],
    [changed(gpt(), [512 + 60, 5]), /the first header of the GPT is damaged: its checksum is wrong; the second is whole/],
    [changed(gpt(), [1024 + 3, 5]), /the first header of the GPT is damaged: the checksum of its entries is wrong/],
    [changed(gpt(), [8 * MiB - 512 + 60, 5]), /the second header of the GPT, in sector 16383, is damaged: its checksum is wrong; the first is whole/],
    [changed(gpt(), [512 + 60, 5], [8 * MiB - 512 + 60, 5]), /both headers of the GPT are damaged/],
    [changed(gpt(), [462 + 4, '83']), /a table of both kinds at once/],
    [changed(gpt(), [510, '0000']), /the record before it, which protects it, has no signature/],
    [gpt().subarray(0, 6 * MiB), /the image has been cut off: its GPT goes on to sector 16383, and the image ends with 12287/],
  ];
  for (const [bytes, complaint] of wrong) assert.match(table(bytes).complaints.join('\n'), complaint);
});

test('an extended partition with no end of records is not followed for long', () => {
  const bytes = Buffer.alloc(64 * MiB);
  dosEntry(bytes, 446, { type: 0x05, start: 2048, size: 129024 });
  sign(bytes);
  for (let i = 0; i < 100; i++) {
    const at = (2048 + i * 1024) * 512;
    dosEntry(bytes, at + 446, { type: 0x83, start: 1, size: 1000 });
    dosEntry(bytes, at + 462, { type: 0x05, start: (i + 1) * 1024, size: 1024 });
    sign(bytes, at);
  }
  assert.match(table(bytes).complaints.join('\n'), /more than 60 logical partitions/);
});

const subject = (bytes: Buffer, kind: 'file' | 'block' = 'file'): Subject => ({ file: { path: '/srv/pi.img', inode: 7 }, kind, read: readerOf(bytes), layout: inspect(readerOf(bytes), bytes.length) });

const written = (bytes: Buffer, size: number, changes: ReturnType<typeof changesOf>): Buffer => {
  const made = Buffer.alloc(Math.max(size, bytes.length));
  bytes.copy(made);
  for (const { at, after } of changes) Buffer.from(after, 'base64').copy(made, at);
  return made.subarray(0, size);
};

for (const [name, make, number] of [['mbr', pi, 2], ['extended', extended, 6], ['gpt', gpt, 2]] as const)
  test(`${name}: a table is whole after each write of its change, and back after the way back`, () => {
    const before = make();
    const found = table(before);
    const partition = found.partitions.find((one) => one.number === number)!;
    const imageSize = 20 * MiB;
    const partitionSize = Math.floor((imageSize - 33 * 512 - partition.start) / 4096) * 4096;
    const longer = Buffer.concat([before, Buffer.alloc(12 * MiB)]);
    const changes = changesOf(readerOf(longer), found, { partition, partitionSize, imageSize });
    for (let n = 0; n <= changes.length; n++) {
      const now = table(written(before, imageSize, changes.slice(0, n)));
      // Of the extended partition it is the outer one first; of GPT either copy counts.
      assert.deepEqual(now.complaints.filter((what) => !/second header|not the same/.test(what)), [], `after ${n} writes`);
      assert.ok([partition.size, partitionSize].includes(now.partitions.find((one) => one.number === number)!.size));
    }
    const after = written(before, imageSize, changes);
    assert.deepEqual(table(after).complaints, []);
    assert.equal(table(after).partitions.find((one) => one.number === number)!.size, partitionSize);
    assert.deepEqual(table(after).remarks, []);
    assert.ok(written(after, imageSize, reversed(changes)).subarray(0, before.length).equals(before));
    // And smaller again, in an image that is cut off after that.
    const grown = table(after);
    const back = changesOf(readerOf(after), grown, { partition: grown.partitions.find((one) => one.number === number)!, partitionSize: partition.size, imageSize: before.length });
    const small = written(after, before.length, back);
    assert.deepEqual(table(small).complaints, []);
    assert.deepEqual(places(small), places(before));
  });

const kindsOf = (steps: readonly Step[]) => steps.map(({ kind }) => kind);
const refused = (doing: () => unknown): string => {
  try {
    doing();
  } catch (error) {
    if (error instanceof Complaint) return `${error.message}\n${error.hint ?? ''}`;
    throw error;
  }
  return 'not refused';
};

test('a growth is checked first; the file, the table and the file system follow', () => {
  const plan = growing(subject(pi()), { kind: 'to', bytes: 16 * MiB }, null);
  assert.deepEqual(kindsOf(plan.steps), ['image-check', 'image-length', 'image-table', 'onward', 'image-resize']);
  assert.deepEqual([plan.after.image, plan.after.partition, plan.after.fileSystem], [16 * MiB, 14 * MiB, 14 * MiB]);
  assert.deepEqual(kindsOf(growing(subject(pi()), { kind: 'by', bytes: 1 }, null).steps), []);
  assert.deepEqual(growing(subject(pi()), null, null).steps, []);
});

test('where there is no room it is said, and what there is of it', () => {
  const swapBehind = pi(8, (bytes) => {
    dosEntry(bytes, 462, { type: 0x83, start: 4096, size: 8192 });
    dosEntry(bytes, 478, { type: 0x82, start: 14336, size: 2048 });
    ext(bytes, 2 * MiB, 4 * MiB);
    bytes.write('SWAPSPACE2', 7 * MiB + 4086);
    bytes.writeUInt32LE(255, 7 * MiB + 1028);
  });
  assert.match(refused(() => growing(subject(swapBehind), { kind: 'to', bytes: 16 * MiB }, null)), /partition 3 \(swap space\) of \/srv\/pi\.img is the last one, and does not grow\n--partition 2 names another one/);
  assert.match(refused(() => growing(subject(swapBehind), { kind: 'to', bytes: 16 * MiB }, 2)), /partition 2 \(ext4\) of \/srv\/pi\.img is not the last: .*\nwithout a size it grows by the 1\.0M up to partition 3/);
  const between = growing(subject(swapBehind), null, 2);
  assert.deepEqual([kindsOf(between.steps), between.after.partition], [['image-check', 'image-table', 'onward', 'image-resize'], 5 * MiB]);
  const tight = changed(Buffer.from(swapBehind), [462 + 12, 10240]);
  ext(tight, 2 * MiB, 5 * MiB);
  assert.match(refused(() => growing(subject(tight), null, 2)), /partition 2 \(ext4\) of \/srv\/pi\.img cannot grow: partition 3 begins where it ends/);
  assert.match(refused(() => growing(subject(pi()), { kind: 'to', bytes: 4 * MiB }, null)), /has 8\.0M \(8388608 bytes\), which is more than 4\.0M\nnestbox image shrink/);
  assert.match(refused(() => growing(subject(pi()), null, 5)), /there is no partition 5 in \/srv\/pi\.img\nit has 1 and 2/);
  assert.match(refused(() => growing(subject(pi()), null, 1)), /partition 1 \(type 0c\) of \/srv\/pi\.img does not grow/);
  assert.match(refused(() => growing(subject(pi(), 'block'), { kind: 'by', bytes: MiB }, null)), /is a device: it has 8\.0M, and no more/);
  assert.match(refused(() => growing(subject(pi(8, (bytes) => changed(bytes, [2 * MiB + 1024 + 58, '0000']))), null, null)), /was not unmounted, and is to be brought in order first\nnestbox image check --repair/);
  assert.match(refused(() => growing(subject(pi(8, (bytes) => changed(bytes, [2 * MiB + 1024 + 58, '0200']))), null, null)), /is not whole, and is left as it is:\n {2}partition 2: the file system \(ext4\) has errors, by its own word/);
  assert.match(refused(() => growing(subject(Buffer.from('\xfd7zXZ\0 and so on', 'latin1')), null, null)), /is packed: xz\nxz --decompress/);
  for (const magic of ['LUKS\xba\xbe\0\x02']) assert.match(refused(() => growing(subject(pi(8, (bytes) => void bytes.write(magic, 2 * MiB, 'latin1'))), null, null)), /partition 2 \(LUKS 2\).* does not grow\nwhat is in there is to be opened first/);
  // A table of DOS ends at 2 TiB.
  assert.match(refused(() => growing(subject(pi()), { kind: 'to', bytes: 3 * 2 ** 40 }, null)), /a DOS partition table ends at 2\.0T/);
});

test('sizes are words', () => {
  assert.deepEqual(['8G', '+2G', '600m', '512', '1.5K', '4GiB'].map((text) => readSize(text)), [['to', 8 * 2 ** 30], ['by', 2 * 2 ** 30], ['to', 600 * MiB], ['to', 512], ['to', 1536], ['to', 4 * 2 ** 30]].map(([kind, bytes]) => ({ kind, bytes })));
  for (const text of ['', '-1', '8X', 'G', '0', '1e9', '99999999T', '8 G']) assert.match(refused(() => readSize(text)), /is no size/, text);
});

test('a shrunken image is a copy until all is done', () => {
  const large = pi(64);
  const plan = shrinking(subject(large), toShrink(subject(large), null), 10 * MiB, null, null);
  assert.deepEqual(kindsOf(plan.steps), ['image-copy', 'image-check', 'image-resize', 'image-check', 'image-table', 'image-length', 'image-replace']);
  assert.deepEqual([plan.after.image, plan.after.fileSystem], [28 * MiB, 26 * MiB]);
  assert.match(refused(() => shrinking(subject(large), toShrink(subject(large), null), 10 * MiB, { kind: 'to', bytes: 11 * MiB }, null)), /needs 10M: the image cannot have less than 12M/);
});

for (const [name, make, to] of [['mbr', () => pi(4), 6], ['extended', extended, 10], ['gpt', () => gpt(4), 6], ['mbr, smaller', () => pi(8), 0], ['gpt, smaller', () => gpt(8), 0]] as const)
  test(`${name}: wherever a change is cut off, it is taken back to the byte, or finished`, async () => {
    const planned = (bytes: Buffer) => (to > 0 ? growing(subject(bytes), { kind: 'to', bytes: to * MiB }, null) : shrinking(subject(bytes), toShrink(subject(bytes), null), 2 * MiB, null, MiB));
    const { steps } = planned(make());
    const fresh = () => {
      const host = new MemoryHost();
      host.images.files.set('/srv/pi.img', make());
      return host;
    };
    const whole = fresh();
    const first = whole.snapshot();
    await apply(steps, whole, memoryJournal().journal);
    const end = whole.snapshot();
    assert.notDeepEqual(end, first);
    assert.deepEqual(inspect(whole.images.reader({ path: '/srv/pi.img', inode: null }), whole.images.files.get('/srv/pi.img')!.length).complaints, []);
    let [back, on] = [0, 0];
    for (let effect = 1; effect <= whole.effects; effect++)
      for (const late of [false, true]) {
        const host = fresh();
        const { journal } = memoryJournal();
        host.failAt = { effect, late };
        await assert.rejects(apply(steps, host, journal), Failure);
        // Clean is cut off too, and goes on.
        for (let again = 1; ; again++) {
          host.failAt = { effect: host.effects + again, late };
          try {
            await undo(host, journal);
            break;
          } catch (error) {
            // What was not taken back of the table keeps the file from being cut.
            if (!/the test lets this fail/.test((error as Error).message)) throw error;
          }
        }
        host.failAt = null;
        const now = host.snapshot();
        if (JSON.stringify(now) === JSON.stringify(first)) back++;
        else {
          assert.deepEqual(now, end, `effect ${effect}${late ? ', late' : ''}`);
          on++;
        }
        assert.deepEqual(await journal.entries(), []);
      }
    assert.ok(back > 0 && on > 0, `${back} taken back, ${on} finished`);
  });

test('an image that is gone in the meantime is in nobody\'s way', async () => {
  const { steps } = growing(subject(pi()), { kind: 'to', bytes: 12 * MiB }, null);
  for (let effect = 1; effect <= 3; effect++) {
    const host = new MemoryHost();
    const { journal } = memoryJournal();
    host.images.files.set('/srv/pi.img', pi());
    host.failAt = { effect, late: true };
    await assert.rejects(apply(steps, host, journal), Failure);
    host.images.files.delete('/srv/pi.img');
    await undo(host, journal);
    assert.deepEqual(await journal.entries(), []);
  }
});

test('somebody else\'s change of the table is not written over', async () => {
  const { steps } = growing(subject(pi()), { kind: 'to', bytes: 16 * MiB }, null);
  const host = new MemoryHost();
  host.images.files.set('/srv/pi.img', changed(pi(), [462 + 12, 4096]));
  await assert.rejects(apply(steps, host, memoryJournal().journal), /somebody else has changed the partition table of \/srv\/pi\.img, at byte 462/);
});

test('a file is not cut where a table or a file system counts on it', async () => {
  const host = new MemoryHost();
  host.images.files.set('/srv/pi.img', pi());
  await assert.rejects(apply([{ kind: 'image-length', image: { path: '/srv/pi.img', inode: null }, from: 8 * MiB, to: 7 * MiB }], host, null), /keeps its 8388608 bytes.*\n.*partition 2 ends at byte 8388608/);
});

test('two hundred damaged images: each is read to an end, and what is refused is refused with a word', () => {
  const kinds: [Places, () => Buffer][] = [
    [{ kind: 'mbr', size: 4 * MiB, start: 2 * MiB, records: [], frame: 0 }, () => pi(4)], [{ kind: 'gpt', size: 4 * MiB, start: 2 * MiB, records: [], frame: 0 }, () => gpt(4)],
    [{ kind: 'extended', size: 8 * MiB, start: 10240 * 512, records: [4096 * 512, 8192 * 512], frame: 4096 * 512 }, extended],
  ];
  const originals = kinds.map(([, make]) => make());
  const copies = originals.map((original) => Buffer.from(original));
  const counted = { refused: 0, taken: 0 };
  for (let n = 0; n < 200; n++) {
    const [at] = kinds[n % kinds.length]!;
    const { name, writes, length } = mutation(n, at);
    const damaged = copies[n % kinds.length]!;
    for (const write of writes) write.bytes.copy(damaged, write.at);
    const bytes = damaged.subarray(0, length ?? damaged.length);
    const layout = inspect(readerOf(bytes), bytes.length);
    for (const complaint of layout.complaints) assert.match(complaint, /\w+ \w+/, name);
    const said = refused(() => growing(subject(bytes), { kind: 'to', bytes: 16 * MiB }, null));
    if (said === 'not refused') counted.taken++;
    else {
      counted.refused++;
      assert.ok(said.length > 20, `${name}: ${said}`);
      assert.doesNotMatch(said, /[^\P{Cc}\n]|NaN|undefined|null/u, name);
    }
    if (layout.complaints.length > 0) assert.notEqual(said, 'not refused', name);
    for (const write of writes) originals[n % kinds.length]!.copy(damaged, write.at, write.at, write.at + write.bytes.length); // as new for the next
  }
  assert.ok(counted.refused > 120, JSON.stringify(counted));
});

test('file systems are told by their first bytes, and stranger\'s words are made harmless', () => {
  const bytes = Buffer.alloc(MiB);
  ext(bytes, 0, MiB);
  bytes.write('\x1b[2Jroot\u202e', 1024 + 120);
  const found = recognise(readerOf(bytes), 0, MiB)!;
  assert.deepEqual([found.format, found.label, found.uuid, found.size, found.complaints], ['ext4', '?[2Jroot?', '30313233-3435-3637-3839-616263646566', MiB, []]);
  for (const [magic, at, format] of [['hsqs', 0, 'squashfs'], ['LUKS\xba\xbe\0\x01', 0, 'luks1'], ['SWAPSPACE2', 4086, 'swap'], ['NTFS    ', 3, 'ntfs'], ['CD001', 0x8001, 'iso9660']] as const) {
    const other = Buffer.alloc(MiB);
    other.write(magic, at, 'latin1');
    assert.equal(recognise(readerOf(other), 0, MiB)?.format, format);
  }
  assert.equal(recognise(readerOf(Buffer.alloc(MiB)), 0, MiB), null);
  assert.equal(recognise(readerOf(Buffer.alloc(100)), 0, 100), null);
});
