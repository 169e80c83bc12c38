import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, rmdirSync, statSync, truncateSync, writeSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { imageSession as sessionName } from '../../src/names.ts';
import { bootOf, copySparse, digestOf, diskImage, type FileSystem, hashOf, type Kind, looked, type Made, MiB, sizeOfPartition, smallTree } from '../disk-images.ts';
import { mutation, random } from '../image-mutations.ts';
import { folder, nestbox, program, type Result } from '../nestbox.ts';
import { detach, says, unmountLoop } from '../roots.ts';

/** Disk images: what is told of them, and how they grow and shrink. */

const image = (...words: string[]): Result => nestbox(['image', ...words]);

function succeeds(...words: string[]): string {
  const { status, stdout, stderr } = image(...words);
  assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

/** One tree for all tests, and the images that are made of it, each once. */
const originals = new Map<string, Made>();
const shared = spawnSync('mktemp', ['-d', '/var/tmp/nestbox-image.XXXXXX'], { encoding: 'utf8' }).stdout.trim();
const tree = `${shared}/tree`;
test.after(() => void spawnSync('rm', ['-rf', shared]));

/** A copy of an image, for one test. */
function made(t: TestContext, options: Parameters<typeof diskImage>[2] = {}): Made {
  if (!existsSync(tree)) smallTree(tree);
  const key = JSON.stringify(options);
  const original = originals.get(key) ?? diskImage(`${shared}/${originals.size}.img`, tree, options);
  originals.set(key, original);
  const path = `${folder(t)}/pi.img`;
  copySparse(original.path, path);
  return { ...original, path };
}

/** What is left of work on an image: others may be at work on this host with theirs. */
function left({ path }: Made): string[] {
  const own = path.slice(0, path.lastIndexOf('/'));
  const loops = readdirSync('/sys/block').filter((name) => name.startsWith('loop') && existsSync(`/sys/block/${name}/loop`)).filter((name) => readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(own));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.includes(own) || loops.some((name) => line.includes(`/dev/${name} `)));
  const files = ['/var/lib/nestbox/journal', '/var/lib/nestbox/scratch', '/run/nestbox'].flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.startsWith(sessionName(path))));
  return [...loops.map((name) => `/dev/${name}`), ...mounts, ...files, ...readdirSync(own).filter((name) => !['pi.img', 'pi.img.original'].includes(name))];
}

