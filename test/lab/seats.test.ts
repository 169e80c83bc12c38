import assert from 'node:assert/strict';
import test from 'node:test';
import { fileOf } from '../pages.ts';
import { picture } from '../pictures.ts';
import { assertSomeTone, wav } from '../sound.ts';
import { type Computer, power } from './computer.ts';
import { free, listens } from './desktops.ts';
import { secondPlace } from './qemu.ts';
import { person } from './recipe.ts';
import { reads, wordsOn } from './screen.ts';
import { verified } from './verified.ts';

/** Two places at one computer: Xorg under LightDM on the card with the host's console, a Wayland compositor with seatd on the other one. */

const roots = { left: '/srv/desktops/work', right: '/srv/desktops/private' };
type Side = keyof typeof roots;

const home = (side: Side) => `${roots[side]}/home/${person.name}`;
const there = (path: string) => ['test', '-s', path];
const visible = async (computer: Computer) => (await computer.get('/sys/class/tty/tty0/active')).trim();
/** What is written on the first text terminal of the host. */
const console = async (computer: Computer) => (await computer.get('/dev/vcs1')).replace(/\s+/g, ' ').trim();
const placeOf = async (computer: Computer, path: string) => (await computer.does('udevadm', 'info', '--query=property', '--property=ID_PATH', '--value', path)).trim();
/** Of a port, without the device there. */
const port = (place: string) => place.replace(/:1\.0$/, '');

const machine = (name: string, root: string, seat: Record<string, unknown>) => `name = "${name}"
boot = true
user = "${person.name}"
[seat]
${Object.entries(seat).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join('')}[root]
directory = "${root}"
`;

/** The file of docs/for-several-people.md, with the places of this computer for those of the page. */
const ofPage = (side: Side, places: Record<string, string>): string =>
  fileOf('for-several-people', `${side}.toml`).replaceAll(/"(pci-[^"]*)"/g, (_, place: string) => JSON.stringify(places[place] ?? assert.fail(`the page has ${place}`)));

/** Both at the same time, letter by letter. */
async function typeBoth(computer: Computer, left: string, right: string): Promise<void> {
  for (let i = 0; i < Math.max(left.length, right.length); i++) await Promise.all([computer.type(left[i] ?? ''), computer.right.type(right[i] ?? '')]);
}

/** Seconds of processor time that a machine has had. */
const used = async (computer: Computer, side: Side) => Number(/usage_usec (\d+)/.exec(await computer.get(`/sys/fs/cgroup/machine.slice/systemd-nspawn@${side}.service/cpu.stat`))![1]) / 1e6;

async function prepare(computer: Computer): Promise<void> {
  await computer.write(`${roots.left}/etc/lightdm/lightdm.conf.d/50-seat.conf`, `[Seat:*]\nautologin-user=${person.name}\n`);
  // Players for both: those of the bookworm on the same disk run in either.
  await computer.does('sh', '-ec', `for root in ${roots.left} ${roots.right}; do
    cp -a /srv/roots/debian/usr/bin/aplay $root/usr/bin/; cp -a /srv/roots/debian/usr/lib/x86_64-linux-gnu/libasound.so.2* $root/usr/lib/x86_64-linux-gnu/; cp -a /srv/roots/debian/usr/share/alsa $root/usr/share/
  done`);
  await computer.write(`${roots.left}/tone.wav`, wav(440, 1));
  await computer.write(`${roots.right}/tone.wav`, wav(1000, 1));
}

