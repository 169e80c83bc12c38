import assert from 'node:assert/strict';
import test from 'node:test';
import { type Computer, newest, power } from './computer.ts';

/** Roots on encrypted and logical volumes: device mapper is in no container, and there are computers that have none. */

const passphrase = 'horse staple';

/** A volume group on a sparse file, comes up with the computer, late; its volumes are activated by nobody. `work` is LUKS 2, `old` LUKS 1, `plain` is not encrypted; file.img is LUKS 2. */
const disks = (workSize: number): string => `
  truncate -s 900M /root/disk.img
  losetup /dev/loop0 /root/disk.img
  pvcreate -q /dev/loop0; vgcreate -q vg /dev/loop0
  lvcreate -q -y -n work -L ${workSize}M vg; lvcreate -q -y -n old -L 32M vg; lvcreate -q -y -n plain -L 32M vg
  lvchange -q --setautoactivation n vg/work vg/old vg/plain
  truncate -s 48M /root/file.img
  printf '${passphrase}' > /root/key; chmod 600 /root/key
  fast='--pbkdf-force-iterations 1000 --key-file /root/key'
  cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 $fast /dev/vg/work
  cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 $fast /root/file.img
  cryptsetup luksFormat -q --type luks1 $fast /dev/vg/old
  mkdir /mnt/x
  small() { mkdir -p "$1/etc" "$1/root" "$1/home"; cd /srv/roots/debian; cp -a --parents bin sbin lib lib64 usr/lib64 usr/bin/sh usr/bin/dash usr/bin/sleep usr/bin/id usr/bin/touch usr/bin/cat usr/bin/getent usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libselinux.so.1 usr/lib/x86_64-linux-gnu/libpcre2-8.so.0* etc/passwd etc/group etc/shadow "$1"; cd /root; }
  whole() { cp -a /srv/roots/debian/. "$1"; }
  fill() { mkfs.ext4 -q "$1"; mount "$1" /mnt/x; "$2" /mnt/x; umount /mnt/x; }
  inside() { cryptsetup open --key-file /root/key "$1" x; fill /dev/mapper/x "$2"; cryptsetup close x; }
  inside /dev/vg/old small; inside /root/file.img small; fill /dev/vg/plain small`;

const set = (computer: Computer, workSize: number, root: 'small' | 'whole') => computer.does('sh', '-ec', `cd /root; ${disks(workSize)}\ninside /dev/vg/work ${root}; vgchange -q -an vg`);

const machine = (root: string, more = '') => `name = "work"\nnetwork = "none"\n${more}\n[root]\n${root}\n`;

/** What is open, mounted or active of it. */
const open = (computer: Computer): Promise<string> => computer.does('sh', '-c', `
  dmsetup ls | cut -f1; grep -E 'mapper|/dev/vg' /proc/self/mountinfo; losetup --list --noheadings --output NAME | grep -v loop0; ls -A /var/lib/machines 2>/dev/null; ls -A /run/nestbox /run/nestbox-services 2>/dev/null; true`);
const closed = (text: string) => text.replace('No devices found\n', '');

/** Answers whoever asks for a passphrase by systemd's agents, as Plymouth would. */
const answer = async (computer: Computer, word: string): Promise<void> => {
  await computer.until('sh', '-c', 'grep -q ^Id=nestbox:work /run/systemd/ask-password/ask.*');
  await computer.does('sh', '-ec', `socket=$(sed -n 's/^Socket=//p' /run/systemd/ask-password/ask.*); question=$(ls /run/systemd/ask-password/ask.*)
    printf '%s' '${word}' | /usr/lib/systemd/systemd-reply-password 1 "$socket"; while [ -e "$question" ]; do sleep 0.05; done`);
};

