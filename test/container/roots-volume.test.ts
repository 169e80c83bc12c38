import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, nestbox, program } from '../nestbox.ts';
import { create, detach, inside, left, listing, machine, says, succeeds, tinyRoot } from '../roots.ts';

/** Roots on block devices. What needs the device mapper, encryption and logical volumes, is the lab's: test/lab/volume.test.ts. */

const hook = new URL('./kill-at.cjs', import.meta.url).pathname;

/** A loop device with a small root on it, for the length of the test. */
function disk(t: TestContext): string {
  const own = folder(t);
  tinyRoot(`${own}/root`);
  says('mke2fs', '-q', '-t', 'ext4', '-d', `${own}/root`, `${own}/disk`, '32M');
  const device = says('losetup', '--find', '--show', `${own}/disk`).trim();
  t.after(() => detach(device));
  return device;
}

/** What is on it, by a mount of the test's own. */
function seen<T>(t: TestContext, device: string, look: (path: string) => T): T {
  const at = folder(t);
  says('mount', device, at);
  try {
    return look(at);
  } finally {
    says('umount', at);
  }
}

/** Times are not compared, nor what mke2fs itself has made. */
const contents = (path: string): string[] => listing(path).filter((line) => !line.startsWith('lost+found')).map((line) => line.replace(/\|\d{9,}\.\d+\|/, '|'));

test('a file system on a block device is mounted while the machine runs, and what was added to it is taken out when it is removed', (t) => {
  const device = disk(t);
  const before = seen(t, device, contents);
  create(t, 'roots-volume', `user = "tester"\n[root]\nvolume = "${device}"\n`);
  assert.ok(!existsSync('/var/lib/machines/roots-volume'));
  const said = inside('roots-volume', 'sh', '-c', 'id -un; grep " / / " /proc/self/mountinfo; echo made > ~/made');
  assert.match(said, new RegExp(`^tester\\n.* / / .*nodev.* - ext4 ${device} `));
  assert.equal(inside('roots-volume', 'cat', '/home/tester/made'), 'made\n');
  assert.equal(seen(t, device, (path) => says('stat', '--format=%u', `${path}/home/tester/made`)), '1000\n');
  assert.match(nestbox(['list']).stdout, new RegExp(`roots-volume +ready .* ${device} `));
  seen(t, device, (path) => rmSync(`${path}/home/tester/made`));
  succeeds(nestbox(['rm', 'roots-volume']));
  assert.deepEqual(left('roots-volume'), []);
  assert.ok(!existsSync('/var/lib/machines/roots-volume'));
  assert.deepEqual(seen(t, device, contents), before);
});

test('a device that is mounted elsewhere, that has no file system, or a broken one, is refused, and so is a place that is taken', (t) => {
  const device = disk(t);
  const file = machine(t, 'roots-volume', `[root]\nvolume = "${device}"\n`);
  const refused = () => {
    const { status, stderr } = nestbox(['run', file, '--', 'true']);
    assert.equal(status, 1, stderr);
    assert.deepEqual(left('roots-volume'), []);
    return stderr;
  };
  const at = folder(t);
  says('mount', device, at);
  assert.match(refused(), new RegExp(`root\\.volume: ${device} is mounted on ${at}\n {2}umount ${at}`));
  says('umount', at);

  mkdirSync('/var/lib/machines/roots-volume', { recursive: true });
  writeFileSync('/var/lib/machines/roots-volume/mine', '');
  assert.match(refused(), /\/var\/lib\/machines\/roots-volume is there already/);
  rmSync('/var/lib/machines/roots-volume/mine');
  succeeds(nestbox(['run', file, '--', 'true'])); // an empty folder is no harm
  assert.ok(!existsSync('/var/lib/machines/roots-volume'));

  says('debugfs', '-w', '-R', 'clri <2>', device); // its uppermost folder
  says('debugfs', '-w', '-R', 'ssv state 2', device); // "errors were found"
  const { status, stderr } = nestbox(['run', file, '--', 'true']);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`the file system on ${device} has errors that are not repaired without being asked\n {2}e2fsck -f ${device}\n`));
  assert.match(succeeds(nestbox(['rm', 'roots-volume'])).stderr, /has errors [^\n]*: what was put into the root of 'roots-volume' stays in it, going on\n$/);
  says('dd', 'if=/dev/zero', `of=${device}`, 'bs=1M', 'count=8', 'conv=fsync', 'status=none');
  assert.match(refused(), new RegExp(`${device} holds nothing that nestbox knows`));
});

test('wherever nestbox is killed, clean unmounts the device', (t) => {
  const device = disk(t);
  const file = create(t, 'roots-volume', `user = "tester"\n[root]\nvolume = "${device}"\n`);
  for (const point of ['step', 'journal']) {
    const before = left('roots-volume'); // the machine itself
    let n = 1;
    for (; n < 60; n++) {
      const { signal, stderr, status } = spawnSync(process.execPath, ['--require', hook, program, 'run', '--verbose', file, '--', 'true'], { encoding: 'utf8', env: { ...process.env, KILL_AT: `${point}:${n}` }, timeout: 300_000 });
      if (signal !== 'SIGKILL') {
        assert.equal(status, 0, stderr);
        break;
      }
      succeeds(nestbox(['clean']));
      assert.deepEqual(left('roots-volume'), before, `${point} ${n}: ${stderr.trim().split('\n').at(-1)}`);
      assert.ok(!existsSync('/var/lib/machines/roots-volume'), `${point} ${n}`);
    }
    assert.ok(n > 3, `killed at ${n - 1} points`);
  }
});

test('a passphrase that is not there, or of nobody, opens nothing', (t) => {
  const key = `${folder(t)}/key`;
  writeFileSync(key, 'secret', { mode: 0o644 });
  const file = machine(t, 'roots-volume', `[root]\nluks = "${key}"\nkey-file = "${key}"\n`);
  const { status, stderr } = nestbox(['run', file]);
  assert.equal(status, 1);
  assert.match(stderr, /'cryptsetup' is not installed|root\.luks: .* holds no LUKS[\s\S]*root\.key-file: others than root can read/);
  const descriptor = nestbox(['run', '--passphrase-fd', '77', file]);
  assert.deepEqual([descriptor.status, descriptor.stderr], [1, 'nestbox: --passphrase-fd 77: no such descriptor is open\n  nestbox ... --passphrase-fd 3 3< FILE\n']);
  if (existsSync('/var/lib/machines/roots-volume')) rmdirSync('/var/lib/machines/roots-volume');
  assert.deepEqual(left('roots-volume'), []);
});
