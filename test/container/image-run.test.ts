import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { asks, bootAt, loopsOver, type Made, makeImage, mistakes, names, rootAt, sum, type TableKind } from '../images.ts';
import { extent, firstExtent, lvmHead } from '../lvm.ts';
import { folder, nestbox, program, root as debian, running } from '../nestbox.ts';
import { create, detach, left, machine, says, succeeds, templateOf } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** Machines whose root is in a disk image. What the image is afterwards is told by e2fsck and debugfs, not by nestbox. */

const image = (t: TestContext, kind: TableKind, name?: string, more?: (root: string) => void): Made => makeImage(folder(t), kind, name, more);

/** Nothing is attached or mounted, and all file systems in it are clean. */
function untouched(made: Made, before: ReturnType<typeof snapshot>, after = 'afterwards'): void {
  assert.deepEqual(loopsOver(made.path), [], `loop devices ${after}`);
  assert.deepEqual(differences(before), [], after);
  assert.deepEqual(mistakes(made), [], `e2fsck ${after}`);
}

for (const kind of ['mbr', 'extended', 'gpt', 'none'] as const)
  test(`an image (${kind}): what a program changes in it is in it, and what was there for the run alone is not`, (t) => {
    const made = image(t, kind, `2024-${kind}.img`);
    const before = snapshot();
    const boot = kind === 'none' ? 'true' : 'cat /boot/cmdline.txt; echo kernel > /boot/kernel8.img; stat -c %u:%g /boot/kernel8.img';
    const { stdout } = succeeds(nestbox(['run', made.path, '--', 'sh', '-c', `id -u; cat /proc/self/uid_map; echo hello > /srv/made; stat -c %u:%g /srv/made; grep -c nameserver /etc/resolv.conf; /usr/sbin/policy-rc.d; echo $?; ${boot}`]));
    assert.match(stdout, new RegExp(`^0\n\\s+0\\s+[1-9]\\d{5,}\\s+65536\n0:0\n[1-9]\n101\n${kind === 'none' ? '' : 'console=tty1\n0:0\n'}$`));
    untouched(made, before);
    assert.equal(asks(made, made.root, 'cat /srv/made'), 'hello\n');
    if (kind !== 'none') assert.deepEqual([asks(made, bootAt, 'cat /kernel8.img'), asks(made, bootAt, 'stat /kernel8.img').match(/User:\s+(\d+)\s+Group:\s+(\d+)/)?.slice(1)], ['kernel\n', ['0', '0']]);
    assert.deepEqual(names(made, made.root, '/boot'), [], 'nothing was written below the boot partition');
    assert.deepEqual(names(made, made.root, '/usr/sbin'), []);
    assert.match(asks(made, made.root, 'stat /etc/resolv.conf'), /Fast link dest: "\.\.\/run\/systemd\/resolve\/stub-resolv\.conf"/);
    assert.deepEqual(names(made, made.root, '/run'), []);
    assert.match(nestbox(['list']).stdout, /^(?!.*image-2024)/s);
  });

test('the same by a machine file, also with a layer above that is thrown away', (t) => {
  const made = image(t, 'mbr');
  const before = snapshot();
  const kept = machine(t, 'image-kept', `[root]\nimage = "${made.path}"\n`);
  succeeds(nestbox(['run', kept, '--', 'sh', '-c', 'echo 1 > /srv/kept; test ! -e /usr/sbin/policy-rc.d || /usr/sbin/policy-rc.d; [ $? = 101 ]']));
  assert.deepEqual([loopsOver(made.path), mistakes(made), names(made, rootAt, '/srv')], [[], [], ['kept']]);
  const thrown = machine(t, 'image-thrown', `ephemeral = true\n[root]\nimage = "${made.path}"\npartition = 2\n`);
  const { stdout, stderr } = succeeds(nestbox(['run', thrown, '--', 'sh', '-c', 'echo 2 > /srv/thrown; ls /srv; cat /boot/cmdline.txt; echo no > /boot/no || echo read-only']));
  assert.equal(stdout, 'kept\nthrown\nconsole=tty1\nread-only\n');
  assert.match(stderr, /image-thrown\.toml:3:1: ephemeral: partition 1 of \S+ is read-only on \/boot; ephemeral = true keeps no changes, and has no layer for it, going on\n/);
  assert.deepEqual([names(made, rootAt, '/srv'), names(made, bootAt, '/')], [['kept'], ['cmdline.txt', 'lost+found']]);
  succeeds(nestbox(['rm', 'image-kept']));
  untouched(made, before);
});

