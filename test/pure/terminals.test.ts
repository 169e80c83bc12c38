import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import type { Facts, Terminals } from '../../src/facts.ts';
import { plan } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { freeTerminal, hostTerminal, terminalIn } from '../../src/terminals.ts';
import { meetStored, storedHost } from './hosts.ts';

const terminals = (more: Partial<Terminals> = {}): Terminals => ({ active: 7, used: [{ number: 7, by: 'a session of carol' }, { number: 1, by: 'agetty' }, { number: 9, by: 'weston' }], machines: [{ name: 'private', number: 8 }], ...more });

/** The terminal that 'work' gets, or the complaint. */
function given(option: string, facts: Partial<Facts> = {}): number | string {
  const host = { ...storedHost('debian12'), terminals: terminals(), ...facts };
  const { machine, facts: met } = meetStored(readSpec(`name = "work"\nboot = true\n[display.vt]\n${option}\n[root]\ndirectory = "/srv/chroot/old"\n`, 'work.toml'), host, '/etc/nestbox/work.toml', 'service');
  try {
    plan(machine, met);
  } catch (error) {
    if (error instanceof Complaint) return error.message;
    throw error;
  }
  return terminalIn(machine.edits)!;
}

test('a machine gets the first terminal that neither the host nor another machine has, and keeps its own', () => {
  assert.equal(given(''), 10);
  assert.equal(given('', { terminals: terminals({ machines: [{ name: 'work', number: 12 }] }) }), 12);
  assert.equal(given('', { terminals: terminals({ used: [], machines: [] }) }), 8);
  assert.equal(freeTerminal({ terminals: terminals({ machines: Array.from({ length: 63 }, (_, i) => ({ name: `m${i}`, number: i + 1 })) }) }, 'work'), null);
});

test('a terminal that is named is refused where somebody else has it, and it is said who', () => {
  assert.equal(given('terminal = 12'), 12);
  assert.match(`${given('terminal = 8')}`, /the machine 'private' has terminal 8\n +name another one/);
  assert.match(`${given('terminal = 7')}`, /the host uses terminal 7: a session of carol/);
  assert.match(`${given('terminal = 9')}`, /the host uses terminal 9: weston/);
  assert.match(`${given('terminal = 3')}`, /terminals 1 to 6 are for the host's own logins/);
  assert.equal(given('terminal = 9', { terminals: terminals({ machines: [{ name: 'work', number: 9 }] }) }), 9); // its own, while it runs
  assert.match(`${given('', { terminals: null })}`, /this computer has no virtual terminals\n.*"nested" or "headless"/);
});

test("the host's screen is where it was before a machine took it, or where somebody is logged in, or the first", () => {
  const at = (active: number, before: number | null, more: Partial<Terminals> = {}) => hostTerminal(terminals({ active, ...more }), before);
  assert.equal(at(3, null), 3); // it is there already
  assert.equal(at(8, 2), 2);
  assert.equal(at(8, 8), 7);
  assert.equal(at(8, null), 7);
  assert.equal(at(8, null, { used: [] }), 1);
  assert.equal(at(8, 9, { machines: [{ name: 'private', number: 8 }, { name: 'work', number: 9 }], used: [] }), 1);
});
