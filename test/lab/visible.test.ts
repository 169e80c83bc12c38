import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from './agent.ts';
import { type Computer, newest, power } from './computer.ts';
import { free } from './desktops.ts';

/** A machine that is given keys and mice while its terminal is visible, with a program inside that never closes a device. */

const machine = (more = '') => `name = "spy"
boot = true
${more}
[display.vt]
input = "visible"
[root]
directory = "/srv/roots/debian"
`;

/** Opens what there is, and what comes; prints each event as TYPE CODE VALUE. 24 bytes: struct input_event of 64-bit Linux. */
const reader = `use POSIX; $| = 1; my %files;
while (1) {
  for my $path (glob "/dev/input/event*") {
    next if $files{$path};
    sysopen(my $file, $path, O_RDWR | O_NONBLOCK) or next;
    $files{$path} = $file; print "opened $path\n";
  }
  my $bits = ""; vec($bits, fileno $_, 1) = 1 for values %files;
  select($bits, undef, undef, 0.1);
  for my $path (keys %files) {
    my $length = 0;
    while ($length = sysread $files{$path}, my $event, 24) {
      my (undef, undef, $type, $code, $value) = unpack "qqSSl", $event;
      print "event $type $code $value\n" if $type == 1 || $type == 2;
    }
    if (!defined $length && $! == ENODEV) { close delete $files{$path}; print "gone $path\n" }
  }
}
`;

const key = { a: 30, k: 37, x: 45, y: 21, z: 44 } as const;
const presses = (spy: Job, code: number) => [...spy.stdout().matchAll(new RegExp(`event 1 ${code} 1\n`, 'g'))].length;
const mirrors = async (computer: Computer) => Number((await computer.run('grep', '-c', '^P: Phys=nestbox/spy/', '/proc/bus/input/devices')).stdout);
const visible = (computer: Computer, terminal: string) => computer.until('grep', '-qx', terminal, '/sys/class/tty/tty0/active');
const console = async (computer: Computer) => (await computer.get('/dev/vcs1')).replace(/\s+/g, ' ').trim();
/** Long enough for an event to have come, if one does. */
const later = (computer: Computer) => computer.does('sleep', '1');

async function start(computer: Computer, more = ''): Promise<Job> {
  await computer.write('/root/spy.toml', machine(more));
  await computer.write('/srv/roots/debian/reader', reader);
  await computer.does('nestbox', 'start', '/root/spy.toml');
  const spy = computer.start('nestbox', 'exec', '--root', 'spy', '--', 'perl', '/reader');
  spy.pipe(process.stdout, process.stderr);
  await spy.says(/opened .*\n(.*\n)*opened /);
  return spy;
}

/** Types at the host's own login, which shows that no key is stuck there: with Ctrl or Alt it would not be these letters. */
async function typesAtHost(computer: Computer, name: string): Promise<void> {
  const shows = (text: string) => computer.until('sh', '-c', `tr -d '\\n' < /dev/vcs1 | grep -q 'login: ${text} *$'`);
  await computer.type(name);
  await shows(name);
  await computer.press('ctrl-u');
  await shows('');
}