test('a boot partition that this kernel cannot mount (FAT) is told, and the rest goes on', (t) => {
  const made = image(t, 'mbr', 'fat.img', (root) => writeFileSync(`${root}/etc/fstab`, 'PARTUUID=6c586e13-01 /boot vfat defaults 0 2\nLABEL=nowhere /data ext4 defaults 0 2\n'));
  says('mkfs.vfat', '-n', 'BOOTFS', '--offset', `${bootAt / 512}`, made.path, `${15 * 1024}`);
  const driven = spawnSync('modprobe', ['vfat']).status === 0 || readFileSync('/proc/filesystems', 'utf8').includes('vfat');
  const before = snapshot();
  const { stdout, stderr } = succeeds(nestbox(['run', made.path, '--', 'sh', '-c', 'echo 1 > /srv/made; touch /boot/here && stat -c %u /boot/here && rm /boot/here']));
  assert.equal(stdout, '0\n');
  const said = [
    `nestbox: etc/fstab in ${made.path} wants LABEL=nowhere on /data, and there is no such partition in it; what is written to /data stays in the root, going on\n`,
    ...(driven ? [] : [`nestbox: partition 1 of ${made.path} belongs on /boot and is not mounted: this kernel (${says('uname', '-r').trim()}) has no driver for vfat; a kernel that is installed inside does not get there: it would not be started, going on\n`]),
  ];
  assert.deepEqual(said.filter((line) => !stderr.includes(line)), []);
  assert.deepEqual([loopsOver(made.path), differences(before), names(made, rootAt, '/srv')], [[], [], ['made']]);
});

test('a machine is made of an image by create, and a program joins one that runs, which is as its file says', async (t) => {
  const made = image(t, 'mbr', 'image-made.img');
  const before = snapshot();
  t.after(() => nestbox(['rm', 'image-made']));
  assert.match(succeeds(nestbox(['create', made.path])).stderr, /'image-made' is made: nestbox run image-made/);
  assert.match(nestbox(['start', made.path]).stderr, /systemd/);
  succeeds(nestbox(['run', 'image-made', '--', 'true']));
  succeeds(nestbox(['rm', 'image-made']));
  const run = running(t, ['run', made.path, '--', 'sh', '-c', 'echo up; exec sleep 1000']);
  await run.says(/up/);
  assert.equal(succeeds(nestbox(['exec', 'image-made', '--', 'cat', '/boot/cmdline.txt'])).stdout, 'console=tty1\n');
  assert.match(succeeds(nestbox(['verify', 'image-made'])).stdout, /^image-made has what its file gives it, and nothing else\.$/m);
  succeeds(nestbox(['stop', 'image-made']));
  await run.end(null);
  untouched(made, before);
});