test('trixie: two seats at one computer, each with a screen, keys, sounds and half of the processors', async (t) => {
  const computer = await power(t, 'trixie', secondPlace);
  const { right } = computer;
  const place = { left: await placeOf(computer, await computer.plug('left-keys', { port: '1' })), right: await placeOf(computer, await computer.plug('right-keys', { port: '3', display: 'right' })) };
  await prepare(computer);

  // Nobody has anything yet. A seat is written by asking for a key; the card without the host's console is offered.
  const rows = JSON.parse(await computer.does('nestbox', 'seats', '--json')) as { kind: string; name: string; place: string; seat: string | null }[];
  const cards = rows.filter(({ kind }) => kind === 'card').map((row) => row.place);
  const sounds = rows.filter(({ kind }) => kind === 'sound').map((row) => row.place);
  assert.deepEqual([cards.length, sounds.length, new Set([...cards, ...sounds]).size], [2, 2, 4]);
  assert.ok(rows.every(({ seat }) => seat === null));
  const asking = computer.start('nestbox', 'seat', 'new');
  // It has opened them, all before it waits for the first press.
  await computer.until('sh', '-c', 'pid=$(pgrep -x nestbox-native) && ls -l /proc/$pid/fd | grep -q /dev/input/event && grep -q poll /proc/$pid/wchan');
  await right.press('shift');
  await right.press('a');
  await computer.press('escape');
  assert.deepEqual([(await asking.ended).status, asking.stdout()], [0, `[seat]\ncard   = "${cards[1]}"\ninput  = ["${port(place.right)}"]\nsound  = "${sounds[0]}"\nweight = 100\n`]);
  const before = await console(computer);

  const pointer = (number: number) => port(place.left).replace(/1$/, `${number}`);
  await computer.write('/etc/nestbox/left.toml', ofPage('left', { 'pci-0000:0a:00.0': cards[0]!, 'pci-0000:00:14.0-usb-0:3': port(place.left), 'pci-0000:00:14.0-usb-0:4': pointer(2), 'pci-0000:00:1f.3': sounds[0]! }));
  await computer.write('/etc/nestbox/right.toml', ofPage('right', { 'pci-0000:0c:00.0': cards[1]!, 'pci-0000:0c:00.3-usb-0:1.1': port(place.right), 'pci-0000:0c:00.3-usb-0:1.2': pointer(4), 'pci-0000:0c:00.6': sounds[1]! }));
  await computer.does('nestbox', 'start', 'left');
  await computer.does('nestbox', 'start', 'right');
  assert.match(await computer.does('nestbox', 'seats'), /card0 .* left\n(.*\n)*card1? .* right\n/);

  await computer.until(...there(`${home('left')}/.session`));
  await computer.press('ctrl-alt-t');
  await reads(computer, /ready/);
  await reads(right, /ready/);

  await verified(computer, 'left', 'right');

  // What is typed at one arrives there, and nowhere else.
  await typeBoth(computer, 'echo alpha > alpha\n', 'echo omega > omega\n');
  await computer.until(...there(`${home('left')}/alpha`));
  await computer.until(...there(`${home('right')}/omega`));
  await reads(computer, /alpha/);
  await reads(right, /omega/);
  assert.doesNotMatch(await wordsOn(computer), /omega/);
  assert.doesNotMatch(await wordsOn(right), /alpha/);
  picture('seats', await computer.screen(), await right.screen());
  assert.deepEqual([await computer.get(`${home('left')}/alpha`), await computer.get(`${home('right')}/omega`)], ['alpha\n', 'omega\n']);
  assert.equal(await console(computer), before);

  // While a text terminal of the host is shown, which would hear them as well, they are heard nowhere.
  await computer.does('nestbox', 'switch', 'host');
  assert.equal(await visible(computer), 'tty1');
  await typeBoth(computer, 'nowhere', 'nowhere');
  await computer.does('sleep', '1');
  assert.equal(await console(computer), before);
  await computer.does('nestbox', 'switch', 'left');
  await free(computer, 'mirrors');
  await typeBoth(computer, 'echo more > more\n', 'echo more > more\n');
  for (const side of ['left', 'right'] as const) {
    await computer.until(...there(`${home(side)}/more`));
    assert.equal(await computer.get(`${home(side)}/more`), 'more\n');
  }
  assert.equal(await console(computer), before);

  // Each plays on its own card.
  await computer.does('nestbox', 'exec', '--root', 'left', '--', 'aplay', '-q', '/tone.wav');
  await computer.does('nestbox', 'exec', '--root', 'right', '--', 'aplay', '-q', '/tone.wav');
  assertSomeTone(computer.sound(), 440);
  assertSomeTone(right.sound(), 1000);

  // One that comes later belongs to the seat of its port.
  await computer.unplug('left-keys');
  const later = (await computer.does('readlink', '-f', await computer.plug('left-keys', { port: '1' }))).trim().replace('/dev/input/', '');
  await listens(computer, 'Xorg', `$(cd /sys/class/input; grep -lx nestbox/left/${later} event*/device/phys | cut -d/ -f1)`);
  await computer.type('echo again > again\n');
  await computer.until(...there(`${home('left')}/again`));
  assert.equal(await console(computer), before);

  // A third machine gets nothing of that.
  await computer.write('/root/third.toml', machine('third', '/srv/roots/debian', { card: cards[1], input: [place.left], sound: sounds[0] }));
  const { status, stderr } = await computer.run('nestbox', 'start', '/root/third.toml');
  assert.equal(status, 1);
  for (const [key, owner] of [['card', 'right'], ['input', 'left'], ['sound', 'left']] as const) assert.match(stderr, new RegExp(`seat\\.${key}.*the machine '${owner}' has `));

  // Busy with more programs than the other one, and each has half.
  const busy = ([['left', 4], ['right', 2]] as const).map(([side, programs]) => computer.start('nestbox', 'exec', '--root', side, '--', 'sh', '-c', `for i in $(seq ${programs}); do while :; do :; done & done; echo busy; wait`));
  for (const job of busy) await job.says(/busy/);
  await computer.does('sleep', '2');
  const began = [await used(computer, 'left'), await used(computer, 'right')] as const;
  await computer.does('sleep', '20');
  const [left, other] = [(await used(computer, 'left')) - began[0], (await used(computer, 'right')) - began[1]];
  const share = left / (left + other);
  t.diagnostic(`left has ${Math.round(share * 1000) / 10} % of ${Math.round(left + other)} s`);
  assert.ok(share > 0.45 && share < 0.55, `${share}`);

  // When the last one ends, the host has its terminals, keyboards and mice again.
  await computer.does('nestbox', 'stop', 'right', 'left');
  assert.equal(await visible(computer), 'tty1');
  for (const [at, name] of [[computer, 'nobody'], [right, 'zak']] as const) {
    await at.type(name);
    await computer.until('sh', '-c', `tr -d '\\n' < /dev/vcs1 | grep -q '${name} *$'`);
  }
  assert.equal((await computer.run('ls', '/run/nestbox-seats')).stdout, '');
});
