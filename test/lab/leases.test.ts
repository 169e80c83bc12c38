import assert from 'node:assert/strict';
import test from 'node:test';
import { type Computer, power } from './computer.ts';
import { twoOutputs } from './qemu.ts';
import { person } from './recipe.ts';
import { reads, wordsOn } from './screen.ts';
import { verified } from './verified.ts';

/** Two machines on one graphics card, each with a connector of it and a keyboard: Xorg under LightDM in both, over the same root. */

const root = '/srv/desktops/work';
const home = (name: string) => `/run/nestbox-services/${name}/root/home/${person.name}`;
const there = (path: string) => ['test', '-s', path];
/** What is written on the first text terminal of the host. */
const console = async (computer: Computer) => (await computer.get('/dev/vcs1')).replace(/\s+/g, ' ').trim();
const shell = async (computer: Computer, script: string) => (await computer.does('sh', '-c', script)).trim();

/** The host's own card is another one; on this one is nobody. */
const card = 1;

/** What could be left of them. The first line of the kernel's list is the head of its columns. */
const traces = (computer: Computer) => shell(computer, `
  ls -A /run/nestbox /run/nestbox-services /run/nestbox-seats /etc/systemd/nspawn 2> /dev/null | grep -E 'upper|lower'; ls -d /etc/systemd/system/*upper* /etc/systemd/system/*lower* 2> /dev/null
  ps -e -o args= | grep -E 'nestbox|systemd-nspawn|Xorg|lightdm' | grep -v grep; grep nestbox /proc/self/mountinfo; tail -n +2 /sys/kernel/debug/dri/${card}/clients; cat /sys/class/tty/tty0/active`);

const machine = (name: string, connector: string, place: string) => `name = "${name}"
boot = true
ephemeral = true
user = "${person.name}"
[seat]
card = ${card}
connector = "${connector}"
input = ["${place}"]
[root]
directory = "${root}"
`;

async function prepare(computer: Computer): Promise<void> {
  // No login screens but the one that is asked for, and no try to draw by means of a processor's OpenGL, which takes ten seconds here.
  await computer.write(`${root}/etc/lightdm/lightdm.conf.d/50-seat.conf`, `[Seat:*]\nautologin-user=${person.name}\n`);
  await computer.write(`${root}/etc/X11/xorg.conf.d/50-seat.conf`, 'Section "Device"\n  Identifier "lent"\n  Driver "modesetting"\n  Option "AccelMethod" "none"\nEndSection\n');
}

test('trixie: two connectors of one card, a machine on each, with its own picture and keys', async (t) => {
  const computer = await power(t, 'trixie', twoOutputs);
  const upper = computer.right;
  const lower = { ...computer, screen: computer.second.screen };
  await prepare(computer);
  await computer.does('nestbox', 'clean');
  const [before, written] = [await traces(computer), await console(computer)];

  const connectors = (await shell(computer, `cd /sys/class/drm; ls -d card${card}-* | sed s/card${card}-//`)).split('\n');
  // Nobody has put a monitor at the second output of the virtual card.
  await shell(computer, `echo on > /sys/class/drm/card${card}-${connectors[1]}/status`);
  for (const [i, name] of ['upper', 'lower'].entries()) {
    const keyboard = await computer.plug(name, { port: `${i + 1}`, ...(name === 'upper' && { display: 'right' }) });
    const place = await shell(computer, `udevadm info --query=property --property=ID_PATH --value ${keyboard}`);
    await computer.write(`/etc/nestbox/${name}.toml`, machine(name, connectors[i]!, place));
  }
  // Where somebody else draws, nothing is lent. The first one who opens a card decides on it.
  const other = computer.start('sh', '-c', `exec 3<> /dev/dri/card${card}; echo open; exec sleep 300`);
  await other.says(/open/);
  assert.notEqual((await computer.run('nestbox', 'start', 'upper')).status, 0);
  await computer.tells(/another program decides what \/dev\/dri\/card1 shows/, 'nestbox', 'logs', '--host', 'upper');
  other.kill('-TERM');
  await other.ended;

  await Promise.all(['upper', 'lower'].map((name) => computer.does('nestbox', 'start', name)));

  for (const [name, place] of [['upper', upper], ['lower', lower]] as const) {
    await computer.until(...there(`${home(name)}/.session`));
    await place.press('ctrl-alt-t');
    await reads(place, /ready/);
  }
  // There is no node of any card inside.
  for (const name of ['upper', 'lower']) assert.notEqual((await computer.run('ls', `/proc/${await shell(computer, `machinectl show --property=Leader --value ${name}`)}/root/dev/dri`)).status, 0);

  await verified(computer, 'upper', 'lower');

  /** Both at the same time, letter by letter: each arrives on its own screen, and nowhere else. */
  const typeBoth = async (one: string, other: string) => {
    const [above, below] = [`echo ${one} > ${one}\n`, `echo ${other} > ${other}\n`];
    for (let i = 0; i < Math.max(above.length, below.length); i++) await Promise.all([upper.type(above[i] ?? ''), lower.type(below[i] ?? '')]);
    for (const [name, place, word] of [['upper', upper, one], ['lower', lower, other]] as const) {
      await computer.until(...there(`${home(name)}/${word}`));
      assert.equal(await computer.get(`${home(name)}/${word}`), `${word}\n`);
      await reads(place, new RegExp(word));
    }
    assert.doesNotMatch(await wordsOn(upper), new RegExp(other));
    assert.doesNotMatch(await wordsOn(lower), new RegExp(one));
  };
  await typeBoth('alpha', 'omega');
  assert.equal(await console(computer), written);

  // A holder that is killed takes nobody's picture: the open card is the other one's as well.
  for (const name of ['upper']) await computer.does('systemctl', 'kill', '--signal=KILL', `nestbox-${name}.lease.service`);
  await typeBoth('seventh', 'mountain');

  // One that ends leaves its output, and the other one is still there.
  await computer.does('nestbox', 'stop', 'upper');
  await reads(upper, /not active/);
  await lower.type('echo alone > alone\n');
  await computer.until(...there(`${home('lower')}/alone`));
  await reads(lower, /alone/);

  // The connector is lent again to one who starts, by the holder that is left; and to an X server that takes the place of one that was killed.
  await computer.does('nestbox', 'start', 'upper');
  await computer.until(...there(`${home('upper')}/.session`));
  await shell(computer, `rm ${home('lower')}/.session; kill -KILL $(pgrep -x Xorg -u $(stat -c %u /run/nestbox-services/lower/lease/socket))`);
  await computer.until(...there(`${home('lower')}/.session`));
  for (const place of [upper, lower]) {
    await place.press('ctrl-alt-t');
    await reads(place, /ready/);
  }

  await computer.does('nestbox', 'stop', 'upper', 'lower');
  assert.equal(await traces(computer), before);
});