test('a packed image is unpacked once beside it, and is never written to', (t) => {
  const own = folder(t);
  const made = makeImage(own, 'gpt', 'disk.img');
  const packs: [string, string[]][] = [['xz', ['xz', '-0', '-k']], ['gz', ['gzip', '-1', '-k']], ['zst', ['zstd', '-q', '-1', '-k']], ['zip', ['zip', '-q', '-1']]];
  for (const [ending, [pack = '', ...options]] of packs) {
    const at = `${own}/${ending}`;
    mkdirSync(at);
    spawnSync(pack, ending === 'zip' ? [...options, `${at}/disk.img.zip`, 'disk.img'] : [...options, '-c', 'disk.img'], { cwd: own, maxBuffer: 2 ** 28 }).stdout.length > 0 && writeFileSync(`${at}/disk.img.${ending}`, spawnSync(pack, [...options, '-c', 'disk.img'], { cwd: own, maxBuffer: 2 ** 28 }).stdout);
    const packed = `${at}/disk.img.${ending}`;
    const original = sum(packed);
    const before = snapshot();
    const first = succeeds(nestbox(['run', packed, '--', 'sh', '-c', 'echo 1 > /srv/first; ls /srv']));
    assert.match(first.stderr, new RegExp(`^nestbox: unpack ${packed} to ${at}/disk\\.img\n(nestbox:   \\d0 %, \\d+ MiB\n)+`), ending);
    assert.equal(succeeds(nestbox(['run', packed, '--', 'ls', '/srv'])).stdout, 'first\n', `${ending}: what was changed the first time is there`);
    assert.equal(sum(packed), original, ending);
    assert.deepEqual(readdirSync(at).sort(), ['disk.img', `disk.img.${ending}`], 'nothing else is left beside it');
    assert.ok(statSync(`${at}/disk.img`).blocks * 512 < statSync(`${at}/disk.img`).size / 2, 'what is empty in it takes no room');
    untouched({ ...made, path: `${at}/disk.img` }, before, ending);
    rmSync(packed);
    assert.equal(succeeds(nestbox(['run', packed, '--', 'ls', '/srv'])).stdout, 'first\n', 'what was unpacked is found where the packed one is gone');
    rmSync(at, { recursive: true });
  }
});

test('a packed image that is cut off or damaged leaves nothing beside it', (t) => {
  const own = folder(t);
  makeImage(own, 'none', 'disk.img');
  for (const [ending, ...pack] of [['xz', 'xz', '-0'], ['gz', 'gzip', '-1'], ['zst', 'zstd', '-q', '-1'], ['zip', 'zip', '-q', '-1', '-']] as const) {
    const [name, ...words] = pack;
    const at = `${own}/${ending}`;
    mkdirSync(at);
    const bytes = spawnSync(name, ending === 'zip' ? [...words, 'disk.img'] : [...words, '-c', 'disk.img'], { cwd: own, maxBuffer: 2 ** 28 }).stdout;
    writeFileSync(`${at}/disk.img.${ending}`, bytes.subarray(0, bytes.length - 2000));
    const { status, stderr } = nestbox(['run', `${at}/disk.img.${ending}`, '--', 'true']);
    assert.equal(status, 1, ending);
    assert.match(stderr, /cut off|damaged|cannot unpack|no image that is packed/, ending);
    assert.deepEqual(readdirSync(at), [`disk.img.${ending}`]);
  }
});

test('unpacking that is killed leaves what clean removes, and the next run begins anew', async (t) => {
  const own = folder(t);
  makeImage(own, 'none', 'disk.img', (root) => writeFileSync(`${root}/srv/noise`, Buffer.from(Array.from({ length: 2 ** 23 }, (_, i) => (i * 2654435761) >>> 13 & 255))));
  says('xz', '-6', `${own}/disk.img`);
  const before = snapshot();
  const run = running(t, ['run', `${own}/disk.img.xz`, '--', 'true']);
  while (!existsSync(`${own}/disk.img.unpacking`)) await new Promise((resolve) => setTimeout(resolve, 2)); // made by the run, at its own time
  await run.end('SIGKILL');
  assert.deepEqual(readdirSync(own).sort(), ['disk.img.unpacking', 'disk.img.xz']);
  succeeds(nestbox(['clean', 'disk']));
  assert.deepEqual(readdirSync(own), ['disk.img.xz']);
  assert.deepEqual(differences(before), []);
  succeeds(nestbox(['run', `${own}/disk.img.xz`, '--', 'true']));
});

