import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import type { Claim, Facts, SeatFacts, SeatOptions } from '../../src/facts.ts';
import { plan } from '../../src/plan.ts';
import { freeOf, placeOf, portOf, seatRows, seatText } from '../../src/seat-table.ts';
import { claimOf, selectorText, selects } from '../../src/seats.ts';
import { readSpec } from '../../src/spec.ts';
import { meetStored, storedHost } from './hosts.ts';

const host = storedHost('desktop-nvidia');
const keyboards = host.seats!.inputs;
const uinput = storedHost('debian12').nodes['/dev/uinput']!;

const seatOf = (more: object): SeatOptions => ({ card: 1, input: [], weight: 100, ...more });
const with_ = (...claims: Claim[]): Facts & { seats: SeatFacts } => ({ ...host, nodes: { ...host.nodes, '/dev/uinput': uinput }, seats: { ...host.seats!, claims } });

/** The machine 'new', or what it is refused with. */
function given(table: string, facts: Facts = with_()) {
  const spec = readSpec(`name = "new"\nboot = true\n${table}\n[root]\ndirectory = "/srv/chroot/old"\n`, 'new.toml');
  try {
    const met = meetStored(spec, facts, '/etc/nestbox/new.toml', 'service');
    plan(met.machine, met.facts, (at) => `${at.join('.')}: `);
    return met.machine;
  } catch (error) {
    if (error instanceof Complaint) return error.message;
    throw error;
  }
}
const refused = (table: string, ...claims: Claim[]) => {
  const found = given(table, with_(...claims));
  return typeof found === 'string' ? found : 'not refused';
};

test('a keyboard is told by its port, by what is behind a hub, by a link of udev, by vendor and product, and by its name', () => {
  const which = (text: string) => keyboards.filter((device) => selects(text, device)).map(({ node }) => node).join(' ');
  assert.equal(which('pci-0000:02:00.0-usb-0:1'), 'event2');
  assert.equal(which('pci-0000:02:00.0-usb-0:1:1.0'), 'event2');
  assert.equal(which('pci-0000:0c:00.3-usb-0:1'), 'event4 event5'); // a hub
  assert.equal(which('pci-0000:0c:00.3-usb-0:1.1'), 'event4');
  assert.equal(which('pci-0000:0c:00.3'), 'event4 event5'); // all of a controller
  assert.equal(which('pci-0000:0c:0'), '');
  assert.equal(which('/dev/input/by-path/pci-0000:02:00.0-usb-0:2:1.0-event-mouse'), 'event3');
  assert.equal(which('046d:c31c'), 'event2');
  assert.equal(which('CHERRY Keyboard'), 'event4');
  assert.equal(which('CHERRY'), '');
  assert.deepEqual(['/dev/input/by-path/platform-i8042-serio-0-event-kbd', '046d:c31c', 'pci or not'].map(selectorText), ['path:platform-i8042-serio-0', 'id:046d:c31c', 'name:pci or not']);
});

test('a port is not the one whose number begins like it', () => {
  const at = (path: string) => ({ path, id: '0:0', name: 'x' });
  assert.deepEqual(['usb-0:1:1.0', 'usb-0:1.2:1.0', 'usb-0:10:1.0', 'usb-0:2:1.0'].map((place) => selects('pci-0000:00:14.0-usb-0:1', at(`pci-0000:00:14.0-${place}`))), [true, true, false, false]);
});

