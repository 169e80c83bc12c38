import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { folder } from '../nestbox.ts';
import { type Computer, newest, power } from './computer.ts';

/** What needs a kernel that knows FAT, partitions and device mapper: a card with a boot partition, and an encrypted partition. */

const bootAt = 4 * 2 ** 20;
const bootSize = 16 * 2 ** 20;

/** A boot partition as firmware reads it. */
function bootPartition(own: string): Buffer {
  const path = `${own}/boot`;
  execFileSync('mkfs.vfat', ['-C', '-n', 'bootfs', path, `${bootSize / 1024}`], { stdio: 'ignore' });
  execFileSync('mcopy', ['-i', path, '-', '::cmdline.txt'], { input: 'console=tty1\n' });
  return readFileSync(path);
}

/** Makes /root/tree, a root with the few programs that the tests use. */
const tree = `
  mkdir -p /root/tree; cd /srv/roots/debian
  cp -a --parents bin sbin lib lib64 usr/lib64 usr/sbin usr/bin/sh usr/bin/dash usr/bin/sleep usr/bin/id usr/bin/touch usr/bin/cat usr/bin/stat usr/bin/getent usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libselinux.so.1 usr/lib/x86_64-linux-gnu/libpcre2-8.so.0* etc/passwd etc/group etc/shadow etc/os-release usr/lib/os-release /root/tree
  cd /root/tree; mkdir -p root home proc sys dev run tmp srv var/lib/dpkg boot/firmware
  echo 'PARTUUID=6c586e13-01 /boot/firmware vfat defaults 0 2' > etc/fstab; echo 'PARTUUID=6c586e13-02 / ext4 defaults 0 1' >> etc/fstab`;

/** What is attached or mounted of it. */
const left = (computer: Computer): Promise<string> => computer.does('sh', '-c', `
  losetup --list --noheadings --output NAME,BACK-FILE; dmsetup ls | grep -v 'No devices'; grep -E 'vdc|loop|mapper' /proc/self/mountinfo; ls -A /var/lib/machines /run/nestbox /run/nestbox-services 2>/dev/null | grep -v ':$'; true`).then((text) => text.trim());

