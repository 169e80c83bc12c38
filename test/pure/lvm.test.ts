import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partOf } from '../../src/image/fstab.ts';
import { readLvm } from '../../src/image/lvm.ts';
import { chooseRoot, type Part, partName } from '../../src/image/parts.ts';
import { linkOf } from '../../src/volumes.ts';
import { random } from '../image-mutations.ts';
import { extent, firstExtent, lvmHead } from '../lvm.ts';

const reading = (bytes: Buffer) => (at: number, length: number) => bytes.subarray(at, at + length);
const size = firstExtent + 20 * extent;

test('logical volumes in one piece are ranges of bytes; of the others it is told why not', () => {
  const head = lvmHead('debian', {
    root: [{ from: 2, count: 5 }], grown: [{ from: 7, count: 1 }, { from: 8, count: 2 }], pieces: [{ from: 10, count: 1 }, { from: 12, count: 1 }],
    mirror: [{ from: 0, count: 1, type: 'raid1' }], elsewhere: [{ from: 0, count: 1, disk: 'pv1' }], long: [{ from: 19, count: 2 }], 'a-b': [{ from: 0, count: 1 }],
  }, 20);
  assert.deepEqual(readLvm(reading(head), size), [
    { name: 'debian/root', range: { start: firstExtent + 2 * extent, size: 5 * extent } },
    { name: 'debian/grown', range: { start: firstExtent + 7 * extent, size: 3 * extent } },
    { name: 'debian/pieces', range: 'it is in several pieces' },
    { name: 'debian/mirror', range: 'it is made of others (raid1)' },
    { name: 'debian/elsewhere', range: 'it is on another disk' },
    { name: 'debian/long', range: 'it goes on behind the end of the partition' },
    { name: 'debian/a-b', range: { start: firstExtent, size: extent } },
  ]);
});

test('a volume group that is damaged is told, whatever is wrong', () => {
  const head = lvmHead('debian', { root: [{ from: 0, count: 5 }] }, 20);
  const below = random(5);
  let told = 0;
  for (let n = 0; n < 100; n++) {
    const bytes = Buffer.from(head);
    const [begin, length] = ([[512, 512], [4096, 100], [4608, 800], [firstExtent - 300, 300]] as const)[n % 4]!;
    bytes[begin + below(length)]! ^= 1 + below(255);
    const found = readLvm(reading(bytes), size);
    if (typeof found === 'string') told++;
    else assert.deepEqual(found, readLvm(reading(head), size), `${n}`);
  }
  assert.ok(told > 60, `${told}`);
  assert.equal(readLvm(reading(head.subarray(0, 3000)), size), 'the description of its volume group is damaged');
  assert.equal(readLvm(reading(Buffer.alloc(4096)), size), 'it has no label that is known');
});

test('a logical volume is chosen, named and found as a partition is', () => {
  const part = (volume: string | undefined, root: Part['root'], more: Partial<Part> = {}): Part => ({ number: 2, ...(volume !== undefined && { volume }), start: 0, size: 1, content: { format: 'ext4', complaints: [] }, root, ...more });
  const inside = { fstab: '', dpkg: true };
  const [boot, root, home] = [part(undefined, null, { number: 1 }), part('my-vg/root', inside), part('my-vg/ho-me', null)];
  const image = { table: 'gpt' as const, complaints: [], parts: [boot, root, home] };
  assert.equal(chooseRoot(image, 'a.img', null), root);
  assert.equal(chooseRoot(image, 'a.img', 2), root);
  assert.equal(chooseRoot(image, 'a.img', null, 'ho-me'), home);
  assert.deepEqual(chooseRoot(image, 'a.img', null, 'var'), { what: 'there is no logical volume var in a.img', mend: "there is 1 (ext4), 2, my-vg/root (ext4, a root), 2, my-vg/ho-me (ext4)", at: 'logical-volume' });
  const two = chooseRoot({ ...image, parts: [root, part('my-vg/other', inside)] }, 'a.img', null);
  assert.match('mend' in two ? two.mend : '', /^logical-volume = "my-vg\/root" in \[root\] takes one of them$/);
  assert.deepEqual([partName(root, 'a.img'), partName({ ...root, number: null }, 'a.img'), linkOf(root), linkOf({ number: null, volume: 'a/b' }), linkOf({ number: 1 })], ['my-vg/root in partition 2 of a.img', 'my-vg/root in a.img', '2-my-vg-root', 'a-b', '1']);
  for (const [what, found] of [['/dev/mapper/my--vg-ho--me', home], ['/dev/my-vg/ho-me', home], ['/dev/sda1', boot], ['/dev/sda2', null]] as const) assert.equal(partOf({ what }, image.parts, null), found, what);
  // In pieces: it is named, and refused.
  const apart = part('my-vg/root', null, { content: { format: 'lvm', complaints: [] }, apart: 'it is in several pieces' });
  assert.equal(chooseRoot({ ...image, parts: [boot, apart] }, 'a.img', null), apart);
});
