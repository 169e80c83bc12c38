import assert from 'node:assert/strict';
import test from 'node:test';
import type { Report } from '../../src/audit.ts';
import { power } from './computer.ts';

/** What audit tells, tried where keyboards, disks, udev and systemd are real: by a container that nestbox has not made. */

/** Types three times the key A, as a keyboard does: linux/uinput.h, linux/input.h. */
const typing = `open(my $u, "+<", "/dev/uinput") or die "cannot: $!"; ioctl($u, 0x40045564, 1); ioctl($u, 0x40045565, 30);
syswrite($u, pack("a80 S4 L a1024", "hostile", 3, 1, 1, 1, 0, "")); ioctl($u, 0x5501, 0) or die; sleep 2;
for (1..3) { for my $down (1, 0) { syswrite($u, pack("q2 S2 l", 0, 0, 1, 30, $down) . pack("q2 S2 l", 0, 0, 0, 0, 0)); select(undef, undef, undef, 0.1); } } sleep 1; print "typed\\n";`;

test('trixie: what a container of somebody else can do is found by its name, and is so', async (t) => {
  const computer = await power(t, 'trixie');
  const audit = async (...args: string[]) => JSON.parse(await computer.does('nestbox', 'audit', '--json', ...args)) as Report;
  await computer.does('sh', '-ec', 'mkdir /root/links; cd /root/links; mkdir usr etc root proc sys dev run tmp var mnt; for i in bin sbin lib lib64; do ln -s usr/$i $i; done; echo ID=links > etc/os-release; echo root:x:0:0:root:/root:/bin/sh > etc/passwd; modprobe uinput');
  const start = async (name: string, policy: string, ...options: string[]) => {
    await computer.does('systemd-run', '--quiet', `--unit=${name}`, '--property=Delegate=yes', `--property=DevicePolicy=${policy}`, ...(policy === 'closed' ? ['--property=DeviceAllow=char-pts rw'] : []),
      'systemd-nspawn', '--quiet', '--settings=no', '--keep-unit', `--machine=${name}`, '--directory=/root/links', '--bind-ro=/usr', ...options, '--as-pid2', 'sleep', 'infinity');
    await computer.until('machinectl', 'show', name);
  };
  const inside = async (name: string, script: string) => {
    const leader = (await computer.does('machinectl', 'show', '--property=Leader', '--value', name)).trim();
    // In its group as well: that is where the list of devices holds.
    const { stdout, stderr } = await computer.run('sh', '-c', `group=$(sed 's/^0:://' /proc/${leader}/cgroup); echo $$ > /sys/fs/cgroup$group/cgroup.procs; exec nsenter --target ${leader} --all sh -c "$0"`, script);
    return stdout + stderr;
  };

  await start('stranger', 'auto', '--bind=/run/udev');
  const open = await audit('stranger');
  assert.equal(open.level, 'host-equivalent');
  for (const rule of ['host-ids', 'device-list', 'host-network', 'udev-control']) assert.ok(open.findings.some((one) => one.rule === rule), `${rule}: ${JSON.stringify(open.findings.map((one) => one.rule))}`);
  assert.match(await inside('stranger', 'mknod /dev/disk b $(cat /sys/class/block/vda/dev | tr : " "); dd if=/dev/disk bs=512 count=1 of=/dev/null 2>&1'), /512 bytes/);
  const keyboard = await computer.plug('left');
  const [major, minor] = (await computer.does('stat', '--dereference', '--format=%Hr %Lr', keyboard)).trim().split(' ');
  const heard = inside('stranger', `mknod /dev/keyboard c ${major} ${minor}; timeout 60 dd if=/dev/keyboard bs=24 count=1 of=/dev/null 2>&1`);
  // Nobody tells when it listens.
  let isHeard = false;
  void heard.finally(() => { isHeard = true; });
  for (; !isHeard; await computer.run('sleep', '0.5')) await computer.press('b');
  assert.match(await heard, /24 bytes/);
  const typed = inside('stranger', `mknod /dev/uinput c 10 223; perl -e '${typing}'`);
  assert.match(await typed, /typed/);
  await computer.tells(/aaa/, 'cat', '/dev/vcs'); // on the screen of the host
  assert.match(await inside('stranger', 'SYSTEMD_IGNORE_CHROOT=1 udevadm control --property=HOSTILE=yes && echo told'), /^told$/m, "the host's udev takes the command");
});
