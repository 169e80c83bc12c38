import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { folder, nestbox, running } from '../nestbox.ts';
import { machine, succeeds } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** Machines that boot, in the foreground: on a host without systemd nestbox is what keeps them. */

const root = '[root]\ndebian = "bookworm"\npackages = ["iproute2"]\n';

/** Its own unit, as anybody would add one inside: it says that it is up, and that it is stopped. */
const unit = (shared: string) => `[Unit]
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "(systemctl show-environment; ip -br address show host0) > ${shared}/seen; echo up > ${shared}/up"
ExecStop=/bin/sh -c "echo down > ${shared}/down"
[Install]
WantedBy=multi-user.target
`;

test('a machine with boot = true starts its own init, with its network and variables, and is shut down in order', async (t) => {
  const shared = folder(t);
  const before = snapshot();
  const file = machine(t, 'boots', `boot = true\nnetwork = "private"\nenvironment = { SHOWN = "a b" }\nfiles = [{ path = "${shared}", write = true }]\n${root}`);
  succeeds(nestbox(['run', file, '--', 'sh', '-c', 'cat > /etc/systemd/system/says.service; systemctl enable says.service'], { timeout: 400_000, input: unit(shared) }));
  const started = running(t, ['run', file]);
  try {
    for (const limit = Date.now() + 30_000; !existsSync(`${shared}/up`); await new Promise((resolve) => setTimeout(resolve, 50))) assert.ok(Date.now() < limit, `it does not come up: ${started.stderr()}`);
    const seen = readFileSync(`${shared}/seen`, 'utf8');
    assert.match(seen, /SHOWN=.*a b/);
    assert.match(seen, /^host0\S* +UP +10\.213\.\d+\.\d+\/30/m);
  } finally {
    const { status, stderr } = await started.end('SIGTERM');
    assert.equal(status, 0, stderr);
  }
  assert.equal(readFileSync(`${shared}/down`, 'utf8'), 'down\n'); // its units were stopped, not killed
  succeeds(nestbox(['rm', 'boots']));
  assert.deepEqual(differences(before), []);
});
