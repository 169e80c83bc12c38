import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { diskImage, type Made, MiB } from '../disk-images.ts';
import { folder, nestbox, running } from '../nestbox.ts';
import { create, machine, says, succeeds, templateOf } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** Images as a Raspberry Pi has them, with a Debian for another processor: used, and booted. */

const skip = ['arm', 'arm64'].includes(process.arch) && 'this processor runs them by itself';

/** With the Debian of foreign.test.ts, or the like for 32 bits. */
function image(t: TestContext, architecture: string): Made {
  const name = `pi-of-${architecture}`;
  create(t, name, `boot = true\nnetwork = "none"\n[root]\ndebian = "bookworm"\narchitecture = "${architecture}"\n${architecture === 'armhf' ? 'mirror = "http://deb.debian.org/debian"\n' : ''}`);
  return diskImage(`${folder(t)}/pi.img`, templateOf(name), { size: 1400 * MiB });
}

/** A package with a program for that processor. */
function packed(t: TestContext, architecture: string): string {
  const own = folder(t);
  mkdirSync(`${own}/package/DEBIAN`, { recursive: true });
  mkdirSync(`${own}/package/usr/bin`, { recursive: true });
  writeFileSync(`${own}/package/DEBIAN/control`, `Package: nestbox-test-echo\nVersion: 1\nArchitecture: ${architecture}\nMaintainer: nobody\nDescription: says it\n`);
  cpSync(`${templateOf(`pi-of-${architecture}`)}/usr/bin/echo`, `${own}/package/usr/bin/says-it`);
  says('dpkg-deb', '--build', '--root-owner-group', `${own}/package`, `${own}/package.deb`);
  return `${own}/package.deb`;
}

/** What e2fsck finds in the image's root, and what a file in it says: without nestbox. */
const isClean = ({ path, start }: Made) => spawnSync('e2fsck', ['-fn', `${path}?offset=${start}`]).status === 0;
const reads = ({ path, start }: Made, file: string) => spawnSync('debugfs', ['-R', `cat ${file}`, `${path}?offset=${start}`], { encoding: 'utf8' }).stdout;

for (const [architecture, processor] of [['arm64', 'aarch64'], ['armhf', 'armv7l']] as const)
  test(`an image of a Pi (${architecture}): its processor, a package that is installed, and its program; and it is as its file says`, { skip }, async (t) => {
    const made = image(t, architecture);
    const deb = packed(t, architecture);
    const before = snapshot();
    const file = machine(t, 'used-pi', `files = ["${deb}"]\nnetwork = "none"\n[root]\nimage = "${made.path}"\n`);
    const run = (...argv: string[]) => succeeds(nestbox(['run', file, '--', ...argv], { timeout: 1_200_000 })).stdout;
    const said = run('sh', '-ec', `uname -m; apt-get install -y --no-install-recommends ${deb} > /srv/log 2>&1; says-it installed; dpkg --audit`);
    assert.equal(said, `${processor}\ninstalled\n`, reads(made, '/srv/log'));
    assert.equal(run('says-it', 'again'), 'again\n');
    const waits = running(t, ['run', file, '--', 'sh', '-c', 'echo up; exec sleep 1000']);
    await waits.says(/up/);
    assert.match(succeeds(nestbox(['verify', 'used-pi'])).stdout, /^used-pi has what its file gives it, and nothing else\.$/m);
    await waits.end();
    succeeds(nestbox(['rm', 'used-pi']));
    assert.deepEqual(differences(before), []);
    assert.ok(isClean(made));
    assert.match(reads(made, '/var/lib/dpkg/status'), /Package: nestbox-test-echo\nStatus: install ok installed/);
    const { systems } = JSON.parse(succeeds(nestbox(['image', 'info', '--json', made.path])).stdout) as { systems: { architecture: string; distribution: string }[] };
    assert.deepEqual(systems.map((one) => [one.architecture, one.distribution.split(' ')[0]]), [[architecture, 'Debian']]);
  });

test('an image of a Pi boots its own init under emulation, and ends in order', { skip }, (t) => {
  const made = image(t, 'arm64');
  const unit = `${folder(t)}/says.service`;
  writeFileSync(unit, '[Unit]\nAfter=basic.target systemd-tmpfiles-setup.service\n[Service]\nType=oneshot\nExecStart=/bin/sh -c "(uname -m; systemctl --failed --no-legend --plain) > /srv/up"\nExecStart=systemctl poweroff --no-block\n');
  const before = snapshot();
  const file = machine(t, 'pi-boots', `boot = true\nnetwork = "none"\nparameters = ["systemd.wants=says.service"]\nfiles = [{ path = "${unit}", to = "/etc/systemd/system/says.service" }]\n[root]\nimage = "${made.path}"\n`);
  succeeds(nestbox(['run', file], { timeout: 1_200_000 }));
  assert.equal(reads(made, '/srv/up'), 'aarch64\n');
  succeeds(nestbox(['rm', 'pi-boots']));
  assert.deepEqual(differences(before), []);
  assert.ok(isClean(made));
  rmSync(unit);
});