/** All that must hold of an image at any time: its table is in order, its data is there. */
function isWhole(made: Made, kind: Kind, format: FileSystem, digest: string, what: string, between = false): void {
  // A GPT whose second copy is not at the end of a file that has just grown is one of which sfdisk says so.
  if (kind !== 'bare' && !(kind === 'gpt' && between)) {
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
    assert.deepEqual(left(pi), []);
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
  const reached = new Set<number>();
  let n = 1;
  for (; n < 60; n++) {
    copySparse(original, pi.path);
    const { signal, status, stderr } = spawnSync(process.execPath, ['--require', hook, program, 'image', ...words(pi.path)], { encoding: 'utf8', env: { ...process.env, KILL_AT: `${point}:${n}` }, timeout: 300_000 });
    const what = `${point} ${n}: ${stderr.trim().split('\n').at(-1)}`;
    if (signal !== 'SIGKILL') {
      assert.equal(status, 0, `${what}\n${stderr}`);
      break;
    }
    isWhole(pi, kind, 'ext4', digest, what, true);
    const cleaned = nestbox(['clean', '--verbose', sessionName(pi.path)]);
    assert.equal(cleaned.status, 0, `${what}: ${cleaned.stderr}`);
    isWhole(pi, kind, 'ext4', digest, `${what}, and clean`);
    isInOrder(pi, kind, `${what}, and clean`);
    const end = statSync(pi.path).size;
    reached.add(end);
    assert.ok(ends.includes(end), `${what}: ${end} bytes\n${cleaned.stderr}`);
    assert.deepEqual(left(pi), [], what);
    // What was taken back is as it was, to the byte; what was finished can be done again.
    if (end === size) assert.equal(says('sha256sum', pi.path).split(' ')[0], says('sha256sum', original).split(' ')[0], `${what}: not as it was`);
  }
  t.diagnostic(`killed at ${n - 1} points, ends: ${[...reached].join(', ')}`);
  assert.ok(n > 3, `only ${n - 1} points`);
}

for (const [point, kind] of [['step', 'mbr'], ['journal', 'gpt'], ['disk', 'mbr'], ['disk', 'gpt'], ['disk', 'extended']] as const)
  test(`${kind}: killed at each ${point} of a growth, it is taken back or finished`, (t) => killEverywhere(t, point, kind, (path) => ['grow', '--verbose', path, '100M'], 40 * MiB, [40 * MiB, 100 * MiB]));

for (const [kind, format] of [['mbr', 'btrfs'], ['gpt', 'xfs'], ['mbr', 'f2fs'], ['bare', 'btrfs']] as const)
  test(`${kind}, ${format}: an image grows, and all in it stays as it is`, (t) => {
    const missing = [`mkfs.${format}`, ...(format === 'f2fs' ? ['sload.f2fs'] : [])].find((name) => !existsSync(`/usr/sbin/${name}`) && !existsSync(`/sbin/${name}`));
    if (missing) return t.skip(`no ${missing} here`);
    const mountable = new RegExp(`\\t${format}\\n`).test(readFileSync('/proc/filesystems', 'utf8'));
    if (!mountable && format !== 'f2fs') return t.skip(`this kernel has no ${format}`);
    const pi = made(t, { kind, format, size: 400 * MiB });
    const digest = mountable ? digestOf(pi, format, partitionOf(pi, kind)) : '';
    const checked = (what: string) => {
      assert.match(succeeds('check', pi.path), new RegExp(`: ${format}, no errors`), what);
      if (mountable) isWhole(pi, kind, format, digest, what);
    };
    checked('before');
    const before = (JSON.parse(succeeds('info', '--json', pi.path)) as { partitions: { fileSystem: number }[] }).partitions.at(-1)!.fileSystem;
    succeeds('grow', pi.path, '1G');
    checked('grown');
    const after = (JSON.parse(succeeds('info', '--json', pi.path)) as { partitions: { fileSystem: number }[] }).partitions.at(-1)!.fileSystem;
    assert.ok(after - before > 600 * MiB, `${before} ${after}`);
    assert.match(succeeds('grow', pi.path), /has that size already/);
    if (format === 'btrfs') {
      succeeds('shrink', pi.path);
      assert.ok(statSync(pi.path).size < 600 * MiB, `${statSync(pi.path).size}`);
      checked('shrunk');
    } else {
      const { status, stderr } = image('shrink', pi.path);
      assert.equal(status, 1);
      assert.match(stderr, new RegExp(`\\(${format}\\) of .* does not shrink\\n  file systems that shrink are ext2, ext3, ext4 and btrfs`));
    }
    assert.deepEqual(left(pi), []);
    if (!mountable) t.diagnostic(`this kernel has no ${format}: its files were not compared`);
  });

for (const point of ['step', 'disk'] as const)
  test(`killed at each ${point} while it shrinks, the image is as it was or smaller`, (t) => killEverywhere(t, point, 'gpt', (path) => ['shrink', '--verbose', path, '60M'], 100 * MiB, [100 * MiB, 60 * MiB]));

test('killed while its file system grows, at any moment, it is finished', async (t) => {
  const pi = made(t, { size: 300 * MiB, block: 1024 });
  const digest = digestOf(pi);
  const original = `${pi.path}.original`;
  copySparse(pi.path, original);
  const cut = new Map<string, number>();
  for (let round = 0; round < 15; round++) {
    copySparse(original, pi.path);
    const child = spawn(process.execPath, [program, 'image', 'grow', '--verbose', pi.path, '8G'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    // As soon as the file system is about to grow, and a little later each time.
    const begun = new Promise<void>((resolve) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
        if (stderr.includes('resize2fs -f')) resolve();
      }).on('end', resolve);
    });
    const over = once(child, 'exit');
    await begun;
    await new Promise((resolve) => setTimeout(resolve, round * 8));
    child.kill('SIGKILL');
    await over;
    isWhole(pi, 'mbr', 'ext4', digest, `round ${round}`);
    const cleaned = nestbox(['clean', '--verbose', sessionName(pi.path)]);
    assert.equal(cleaned.status, 0, cleaned.stderr);
    const how = /finishing/.test(cleaned.stderr) ? 'finished' : /taking it back/.test(cleaned.stderr) ? 'taken back' : 'nothing left to do';
    cut.set(how, (cut.get(how) ?? 0) + 1);
    isWhole(pi, 'mbr', 'ext4', digest, `round ${round}, clean`);
    isInOrder(pi, 'mbr', `round ${round}, clean`);
    assert.ok(statSync(pi.path).size === (how === 'taken back' ? 300 * MiB : 8192 * MiB), how);
    assert.match(succeeds('grow', pi.path, '8G'), how === 'taken back' ? /becomes/ : /has that size already/);
    assert.deepEqual(left(pi), []);
  }
  t.diagnostic([...cut].map(([how, count]) => `${how}: ${count}`).join(', '));
  assert.ok((cut.get('finished') ?? 0) >= 1); // how many depends on the computer
});

