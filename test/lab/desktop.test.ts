import assert from 'node:assert/strict';
import test from 'node:test';
import { assertSomeTone, samplesOf, wav } from '../sound.ts';
import { type Computer, hosts, power } from './computer.ts';
import { person } from './recipe.ts';
import { reads, wordsOn } from './screen.ts';

/** Machines with screens of their own: Xorg under LightDM in 'work', a Wayland compositor with seatd in 'private'. */

/** Where its root is, on the disk with the desktops. */
const plain = (name: string) => `/srv/desktops/${name}`;
const home = (root: string) => `${root}/home/${person.name}`;
const there = (path: string) => ['test', '-s', path];
const visible = async (computer: Computer) => (await computer.does('cat', '/sys/class/tty/tty0/active')).trim();
const isVisible = (terminal: string) => ['grep', '-qx', terminal, '/sys/class/tty/tty0/active'];
/** What is written on the first text terminal of the host. */
const console = async (computer: Computer) => (await computer.get('/dev/vcs1')).replace(/\s+/g, ' ').trim();

const desktop = (name: 'work' | 'private', more = '', root = `directory = "${plain(name)}"`, input = 'all') => `name = "${name}"
boot = true
user = "${person.name}"
${more}
[display.vt]
input = "${input}"
[root]
${root}
`;

async function start(computer: Computer, name: 'work' | 'private', more = '', input = 'all'): Promise<void> {
  await computer.write(`/root/${name}.toml`, desktop(name, more, undefined, input));
  await computer.does('nestbox', 'start', `/root/${name}.toml`);
}

/** Types a command at the terminal that is open on the screen, and waits for what it writes. */
async function types(computer: Computer, root: string, word: string): Promise<void> {
  await computer.type(`echo ${word} > ${word}\n`);
  await computer.until(...there(`${home(root)}/${word}`));
}

/** From the login screen to an open terminal, by the keyboard alone. */
async function logIn(computer: Computer, root: string): Promise<void> {
  await reads(computer, /Log ?In/);
  const asked = (times: number) => ['sh', '-c', `test $(grep -c 'Prompt greeter' ${root}/var/log/lightdm/lightdm.log) -ge ${times}`];
  await computer.until(...asked(1));
  await computer.type(`${person.name}\n`);
  await computer.until(...asked(2));
  await computer.type(`${person.password}\n`);
  await computer.until(...there(`${home(root)}/.session`));
  await computer.press('ctrl-alt-t');
  await reads(computer, /ready/);
}

/** A keyboard that comes while the machine runs types as soon as whoever reads keys there has opened it. */
async function plugs(computer: Computer, name: 'work' | 'private', input = 'all', times = 5): Promise<void> {
  const reader = name === 'work' ? 'Xorg' : 'labwc';
  for (let i = 0; i < times; i++) {
    const path = await computer.plug(`${name}${i}`);
    const event = (await computer.does('basename', (await computer.does('readlink', '-f', path)).trim())).trim();
    const node = input === 'all' ? event : `$(cd /sys/class/input; grep -lx nestbox/${name}/${event} event*/device/phys | cut -d/ -f1)`;
    await computer.until('sh', '-c', `ls -l /proc/$(pgrep -x ${reader})/fd | grep -q "/dev/input/${node}$"`);
    await types(computer, plain(name), `plugged${i}`);
    await computer.unplug(`${name}${i}`);
  }
}