test('a seat is a card, mirrors of its keyboards, its sound card, and a share', () => {
  const machine = given('[seat]\ncard = "pci-0000:0c:00.0"\ninput = ["046d:c31c"]\nsound = "USB"\nweight = 200\nmemory = "2G"');
  assert.ok(typeof machine !== 'string', `${machine}`);
  const { edits } = machine;
  assert.deepEqual(edits.devices.filter(({ path }) => path.startsWith('/dev/dri/')).map(({ path }) => path), ['/dev/dri/card1', '/dev/dri/renderD129']);
  assert.ok(edits.devices.every(({ path }) => !/tty|fb0/.test(path)));
  assert.deepEqual(edits.devices.filter(({ path }) => path.includes('pcm')).map(({ path }) => path.replace(/D.*/, '')).filter((path, i, all) => all.indexOf(path) === i), ['/dev/snd/pcmC1']);
  assert.deepEqual(edits.limits, { weight: 200, memory: 2 ** 31 });
  assert.deepEqual(edits.before.find(({ kind }) => kind === 'seat'), { kind: 'seat', machine: 'new', inputs: ['id:046d:c31c'] });
  assert.deepEqual(edits.services.map(({ argv }) => argv.slice(1, 4).join(' ')), ['udev-relay --seat-of new']);
  assert.deepEqual(edits.classes.map(({ name, make }) => [name, make]), [['char-input', false]]);
});

test('a device belongs to one machine: a second one is told whose it is', () => {
  const owner: Claim = { machine: 'left', seat: seatOf({ card: '0000:0c:00.0', input: ['pci-0000:0c:00.3-usb-0:1', 'A lost keyboard'], sound: 'USB' }) };
  const seat = (more: string) => refused(`[seat]\n${more}`, owner);
  assert.match(seat('card = 1'), /seat\.card: the machine 'left' has that graphics card/);
  assert.match(seat('card = 0\ninput = ["pci-0000:0c:00.3-usb-0:1.2"]'), /seat\.input\.0: the machine 'left' has 'pci-0000:0c:00.3-usb-0:1.2'/); // behind its hub
  assert.match(seat('card = 0\ninput = ["046d:c31c", "pci-0000:0c:00.3"]'), /seat\.input\.1: the machine 'left'/); // the hub is behind that
  assert.match(seat('card = 0\ninput = ["046a:0011"]'), /seat\.input\.0: the machine 'left'/); // another word for one of its devices
  assert.match(seat('card = 0\ninput = ["A lost keyboard"]'), /seat\.input\.0: the machine 'left'/); // though it is not there
  assert.match(seat('card = 0\nsound = 1'), /seat\.sound: the machine 'left' has that sound card/);
  assert.equal(seat('card = 0\ninput = ["046d:c31c"]\nsound = 2'), 'not refused');
  assert.match(refused('[display.vt]\ncard = 1', owner), /display\.vt\.card: the seat of the machine 'left' has that graphics card/);
  assert.match(refused('[gpu.card]\ncard = 1', owner), /gpu\.card\.card: the seat of the machine 'left' has that graphics card/);
  assert.match(refused('[audio.alsa]\ncard = "USB"', owner), /audio\.alsa\.card: the seat of the machine 'left' has that sound card/);
  assert.match(refused('[seat]\ncard = 1', { machine: 'work', screen: { card: 1 } }), /the machine 'work' has that graphics card/);
  assert.match(refused('[seat]\ncard = 0\nsound = 0', { machine: 'studio', alsa: {} }), /the machine 'studio' has that sound card/);
  assert.equal(refused('[seat]\ncard = 1', { machine: 'new', seat: seatOf({}) }), 'not refused'); // it is its own
});

test('a machine on a terminal has all cards but those of seats, and the first sound card that no seat has', () => {
  const owner: Claim = { machine: 'left', seat: seatOf({ card: 0, sound: 0 }) };
  const machine = given('audio = "alsa"\n[display.vt]', with_(owner));
  assert.ok(typeof machine !== 'string', `${machine}`);
  assert.deepEqual(machine.edits.devices.flatMap(({ path }) => /card\d/.exec(path)?.[0] ?? []), ['card1']);
  assert.equal(machine.edits.environment.ALSA_CARD, '1');
});