test('stopped with Ctrl-C, a growth is taken back or finished before it ends', async (t) => {
  const pi = made(t, { size: 300 * MiB });
  const digest = digestOf(pi);
  for (const word of ['e2fsck -f -n', 'make .* longer', 'resize2fs']) {
    const running = spawn(process.execPath, [program, 'image', 'grow', '--verbose', pi.path, '+300M'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    running.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      if (new RegExp(word).test(stderr)) running.kill('SIGINT');
    });
    const [status] = (await once(running, 'close')) as [number | null];
    assert.ok(status === 130 || status === 0, `${word}: ${status} ${stderr}`);
    isWhole(pi, 'mbr', 'ext4', digest, word);
    isInOrder(pi, 'mbr', word);
    assert.deepEqual(left(pi), [], word);
  }
});

/** Refused with these words, and not changed. */
function isRefused(pi: Made, words: string[], pattern: RegExp): void {
  const before = hashOf(pi.path);
  const { status, stdout, stderr } = image(...words);
  assert.equal(status, 1, `${words.join(' ')}: ${stdout}${stderr}`);
  assert.match(stderr, pattern);
  assert.equal(hashOf(pi.path), before);
}

test('an image that somebody uses is left alone', async (t) => {
  const pi = made(t);
  const grow = ['grow', pi.path, '100M'];
  const device = says('losetup', '--find', '--show', '--offset', `${pi.start}`, pi.path).trim();
  try {
    isRefused(pi, grow, new RegExp(`pi\\.img is in use: ${device} is over it`));
    says('ln', pi.path, `${pi.path}.original`);
    isRefused(pi, ['grow', `${pi.path}.original`, '100M'], new RegExp(`is in use: ${device} is over it`));
    isRefused(pi, ['shrink', pi.path], /is in use/);
    isRefused(pi, ['check', pi.path], /is in use/);
    assert.match(succeeds('info', pi.path), new RegExp(`in use: ${device} is over it`));
  } finally {
    detach(device);
  }
  says('rm', `${pi.path}.original`);
  const at = `${pi.path}.at`;
  mkdirSync(at);
  says('mount', '-o', `loop,ro,offset=${pi.start}`, pi.path, at);
  try {
    isRefused(pi, grow, /is in use: \/dev\/loop\d+ is over it, \/dev\/loop\d+ is mounted on .*\.at\n/);
  } finally {
    unmountLoop(at);
    rmdirSync(at);
  }
  const locked = spawn('flock', [pi.path, 'sh', '-c', 'echo locked; read line'], { stdio: ['pipe', 'pipe', 'ignore'] });
  await once(locked.stdout, 'data');
  isRefused(pi, grow, /is in use: process \d+ \(flock\) has locked it/);
  locked.stdin.end('\n');
  await once(locked, 'exit');
  succeeds(...grow);
});

