import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Inside } from '../../src/facts.ts';
import { leaseEdits, needsOfLease } from '../../src/leases.ts';
import { storedHost } from './hosts.ts';

const root = (more: Partial<Inside>): { inside: Inside } => ({ inside: { linkerCache: null, asound: false, nvidia: [], ...more } });
const said = (facts: Parameters<typeof needsOfLease>[0]) => needsOfLease(facts).map(({ fatal, what }) => `${fatal ? 'refused' : 'warning'}: ${what}`);

test('a root that cannot draw on one connector of a card is refused by the name of what starts the screen there', () => {
  assert.deepEqual(said({}), []); // it is still to be made
  assert.deepEqual(said(root({ displayManager: 'lightdm', seatd: true })), []);
  assert.deepEqual(said(root({ displayManager: 'sddm' })), ['refused: sddm in this root cannot be told to start Xorg on one connector of a card']);
  assert.deepEqual(said(root({ displayManager: null, seatd: true })), ['refused: a Wayland compositor cannot draw on one connector of a card: seatd gives it cards alone']);
  assert.deepEqual(said(root({ displayManager: null })), ['warning: the root starts no display manager']);
});

test('root inside alone gets at the lease, and nobody inside at the card', () => {
  const facts = storedHost('debian12');
  const { services, binds } = leaseEdits({ facts, run: '/run/nestbox/upper', shift: 655360 }, facts.graphics[0]!, 'HDMI-A-1');
  assert.deepEqual(services.map(({ argv }) => argv.join(' ')), ['nestbox-native lease /dev/dri/card0 HDMI-A-1 655360:655360 /run/nestbox/upper']);
  // The socket at which other holders get the card, /run/nestbox/upper/card, is not below what the machine sees.
  assert.deepEqual(binds.map(({ from }) => from).filter((from) => '/run/nestbox/upper/card'.startsWith(from)), []);
});
