import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { folder, nestbox, running } from '../nestbox.ts';
import { create, machine, says, succeeds, templateOf } from '../roots.ts';
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
    for (const limit = Date.now() + 240_000; !existsSync(`${shared}/up`); await new Promise((resolve) => setTimeout(resolve, 50))) assert.ok(Date.now() < limit, `it does not come up: ${started.stderr()}`);
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

test('a root that boots goes without what is made for computers: it is up whole, with logins, the bus and the journal, and a word takes each back', async (t) => {
  const kept = machine(t, 'boots-kept', `boot = true\n${root}unmasked = ["systemd-remount-fs.service", "systemd-fstab-generator"]\n`);
  assert.match(succeeds(nestbox(['plan', kept])).stdout, /\/system\/dev-hugepages\.mount: large pages are given out by the host\n/);
  assert.doesNotMatch(succeeds(nestbox(['plan', kept])).stdout, /remount-fs|fstab-generator/);
  assert.match(nestbox(['plan', machine(t, 'boots-wrong', `boot = true\n${root}unmasked = ["dev-hugepage.mount"]\n`)]).stderr, /unmasked/);

  create(t, 'boots-light', `boot = true\n${root}`);
  assert.match(succeeds(nestbox(['plan', 'boots-light'])).stdout, /left out in its root[^\n]*\n +\/etc\/systemd\/system\/dev-hugepages\.mount: /);
  assert.equal(says('readlink', `${templateOf('boots-light')}/etc/systemd/system/dev-hugepages.mount`), '/dev/null\n');
  const started = running(t, ['run', 'boots-light']);
  const seen = (...words: string[]) => nestbox(['exec', 'boots-light', '--', ...words]);
  try {
    for (const limit = Date.now() + 240_000; seen('timeout', '30', 'systemctl', 'is-system-running').stdout !== 'running\n'; await new Promise((resolve) => setTimeout(resolve, 100)))
      assert.ok(Date.now() < limit, `${seen('systemctl', '--failed').stdout}${started.stderr()}`);
    assert.equal(seen('systemctl', 'is-active', 'dev-hugepages.mount').stdout, 'inactive\n');
    // Whether it is started depends on what the console is; here it is no terminal.
    assert.match(seen('systemctl', 'show', '--property=Wants', 'getty.target').stdout, /console-getty\.service/, 'the console has a login, though no generator has asked for it');
    assert.equal(seen('systemctl', 'is-active', 'systemd-logind.service', 'dbus.service', 'dbus.socket').stdout, 'inactive\ninactive\nactive\n');
    // Who is not root asks systemd over the bus, and may be the first.
    assert.equal(seen('setpriv', '--reuid=65534', '--clear-groups', 'systemctl', 'is-system-running').stdout, 'running\n');
    assert.equal(seen('systemctl', 'is-active', 'systemd-logind.service', 'dbus.service').stdout, 'inactive\nactive\n');
    // PAM's session, as of any login: logind is started by the bus, and starts the user's own systemd.
    const session = seen('su', '--login', '--command', 'loginctl show-session --property=Name --value "$XDG_SESSION_ID"; systemctl --user is-system-running --wait; busctl --user call org.freedesktop.DBus / org.freedesktop.DBus GetId | cut -c1-3', 'root');
    assert.equal(session.stdout, 'root\nrunning\ns "\n', session.stderr);
    assert.equal(seen('systemctl', 'is-active', 'systemd-logind.service').stdout, 'active\n');
    succeeds(seen('logger', '--tag', 'nestbox-test', 'read back'));
    for (const limit = Date.now() + 60_000; !/read back/.test(seen('journalctl', '--sync', '--boot', '--identifier=nestbox-test', '--output=cat').stdout + seen('journalctl', '--boot', '--identifier=nestbox-test', '--output=cat').stdout); ) assert.ok(Date.now() < limit, 'the journal has it');
    // Without being moved, and without a wait for those who log in.
    assert.match(seen('sh', '-c', 'journalctl --header --file /var/log/journal/*/system.journal | head -1; ls /run/log/journal /run/nologin').stdout, /^File path: \/var\/log\/journal\/.*\n$/);
    assert.match(seen('journalctl', '--boot', '--output=cat').stdout, /Journal started/);
    assert.equal(seen('systemctl', 'is-active', 'systemd-journal-flush.service', 'systemd-user-sessions.service').stdout, 'inactive\ninactive\n');
    // What a word of the person asks for is found by the generators that are started when they have something to do.
    succeeds(seen('sh', '-c', 'echo "tmpfs /srv tmpfs size=1M 0 0" > /etc/fstab; systemctl daemon-reload; systemctl start srv.mount; findmnt --noheadings --output FSTYPE /srv'));
    assert.equal(seen('findmnt', '--noheadings', '--output', 'FSTYPE', '/srv').stdout, 'tmpfs\n');
  } finally {
    const { status, stderr } = await started.end('SIGTERM');
    assert.equal(status, 0, stderr);
  }
});

test('where something is mounted inside, the journal and the logins wait for it as on any computer', async (t) => {
  create(t, 'boots-waits', `boot = true\n${root}`);
  const inside = (...words: string[]) => nestbox(['exec', 'boots-waits', '--', ...words]);
  const seen: string[] = [];
  for (const prepare of ['echo "tmpfs /srv tmpfs size=1M 0 0" > /etc/fstab', 'rm /etc/fstab; printf "[Mount]\\nWhat=tmpfs\\nType=tmpfs\\n" > /etc/systemd/system/var-log-journal.mount; systemctl enable var-log-journal.mount; mkdir -p /etc/systemd/system/local-fs.target.wants; ln -s ../var-log-journal.mount /etc/systemd/system/local-fs.target.wants/']) {
    succeeds(nestbox(['run', 'boots-waits', '--', 'sh', '-c', prepare]));
    const started = running(t, ['run', 'boots-waits']);
    for (const limit = Date.now() + 240_000; inside('timeout', '30', 'systemctl', 'is-system-running').stdout !== 'running\n'; await new Promise((resolve) => setTimeout(resolve, 100)))
      assert.ok(Date.now() < limit, `${inside('systemctl', '--failed').stdout}${started.stderr()}`);
    seen.push(inside('sh', '-c', 'systemctl is-active systemd-journal-flush.service systemd-user-sessions.service; systemctl show --property=StandardOutput systemd-journald.service; test -f /run/systemd/journal/flushed && journalctl --header | head -1; ls /run/nologin').stdout.replace(/[0-9a-f]{32}/, 'ID'));
    assert.equal((await started.end('SIGTERM')).status, 0);
  }
  assert.deepEqual(seen, Array(2).fill('active\nactive\nStandardOutput=null\nFile path: /var/log/journal/ID/system.journal\n'));
});