for (const host of newest) {
  test(`${host}: a program in the root on a volume, which is open only while it runs`, async (t) => {
    const computer = await power(t, host);
    await set(computer, 48, 'small');
    const run = (file: string, input: string, ...argv: string[]) => computer.runWith({ input }, 'nestbox', 'run', '--passphrase-fd', '0', file, '--', ...argv);
    await computer.write('/root/work.toml', machine('luks = "/dev/vg/work"', 'user = "guest"'));
    assert.equal(closed(await open(computer)), '');

    assert.match(await computer.does('nestbox', 'plan', '/root/work.toml'), /open \/dev\/vg\/work \(LUKS\) as nestbox-work with a passphrase/);
    const first = await run('/root/work.toml', `${passphrase}\n`, 'sh', '-c', 'id -un; touch ~/here; cat /proc/self/mountinfo');
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /^guest\n[\s\S]* \/ \/ .*nodev.* - ext4 \/dev\/(mapper\/nestbox-work|dm-\d+) /);
    assert.equal(closed(await open(computer)), '');
    assert.equal((await run('/root/work.toml', passphrase, 'cat', '/home/guest/here')).status, 0);

    // With a layer that is thrown away; and made in advance, to be used by its name.
    await computer.write('/root/passing.toml', machine('luks = "/dev/vg/work"', 'ephemeral = true').replace('work', 'passing'));
    assert.equal((await run('/root/passing.toml', passphrase, 'touch', '/root/gone')).status, 0);
    await computer.write('/root/made.toml', machine('luks = "/dev/vg/old"').replace('work', 'made'));
    const created = await computer.runWith({ input: passphrase }, 'nestbox', 'create', '--passphrase-fd', '0', '/root/made.toml');
    assert.equal(created.status, 0, created.stderr);
    assert.equal(closed(await open(computer)), '');
    assert.equal(await computer.get('/etc/nestbox/made.toml'), await computer.get('/root/made.toml'));
    assert.equal((await run('made', passphrase, 'sh', '-c', '[ ! -e /root/gone ]')).status, 0);
    await computer.runWith({ input: passphrase }, 'nestbox', 'rm', '--passphrase-fd', '0', 'made');

    // Nowhere but in the pipe.
    const job = computer.start('sh', '-c', `exec nestbox run -v --passphrase-fd 3 /root/work.toml -- sleep 1000 3< /root/key`);
    await computer.until('pgrep', '--full', '^sleep 1000');
    assert.equal(await computer.does('sh', '-c', `grep -la 'horse[ ]staple' /proc/[0-9]*/cmdline /proc/[0-9]*/environ /run/nestbox/*/* /var/lib/nestbox/*/* /var/lib/nestbox/machines/work/* 2>/dev/null; journalctl --quiet --no-pager --grep 'horse[ ]staple' | head -5; true`), '');
    await computer.write('/root/other.toml', machine('luks = "/dev/vg/work"').replace('work', 'other'));
    const second = await computer.run('nestbox', 'run', '/root/other.toml');
    assert.match(second.stderr, /\/dev\/vg\/work is in use by the machine 'work'\n {2}nestbox stop work/);

    // A crash: somebody is still in it on the host as well, and the close waits for the end of that.
    await computer.does('sh', '-c', 'cd /var/lib/machines/work && setsid sleep 4 > /dev/null 2>&1 &');
    await computer.does('sh', '-c', 'kill -KILL $(pgrep --full "nestbox[.]cjs run")');
    await job.ended;
    assert.match(await open(computer), /nestbox-work/);
    await computer.does('nestbox', 'clean');
    assert.equal(closed(await open(computer)), '');

    // Who does not end is named, and it is closed when they have.
    const held = computer.start('sh', '-c', `exec nestbox run --passphrase-fd 3 /root/work.toml -- sleep 1000 3< /root/key`);
    await computer.until('pgrep', '--full', '^sleep 1000');
    await computer.does('sh', '-c', 'cd /var/lib/machines/work && setsid sleep 2000 > /dev/null 2>&1 &');
    await computer.does('nestbox', 'stop', 'work');
    assert.match((await held.ended).stderr, /\/dev\/mapper\/nestbox-work stays open: it is in use by \d+ \(sleep\)\n/);
    await computer.does('pkill', '--full', '^sleep 2000');
    await computer.does('nestbox', 'clean');
    assert.equal(closed(await open(computer)), '');

    const terminal = computer.start('script', '--quiet', '--return', '--command', 'nestbox run /root/work.toml', '/dev/null');
    for (const [asks, word] of [[/Passphrase of \/dev\/vg\/work, for the machine work:/, 'one'], [/That was not right. [\s\S]*:/, 'two'], [/That was not right. [\s\S]*That was not right. [^:]*:/, 'three']] as const) {
      await terminal.says(asks);
      terminal.send(`${word}\n`);
    }
    await terminal.says(/none of three passphrases opens \/dev\/vg\/work/);
    assert.equal((await terminal.ended).status, 1);
    assert.equal(closed(await open(computer)), '');
    const again = computer.start('script', '--quiet', '--return', '--command', 'trap : INT; nestbox run /root/work.toml; echo "ended with $?"; stty -a', '/dev/null');
    await again.says(/Passphrase of/);
    again.send('\x03');
    await again.says(/ended with 130[\s\S]* icanon [\s\S]* echo /);
    await again.ended;
    assert.equal(closed(await open(computer)), '');
    const refused = await run('/root/work.toml', 'wrong', 'true');
    assert.deepEqual([refused.status, refused.stderr], [1, 'nestbox: the passphrase that was given does not open /dev/vg/work\n  nothing has been opened\n']);
    assert.equal(closed(await open(computer)), '');

    await computer.does('sh', '-ec', 'lvchange -ay vg/work; cryptsetup open --key-file /root/key /dev/vg/work x; mount /dev/mapper/x /mnt/x');
    assert.match((await run('/root/work.toml', passphrase, 'true')).stderr, /\/dev\/vg\/work is mounted on \/mnt\/x\n {2}umount \/mnt\/x/);
    await computer.does('umount', '/mnt/x');
    assert.match((await run('/root/work.toml', passphrase, 'true')).stderr, /\/dev\/vg\/work is open as \/dev\/mapper\/x\n {2}cryptsetup close x/);
    await computer.does('cryptsetup', 'close', 'x');
    // It was active before, and stays so.
    assert.equal((await run('/root/work.toml', passphrase, 'sh', '-c', ':')).status, 0);
    assert.equal(closed(await open(computer)), 'vg-work\n');
    await computer.does('lvchange', '-an', 'vg/work');

    // What cannot be repaired without being asked.
    await computer.does('sh', '-ec', 'lvchange -ay vg/plain; debugfs -w -R "clri <2>" /dev/vg/plain; debugfs -w -R "ssv state 2" /dev/vg/plain; lvchange -an vg/plain');
    await computer.write('/root/plain.toml', machine('volume = "/dev/vg/plain"').replace('work', 'plain'));
    const broken = await computer.run('nestbox', 'run', '/root/plain.toml', '--', 'true');
    assert.match(broken.stderr, /the file system on \/dev\/vg\/plain has errors that are not repaired without being asked\n {2}e2fsck -f \/dev\/vg\/plain\n/);
    await computer.does('sh', '-ec', 'lvchange -ay vg/plain; fill() { mkfs.ext4 -qF "$1"; mount "$1" /mnt/x; mkdir -p /mnt/x/usr; umount /mnt/x; }; fill /dev/vg/plain; lvchange -an vg/plain');
    const bare = await computer.run('nestbox', 'run', '/root/plain.toml', '--', '/nothing');
    assert.doesNotMatch(bare.stderr, /volume/); // it was mounted: what is lacking is the program

    for (const [name, root] of [['old', 'luks = "/dev/vg/old"'], ['old', 'luks = "/dev/mapper/vg-old"'], ['file', 'luks = "/root/file.img"']] as const) {
      await computer.write(`/root/${name}.toml`, machine(root).replace('work', name));
      const { status, stdout, stderr } = await run(`/root/${name}.toml`, passphrase, 'id', '-un');
      assert.deepEqual([status, stdout], [0, 'root\n'], stderr);
      assert.equal(closed(await open(computer)), '');
      if (name === 'file') await computer.does('rm', '/root/file.img');
      const removed = await computer.runWith({ input: passphrase }, 'nestbox', 'rm', '--passphrase-fd', '0', name);
      assert.equal(removed.status, 0, removed.stderr);
      if (name === 'file') assert.match(removed.stderr, /\/root\/file\.img is not there, or holds something else by now: .*, going on/);
    }
    // What was put into the root is taken out again, for which it is opened.
    assert.notEqual((await computer.runWith({ input: 'wrong' }, 'nestbox', 'rm', '--passphrase-fd', '0', 'work')).status, 0);
    assert.match(await computer.does('nestbox', 'list'), /work\s+ready/);
    const removed = await computer.runWith({ input: passphrase }, 'nestbox', 'rm', '--passphrase-fd', '0', 'work');
    assert.equal(removed.status, 0, removed.stderr);
    await computer.does('sh', '-ec', 'lvchange -ay vg/work; cryptsetup open --key-file /root/key /dev/vg/work x; mount /dev/mapper/x /mnt/x');
    assert.equal(await computer.does('sh', '-c', 'grep guest /mnt/x/etc/passwd /mnt/x/etc/group; ls /mnt/x/home/guest'), 'here\n');
    await computer.does('sh', '-ec', 'umount /mnt/x; cryptsetup close x; lvchange -an vg/work');
    await computer.run('nestbox', 'rm', 'plain');
    assert.equal(closed(await open(computer)), '');
  });

  test(`${host}: systemd opens the volume of a machine that it runs, and asks for it`, async (t) => {
    const computer = await power(t, host);
    await set(computer, 400, 'whole');
    await computer.write('/root/work.toml', machine('luks = "/dev/vg/work"', 'boot = true'));
    const keyed = machine('luks = "/dev/vg/work"\nkey-file = "/root/key"', 'boot = true');
    await computer.write('/root/keyed.toml', keyed);
    const isUp = async () => assert.equal((await computer.run('nestbox', 'exec', '--root', 'work', '--', 'cat', '/etc/hostname')).status, 0);

    await computer.does('chmod', '644', '/root/key');
    assert.match((await computer.run('nestbox', 'start', '/root/keyed.toml')).stderr, /others than root can read \/root\/key\n {2}chown root: \/root\/key; chmod 600 \/root\/key/);
    await computer.does('chmod', '600', '/root/key');
    await computer.does('nestbox', 'start', '/root/keyed.toml');
    await isUp();
    assert.match(await computer.does('machinectl', 'list-images', '--no-legend'), /^work\s+directory/);
    assert.match(await open(computer), /nestbox-work\nvg-work\n|vg-work\nnestbox-work\n/);
    await computer.does('nestbox', 'stop', 'work');
    assert.equal(closed(await open(computer)), '');

    // Nobody sits at a terminal: it is asked for as when the computer starts.
    const start = computer.start('nestbox', 'start', '/root/work.toml');
    await answer(computer, 'wrong');
    await answer(computer, passphrase);
    assert.equal((await start.ended).status, 0);
    await isUp();
    assert.equal((await computer.run('nestbox', 'restart', 'work', '/root/work.toml', '--passphrase-fd', '0')).status, 1); // one passphrase, two machines
    await computer.does('sh', '-c', `exec nestbox restart --passphrase-fd 3 /root/work.toml 3< /root/key`);
    await isUp();
    await computer.does('nestbox', 'enable', '/root/work.toml'); // it runs, and goes on
    await isUp();
    await computer.does('nestbox', 'stop', 'work');

    // The units alone, without nestbox.
    assert.equal(closed(await open(computer)), '');
    const failing = computer.start('systemctl', 'start', 'systemd-nspawn@work.service');
    for (const word of ['one', 'two', 'three']) await answer(computer, word);
    assert.notEqual((await failing.ended).status, 0);
    await computer.until('sh', '-c', 'systemctl show --property=ActiveState --value nestbox-work.service | grep -qxE "failed|inactive"');
    assert.equal(closed(await open(computer)), '');
    await computer.tells(/none of three passphrases opens \/dev\/vg\/work/, 'journalctl', '--quiet', '--no-pager', '--unit=nestbox-work.service');
    await computer.does('systemctl', 'reset-failed');
    // It asks, and somebody gives the passphrase to nestbox.
    const asking = computer.start('systemctl', 'start', 'systemd-nspawn@work.service');
    await computer.until('sh', '-c', 'grep -q ^Id=nestbox:work /run/systemd/ask-password/ask.*');
    await computer.does('sh', '-c', 'exec nestbox start --passphrase-fd 3 /root/work.toml 3< /root/key');
    await asking.ended;
    await isUp();
    await computer.does('nestbox', 'disable', '--now', 'work');
    assert.equal(closed(await open(computer)), '');

    // With a key it comes up with the computer, whose disk comes late.
    await computer.write('/etc/systemd/system/late-disk.service', '[Unit]\nDefaultDependencies=no\nAfter=systemd-remount-fs.service\n[Service]\nType=oneshot\nExecStart=/bin/sleep 3\nExecStart=/sbin/losetup /dev/loop0 /root/disk.img\n[Install]\nWantedBy=basic.target\n');
    await computer.does('systemctl', 'enable', 'late-disk.service');
    await computer.write('/root/work.toml', keyed);
    await computer.does('nestbox', 'enable', '/root/work.toml');
    await computer.does('sync');
    await computer.reboot();
    assert.equal((await computer.run('systemctl', 'is-system-running', '--wait')).stdout.trim(), 'running', await computer.does('sh', '-c', 'systemctl --failed --no-legend; journalctl --no-pager --unit=nestbox-work.service'));
    assert.equal((await computer.run('pgrep', '--full', 'nestbox.cjs')).status, 1, 'nestbox has no part in it');
    await isUp();
    await computer.does('nestbox', 'disable', '--now', 'work');
    assert.equal(closed(await open(computer)), '');
    await computer.does('nestbox', 'rm', 'work');
    assert.equal(closed(await open(computer)), '');
  });
}