test('a card is filled, and refused while it is mounted; so is what holds the running system', (t) => {
  const pi = made(t);
  const digest = digestOf(pi);
  truncateSync(pi.path, 200 * MiB);
  const card = says('losetup', '--find', '--show', '--partscan', pi.path).trim();
  try {
    assert.match(succeeds('info', card), new RegExp(`${card}: 200M, DOS partition table 0x6c586e13`));
    assert.match(image('grow', card, '100M').stderr, /is a device: it has 200M, and no more\n {2}nestbox image grow .* fills it/);
    assert.match(image('shrink', card).stderr, /is a device: it is made smaller in a copy/);
    const at = `${pi.path}.at`;
    mkdirSync(at);
    const part = says('losetup', '--find', '--show', '--offset', `${pi.start}`, '--sizelimit', `${55 * MiB}`, card).trim();
    says('mount', '-o', 'ro', part, at);
    try {
      assert.match(image('grow', card).stderr, new RegExp(`${card} is in use: `));
    } finally {
      says('umount', at);
      detach(part);
      rmdirSync(at);
    }
    assert.match(succeeds('grow', card), new RegExp(`${card}: 200M\n  partition 2: 55M becomes 191M`));
    assert.match(succeeds('check', card), /partition 2: ext4, no errors/);
  } finally {
    detach(card);
  }
  isWhole(pi, 'mbr', 'ext4', digest, 'card');
  isInOrder(pi, 'mbr', 'card');
  const source = says('findmnt', '--noheadings', '--output', 'SOURCE', '/').trim();
  const refusal = source.startsWith('/dev/') && existsSync(source) ? image('grow', source).stderr : 'cannot read';
  if (/cannot read/.test(refusal)) t.diagnostic(`the root here is ${source}, which cannot be read`);
  else assert.match(refusal, /is in use: it holds the running system/);
  assert.deepEqual(left(pi), []);
});

test('a file system with errors, or that was not unmounted, is told and left as it is; --repair brings it in order', (t) => {
  const pi = made(t);
  const digest = digestOf(pi);
  const debugfs = (request: string) => says('debugfs', '-w', '-R', request, `${pi.path}?offset=${pi.start}`);
  // Not unmounted.
  debugfs('set_super_value state 0');
  isRefused(pi, ['grow', pi.path, '100M'], /partition 2 \(ext4\) of .* was not unmounted, and is to be brought in order first\n {2}nestbox image check --repair/);
  isRefused(pi, ['grow', '--dry-run', pi.path, '100M'], /was not unmounted/);
  assert.match(succeeds('check', '--repair', pi.path), /partition 2: ext4, in order/);
  succeeds('grow', pi.path, '100M');
  isWhole(pi, 'mbr', 'ext4', digest, 'repaired');
  // A wrong count, that its superblock does not say.
  debugfs('set_inode_field /srv/data/7 links_count 9');
  isRefused(pi, ['grow', pi.path, '200M'], /the file system \(ext4\) in partition 2 of .* has errors, and is left as it is: e2fsck -f -n .* ended with 4\n[\s\S]*count is 9, should be 1/);
  isRefused(pi, ['check', pi.path], /has errors/);
  assert.equal(image('shrink', pi.path, '90M').status, 1);
  assert.deepEqual(left(pi), []);
});

