import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { crc32 } from '../../src/crc32.ts';
import type { Facts, ImageVolume, VolumeFact } from '../../src/facts.ts';
import { findInExt } from '../../src/image/ext.ts';
import { besides, partOf, readFstab } from '../../src/image/fstab.ts';
import { unpackedPath } from '../../src/image/packed.ts';
import { chooseRoot, type ImageFact, type Part, readImage } from '../../src/image/parts.ts';
import type { Read } from '../../src/image/table.ts';
import { imageIn, readZip } from '../../src/image/zip.ts';
import type { Machine } from '../../src/machine.ts';
import { isImageName, nameOfImage } from '../../src/names.ts';
import { plan, steps } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { closing, isThere, needsOfVolume, opening, type Volume } from '../../src/volumes.ts';
import { meetStored, storedHost } from './hosts.ts';

/** Machines from disk images: what is read off an image, and what follows from it. */

const readerOf = (bytes: Buffer): Read => (offset, length) => bytes.subarray(offset, offset + length);

const part = (number: number | null, more: Partial<Part> = {}): Part => ({ number, start: (number ?? 0) * 2 ** 24, size: 2 ** 24, content: { format: 'ext4', complaints: [] }, root: null, ...more });
const root = (fstab = '', dpkg = false) => ({ root: { fstab, dpkg } });

test('what there is in a file system of the ext family is read without mounting it, and links stay in it', (t) => {
  if (spawnSync('mke2fs', ['-V']).error) return t.skip('mke2fs is not installed');
  const folder = mkdtempSync(`${tmpdir()}/nestbox-ext.`);
  t.after(() => rmSync(folder, { recursive: true }));
  const tree = `${folder}/tree`;
  for (const name of ['etc', 'usr/lib', 'usr/sbin', 'many']) mkdirSync(`${tree}/${name}`, { recursive: true });
  writeFileSync(`${tree}/usr/lib/os-release`, 'ID=tiny\n');
  writeFileSync(`${tree}/etc/fstab`, `# ${'x'.repeat(9000)}\nLABEL=boot /boot vfat defaults 0 2\n`);
  for (let i = 0; i < 400; i++) writeFileSync(`${tree}/many/a-rather-long-name-of-a-file-${i}`, `${i}`);
  for (const [path, to] of [['etc/os-release', '../usr/lib/os-release'], ['sbin', 'usr/sbin'], ['lib', '/usr/lib'], ['loop', 'loop'], ['out', '../../../../etc/passwd'], ['long', `${'./'.repeat(40)}usr/lib/os-release`]] as const) symlinkSync(to, `${tree}/${path}`);
  for (const kind of [['-t', 'ext4'], ['-t', 'ext4', '-O', '^64bit', '-I', '128'], ['-t', 'ext2'], ['-t', 'ext3', '-b', '4096']]) {
    const path = `${folder}/image`;
    rmSync(path, { force: true });
    execFileSync('mke2fs', ['-q', ...kind, '-d', tree, path, '8M'], { stdio: 'pipe' });
    const read = readerOf(readFileSync(path));
    const text = (name: string) => findInExt(read, name)?.read().toString() ?? null;
    assert.deepEqual([text('etc/os-release'), text('lib/os-release'), text('long'), text('many/a-rather-long-name-of-a-file-399'), findInExt(read, 'sbin')?.kind], ['ID=tiny\n', 'ID=tiny\n', 'ID=tiny\n', '399', 'directory'], kind.join(' '));
    assert.match(text('etc/fstab') ?? '', /\nLABEL=boot \/boot vfat defaults 0 2\n$/);
    assert.deepEqual(['nothing', 'loop', 'out', 'etc/os-release/below', 'many/a-rather'].map((name) => findInExt(read, name)), [null, null, null, null, null]);
    const [found] = readImage(read, readFileSync(path).length).parts;
    assert.deepEqual([found?.number, found?.root], [null, { fstab: text('etc/fstab'), dpkg: false }]);
  }
  for (const option of ['inline_data', 'meta_bg,^resize_inode']) {
    execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', option, '-d', tree, `${folder}/${option}`, '8M'], { stdio: 'pipe' });
    assert.equal(readImage(readerOf(readFileSync(`${folder}/${option}`)), 2 ** 23).parts[0]?.root, 'unknown', `${option}: told when it is opened`);
  }
});

