import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { bootOf, copySparse, digestOf, diskImage, type FileSystem, hashOf, type Kind, looked, type Made, MiB, sizeOfPartition, smallTree } from '../disk-images.ts';
import { random } from '../image-mutations.ts';
import { folder, nestbox, program, type Result } from '../nestbox.ts';
import { says } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** Disk images: what is told of them, and how they grow and shrink. */

const image = (...words: string[]): Result => nestbox(['image', ...words]);

function succeeds(...words: string[]): string {
  const { status, stdout, stderr } = image(...words);
  assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

/** One tree for all tests, and the images that are made of it, each once. */
let tree: string | null = null;
const originals = new Map<string, Made>();
const shared = spawnSync('mktemp', ['-d', '/var/tmp/nestbox-image.XXXXXX'], { encoding: 'utf8' }).stdout.trim();
test.after(() => void spawnSync('rm', ['-rf', shared]));

/** A copy of an image, for one test. */
function made(t: TestContext, options: Parameters<typeof diskImage>[2] = {}): Made {
  if (!tree) mkdirSync((tree = `${shared}/tree`));
  if (!existsSync(`${tree}/srv`)) smallTree(tree);
  const key = JSON.stringify(options);
  const original = originals.get(key) ?? diskImage(`${shared}/${originals.size}.img`, tree, options);
  originals.set(key, original);
  const path = `${folder(t)}/pi.img`;
  copySparse(original.path, path);
  return { ...original, path };
}

/** All that must hold of an image at any time: its table is in order, its data is there. */
function isWhole(made: Made, kind: Kind, format: FileSystem, digest: string, what: string): void {
  if (kind !== 'bare') {
    const { status, stdout, stderr } = spawnSync('sfdisk', ['--verify', made.path], { encoding: 'utf8' });
    assert.equal(status, 0, `${what}: ${stdout}${stderr}`);
    assert.match(stdout, /No errors detected/, `${what}: ${stdout}${stderr}`);
    assert.equal(bootOf(made.path), 'console=serial0 root=PARTUUID=6c586e13-02\n', what);
  }
  assert.equal(digestOf(made, format, partitionOf(made, kind)), digest, what);
}

const partitionOf = (made: Made, kind: Kind): number => (kind === 'bare' ? statSync(made.path).size : sizeOfPartition(made.path, made.number));

function isInOrder(made: Made, kind: Kind, what: string): void {
  const { status, said } = looked(made, partitionOf(made, kind));
  assert.equal(status, 0, `${what}: ${said}`);
}

/** What the identifiers of an image are: nothing that boots from it may notice a change. */
const identity = (path: string): string[] => says('sfdisk', '--dump', path).split('\n').map((line) => line.replace(path, '').replace(/size= *\d+/, '').replace(/last-lba.*/, '')).filter((line) => !line.startsWith('device'));

test('what is in an image is told, without changing it', (t) => {
  const pi = made(t);
  const before = hashOf(pi.path);
  const text = succeeds('info', pi.path);
  assert.match(text, /64M, of which .* are on the disk, DOS partition table 0x6c586e13/);
  assert.match(text, /1 +2048 +8\.0M +0c +FAT +\S+ +BOOTFS +boot/);
  assert.match(text, /2 +18432 +55M +83 +ext4 /);
  assert.match(text, /partition 2: Raspberry Pi OS \(a test of nestbox\)/);
  const said = JSON.parse(succeeds('info', '--json', pi.path)) as { table: string; size: number; partitions: { number: number; start: number; size: number; format: string; partuuid: string; used: number }[] };
  assert.deepEqual([said.table, said.size], ['mbr', 64 * MiB]);
  assert.deepEqual(said.partitions.map(({ number, start, size, format, partuuid }) => ({ number, start, size, format, partuuid })), [
    { number: 1, start: MiB, size: 8 * MiB, format: 'fat', partuuid: '6c586e13-01' }, { number: 2, start: 9 * MiB, size: 55 * MiB, format: 'ext4', partuuid: '6c586e13-02' },
  ]);
  assert.ok(said.partitions[1]!.used > 3 * MiB && said.partitions[1]!.used < 55 * MiB);
  assert.match(succeeds('check', pi.path), /partition 1: FAT, not looked through\npartition 2: ext4, no errors/);
  assert.equal(hashOf(pi.path), before);
});

const kinds: [Kind, FileSystem, number][] = [['mbr', 'ext4', 0], ['gpt', 'ext4', 0], ['extended', 'ext4', 0], ['bare', 'ext4', 0], ['mbr', 'ext4', 1024], ['mbr', 'ext3', 0], ['mbr', 'ext2', 4096]];

for (const [kind, format, block] of kinds)
  test(`${kind}, ${format}${block ? ` with blocks of ${block}` : ''}: an image grows and shrinks, and all in it stays as it is`, (t) => {
    const before = snapshot();
    const pi = made(t, { kind, format, block });
    const digest = digestOf(pi, format, partitionOf(pi, kind));
    const names = kind === 'bare' ? [] : identity(pi.path);
    const untouched = hashOf(pi.path);
    const dry = succeeds('grow', '--dry-run', pi.path, '200M');
    assert.match(dry, /e2fsck -f -n[\s\S]*make .*pi\.img longer: 64M \(67108864 bytes\) becomes 200M \(209715200 bytes\)[\s\S]*resize2fs/);
    assert.equal(hashOf(pi.path), untouched, '--dry-run');
    succeeds('grow', pi.path, '200M');
    assert.equal(statSync(pi.path).size, 200 * MiB);
    isWhole(pi, kind, format, digest, 'grown');
    isInOrder(pi, kind, 'grown');
    assert.ok(partitionOf(pi, kind) > 190 * MiB - 16 * MiB);
    succeeds('shrink', pi.path);
    assert.ok(statSync(pi.path).size < 120 * MiB, `${statSync(pi.path).size}`);
    isWhole(pi, kind, format, digest, 'shrunk');
    isInOrder(pi, kind, 'shrunk');
    succeeds('grow', pi.path, '+1M');
    isWhole(pi, kind, format, digest, 'grown by a little');
    isInOrder(pi, kind, 'grown by a little');
    if (kind !== 'bare') assert.deepEqual(identity(pi.path), names);
    assert.match(succeeds('grow', pi.path), /has that size already/);
    assert.deepEqual(differences(before), []);
  });

test('growing reads and writes next to nothing of an image', (t) => {
  const pi = made(t, { size: 600 * MiB });
  const before = statSync(pi.path).blocks * 512;
  succeeds('grow', pi.path, '2G');
  assert.equal(statSync(pi.path).size, 2048 * MiB);
  assert.ok(statSync(pi.path).blocks * 512 - before < 16 * MiB, `${statSync(pi.path).blocks * 512 - before} bytes more`);
});

test('grown and shrunk fifty times by any amounts, all in it stays as it is', (t) => {
  for (const kind of ['mbr', 'gpt'] as const) {
    const pi = made(t, { kind, size: 40 * MiB });
    const digest = digestOf(pi);
    const below = random(kind.length);
    let grown = 0;
    for (let round = 1; round <= 25; round++) {
      const size = statSync(pi.path).size;
      const words = below(2) ? ['grow', pi.path, `+${1 + below(200 * 1024)}K`] : size > 80 * MiB ? ['shrink', '--margin', `${1 + below(20)}M`, pi.path] : ['grow', pi.path, `${Math.ceil(size / 1024) + 1024 + below(400 * 1024)}K`];
      const what = `${kind}, ${round}: ${words.join(' ')}`;
      const said = succeeds(...words);
      if (/becomes/.test(said)) grown++;
      isWhole(pi, kind, 'ext4', digest, what);
      isInOrder(pi, kind, what);
    }
    t.diagnostic(`${kind}: ${grown} changes`);
    assert.ok(grown > 15);
  }
});

const hook = new URL('./kill-at.cjs', import.meta.url).pathname;

/** Kills nestbox at each point of a change in turn; after each the data is there, and `nestbox clean` brings it to one of two ends. */
function killEverywhere(t: TestContext, point: 'step' | 'journal' | 'disk', kind: Kind, words: (path: string) => string[], size: number, ends: number[]): void {
  const pi = made(t, { kind, size });
  const digest = digestOf(pi);
  const original = `${pi.path}.original`;
  copySparse(pi.path, original);
  const before = snapshot();
  const reached = new Set<number>();
  let n = 1;
  for (; n < 60; n++) {
    copySparse(original, pi.path);
    const { signal, status, stderr } = spawnSync(process.execPath, ['--require', hook, program, 'image', ...words(pi.path)], { encoding: 'utf8', env: { ...process.env, KILL_AT: `${point}:${n}` }, timeout: 60_000 });
    const what = `${point} ${n}: ${stderr.trim().split('\n').at(-1)}`;
    if (signal !== 'SIGKILL') {
      assert.equal(status, 0, `${what}\n${stderr}`);
      break;
    }
    isWhole(pi, kind, 'ext4', digest, what);
    const cleaned = nestbox(['clean', '--verbose']);
    assert.equal(cleaned.status, 0, `${what}: ${cleaned.stderr}`);
    isWhole(pi, kind, 'ext4', digest, `${what}, and clean`);
    isInOrder(pi, kind, `${what}, and clean`);
    const end = statSync(pi.path).size;
    reached.add(end);
    assert.ok(ends.includes(end), `${what}: ${end} bytes\n${cleaned.stderr}`);
    assert.deepEqual(differences(before), [], what);
    // What was taken back is as it was, to the byte; what was finished can be done again.
    if (end === size) assert.equal(says('sha256sum', pi.path).split(' ')[0], says('sha256sum', original).split(' ')[0], `${what}: not as it was`);
  }
  t.diagnostic(`killed at ${n - 1} points, ends: ${[...reached].join(', ')}`);
  assert.ok(n > 5, `only ${n - 1} points`);
}

for (const point of ['step', 'journal', 'disk'] as const)
  for (const kind of ['mbr', 'gpt', 'extended'] as const)
    test(`${kind}: killed at each ${point} of a growth, it is taken back or finished`, (t) => killEverywhere(t, point, kind, (path) => ['grow', '--verbose', path, '100M'], 40 * MiB, [40 * MiB, 100 * MiB]));