for (const host of newest)
  for (const [what, more] of [['ids of its own', ''], ["the host's ids and network", 'users = "host"\nnetwork = "host"']] as const)
    test(`${host}: with ${what}, keys and mice are heard while its terminal is visible, and not otherwise`, async (t) => {
      const computer = await power(t, host);
      const spy = await start(computer, more);
      const count = await mirrors(computer);
      assert.ok(count >= 2);
      const nodes = await computer.does('nestbox', 'exec', '--root', 'spy', '--', 'ls', '/dev/input');
      for (const real of (await computer.does('sh', '-c', 'grep -L ^nestbox/ /sys/class/input/event*/device/phys | cut -d/ -f5')).trim().split('\n')) assert.doesNotMatch(nodes, new RegExp(`^${real}$`, 'm'));
      assert.doesNotMatch(nodes, /^mice$/m);

      // The host's terminal is visible.
      assert.equal((await computer.get('/sys/class/tty/tty0/active')).trim(), 'tty1');
      await typesAtHost(computer, 'nobody');
      await computer.move(7);
      await later(computer);
      assert.doesNotMatch(spy.stdout(), /^event /m);

      await computer.does('nestbox', 'switch', 'spy');
      const typed = computer.start('nestbox', 'exec', '--root', 'spy', '--', 'sh', '-c', 'exec < /dev/tty8; echo open; exec cat');
      await typed.says(/open/);
      await computer.type('kk\n');
      await spy.says(/(?:event 1 37 1\n[^]*){2}event 1 28 0\n/);
      await typed.says(/k\n/);
      assert.equal(typed.stdout(), 'open\nkk\n');
      assert.equal(presses(spy, key.k), 2);
      await computer.move(5);
      await spy.says(/event 2 0 5\n/);

      // Lights are those of the real keyboard.
      await computer.press('caps_lock');
      await computer.until('sh', '-c', 'for light in /sys/class/leds/*::capslock; do grep -q ^nestbox/ $light/device/phys || cat $light/brightness; done | grep -qx 1');
      await computer.press('caps_lock');
      await computer.until('sh', '-c', '! cat /sys/class/leds/*::capslock/brightness | grep -x 1');

      // More than the kernel keeps for who does not read.
      const relays = (await computer.does('pgrep', '-f', '^/[^ ]*nestbox-native udev-relay')).trim().split('\n');
      assert.ok(relays.length >= 2, 'one looks after the other');
      await computer.does('kill', '-STOP', relays[1]!);
      await computer.type('y'.repeat(40));
      await later(computer);
      await computer.does('kill', '-CONT', relays[1]!);
      await computer.type('k\n');
      await spy.says(/(?:event 1 37 1\n[^]*){3}event 1 37 0\n/);
      assert.ok(presses(spy, key.y) < 40, 'nothing was lost');
      assert.equal([...spy.stdout().matchAll(/event 1 21 0\n/g)].length, presses(spy, key.y));

      // Left by the keys: they are up, inside and on the host.
      await computer.press('ctrl-alt-f1');
      await visible(computer, 'tty1');
      await free(computer, 'own'); // the keyboard is given back when these keys are up
      for (const code of [29, 56, 59]) await spy.says(new RegExp(`event 1 ${code} 1\n[^]*event 1 ${code} 0\n`));
      await typesAtHost(computer, 'zak');
      await computer.move(9);
      await later(computer);
      for (const code of [key.z, key.a]) assert.equal(presses(spy, code), 0);
      assert.doesNotMatch(spy.stdout(), /event 2 0 9/);

      // Nothing is typed on the host by who writes to the mirrors.
      const before = await console(computer);
      await computer.does('nestbox', 'exec', '--root', 'spy', '--', 'sh', '-c', `for node in /dev/input/event*; do perl -e 'print map { pack("qqSSl", 0, 0, @$_) } [1, 45, 1], [0, 0, 0], [1, 45, 0], [0, 0, 0]' > $node; done`);
      await later(computer);
      assert.equal(await console(computer), before);

      await computer.press('alt-f8');
      await visible(computer, 'tty8');
      await free(computer, 'mirrors');
      await computer.press('z');
      await spy.says(/event 1 44 0\n/);
      assert.equal(presses(spy, 56), 1, 'Alt was held over the switch');

      for (const [name, letter] of [['one', 'x'], ['two', 'y']] as const) {
        const [seen, already] = [spy.stdout().length, presses(spy, key[letter])];
        await computer.plug(name);
        await spy.says(new RegExp(`^[^]{${seen}}[^]*opened`));
        await computer.press(letter);
        await spy.says(new RegExp(`^[^]{${seen}}[^]*event 1 ${key[letter]} 0\n`));
        assert.equal(presses(spy, key[letter]), already + 1);
        await computer.unplug(name);
        await spy.says(new RegExp(`^[^]{${seen}}[^]*gone`));
        assert.equal(await mirrors(computer), count);
      }

      // However it ends.
      const seen = spy.stdout().length;
      await computer.does('kill', '-KILL', relays[1]!);
      await spy.says(new RegExp(`^[^]{${seen}}(?:[^]*opened){${count}}`));
      await free(computer, 'mirrors');
      await computer.press('a');
      await spy.says(/event 1 30 0\n/);
      assert.equal(presses(spy, key.a), 1);
      await computer.does('kill', '-KILL', relays[0]!);
      await computer.until('sh', '-c', '! grep ^P:.Phys=nestbox/ /proc/bus/input/devices');
      assert.doesNotMatch(await computer.does('nestbox', 'exec', '--root', 'spy', '--', 'ls', '/dev/input'), /event/);
      await computer.does('nestbox', 'switch', 'host');
      await typesAtHost(computer, 'nobody');
      await computer.does('nestbox', 'stop', 'spy');
      await computer.does('nestbox', 'start', '/root/spy.toml');
      assert.equal(await mirrors(computer), count);
      await computer.does('nestbox', 'stop', 'spy');
      assert.equal(await mirrors(computer), 0);
    });