test('where two partitions hold a root, one is to be named', (t) => {
  const own = folder(t);
  const made = makeImage(own, 'mbr');
  says('mke2fs', '-q', '-F', '-t', 'ext4', '-d', (() => { const at = `${own}/other`; mkdirSync(`${at}/etc`, { recursive: true }); for (const name of ['usr/bin', 'sbin', 'bin']) mkdirSync(`${at}/${name}`, { recursive: true }); says('cp', '/bin/busybox', `${at}/bin/sh`); writeFileSync(`${at}/etc/os-release`, 'ID=rescue\n'); return at; })(), '-E', `offset=${bootAt}`, made.path, '15360k');
  const { status, stderr } = nestbox(['run', made.path, '--', 'true']);
  assert.equal(status, 1);
  assert.equal(stderr, `nestbox: more than one partition of ${made.path} holds a root file system: 1 (ext4, a root), 2 (ext4, a root)\n  partition = 1 in [root] (or nestbox run --partition 1 ${made.path}) takes one of them\n`);
  assert.match(succeeds(nestbox(['run', '--partition', '2', made.path, '--', 'cat', '/etc/os-release'])).stdout, /ID=tiny/);
  assert.match(succeeds(nestbox(['run', '--partition', '1', made.path, '--', 'sh', '-c', 'while read -r line; do echo $line; done < /etc/os-release'])).stdout, /ID=rescue/);
  const none = nestbox(['run', '--partition', '7', made.path, '--', 'true']);
  assert.match(none.stderr, /^nestbox: there is no partition 7 in \S+\n {2}there is 1 \(ext4, a root\), 2 \(ext4, a root\)\n$/);
  assert.deepEqual(mistakes(made), []);
});