test('what is not there is told: a card and a connector with those there are, a port with what will come', () => {
  assert.match(refused('[seat]\ncard = "0000:55:00.0"'), /the host has no graphics card '0000:55:00.0'\n +there is 0 .*1 /);
  assert.match(refused('[seat]\ncard = 1\nconnector = "DP-9"'), /that graphics card has no connector 'DP-9'\n +it has HDMI-A-2/);
  assert.match(refused('[seat]\ncard = 1\nsound = "Brass"'), /seat\.sound: the host has no sound card 'Brass'/);
  const machine = given('[seat]\ncard = 1\ninput = ["pci-0000:02:00.0-usb-0:7"]');
  assert.ok(typeof machine !== 'string');
  assert.match(machine.problems.map(({ what, mend }) => `${what}: ${mend}`).join('\n'), /there is no keyboard or mouse at 'pci-0000:02:00.0-usb-0:7' now: one that comes there belongs to the seat, going on/);
  assert.match(given('[seat]\ncard = 1', { ...with_(), nodes: host.nodes }) as string, /no \/dev\/uinput/);
});

test('no name in a machine file adds a line to what a seat has, and none can be taken for an option', () => {
  assert.throws(() => readSpec('name = "a"\nboot = true\n[seat]\ncard = 0\ninput = ["A\\nname:B"]\n[root]\ndirectory = "/a"\n', 'a.toml'), /line break/);
  assert.match(selectorText('--machine'), /^name:/);
});

test('what machines have is read off their files', () => {
  const claim = (table: string) => claimOf(readSpec(`name = "a"\nboot = true\n${table}\n[root]\ndirectory = "/a"\n`, 'a.toml'));
  assert.deepEqual(claim('[seat]\ncard = 0'), { machine: 'a', seat: { card: 0, input: [], weight: 100 } });
  assert.deepEqual(claim('audio = "alsa"\n[display.vt]\ncard = 1'), { machine: 'a', screen: { card: 1, input: 'all', 'legacy-vesa': false }, alsa: { record: false } });
  assert.equal(claim('gpu = "render"'), null);
});

test('the list has everything that a seat can be made of, who has it, and what is free', () => {
  const rows = seatRows(with_({ machine: 'left', seat: seatOf({ connector: 'HDMI-A-2', input: ['046a:0011'], sound: 1 }) }, { machine: 'work', screen: { card: 0, ...{ input: 'all' } } }));
  const who = Object.fromEntries(rows.map(({ name, seat, shared }) => [name, seat ?? (shared.join() || 'free')]));
  assert.deepEqual(who, {
    card0: 'work', 'DP-1': 'work', 'HDMI-A-1': 'work', card1: 'left', 'HDMI-A-2': 'left',
    'Power Button': 'work', 'Logitech USB Keyboard': 'work', 'Logitech USB Optical Mouse': 'work', 'CHERRY Keyboard': 'left', 'PixArt USB Optical Mouse': 'work',
    'HDA NVidia': 'free', 'Scarlett 2i2 USB': 'left', 'HD-Audio Generic': 'free',
  });
  assert.equal(freeOf(rows, 'card'), undefined);
  assert.equal(freeOf(rows, 'sound')?.name, 'HDA NVidia');
  assert.equal(freeOf(seatRows(with_()), 'card')?.name, 'card1'); // card0 has the host's console
});

test('a table that is written is read again, and names ports rather than what is plugged in there', () => {
  assert.equal(portOf('pci-0000:00:14.0-usb-0:1.2:1.0'), 'pci-0000:00:14.0-usb-0:1.2');
  assert.equal(portOf('platform-i8042-serio-0'), 'platform-i8042-serio-0');
  assert.equal(placeOf({ path: null, name: 'A mouse without a wire' }), 'A mouse without a wire');
  const text = `name = "a"\nboot = true\n${seatText('pci-0000:0c:00.0', ['pci-0000:02:00.0-usb-0:1', 'A "mouse"'], null)}[root]\ndirectory = "/a"\n`;
  assert.deepEqual(claimOf(readSpec(text, 'a.toml'))?.seat, { card: 'pci-0000:0c:00.0', input: ['pci-0000:02:00.0-usb-0:1', 'A "mouse"'], weight: 100 });
});
