import assert from 'node:assert/strict';
import test from 'node:test';
import { type Computer, hosts, power } from './computer.ts';
import { person } from './recipe.ts';
import { reads, wordsOn } from './screen.ts';

/** Machines with screens of their own: Xorg under LightDM in 'work', a Wayland compositor with seatd in 'private'. */

const desktop = (name: 'work' | 'private', more = '', input = 'all') => `name = "${name}"
boot = true
user = "${person.name}"
${more}
[display.vt]
input = "${input}"
[root]
directory = "/srv/desktops/${name}"
`;

const home = (name: string) => `/srv/desktops/${name}/home/${person.name}`;
const visible = async (computer: Computer) => (await computer.does('cat', '/sys/class/tty/tty0/active')).trim();
/** What is written on a text terminal of the host. */
const console = async (computer: Computer, number = 1) => (await computer.get(`/dev/vcs${number}`)).replace(/\s+/g, ' ').trim();
const there = (path: string) => ['test', '-s', path];

async function start(computer: Computer, name: 'work' | 'private', more = '', input = 'all'): Promise<void> {
  await computer.write(`/root/${name}.toml`, desktop(name, more, input));
  await computer.does('nestbox', 'start', `/root/${name}.toml`);
}

/** Types a command at the terminal that is open on the screen, and waits for what it writes. */
async function types(computer: Computer, name: string, word: string): Promise<void> {
  await computer.type(`echo ${word} > ${word}\n`);
  await computer.until(...there(`${home(name)}/${word}`));
}

/** From the login screen to an open terminal, by the keyboard alone. */
async function logIn(computer: Computer): Promise<void> {
  await reads(computer, /Log ?In/);
  const asked = (times: number) => ['sh', '-c', `test $(grep -c 'Prompt greeter' /srv/desktops/work/var/log/lightdm/lightdm.log) -ge ${times}`];
  await computer.until(...asked(1));
  await computer.type(`${person.name}\n`);
  await computer.until(...asked(2));
  await computer.type(`${person.password}\n`);
  await computer.until(...there(`${home('work')}/.session`));
  await computer.press('ctrl-alt-t');
  await reads(computer, /ready/);
}

/** A keyboard that comes while the machine runs types as soon as whoever reads keys there has opened it. */
async function plugs(computer: Computer, name: string, reader: string, input: string): Promise<void> {
  for (let i = 0; i < 5; i++) {
    const path = await computer.plug(`${name}${i}`);
    const event = (await computer.does('basename', (await computer.does('readlink', '-f', path)).trim())).trim();
    const node = input === 'all' ? event : `$(cd /sys/class/input; grep -lx nestbox/${name}/${event} event*/device/phys | cut -d/ -f1)`;
    await computer.until('sh', '-c', `ls -l /proc/$(pgrep -x ${reader})/fd | grep -q "/dev/input/${node}$"`);
    await types(computer, name, `plugged${i}`);
    await computer.unplug(`${name}${i}`);
  }
}

for (const host of hosts)
  test(`${host}: two desktops beside the host's own screen, each with its own picture and keys`, async (t) => {
    const computer = await power(t, host);
    const before = await console(computer);
    assert.match(before, /lab login:$/);

    await start(computer, 'work');
    await logIn(computer);
    await types(computer, 'work', 'first');
    assert.equal(await visible(computer), 'tty8');

    await start(computer, 'private');
    await reads(computer, /ready/);
    assert.equal(await visible(computer), 'tty9');
    await types(computer, 'private', 'second');
    assert.match(await computer.does('nestbox', 'list'), /private +running .*terminal 9, visible.*\n.*work +running .*terminal 8 /);

    // Nothing that was typed at one has arrived at the other, nor at the host.
    assert.equal(await console(computer), before);
    await computer.does('nestbox', 'switch', 'work');
    await reads(computer, /first/);
    assert.doesNotMatch(await wordsOn(computer), /second/);
    await types(computer, 'work', 'third');
    await computer.does('nestbox', 'switch', 'host');
    await reads(computer, /lab login/);
    await computer.type('nobody\n');
    await computer.until('sh', '-c', 'grep -q Password: /dev/vcs1');
    assert.match(await console(computer), /lab login: nobody Password:$/);
    assert.equal((await computer.does('ls', home('work'), home('private'))).match(/first|second|third|nobody/g)!.join(), 'second,first,third');

    // Also by the keys that everybody knows: Ctrl, Alt and F1 in a desktop, Alt and F8 on a text terminal.
    for (let i = 0; i < 5; i++) {
      await computer.press('alt-f8');
      await computer.until('grep', '-qx', 'tty8', '/sys/class/tty/tty0/active');
      await types(computer, 'work', `switched${i}`);
      await computer.press('ctrl-alt-f1');
      await computer.until('grep', '-qx', 'tty1', '/sys/class/tty/tty0/active');
    }
    await computer.does('nestbox', 'switch', 'private');
    await types(computer, 'private', 'again');
    await computer.press('ctrl-alt-f8');
    await computer.until('grep', '-qx', 'tty8', '/sys/class/tty/tty0/active');
    await types(computer, 'work', 'too');

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
    assert.equal((await computer.does('sh', '-c', 'ls /sys/class/vc')).match(/\bvcs[89]\b/g), null);
    assert.equal((await computer.run('ls', '/srv/desktops/work/etc/lightdm/lightdm.conf.d', '/srv/desktops/private/etc/systemd/system/seatd.service.d')).stdout, '');
  });

for (const host of hosts)
  for (const [what, more] of [['ids of its own and a network of its own', ''], ['ids of its own', 'network = "host"'], ['a network of its own', 'users = "host"'], ['nothing of its own', 'users = "host"\nnetwork = "host"']] as const)
    for (const input of ['all', 'visible']) test(`${host}: keyboards come and go in machines with ${what}, which hear ${input} input`, async (t) => {
      const computer = await power(t, host);
      await start(computer, 'work', more, input);
      await logIn(computer);
      await plugs(computer, 'work', 'Xorg', input);
      await start(computer, 'private', more, input);
      await reads(computer, /ready/);
      await plugs(computer, 'private', 'labwc', input);
    });