for (const host of hosts)
  test(`${host}: two desktops beside the host's own screen, each with its own picture and keys`, async (t) => {
    const computer = await power(t, host);
    const before = await console(computer);
    assert.match(before, /lab login:$/);

    await start(computer, 'work');
    await logIn(computer, plain('work'));
    await types(computer, plain('work'), 'first');
    await plugs(computer, 'work', 'all', 1);
    assert.equal(await visible(computer), 'tty8');

    await start(computer, 'private');
    await reads(computer, /ready/);
    assert.equal(await visible(computer), 'tty9');
    await types(computer, plain('private'), 'second');
    await plugs(computer, 'private', 'all', 1);
    assert.match(await computer.does('nestbox', 'list'), /private +running .*terminal 9, visible.*\n.*work +running .*terminal 8 /);

    // Nothing that was typed at one has arrived at the other, nor at the host.
    assert.equal(await console(computer), before);
    await computer.does('nestbox', 'switch', 'work');
    await reads(computer, /first/);
    assert.doesNotMatch(await wordsOn(computer), /second/);
    await types(computer, plain('work'), 'third');
    await computer.does('nestbox', 'switch', 'host');
    await reads(computer, /lab login/);
    await computer.type('nobody\n');
    await computer.until('sh', '-c', 'grep -q Password: /dev/vcs1');
    assert.match(await console(computer), /lab login: nobody Password:$/);
    assert.equal((await computer.does('ls', home(plain('work')), home(plain('private')))).match(/first|second|third|nobody/g)!.join(), 'second,first,third');

    // Also by the keys that everybody knows: Ctrl, Alt and F1 in a desktop, Alt and F8 on a text terminal.
    for (let i = 0; i < 5; i++) {
      await computer.press('alt-f8');
      await computer.until(...isVisible('tty8'));
      await types(computer, plain('work'), `switched${i}`);
      await computer.press('ctrl-alt-f1');
      await computer.until(...isVisible('tty1'));
    }
    await computer.does('nestbox', 'switch', 'private');
    await types(computer, plain('private'), 'again');
    await computer.press('ctrl-alt-f8');
    await computer.until(...isVisible('tty8'));
    await types(computer, plain('work'), 'too');

    // One that hangs is left all the same.
    await computer.does('pkill', '-STOP', '-x', 'Xorg');
    await computer.does('nestbox', 'switch', 'host');
    await reads(computer, /lab login/);
    await computer.does('pkill', '-CONT', '-x', 'Xorg');

    // The screen of one that ends is given back.
    await computer.does('nestbox', 'switch', 'private');
    await computer.does('nestbox', 'stop', 'private');
    assert.notEqual(await visible(computer), 'tty9');
    await computer.does('nestbox', 'switch', 'work');
    await computer.does('nestbox', 'stop', 'work');
    assert.equal(await visible(computer), 'tty1');
    await reads(computer, /lab login/);
    assert.equal((await computer.does('ls', '/sys/class/vc')).match(/\bvcs[89]\b/g), null);
    assert.equal((await computer.run('ls', '/srv/desktops/work/etc/lightdm/lightdm.conf.d', '/srv/desktops/private/etc/systemd/system/seatd.service.d')).stdout, '');
  });

const kinds = [['ids and a network of its own', ''], ['ids of its own', 'network = "host"'], ['a network of its own', 'users = "host"'], ['nothing of its own', 'users = "host"\nnetwork = "host"']] as const;
/** Each kind with the host's own devices; those of the machine's own where it is as apart as it can be. */
const plugged = [...kinds.map((kind) => [kind, 'all'] as const), [kinds[0], 'visible'] as const];
for (const [[what, more], input] of plugged)
  test(`trixie: keyboards come and go in machines with ${what}, which hear ${input} input`, async (t) => {
    const computer = await power(t, 'trixie');
    await start(computer, 'work', more, input);
    await logIn(computer, plain('work'));
    await plugs(computer, 'work', input);
    await start(computer, 'private', more, input);
    await reads(computer, /ready/);
    await plugs(computer, 'private', input);
  });

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

for (const host of hosts)
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

    await computer.write('/root/work.toml', encrypted(`audio = "${host === 'trixie' ? 'playback' : 'pulse'}"`));
    const started = await computer.runWith({ input: 'horse staple\n' }, 'env', 'SUDO_UID=1000', 'SUDO_GID=1000', 'nestbox', 'start', '--passphrase-fd', '0', '/root/work.toml');
    assert.equal(started.status, 0, started.stderr);
    await logIn(computer, mounted);
    await types(computer, mounted, 'encrypted');

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
  const count = Number(process.env.NESTBOX_MOMENTS ?? 6);
  const moments = Array.from({ length: count }, (_, i) => Math.round(((i + Math.random()) * 18_000) / count));
  for (const moment of moments) {
    const starting = computer.start('nestbox', 'start', 'work');
    await computer.run('sleep', `${moment / 1000}`);
    // What systemd was about to start meanwhile is killed as well.
    await computer.does('sh', '-c', `
      pkill -KILL -f '[n]estbox(.cjs)? start'
      while systemctl kill --signal=KILL 'nestbox-work*' systemd-nspawn@work.service 2> /dev/null
        systemctl list-units --no-legend --plain --state=active,activating,deactivating,reloading 'nestbox-work*' systemd-nspawn@work.service | grep -q .
      do sleep 0.1; done`);
    await starting.ended;
    await computer.does('nestbox', 'clean');
    assert.equal(await traces(computer), before, `killed after ${moment} ms`);
  }
  // And it still starts.
  await computer.does('nestbox', 'start', 'work');
  await reads(computer, /Log ?In/);
});