for (const host of newest)
  test(`${host}: a card with a boot partition (FAT), in a program's run and as a service, and an encrypted partition`, async (t) => {
    const computer = await power(t, host);
    await computer.does('sh', '-ec', tree);
    await computer.write('/root/boot.gz', gzipSync(bootPartition(folder(t))));
    await computer.does('sh', '-ec', `printf 'label: dos\\nlabel-id: 0x6c586e13\\nstart=${bootAt / 512},size=${bootSize / 512},type=c\\nsize=200M,type=83\\n' | sfdisk --quiet /dev/vdc; udevadm settle
      zcat /root/boot.gz > /dev/vdc1; mke2fs -q -t ext4 -d /root/tree /dev/vdc2; udevadm settle`);
    const clean = async (when: string) => {
      assert.equal(await left(computer), '', when);
      await computer.does('e2fsck', '-fn', '/dev/vdc2');
    };
    const onCard = (device: string, path: string) => computer.does('sh', '-ec', `mount -o ro ${device} /mnt; cat /mnt/${path}; umount /mnt`);

    const first = await computer.run('nestbox', 'run', '/dev/vdc', '--', 'sh', '-c', 'cat /boot/firmware/cmdline.txt; echo kernel > /boot/firmware/kernel8.img; stat -c %u:%g /boot/firmware/kernel8.img; echo 1 > /srv/made; id -u; /usr/sbin/policy-rc.d; echo $?');
    assert.deepEqual([first.status, first.stdout], [0, 'console=tty1\n0:0\n0\n101\n'], first.stderr);
    await clean('after a run');
    assert.deepEqual([await onCard('/dev/vdc1', 'kernel8.img'), await onCard('/dev/vdc2', 'srv/made')], ['kernel\n', '1\n']);

    await computer.does('mount', '-o', 'ro', '/dev/vdc1', '/mnt');
    assert.deepEqual((await computer.run('nestbox', 'run', '/dev/vdc', '--', 'true')).stderr, 'nestbox: /dev/vdc is mounted on /mnt\n  umount /mnt\n');
    await computer.does('umount', '/mnt');
    assert.match((await computer.run('nestbox', 'run', '/dev/vda', '--', 'true')).stderr, /^nestbox: \/dev\/vda has this host's own root\n/);

    // As long as it runs nobody mounts a partition of it; killed, it is taken back.
    const job = computer.start('nestbox', 'run', '/dev/vdc', '--', 'sh', '-c', 'touch /boot/firmware/half; sleep 1000');
    await computer.until('pgrep', '--full', '^sleep 1000');
    assert.match((await computer.run('mount', '/dev/vdc2', '/mnt')).stderr, /busy|already mounted|Can't open blockdev/);
    await computer.does('sh', '-c', 'kill -KILL $(pgrep --full "nestbox[.]cjs run")');
    await job.ended;
    await computer.does('nestbox', 'clean');
    await clean('after a kill');

    await computer.write('/root/card.toml', 'name = "card"\nnetwork = "none"\nrun = ["sleep", "infinity"]\n[root]\nimage = "/dev/vdc"\n');
    await computer.does('nestbox', 'start', '/root/card.toml');
    assert.equal(await computer.does('nestbox', 'exec', 'card', '--', 'cat', '/boot/firmware/cmdline.txt'), 'console=tty1\n');
    assert.match((await computer.run('nestbox', 'run', '/dev/vdc', '--', 'true')).stderr, /\/dev\/vdc is in use by the machine 'card'\n {2}nestbox stop card/);
    await computer.does('nestbox', 'stop', 'card');
    await clean('after a stop');
    await computer.does('nestbox', 'start', '/root/card.toml');
    await computer.does('systemctl', 'stop', 'systemd-nspawn@card.service');
    await computer.does('nestbox', 'stop', 'card');
    await computer.does('nestbox', 'rm', 'card');
    await clean('after systemd has stopped it');

    // An encrypted partition of an image.
    await computer.does('sh', '-ec', `truncate -s 96M /root/safe.img; printf 'label: gpt\\nsize=64M,type=linux\\n' | sfdisk --quiet /root/safe.img
      printf 'horse staple' > /root/key; chmod 600 /root/key; loop=$(losetup --find --show --offset 1048576 --sizelimit 67108864 /root/safe.img)
      cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /root/key "$loop"; cryptsetup open --key-file /root/key "$loop" x
      rm /root/tree/etc/fstab; mke2fs -q -t ext4 -d /root/tree /dev/mapper/x; cryptsetup close x; losetup --detach "$loop"; udevadm settle`); // as long as udev looks at it, it is there
    assert.equal(await left(computer), '');
    const locked = await computer.runWith({ input: 'horse staple\n' }, 'nestbox', 'run', '--passphrase-fd', '0', '/root/safe.img', '--', 'sh', '-c', 'echo 1 > /srv/made; cat /etc/os-release');
    assert.equal(locked.status, 0, locked.stderr);
    assert.match(locked.stdout, /^ID=debian$/m);
    assert.equal(await left(computer), '');
    assert.deepEqual((await computer.runWith({ input: 'wrong\n' }, 'nestbox', 'run', '--passphrase-fd', '0', '/root/safe.img', '--', 'true')).stderr, 'nestbox: the passphrase that was given does not open partition 1 of /root/safe.img\n  nothing has been opened\n');
    assert.equal(await left(computer), '');

    // To be looked at from outside.
    const mounted = await computer.runWith({ input: 'horse staple\n' }, 'nestbox', 'image', 'mount', '--passphrase-fd', '0', '/root/safe.img', '/mnt/safe');
    assert.equal(mounted.status, 0, mounted.stderr);
    assert.equal(await computer.get('/mnt/safe/srv/made'), '1\n');
    assert.match((await computer.run('nestbox', 'image', 'grow', '/root/safe.img', '+8M')).stderr, /is in use/);
    await computer.does('nestbox', 'image', 'unmount', '/root/safe.img');
    assert.equal(await left(computer), '');
    await computer.does('nestbox', 'image', 'mount', '--key-file', '/root/key', '/root/safe.img', '/mnt/safe');
    await computer.does('nestbox', 'image', 'unmount', '/root/safe.img');
    const closed = await computer.runWith({ input: 'wrong\n' }, 'nestbox', 'image', 'mount', '--passphrase-fd', '0', '/root/safe.img', '/mnt/safe');
    assert.deepEqual([closed.status, closed.stderr], [1, 'nestbox: the passphrase that was given does not open partition 1 of /root/safe.img\n  nothing has been opened\n']);
    assert.equal(await left(computer), '');

    // A volume group as LVM itself makes it, of the name of another that this host could have; it is not activated.
    await computer.does('sh', '-ec', `truncate -s 128M /root/group.img; printf 'label: gpt\\nsize=8M,type=linux\\ntype=lvm\\n' | sfdisk --quiet /root/group.img
      loop=$(losetup --find --show --offset 9437184 --sizelimit 121634816 /root/group.img); pvcreate -q "$loop"; vgcreate -q --setautoactivation n debian-vg "$loop"
      lvcreate -q -y -n home -L 8M debian-vg; lvcreate -q -y -n root -L 92M debian-vg; lvextend -q -L +4M debian-vg/root; lvcreate -q -y -n swap_1 -L 4M debian-vg
      echo '/dev/mapper/debian--vg-home /home ext4 defaults 0 2' > /root/tree/etc/fstab
      mke2fs -q -t ext4 -d /root/tree /dev/debian-vg/root; mke2fs -q /dev/debian-vg/home; vgchange -q -an debian-vg; losetup --detach "$loop"; udevadm settle`);
    assert.equal(await left(computer), '');
    const grouped = await computer.run('nestbox', 'run', '/root/group.img', '--', 'sh', '-c', 'touch /home/made; echo 1 > /srv/made; id -u');
    assert.deepEqual([grouped.status, grouped.stdout], [0, '0\n'], grouped.stderr);
    assert.equal(await left(computer), '');
    await computer.does('sh', '-ec', `loop=$(losetup --find --show --offset 9437184 --sizelimit 121634816 /root/group.img); vgchange -q -ay debian-vg; e2fsck -fn /dev/debian-vg/root; mount -o ro /dev/debian-vg/home /mnt; test -e /mnt/made; umount /mnt; mount -o ro /dev/debian-vg/root /mnt; test -e /mnt/srv/made; umount /mnt; vgchange -q -an debian-vg; losetup --detach "$loop"; udevadm settle`);
    assert.equal(await left(computer), '');
  });
