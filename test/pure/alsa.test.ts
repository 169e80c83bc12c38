import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Facts } from '../../src/facts.ts';
import type { Context } from '../../src/grant.ts';
import { topics } from '../../src/grants/index.ts';
import { storedHost } from './hosts.ts';

const alsa = topics.audio!.alsa!;
const context = (more: Partial<Facts> = {}): Context => ({
  machine: 'law', facts: { ...storedHost('desktop-nvidia'), ...more }, run: '/run/nestbox/law', shift: 2 ** 20, inside: { name: 'guest', home: '/home/guest', uid: 2 ** 20 + 1000, gid: 2 ** 20 + 1000 }, helper: { uid: 65534, gid: 65534 }, nobody: { uid: 65534, gid: 65534 }, accept: [], sharesNetwork: false, boots: false, emulated: false, sharesMemory: true, unit: null,
});

test('a card is found by its number, its short name and its longer one', () => {
  for (const card of [1, '1', 'USB', 'Scarlett 2i2 USB']) {
    assert.deepEqual(alsa.needs({ card, record: false }, context()), [], `${card}`);
    const { devices, environment, before } = alsa.edits({ card, record: false }, context());
    assert.deepEqual(devices!.map(({ path }) => path), ['/dev/snd/controlC1', '/dev/snd/pcmC1D0p', '/dev/snd/seq', '/dev/snd/timer'], `${card}`);
    assert.deepEqual(environment, { ALSA_CARD: '1' });
    // The default of alsa.conf is a number: without '!' a name in its place is an error of type.
    assert.deepEqual(before, [{ kind: 'write', path: '/run/nestbox/law/asound.conf', text: 'defaults.pcm.!card "USB"\ndefaults.ctl.!card "USB"\n', mode: 0o644 }]);
  }
});

test('a card that is not there is told with the nearest name, or with all that are there', () => {
  const told = (card: string | number) => alsa.needs({ card, record: false }, context()).map(({ what, mend }) => `${what}; ${mend}`);
  assert.deepEqual(told('scarlett 2i2'), ["the host has no sound card 'scarlett 2i2'; did you mean 'Scarlett 2i2 USB'?"]);
  assert.deepEqual(told('Genric'), ["the host has no sound card 'Genric'; did you mean 'Generic'?"]);
  assert.deepEqual(told(7), ["the host has no sound card '7'; there is 0 (NVidia, HDA NVidia), 1 (USB, Scarlett 2i2 USB) and 2 (Generic, HD-Audio Generic)"]);
});

test("an asound.conf of the root's own is left as it is, and that is said", () => {
  const inside = { linkerCache: null, asound: true, nvidia: [] };
  assert.match(alsa.needs({ record: false }, context({ inside })).map(({ what, mend, fatal }) => `${fatal} ${what}; ${mend}`).join(), /^false the machine has an \/etc\/asound\.conf of its own.*going on$/);
  const { binds = [], before = [], environment } = alsa.edits({ record: false }, context({ inside }));
  assert.deepEqual([binds, before, environment], [[], [], { ALSA_CARD: '0' }]);
});