test('a damaged file system is none that anything is found in, and ends the search', () => {
  const folder = mkdtempSync(`${tmpdir()}/nestbox-ext.`);
  try {
    mkdirSync(`${folder}/tree/etc`, { recursive: true });
    writeFileSync(`${folder}/tree/etc/fstab`, 'x');
    if (spawnSync('mke2fs', ['-q', '-t', 'ext4', '-d', `${folder}/tree`, `${folder}/image`, '4M']).status !== 0) return;
    const good = readFileSync(`${folder}/image`);
    let state = 1;
    const random = (below: number) => { state = (Math.imul(state, 1103515245) + 12345) >>> 0; return state % below; };
    const bytes = Buffer.from(good);
    for (let i = 0; i < 300; i++) {
      const places = Array.from({ length: 40 }, () => (random(2) === 0 ? 1024 + random(3072) : random(2 ** 18)));
      for (const at of places) bytes[at] = random(256);
      findInExt(readerOf(bytes), 'etc/fstab')?.read();
      readImage(readerOf(bytes), bytes.length);
      for (const at of places) bytes[at] = good[at]!; // as new for the next
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('lines of fstab are read as far as they can be trusted', () => {
  assert.deepEqual(readFstab('# /dev/sda1 /x ext4\n\nLABEL="boot" /boot/firmware/ vfat\tdefaults,nofail 0 2\nUUID=1 /with\\040space ext4\n/dev/sda1 /../etc ext4 defaults\n/dev/sda1 none swap sw\nhalf\n/dev/sda1 /a\\012b ext4\nLABEL=\x1b[2J /x ext4\n'), [
    { what: 'LABEL=boot', at: '/boot/firmware', type: 'vfat', options: ['defaults', 'nofail'] }, { what: 'UUID=1', at: '/with space', type: 'ext4', options: ['defaults'] },
  ]);
});

test('a line names a partition by any of its names, and by the number that it has on its own disk', () => {
  const parts = [part(1, { uuid: '6c586e13-01', content: { format: 'fat', label: 'bootfs', uuid: '5DE4-9E29', complaints: [] } }), part(2, { uuid: '6c586e13-02', name: 'system' })];
  const named = (what: string, disk: string | null = null) => partOf({ what }, parts, disk)?.number ?? null;
  assert.deepEqual(['PARTUUID=6C586E13-01', 'UUID=5de4-9e29', 'LABEL=bootfs', 'PARTLABEL=system', '/dev/disk/by-partuuid/6c586e13-02', '/dev/mmcblk0p1', '/dev/sda2', '/dev/nvme0n1p2', '/dev/vdb3', 'LABEL=other', 'UUID='].map((what) => named(what)), [1, 1, 1, 2, 2, 1, 2, 2, null, null, null]);
  assert.deepEqual([named('/dev/sda1', 'sda'), named('/dev/sdb1', 'sda'), named('/dev/mmcblk0p1', 'mmcblk0')], [1, null, 1]);
});

test('the other partitions go where fstab says, those above first, and what is no partition goes nowhere', () => {
  const [boot, system, home, other] = [part(1, { uuid: 'a-1' }), part(2, { uuid: 'a-2' }), part(3, { uuid: 'a-3' }), part(4, { uuid: 'a-4' })];
  const fstab = 'proc /proc proc\nPARTUUID=a-2 / ext4\nPARTUUID=a-1 /boot/efi vfat\nPARTUUID=a-3 /boot ext4\nPARTUUID=a-3 /boot ext4\nPARTUUID=a-2 /.snapshots btrfs subvol=s\nPARTUUID=a-4 /run/x ext4\nPARTUUID=a-4 /late ext4 noauto\nPARTUUID=b-9 /data ext4\nhost:/x /net nfs\ntmpfs /scratch tmpfs\n/dev/a /b none bind\n';
  const { mounts, lost } = besides(fstab, [boot, system, home, other], system);
  assert.deepEqual(mounts.map(({ part: { number }, at }) => `${number} ${at}`), ['3 /boot', '1 /boot/efi']);
  assert.deepEqual(lost.map(({ at }) => at), ['/data']);
});

test('the root is the partition that holds one, or the only one that might', () => {
  const image = (...parts: Part[]): ImageFact => ({ table: 'mbr', complaints: [], parts });
  const chosen = (wanted: number | null, ...parts: Part[]) => {
    const found = chooseRoot(image(...parts), 'pi.img', wanted);
    return 'what' in found ? found.what : found.number;
  };
  const luks = part(3, { content: { format: 'luks2', complaints: [] }, root: 'unknown' });
  assert.equal(chosen(null, part(1), part(2, root())), 2);
  assert.equal(chosen(null, part(1), luks), 3, 'an encrypted one where no other is a root');
  assert.equal(chosen(null, part(2, root()), luks), 2, 'a sure one before it');
  assert.equal(chosen(3, part(2, root()), luks), 3);
  assert.match(String(chosen(null, part(1, root()), part(2, root()))), /^more than one partition of pi\.img holds a root file system: 1 \(ext4, a root\), 2 \(ext4, a root\)$/);
  assert.match(String(chosen(null, part(1), part(2))), /^no partition of pi\.img holds a root file system: 1 \(ext4\), 2 \(ext4\)$/);
  assert.match(String(chosen(9, part(1))), /^there is no partition 9 in pi\.img$/);
  assert.equal(chosen(null, part(1), part(5, { content: { format: 'lvm', complaints: [] } })), 5, 'refused with what to do about LVM, not with a riddle');
  assert.equal(chosen(null, part(null)), null);
});

test('an image is unpacked beside what it comes from, never over it', () => {
  for (const [from, to] of [['/srv/pi.img.xz', '/srv/pi.img'], ['/srv/pi.img.GZ', '/srv/pi.img'], ['/srv/2024-11-19-raspios.zip', '/srv/2024-11-19-raspios.img'], ['/srv/disk.raw.zst', '/srv/disk.raw'], ['/srv/packed', '/srv/packed.img'], ['/srv/odd.img', '/srv/odd.img.img']] as const) assert.equal(unpackedPath(from), to);
});

test('a machine is named after its image', () => {
  for (const [path, name] of [['/srv/pi.img', 'pi'], ['/srv/2024-11-19-Raspios_lite.img.xz', 'image-2024-11-19-raspios-lite'], ['/dev/mmcblk0', 'mmcblk0'], ['/srv/.img', 'image-'.slice(0, 5)], [`/srv/${'x'.repeat(99)}.img`, 'x'.repeat(63)]] as const) assert.equal(nameOfImage(path), name);
  assert.deepEqual(['pi.img', './pi.IMG.xz', 'card.zip', 'pi.toml', 'pi', 'debian.bookworm', '/dev/mmcblk0'].map(isImageName), [true, true, true, false, false, false, false]);
});

/** An archive of stored and deflated files, large ones told in the field for that. */
function zip(files: { name: string; data: Buffer; deflate?: boolean; large?: boolean }[]): Buffer {
  const [locals, directory]: Buffer[][] = [[], []];
  let at = 0;
  for (const { name, data, deflate, large } of files) {
    const packed = deflate ? deflateRawSync(data) : data;
    const fields = (crc: number, packedSize: number, size: number) => { const out = Buffer.alloc(16); out.writeUInt16LE(deflate ? 8 : 0, 0); out.writeUInt32LE(crc, 4 + 0); out.writeUInt32LE(packedSize, 8); out.writeUInt32LE(size, 12); return out; };
    const local = Buffer.alloc(30);
    local.write('PK\x03\x04', 'latin1');
    fields(crc32(data), packed.length, data.length).copy(local, 10);
    local.writeUInt16LE(name.length, 26);
    locals!.push(local, Buffer.from(name), packed);
    const entry = Buffer.alloc(46);
    entry.write('PK\x01\x02', 'latin1');
    entry.writeUInt16LE(deflate ? 8 : 0, 10);
    entry.writeUInt32LE(crc32(data), 16);
    entry.writeUInt32LE(large ? 0xffffffff : packed.length, 20);
    entry.writeUInt32LE(large ? 0xffffffff : data.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt16LE(large ? 20 : 0, 30);
    entry.writeUInt32LE(at, 42);
    const extra = Buffer.alloc(large ? 20 : 0);
    if (large) { extra.writeUInt16LE(1, 0); extra.writeUInt16LE(16, 2); extra.writeBigUInt64LE(BigInt(data.length), 4); extra.writeBigUInt64LE(BigInt(packed.length), 12); }
    directory!.push(entry, Buffer.from(name), extra);
    at += 30 + name.length + packed.length;
  }
  const listing = Buffer.concat(directory!);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...locals!, listing, end]);
}

test('the image in a zip archive is found, also a large one, and a damaged archive is told', () => {
  const data = Buffer.from('the image'.repeat(1000));
  for (const more of [{}, { deflate: true }, { deflate: true, large: true }]) {
    const bytes = zip([{ name: 'README', data: Buffer.from('read') }, { name: 'os/pi.img', data, ...more }]);
    const files = readZip(readerOf(bytes), bytes.length);
    const found = typeof files === 'string' ? files : imageIn(files);
    assert.ok(typeof found !== 'string', `${found}`);
    assert.deepEqual([found.name, found.size, found.crc], ['os/pi.img', data.length, crc32(data)]);
    assert.equal(bytes.subarray(found.start, found.start + found.packed).length, found.packed);
    assert.match(String(readZip(readerOf(bytes.subarray(0, -30)), bytes.length - 30)), /cut off/);
    for (let i = 0; i < bytes.length; i += 97) { const broken = Buffer.from(bytes); broken[i]! ^= 0xff; readZip(readerOf(broken), broken.length); }
  }
  const entry = (name: string) => ({ name, method: 8, crc: 0, start: 0, packed: 0, size: 0 });
  assert.match(String(imageIn([entry('a.img'), entry('b.img')])), /more than one image in it: a\.img, b\.img/);
  assert.match(String(imageIn([])), /no file in it/);
  assert.match(String(imageIn([{ ...entry('a.img'), method: 14 }])), /method 14/);
});

const laptop = storedHost('laptop') as Facts & { blocks: Pick<VolumeFact, 'devices' | 'mounted' | 'swaps'> };
const volume: Volume = { path: '/srv/pi.img', lv: null, luks: null, image: { number: 2, start: 2 ** 25, size: 2 ** 24 } };
const known: ImageVolume = { path: '/srv/pi.img', packed: null, backing: '/srv/pi.img', content: { table: 'mbr', complaints: [], parts: [part(1), part(2, root())] }, own: {}, drivers: ['ext4'] };
const fact = (image: Partial<ImageVolume>, more: Partial<VolumeFact> = {}): VolumeFact => ({ ...laptop.blocks, kind: 'file', device: null, format: null, there: 'nothing', ...more, image: { ...known, ...image } });
const complaints = (volume_: VolumeFact): string[] => needsOfVolume('pi', volume, { ...laptop, volume: volume_ }).map(({ what }) => what);

test('an image that somebody else has is refused with where it is, and one of our own is not', () => {
  const over = (more: VolumeFact['mounted'] = []) => ({ devices: { ...laptop.blocks.devices, loop7: { of: [], over: '/srv/pi.img' } }, mounted: [...laptop.blocks.mounted, ...more] });
  assert.deepEqual(complaints(fact({})), []);
  assert.deepEqual(complaints(fact({}, over())), ['/srv/pi.img is in use: /dev/loop7 is over it']);
  assert.deepEqual(complaints(fact({}, over([{ at: '/mnt', device: 'loop7' }]))), ['/srv/pi.img is mounted on /mnt']);
  assert.deepEqual(complaints(fact({}, over([{ at: '/var/lib/machines/steam', device: 'loop7' }]))), ["/srv/pi.img is in use by the machine 'steam'"]);
  assert.deepEqual(complaints(fact({ own: { root: 'loop7' } }, { ...over([{ at: '/var/lib/machines/pi', device: 'loop7' }]), device: 'loop7', there: 'mounted' })), []);
  assert.deepEqual(complaints(fact({ isHeld: true }, over([{ at: '/mnt', device: 'loop7' }]))), ['/srv/pi.img is mounted to be looked at']);
  assert.deepEqual(complaints(fact({}, { there: 'other' })), ['/var/lib/machines/pi is there already, and the root of a machine on a volume is mounted there']);
});

test('a disk is refused when anything of it is mounted, or it holds the running system', () => {
  const disk = (name: string, more: Partial<VolumeFact> = {}) => complaints(fact({ path: `/dev/${name}`, backing: `/dev/${name}` }, { kind: 'block', ...more })).map((what) => what.replace('/srv/pi.img', `/dev/${name}`));
  assert.deepEqual(disk('nvme0n1'), ["/dev/nvme0n1 has this host's own root"]);
  assert.match(disk('sda').join(), /is open as \/dev\/mapper\/by--hand/);
  const devices = { sdb: { of: [] }, sdb1: { of: [], disk: 'sdb' } };
  assert.deepEqual(disk('sdb', { devices, mounted: [] }), [], 'partitions that nobody has are in nobody\'s way');
  assert.deepEqual(disk('sdb', { devices, mounted: [{ at: '/media/card', device: 'sdb1' }] }), ['/dev/sdb is mounted on /media/card']);
});

test('what opens an image closes it, and all of it is let go where nobody knows what was left', () => {
  const kinds = (steps_: { kind: string }[]) => steps_.map(({ kind }) => kind);
  assert.deepEqual(kinds(opening('pi', volume, '/run/x')), ['mkdir', 'mkdir', 'loop', 'check-file-system', 'mount-volume']);
  assert.deepEqual(kinds(opening('pi', { ...volume, luks: { keyFile: null, discard: false } }, '/run/x')), ['mkdir', 'mkdir', 'loop', 'unlock', 'check-file-system', 'mount-volume']);
  assert.deepEqual(closing('pi', volume), [{ kind: 'unmount', at: '/var/lib/machines/pi' }, { kind: 'loop-end', machine: 'pi', start: null }, { kind: 'leftover', path: '/var/lib/machines/pi' }]);
  assert.deepEqual([isThere(volume, fact({})), isThere({ ...volume, image: { number: 1, start: 2 ** 24, size: 1 } }, fact({})), isThere(volume, fact({ content: null }))], [true, false, false]);
});

/** A machine from an image, on the laptop unless another host is named; what is open of it tells what is inside. */
function met(text: string, host = 'laptop', more: Partial<Facts> = {}, fleeting = false): { machine: Machine; facts: Facts } {
  const spec = readSpec(`name = "pi"\n${text}`, 'pi.toml');
  return meetStored(fleeting ? { ...spec, fleeting: true } : spec, { ...storedHost(host), ...more }, '/etc/nestbox/pi.toml');
}

const pi = '[root]\nimage = "/srv/images/pi.img"\n';

test('the boot partition is mounted where fstab has it, as if all in it were the machine\'s; where the kernel cannot, that is said', () => {
  const { machine, facts } = met(pi);
  const { passing } = plan(machine, facts);
  assert.deepEqual(machine.besides.map(({ number, to, write }) => ({ number, to, write })), [{ number: 1, to: '/boot/firmware', write: true }]);
  assert.ok(steps(passing).some((step) => step.kind === 'mount-volume' && step.beside?.shift === machine.shift));
  assert.ok(machine.seenBinds.some(({ from, to }) => from === '/run/nestbox/pi/image/at-1' && to === '/boot/firmware'));
  const without = met(pi, 'debian12').machine;
  assert.deepEqual([without.besides, without.problems.map(({ what, mend, fatal }) => ({ what, mend, fatal }))], [[], [{
    what: 'partition 1 of /srv/images/pi.img belongs on /boot/firmware and is not mounted: this kernel (6.1.0-40-amd64) has no driver for vfat',
    mend: 'a kernel that is installed inside does not get there: it would not be started, going on', fatal: false,
  }]]);
});

test('services do not start while packages are installed by a program, and an init starts what it likes', () => {
  const texts = (text: string, fleeting = false) => met(text, 'laptop', {}, fleeting).machine.seenBinds.filter(({ to }) => to === '/usr/sbin/policy-rc.d').map(({ from, write }) => [from, write]);
  assert.deepEqual(texts(pi), [['/usr/lib/nestbox/nestbox-native', false]]);
  assert.deepEqual(texts(pi, true), [['/usr/lib/nestbox/nestbox-native', false]]);
  assert.deepEqual(texts(`boot = true\n${pi}`), []);
});

test('nothing is kept of a machine that is made for one run of an image', () => {
  const { machine, facts } = met(pi, 'laptop', {}, true);
  const { lasting, passing } = plan(machine, facts);
  assert.deepEqual(lasting, []);
  assert.ok(steps(passing).some(({ kind }) => kind === 'places'));
});

test('a packed image is unpacked first; what is in it is known afterwards', () => {
  const { machine, facts } = met('[root]\nimage = "/srv/images/new.img.xz"\n');
  assert.deepEqual(steps(plan(machine, facts).opening), [{ kind: 'unpack', from: '/srv/images/new.img.xz', to: '/srv/images/new.img', as: 'xz' }]);
});

test('what an image lacks for a machine is told, each with what to do', () => {
  const refused = (image: Partial<ImageVolume>, more: Partial<VolumeFact> = {}, root_ = pi, programs = laptop.programs): string => {
    const { kind = 'file' } = more;
    const stored = { ...laptop, programs, volumes: { '/srv/images/pi.img': { kind, device: null, format: null, image: { ...known, path: '/srv/images/pi.img', ...image } } } } as Facts;
    const { machine } = meetStored(readSpec(`name = "pi"\n${root_}`, 'pi.toml'), stored, '/etc/nestbox/pi.toml');
    return machine.problems.filter(({ fatal }) => fatal).map(({ what, mend }) => `${what} | ${mend}`).join('\n');
  };
  const content = (...parts: Part[]): Partial<ImageVolume> => ({ content: { table: 'gpt', complaints: [], parts } });
  assert.match(refused({ content: null }, { kind: null }), /does not exist on this host \| name a disk image/);
  assert.match(refused({}, { kind: 'other' }), /is neither a file nor a disk/);
  assert.match(refused({ content: null }), /pi\.img cannot be read/);
  assert.match(refused({ content: { table: 'mbr', complaints: ['partition 2 overlaps'], parts: [] } }), /the partition table of \S+ is damaged: partition 2 overlaps \| nestbox image check/);
  assert.match(refused({ content: null, packed: { from: '/srv/images/pi.img', as: 'a qcow2 disk' } }), /is packed: a qcow2 disk \| unpack it/);
  assert.match(refused({ content: null, packed: { from: '/srv/images/pi.img', as: 'xz' } }, {}, pi, { ...laptop.programs, xz: undefined } as never), /'xz' is not installed/);
  assert.match(refused(content(part(1), part(3, { content: { format: 'lvm', complaints: [] } }))), /partition 3 of \S+ is a part of an LVM volume group \| losetup --find --show --partscan \S+ .*volume = /);
  assert.match(refused(content(part(1, { content: { format: 'squashfs', complaints: [] } })), {}, `${pi}partition = 1\n`), /holds squashfs, which can be no root here/);
  assert.match(refused({ ...content(part(1, { content: { format: 'btrfs', complaints: [] }, root: 'unknown' })), drivers: [] }), /has no driver for btrfs/);
  assert.match(refused(content(part(2, { ...root(), content: { format: 'ext4', complaints: ['it has been cut off'] } }))), /partition 2 of \S+ is damaged: it has been cut off \| e2fsck -f/);
  assert.match(refused(content(part(2, { content: { format: 'luks2', complaints: [] }, root: 'unknown' })), {}, pi, { ...laptop.programs, cryptsetup: undefined } as never), /'cryptsetup' is not installed/);
});
