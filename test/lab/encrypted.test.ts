import assert from 'node:assert/strict';
import test from 'node:test';
import { fileOf } from '../pages.ts';
import { assertSomeTone, samplesOf, wav } from '../sound.ts';
import { type Computer, newest, power } from './computer.ts';
import { desktop, greeter, home, logIn, plain, there, types } from './desktops.ts';
import { reads } from './screen.ts';
import { differencesOf } from './verified.ts';

/** The work desktop on an encrypted volume of a volume group: closed, and its key in a file. */
async function encrypt(computer: Computer): Promise<void> {
  await computer.write('/root/key', 'horse staple', 0o600);
  await computer.runWith({ seconds: 600 }, 'sh', '-ec', `
    pvcreate -q /dev/vdc; vgcreate -q vg /dev/vdc; lvcreate -q -y -n work -L 2G vg
    cryptsetup luksFormat -q --type luks2 --cipher aes-xts-plain64 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /root/key /dev/vg/work
    cryptsetup open --key-file /root/key /dev/vg/work x
    mkfs.ext4 -q /dev/mapper/x; mount /dev/mapper/x /mnt; cp -a ${plain('work')}/. /mnt; umount /mnt
    cryptsetup close x; vgchange -q -an vg`).then(({ status, stderr }) => assert.equal(status, 0, stderr));
}

const mounted = '/var/lib/machines/work';
const encrypted = (more = '', root = '') => desktop('work', more, `luks = "/dev/vg/work"\n${root}`);

/** What could be left of a machine on a volume with a screen. */
const traces = (computer: Computer): Promise<string> => computer.does('sh', '-c', `
  dmsetup ls 2>&1; grep -E 'nestbox|mapper|/var/lib/machines' /proc/self/mountinfo; cat /sys/class/tty/tty0/active
  find /run/nestbox /run/nestbox-services /run/systemd/nspawn /run/systemd/machines /var/lib/machines /etc/systemd/nspawn /etc/systemd/system '(' -name work -o -name '.#work*' -o -name 'nestbox-work*' -o -name '*@work.service*' -o -name work.nspawn ')' -prune -print 2>/dev/null
  ps -e -o args= | grep -E 'nestbox|systemd-nspawn|Xorg|lightdm' | grep -v grep; nft list tables; true`);

/** systemd-machined hears of the end of a machine's unit a moment after that. */
const forgotten = (computer: Computer) => computer.until('sh', '-c', '! test -e /run/systemd/machines/work');

for (const host of newest)
  test(`${host}: a desktop on an encrypted volume, from the passphrase to a tone in the host's sound server`, async (t) => {
    const computer = await power(t, host);
    await encrypt(computer);
    await computer.does('nestbox', 'clean');
    const before = await traces(computer);

    // Somebody sits at the host, with a sound server that records what it plays.
    await computer.does('sh', '-ec', 'useradd --create-home --uid 1000 owner; install -d -m 700 -o owner -g owner /run/user/1000');
    const asOwner = (...argv: string[]) => ['runuser', '-u', 'owner', '--', 'env', 'HOME=/home/owner', 'XDG_RUNTIME_DIR=/run/user/1000', ...argv];
    const serve = async () => {
      await computer.does(...asOwner('pulseaudio', '-n', '--daemonize', '--exit-idle-time=-1', '-L', 'module-null-sink sink_name=heard', '-L', 'module-native-protocol-unix'));
    };
    await serve();

    const page = fileOf('for-two-systems', 'work.toml');
    await computer.write('/root/work.toml', host === 'trixie' ? page : page.replace('"playback"', '"pulse"'));
    const started = await computer.runWith({ input: 'horse staple\n' }, 'env', 'SUDO_UID=1000', 'SUDO_GID=1000', 'nestbox', 'start', '--passphrase-fd', '0', '/root/work.toml');
    assert.equal(started.status, 0, started.stderr);
    await logIn(computer, mounted);
    await types(computer, mounted, 'encrypted');
    const { status, said } = await differencesOf(computer, 'work', ['SUDO_UID=1000', 'SUDO_GID=1000']);
    assert.deepEqual([status, said], [0, '']);

    await computer.write(`${home(mounted)}/tone.wav`, wav(440, 4));
    for (const again of [false, true]) {
      if (again) {
        await computer.does('sh', '-c', 'kill -KILL $(cat /run/user/1000/pulse/pid)'); // and not the machine's own, which runs as the same person
        await serve();
        // The machine's own server finds it again within a second or some.
        if (host === 'trixie') await computer.until('sh', '-c', `${asOwner('pactl', 'list', 'short', 'sink-inputs').join(' ')} | grep .`);
      }
      const recorder = computer.start(...asOwner('parec', '--latency-msec=50', '--device=heard.monitor', '--format=s16le', '--channels=1', '--rate=44100', '--raw', `/home/owner/heard${again}`));
      await computer.until(...there(`/home/owner/heard${again}`));
      await computer.type(`paplay tone.wav; echo played > played${again}\n`);
      await computer.until(...there(`${home(mounted)}/played${again}`));
      await computer.until('sh', '-c', `test $(tr -d '\\0' < /home/owner/heard${again} | wc -c) -gt 100000`); // a second of something
      recorder.kill('TERM');
      await recorder.ended;
      const { stdout } = await computer.runWith({}, 'base64', `/home/owner/heard${again}`);
      assertSomeTone(samplesOf(Buffer.from(stdout, 'base64'), 1, 44100), 440);
    }

    await computer.does('nestbox', 'stop', 'work');
    await computer.does('pkill', '-u', 'owner');
    await forgotten(computer);
    assert.equal(await traces(computer), before);
  });

test('trixie: whenever all processes of a desktop on an encrypted volume are killed, clean leaves nothing of it', async (t) => {
  const computer = await power(t, 'trixie');
  await encrypt(computer);
  await computer.write('/root/work.toml', encrypted('', 'key-file = "/root/key"'));
  await computer.does('nestbox', 'create', '/root/work.toml');
  await computer.does('nestbox', 'clean');
  const before = await traces(computer);
  // From the first step to the login screen, which takes some 18 seconds. NESTBOX_MOMENTS=20 tries more of them.
  const count = Number(process.env.NESTBOX_MOMENTS ?? 3);
  const moments = Array.from({ length: count }, (_, i) => Math.round(((i + Math.random()) * 18_000) / count));
  for (const moment of moments) {
    const starting = computer.start('nestbox', 'start', 'work');
    await computer.run('sleep', `${moment / 1000}`);
    // What systemd was about to start meanwhile is killed as well.
    await computer.does('sh', '-c', `
      pkill -KILL -f '[n]estbox(.cjs)? start'; pkill -KILL -x systemctl
      while systemctl kill --signal=KILL 'nestbox-work*' systemd-nspawn@work.service 2> /dev/null
        { systemctl list-units --no-legend --plain --state=active,activating,deactivating,reloading 'nestbox-work*' systemd-nspawn@work.service; systemctl list-jobs --no-legend 'nestbox-work*' systemd-nspawn@work.service; } | grep -q .
      do sleep 0.1; done`);
    await starting.ended;
    await computer.does('nestbox', 'clean');
    await forgotten(computer);
    assert.equal(await traces(computer), before, `killed after ${moment} ms`);
  }
  // And it still starts.
  await computer.does('nestbox', 'start', 'work');
  await reads(computer, greeter);
});