/** Two hundred of these are looked at as bytes in the first ring; NESTBOX_MUTATIONS=200 has as many here. */
test('damaged images: none is changed by what is refused, none hangs, none leaves anything', (t) => {
  const kinds = [['mbr', made(t, { kind: 'mbr', size: 24 * MiB })], ['gpt', made(t, { kind: 'gpt', size: 24 * MiB })], ['extended', made(t, { kind: 'extended', size: 40 * MiB })], ['bare', made(t, { kind: 'bare', size: 24 * MiB })]] as const;
  const counted = { refused: 0, grown: 0 };
  const count = Number(process.env.NESTBOX_MUTATIONS ?? 40);
  for (let n = 0; n < count; n++) {
    const [kind, original] = kinds[n % kinds.length]!;
    const size = statSync(original.path).size;
    const { name, writes, length } = mutation(n, { kind, size, start: original.start, records: [18432 * 512, 28672 * 512], frame: 18432 * 512 });
    const pi = { ...original, path: `${original.path}.original` };
    copySparse(original.path, pi.path);
    const file = openSync(pi.path, 'r+');
    for (const { at, bytes } of writes) writeSync(file, bytes, 0, bytes.length, at);
    closeSync(file);
    if (length !== undefined) truncateSync(pi.path, length);
    const before = hashOf(pi.path);
    const what = `${n}, ${kind}: ${name}`;
    for (const words of [['info', pi.path], ['check', pi.path], ['grow', '--dry-run', pi.path, '60M'], ['grow', pi.path, '60M']]) {
      const { status, stdout, stderr } = nestbox(['image', ...words], { timeout: 300_000 });
      assert.ok(status === 0 || status === 1, `${what}: ${words[0]} ended with ${status}\n${stdout}${stderr}`);
      assert.doesNotMatch(`${stdout}${stderr}`, /this should not have happened|NaN|undefined/, `${what}: ${stdout}${stderr}`);
      if (status === 0 && words[0] === 'grow' && words.length === 3) {
        counted.grown++;
        const { status: errors, said } = looked({ ...pi, start: pi.start }, kind === 'bare' ? statSync(pi.path).size : sizeOfPartition(pi.path, pi.number));
        assert.equal(errors, 0, `${what}: ${said}`);
      } else {
        assert.equal(hashOf(pi.path), before, `${what}: ${words[0]} has changed it: ${stderr}`);
        if (words[0] === 'grow' && words.length === 3) {
          counted.refused++;
          assert.match(stderr, /^nestbox: .{20,}/, what);
        }
      }
    }
    assert.deepEqual(left(pi), [], what);
  }
  t.diagnostic(`${counted.refused} refused, ${counted.grown} grown`);
  assert.ok(counted.refused > count / 2);
});

test('a packed copy is written beside an image, and is the image', (t) => {
  const pi = made(t);
  for (const [as, program] of [['zst', 'zstd'], ['gz', 'gzip'], ['xz', 'xz']] as const) {
    if (!existsSync(`/usr/bin/${program}`)) {
      t.diagnostic(`no ${program} here`);
      continue;
    }
    succeeds('compress', '--as', as, pi.path);
    assert.equal(says('sh', '-c', `${program} -dc ${pi.path}.${as} | sha256sum`).split(' ')[0], says('sha256sum', pi.path).split(' ')[0]);
    assert.match(image('compress', '--as', as, pi.path).stderr, /is there already/);
    assert.match(image('grow', `${pi.path}.${as}`, '1G').stderr, new RegExp(`is packed: ${program}\n  ${program === 'gzip' ? 'gunzip' : program} `));
    says('rm', `${pi.path}.${as}`);
  }
  assert.deepEqual(left(pi), []);
});

test('killed while it packs an image, nothing of the packed copy is left', async (t) => {
  const pi = made(t);
  says('dd', 'if=/dev/urandom', `of=${pi.path}`, 'bs=1M', 'seek=64', 'count=40', 'conv=notrunc', 'status=none'); // takes xz some time
  const child = spawn(process.execPath, [program, 'image', 'compress', pi.path], { stdio: 'ignore' });
  const over = once(child, 'exit');
  const opens = () => readdirSync(`/proc/${child.pid}/fd`).some((file) => {
    try {
      return readlinkSync(`/proc/${child.pid}/fd/${file}`).endsWith(' (deleted)');
    } catch {
      return false;
    }
  });
  while (!opens()) await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill('SIGKILL');
  await over;
  assert.ok(!existsSync(`${pi.path}.xz`), 'it was not killed early enough');
  assert.deepEqual(left(pi), []);
  assert.match(succeeds('compress', '--as', 'gz', pi.path), /pi\.img\.gz/);
  says('rm', `${pi.path}.gz`);
});