test('an image that somebody else has is refused, with where', async (t) => {
  const made = image(t, 'mbr', 'used.img');
  const refused = (): string => {
    const { status, stderr } = nestbox(['run', made.path, '--', 'true']);
    assert.equal(status, 1, stderr);
    return stderr;
  };
  const loop = says('losetup', '--find', '--show', '--offset', `${rootAt}`, made.path).trim();
  try {
    assert.equal(refused(), `nestbox: ${made.path} is in use: ${loop} is over it\n  losetup --detach ${loop}, when nothing of it is needed any more\n`);
    const at = folder(t);
    says('mount', loop, at);
    try {
      assert.equal(refused(), `nestbox: ${made.path} is mounted on ${at}\n  umount ${at}\n`);
    } finally {
      says('umount', at);
    }
  } finally {
    detach(loop);
  }
  const run = running(t, ['run', made.path, '--', 'sh', '-c', 'echo up; exec sleep 1000']);
  await run.says(/up/);
  assert.match(refused(), /^nestbox: the machine 'used' is running \(process \d+\)\n/);
  const other = nestbox(['run', machine(t, 'image-other', `[root]\nimage = "${made.path}"\n`), '--', 'true']);
  assert.match(other.stderr, /\[?root\.image: \S+used\.img is (in use by the machine 'used'|mounted on \/var\/lib\/machines\/used)/);
  await run.end('SIGTERM');
  succeeds(nestbox(['run', made.path, '--', 'true']));
  assert.deepEqual(mistakes(made), []);
});

test('of machines that take one image at the same moment one gets it', async (t) => {
  const made = image(t, 'mbr');
  const before = snapshot();
  const files = ['one', 'two', 'three'].map((name) => machine(t, `image-${name}`, `ephemeral = true\n[root]\nimage = "${made.path}"\n`));
  const runs = files.map((file) => running(t, ['run', file, '--', 'sh', '-c', 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done']));
  // Whoever gets it keeps it until the others have been refused.
  const refused = () => runs.filter(({ child }) => child.exitCode !== null);
  for (const limit = Date.now() + 120_000; refused().length < 2; await new Promise((resolve) => setTimeout(resolve, 50))) assert.ok(Date.now() < limit, 'more than one has it');
  const [has = assert.fail('nobody gets it')] = runs.filter((run) => !refused().includes(run));
  await has.says(/up/);
  assert.equal((await has.end()).status, 0, has.stderr());
  for (const run of runs.filter((one) => one !== has)) {
    const { status, stderr } = await run.end(null);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /in use|is mounted on/);
  }
  untouched(made, before);
});

test('killed while a program runs in it, clean takes all back', async (t) => {
  const made = image(t, 'mbr', 'killed.img');
  const before = snapshot();
  const run = running(t, ['run', made.path, '--', 'sh', '-c', 'echo 1 > /srv/written; echo up; while :; do echo more >> /boot/more; done']);
  await run.says(/up/);
  await run.end('SIGKILL');
  succeeds(nestbox(['clean', 'killed']));
  untouched(made, before);
  assert.deepEqual([names(made, rootAt, '/srv'), names(made, rootAt, '/usr/sbin')], [['written'], []]);
});

test('after a power cut the next run takes out of the image what was put there for the one before', async (t) => {
  const made = image(t, 'mbr', 'steps-cut.img');
  const before = snapshot();
  const run = running(t, ['run', made.path, '--', 'sh', '-c', 'echo up; exec sleep 1000']);
  await run.says(/up/);
  await run.end('SIGKILL');
  // What is gone with the boot. The container ends with its nestbox, a moment later.
  for (const at of ['/run/nestbox/steps-cut/image/at-1', '/var/lib/machines/steps-cut']) while (spawnSync('umount', [at]).status !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
  for (const line of loopsOver(made.path)) detach(line.split(':')[0]!);
  says('rm', '-rf', '--one-file-system', '/run/nestbox/steps-cut', '/var/lib/machines/steps-cut');
  assert.deepEqual(names(made, rootAt, '/usr/sbin'), ['policy-rc.d'], 'it is in there');
  assert.match(succeeds(nestbox(['run', made.path, '--', 'true'])).stderr, /an earlier run of 'steps-cut' was cut off: taking back what it left/);
  assert.deepEqual(names(made, rootAt, '/usr/sbin'), []);
  untouched(made, before);
});

test('killed at each step, clean takes all back, and the image is clean', (t) => {
  const made = image(t, 'mbr', 'steps.img');
  const before = snapshot();
  const hook = new URL('./kill-at.cjs', import.meta.url).pathname;
  let n = 1;
  for (; n < 100; n++) {
    const { signal, stderr, status } = spawnSync(process.execPath, ['--require', hook, program, 'run', '--verbose', made.path, '--', 'true'], { encoding: 'utf8', env: { ...process.env, KILL_AT: `step:${n}` }, timeout: 300_000 });
    if (signal !== 'SIGKILL') {
      assert.equal(status, 0, stderr);
      break;
    }
    succeeds(nestbox(['clean', 'steps']));
    untouched(made, before, `killed at step ${n}: ${stderr.trim().split('\n').at(-1)}`);
  }
  t.diagnostic(`killed at ${n - 1} points`);
  assert.ok(n > 20);
});

test('killed at moments that nobody has chosen, clean takes all back, and the image is clean', async (t) => {
  const made = image(t, 'gpt', 'moments.img');
  const before = snapshot();
  const started = Date.now();
  succeeds(nestbox(['run', made.path, '--', 'true']));
  const whole = Date.now() - started;
  let killed = 0;
  for (let i = 0; i < 12; i++) {
    const after = Math.round((whole * (i + 0.5)) / 12);
    const run = running(t, ['run', made.path, '--', 'sh', '-c', 'echo more >> /srv/more; echo more >> /boot/more']);
    await new Promise((resolve) => setTimeout(resolve, after)); // the moment is what is tried
    const { status } = await run.end('SIGKILL');
    killed += status === 0 ? 0 : 1;
    succeeds(nestbox(['clean', 'moments']));
    untouched(made, before, `killed after ${after} ms`);
    assert.deepEqual(names(made, rootAt, '/usr/sbin'), []);
  }
  t.diagnostic(`killed ${killed} times`);
  assert.ok(killed > 1); // how many depends on the computer
});

test('a package that is installed in the image of a Debian does not start its service', (t) => {
  create(t, 'image-debian', debian);
  const own = folder(t);
  const path = `${own}/debian.img`;
  writeFileSync(path, '');
  truncateSync(path, 1200 * 2 ** 20);
  says('mke2fs', '-q', '-F', '-t', 'ext4', '-d', templateOf('image-debian'), path);
  const made: Made = { path, kind: 'none', root: 0 };
  for (const [file, text] of [
    ['DEBIAN/control', 'Package: nestbox-test-service\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: starts something\n'],
    ['DEBIAN/postinst', '#!/bin/sh\nset -e\nupdate-rc.d nestbox-test-service defaults\ninvoke-rc.d nestbox-test-service start\n'],
    ['etc/init.d/nestbox-test-service', '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: nestbox-test-service\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\necho "$1" >> /srv/done\n'],
  ] as const) {
    mkdirSync(dirname(`${own}/package/${file}`), { recursive: true });
    writeFileSync(`${own}/package/${file}`, text, { mode: text.startsWith('#!') ? 0o755 : 0o644 });
  }
  says('dpkg-deb', '--build', '--root-owner-group', `${own}/package`, `${own}/package.deb`);
  const file = machine(t, 'image-apt', `files = ["${own}/package.deb"]\n[root]\nimage = "${path}"\n`);
  const { stdout, stderr } = succeeds(nestbox(['run', file, '--', 'sh', '-c', `dpkg -i ${own}/package.deb; ls /srv; dpkg-query -W nestbox-test-service; invoke-rc.d nestbox-test-service start; echo $?`]));
  assert.match(`${stdout}${stderr}`, /policy-rc\.d denied execution of start/);
  assert.match(stdout, /nestbox-test-service\t1\n/);
  assert.deepEqual(names(made, 0, '/srv'), []);
  // Without its word the same package does start it: the test would else be none.
  succeeds(nestbox(['run', machine(t, 'image-allowed', `files = [{ path = "/bin/true", to = "/usr/sbin/policy-rc.d" }]\nnetwork = "none"\n[root]\nimage = "${path}"\n`), '--', 'invoke-rc.d', 'nestbox-test-service', 'start']));
  assert.deepEqual(names(made, 0, '/srv'), ['done']);
  for (const name of ['image-apt', 'image-allowed']) succeeds(nestbox(['rm', name]));
  assert.deepEqual([mistakes(made), loopsOver(path)], [[], []]);
});

test('damaged images are refused, and not a byte of them is changed', (t) => {
  const own = folder(t);
  const damage: [string, (path: string) => void, RegExp][] = [
    ['cut-off', (path) => truncateSync(path, 30 * 2 ** 20), /the partition table of \S+ is damaged: partition 2 ends at byte \d+, and the image at 31457280/],
    ['no-file-system', (path) => says('dd', 'if=/dev/zero', `of=${path}`, 'bs=1M', 'seek=20', 'count=1', 'conv=notrunc', 'status=none'), /no partition of \S+ holds a root file system: 1 \(ext4, 'bootfs'\), 2 \(nothing that is known\)/],
    ['wrong-inodes', (path) => says('debugfs', '-w', '-R', 'set_super_value inodes_per_group 99999999', `${path}?offset=${rootAt}`), /holds|damaged|errors that are not repaired/],
  ];
  for (const [name, break_, pattern] of damage) {
    const made = makeImage(own, 'mbr', `${name}.img`);
    break_(made.path);
    const before = [sum(made.path), snapshot()] as const;
    const { status, stderr } = nestbox(['run', made.path, '--', 'true']);
    assert.equal(status, 1, name);
    assert.match(stderr, pattern);
    assert.equal(sum(made.path), before[0], name);
    assert.deepEqual(differences(before[1]), []);
  }
});

test('an image is mounted to be looked at from outside, and nobody else may have it meanwhile', (t) => {
  const made = image(t, 'mbr', 'mounted.img', (root) => writeFileSync(`${root}/usr/bin/as-root`, '', { mode: 0o755 }));
  const at = `${folder(t)}/mounted-here`;
  const before = snapshot();
  assert.match(succeeds(nestbox(['image', 'mount', made.path, at])).stdout, /^partition 2 of \S+mounted\.img is on \S+mounted-here, 1 on \/boot; nestbox image unmount \S+\n$/);
  const isThere = existsSync(`${at}/etc/fstab`) && existsSync(`${at}/boot/cmdline.txt`);
  const flags = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.includes(at)).map((line) => line.split(' ')[5]);
  writeFileSync(`${at}/srv/from-outside`, 'x');
  const run = nestbox(['run', made.path, '--', 'true']);
  const grow = nestbox(['image', 'grow', made.path, '+16M']);
  succeeds(nestbox(['image', 'unmount', made.path]));
  assert.ok(isThere);
  assert.deepEqual(flags, ['rw,nosuid,nodev', 'rw,nosuid,nodev'].map((word) => `${word},relatime`));
  assert.deepEqual([run.status, grow.status], [1, 1]);
  assert.equal(run.stderr, `nestbox: ${made.path} is mounted to be looked at\n  nestbox image unmount ${made.path}\n`);
  assert.match(grow.stderr, /mounted\.img is in use: /);
  untouched(made, before);
  assert.deepEqual([existsSync(at), names(made, rootAt, '/srv')], [false, ['from-outside']]);
  assert.match(nestbox(['image', 'unmount', made.path]).stderr, /is not mounted by nestbox/);
  mkdirSync(at); // one of the person's stays
  succeeds(nestbox(['image', 'mount', made.path, at]));
  succeeds(nestbox(['image', 'unmount', made.path]));
  assert.deepEqual(readdirSync(at), []);
});

test('a disk is taken as an image is, unless something of it is mounted', (t) => {
  const made = image(t, 'mbr', 'card.img');
  const disk = says('losetup', '--find', '--show', made.path).trim();
  try {
    const before = snapshot();
    assert.equal(succeeds(nestbox(['run', disk, '--', 'sh', '-c', 'echo card > /srv/card; cat /boot/cmdline.txt'])).stdout, 'console=tty1\n');
    assert.deepEqual(differences(before), []);
    says('partx', '--add', disk);
    const at = folder(t);
    says('mount', '-o', 'ro', `${disk}p2`, at);
    try {
      const { status, stderr } = nestbox(['run', disk, '--', 'true']);
      assert.deepEqual([status, stderr], [1, `nestbox: ${disk} is mounted on ${at}\n  umount ${at}\n`]);
    } finally {
      says('umount', at);
    }
  } finally {
    spawnSync('partx', ['--delete', disk]);
    detach(disk);
  }
  assert.deepEqual([asks(made, rootAt, 'cat /srv/card'), mistakes(made), left('loop')], ['card\n', [], []]);
});

test('an image with LVM in it: the volume with the root, and another where its fstab says', (t) => {
  const made = image(t, 'none', 'lvm.img', (root) => {
    mkdirSync(`${root}/home`, { recursive: true });
    writeFileSync(`${root}/etc/fstab`, '/dev/mapper/deb--ian-root / ext4 defaults 0 1\n/dev/deb-ian/home /home ext4 defaults 0 2\n');
  });
  // The file system of 63 MiB becomes a volume of 16 extents behind the other.
  const path = `${folder(t)}/group.img`;
  const [homeAt, at] = [firstExtent, firstExtent + 2 * extent];
  writeFileSync(path, lvmHead('deb-ian', { home: [{ from: 0, count: 2 }], root: [{ from: 2, count: 16 }], apart: [{ from: 18, count: 1 }, { from: 20, count: 1 }] }, 24));
  truncateSync(path, firstExtent + 24 * extent);
  says('dd', `if=${made.path}`, `of=${path}`, 'bs=1M', `seek=${at / 2 ** 20}`, 'conv=notrunc,sparse', 'status=none');
  says('mke2fs', '-q', '-t', 'ext4', '-E', `offset=${homeAt}`, path, '8M');
  const group = { path, kind: 'none' as const, root: at };
  const before = snapshot();
  assert.equal(succeeds(nestbox(['run', path, '--', 'sh', '-c', 'echo 1 > /home/made; echo 2 > /srv/made; id -u'])).stdout, '0\n');
  untouched(group, before);
  assert.deepEqual([asks(group, homeAt, 'cat /made'), asks(group, at, 'cat /srv/made')], ['1\n', '2\n']);
  const named = machine(t, 'image-lvm', `ephemeral = true\n[root]\nimage = "${path}"\nlogical-volume = "apart"\n`);
  assert.match(nestbox(['run', named, '--', 'true']).stderr, /deb-ian\/apart in \S+ cannot be opened by itself: it is in several pieces\n {2}losetup --find --show/);
  const look = `${folder(t)}/look`;
  succeeds(nestbox(['image', 'mount', path, look]));
  assert.equal(readFileSync(`${look}/home/made`, 'utf8'), '1\n');
  succeeds(nestbox(['image', 'unmount', path]));
  untouched(group, before);
});
