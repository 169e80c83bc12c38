import assert from 'node:assert/strict';
import test from 'node:test';
import { type Computer, type Output, power } from './computer.ts';
import { person } from './recipe.ts';
import { reads, wordsOn } from './screen.ts';

/** Two machines on one graphics card, each with a connector of it, a keyboard and a picture: Xorg under LightDM in both, over the same root. */

interface Seat {
  name: string;
  at: Output;
  /** Where its keyboard is: QEMU has USB keyboards at the first output of a card, or at none. */
  keys?: Output;
}

const first: Output = { device: 'card', head: 0 };
const left: Seat = { name: 'left', at: first, keys: first };
const right: Seat = { name: 'right', at: { device: 'card', head: 1 } };

const machine = (name: string, connector: string, place: string) => `name = "${name}"
boot = true
ephemeral = true
user = "${person.name}"
[seat]
card = 0
connector = "${connector}"
input = ["${place}"]
[root]
directory = "/srv/desktops/work"
`;

async function start(computer: Computer, { name, at, keys }: Seat): Promise<void> {
  const keyboard = await computer.plug(name, keys);
  const place = (await computer.does('udevadm', 'info', '--query=property', '--property=ID_PATH', '--value', keyboard)).trim();
  await computer.write(`/root/${name}.toml`, machine(name, `Virtual-${at.head + 1}`, place));
  await computer.does('nestbox', 'start', `/root/${name}.toml`);
}

const inside = ({ name }: Seat, ...argv: string[]) => ['nestbox', 'exec', '--root', name, '--', ...argv];
const here = (seat: Seat, file: string) => inside(seat, 'test', '-s', `/home/${person.name}/${file}`);

async function types(computer: Computer, seat: Seat, word: string): Promise<void> {
  await computer.type(`echo ${word} > ${word}\n`, seat.keys);
  await computer.until(...here(seat, word));
}

/** From the login screen to an open terminal, by the keyboard alone. */
async function logIn(computer: Computer, seat: Seat): Promise<void> {
  await reads(computer, /Log ?In/, 240, seat.at);
  const asked = (times: number) => inside(seat, 'sh', '-c', `test $(grep -c 'Prompt greeter' /var/log/lightdm/lightdm.log) -ge ${times}`);
  await computer.until(...asked(1));
  await computer.type(`${person.name}\n`, seat.keys);
  await computer.until(...asked(2));
  await computer.type(`${person.password}\n`, seat.keys);
  await computer.until(...here(seat, '.session'));
  await computer.press('ctrl-alt-t', seat.keys);
  await reads(computer, /ready/, 240, seat.at);
}

const holder = ({ name }: Seat) => ['systemctl', 'show', '--property=MainPID', '--value', `nestbox-${name}-lease.service`];

test('trixie: two connectors of one card, a machine on each, with its own picture and keys', async (t) => {
  const computer = await power(t, 'trixie');
  const before = await computer.does('sh', '-c', 'ls /run; ps -e -o comm= | sort; grep nestbox /proc/self/mountinfo; true');
  // The virtual card has a second output; nobody has put a monitor there.
  await computer.write('/sys/class/drm/card0-Virtual-2/status', 'on');
  for (const seat of [left, right]) await start(computer, seat);
  await Promise.all([left, right].map((seat) => logIn(computer, seat)));
  void before;
  for (const seat of [left, right]) await types(computer, seat, seat.name);
  assert.doesNotMatch(await wordsOn(computer, left.at), /right/);
  assert.doesNotMatch(await wordsOn(computer, right.at), /left/);
  void holder;
});
