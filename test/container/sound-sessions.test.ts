import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { nestbox, running } from '../nestbox.ts';
import { machine, says, succeeds } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';
import { hasPipeWire, hasPulseAudio, killed, pause, personAt, tone } from '../sound-server.ts';

/** The sound server of the person in all sessions of a machine that boots, whose accounts are more than its `user`. */

const root = '[root]\ndebian = "bookworm"\npackages = ["systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "pulseaudio-utils"]\n';

/** A program that the bus of a user starts: it says what it was told, and plays. */
const player = (hertz: number) => `#!/bin/sh\nexec > ~/told 2>&1\nenv\n${tone(hertz)}\necho "ended with $?"\nexit 1 # else the bus waits for its name\n`;

/** Boots a machine with another account, which has the manager and the bus of a user; gives what runs a shell text inside as root. */
async function booted(t: TestContext, name: string, host: ReturnType<typeof personAt>, more: string) {
  const file = machine(t, name, `boot = true\nuser = "someone"\n${more}\n${root}`);
  nestbox(['rm', name]); // of a test that was cut off
  succeeds(nestbox(['run', file, '--', 'true'], { timeout: 400_000, env: host.env }));
  const upper = `/var/lib/nestbox/machines/${name}/top/upper`;
  const before = files(upper);
  const started = running(t, ['run', file], host.env);
  const run = (text: string) => nestbox(['exec', '--root', name, '--', 'sh', '-c', text], { env: host.env });
  for (const limit = Date.now() + 240_000; !/running|degraded/.test(run('systemctl is-system-running').stdout); await pause(100)) assert.ok(Date.now() < limit, `it does not come up: ${started.stderr()}`);
  succeeds(run('useradd --create-home --shell /bin/sh listener && loginctl enable-linger listener'));
  for (const limit = Date.now() + 240_000; run('test -S /run/user/$(id -u listener)/bus').status !== 0; await pause(100)) assert.ok(Date.now() < limit, 'the manager of a user does not come up');
  return {
    run,
    /** Ends it, and tells which files of ours are in its root afterwards that were not before. */
    async end() {
      const { status, stderr } = await started.end('SIGTERM');
      assert.equal(status, 0, stderr);
      return files(upper).filter((path) => !before.includes(path) && /nestbox|profile\.d|environment\.d|Xsession|system\.conf\.d|pulse\/client|\.service\.d/.test(path));
    },
  };
}

const files = (path: string): string[] => says('find', path, '-printf', '/%P\n').split('\n');

/** A shell text as one account with a bus, and no variable of the one who asks. */
const asListener = (text: string) => `su - listener -c 'export XDG_RUNTIME_DIR=/run/user/$(id -u); ${text.replaceAll("'", "'\\''")}'`;

/** Ways for a program of another account to be started in a machine that has booted; each plays a tone of its own. */
const ways: Record<string, (hertz: number) => string> = {
  'a login shell': (hertz) => `su - listener -c 'test "$PULSE_SERVER" = unix:/run/nestbox/pulse/native || exit 9; ${tone(hertz).replaceAll("'", "'\\''")}'`,
  'a program without any variable': (hertz) => `setpriv --reuid=listener --regid=listener --clear-groups env -i PATH=/usr/bin:/bin HOME=/home/listener sh -c 'cd; ${tone(hertz).replaceAll("'", "'\\''")}'`,
  'a unit of systemd --user': (hertz) => `printf '%s\\n' 'test "$PULSE_SERVER" = unix:/run/nestbox/pulse/native || exit 9' '${tone(hertz).replaceAll("'", "'\\''")}' > /home/listener/unit\n${asListener('systemd-run --user --quiet --wait --pipe sh /home/listener/unit')}`,
  'a program that D-Bus starts': (hertz) => `rm -f /home/listener/told; cat > /home/listener/player << 'END'\n${player(hertz)}END
chmod 0755 /home/listener/player; mkdir -p /home/listener/.local/share/dbus-1/services
printf '[D-BUS Service]\\nName=org.example.Player\\nExec=/home/listener/player\\n' > /home/listener/.local/share/dbus-1/services/org.example.Player.service
chown -R listener: /home/listener
${asListener('busctl --user call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig; busctl --user call org.freedesktop.DBus / org.freedesktop.DBus StartServiceByName su org.example.Player 0 2> /tmp/answer')}
grep -q PULSE_SERVER=unix:/run/nestbox/pulse/native /home/listener/told`,
  'a service of the system': (hertz) => `printf '%s\\n' 'test "$PULSE_SERVER" = unix:/run/nestbox/pulse/native || exit 9' '${tone(hertz).replaceAll("'", "'\\''")}' > /home/listener/unit\nsystemd-run --quiet --wait --pipe --uid=listener sh /home/listener/unit`,
};

test('every session of a machine plays through the sound server of the host, also after that was killed, and no file stays', async (t) => {
  if (!hasPulseAudio(t)) return;
  const before = snapshot();
  const host = personAt(t);
  const server = await host.pulseAudio();
  const inside = await booted(t, 'sound-sessions', host, `audio = "pulse"\nenvironment = { SHOWN = "it's a \\"b\\" $HOME \`c\` \\\\d %n" }`);
  const all = async (first: number) => {
    for (const [i, [way, play]] of Object.entries(ways).entries()) {
      host.forget();
      const { status, stdout, stderr } = inside.run(play(first + 110 * i));
      assert.equal(status, 0, `${way}: ${stdout}${stderr}`);
      await host.hears(first + 110 * i);
    }
  };
  await all(440);
  // The value comes through each file's own quoting as it was.
  for (const text of [`su - listener -c 'printf %s "$SHOWN"'`, asListener(`systemctl --user show-environment | grep -q SHOWN && systemd-run --user --quiet --wait --pipe sh -c 'printf %s "$SHOWN"'`), `systemd-run --quiet --wait --pipe sh -c 'printf %s "$SHOWN"'`, 'printf %s "$SHOWN"; unset SHOWN; . /etc/X11/Xsession.d/10nestbox; printf %s "$SHOWN"'])
    assert.match(inside.run(text).stdout, /^(it's a "b" \$HOME `c` \\d %n)+$/, text);
  await killed(server);
  assert.notEqual(inside.run(ways['a login shell']!(440)).status, 0, 'nobody plays it now');
  says('rm', '-r', `${host.runtime}/pulse`); // as when the person has logged out
  const again = await host.pulseAudio();
  await all(495);
  assert.deepEqual(await inside.end(), []);
  succeeds(nestbox(['rm', 'sound-sessions']));
  await host.deaf();
  await again.end();
  assert.deepEqual(differences(before), []);
});

test('what only plays waits for the sound server of a person who logs in later, and for one that starts again', async (t) => {
  if (!hasPulseAudio(t)) return;
  const host = personAt(t);
  const inside = await booted(t, 'sound-later', host, 'audio = "playback"');
  succeeds(inside.run(ways['a login shell']!(440))); // into nothing, and to its end
  for (let i = 0; i < 2; i++) {
    // It plays while the server comes, and is killed with it playing.
    succeeds(inside.run(`printf %s '${`while :; do ${tone(550, 10)}; done`.replaceAll("'", "'\\''")}' > /home/listener/long; systemd-run --quiet --unit=long --uid=listener sh /home/listener/long`));
    const server = await host.pulseAudio();
    for (const limit = Date.now() + 60_000; !/./.test(host.pactl('list', 'short', 'sink-inputs').stdout); await pause(100)) assert.ok(Date.now() < limit, 'the tunnel is not there again');
    host.forget();
    await host.hears(550);
    succeeds(inside.run('systemctl is-active long && systemctl stop long'));
    host.forget();
    succeeds(inside.run(ways['a program without any variable']!(660)));
    await host.hears(660);
    if (i === 0) await killed(server);
  }
  assert.deepEqual(await inside.end(), []);
});

for (const kind of ['pulse', 'playback'])
  test(`audio = "${kind}" reaches PipeWire as it does PulseAudio, also one that starts again`, async (t) => {
    if (!hasPipeWire(t) || !hasPulseAudio(t)) return;
    const host = personAt(t);
    const first = await host.pipeWire();
    const inside = await booted(t, `sound-pipewire-${kind}`, host, `audio = "${kind}"`);
    const plays = async (hertz: number) => {
      host.forget();
      succeeds(inside.run(ways['a login shell']!(hertz)));
      await host.hears(hertz);
    };
    await plays(440);
    for (const one of first) await killed(one);
    for (const name of ['pipewire-0', 'pulse/native']) rmSync(`${host.runtime}/${name}`, { force: true }); // what a killed one leaves is not there for the test to wait for
    await host.pipeWire();
    for (const limit = Date.now() + 60_000; kind === 'playback' && !/./.test(host.pactl('list', 'short', 'sink-inputs').stdout); await pause(100)) assert.ok(Date.now() < limit, 'the tunnel is not there again');
    await plays(660);
    assert.deepEqual(await inside.end(), []);
  });

test('a display is told to the sessions of the account that it is for, and to none that has brought its own', async (t) => {
  const host = personAt(t);
  const inside = await booted(t, 'display-sessions', host, 'display = "headless"');
  const told = (text: string) => inside.run(text).stdout.trim();
  const display = told('tr "\\0" "\\n" < /proc/1/environ | sed -n s/^DISPLAY=//p');
  assert.match(display, /^:\d+$/);
  assert.equal(told('su - someone -c \'echo "$DISPLAY $XAUTHORITY"\''), `${display} /run/nestbox/xauth`);
  assert.equal(told('su - listener -c \'echo "<$DISPLAY$XAUTHORITY>"\''), '<>', 'the key is not theirs');
  for (const [variable, value] of [['DISPLAY', 'localhost:10.0'], ['XDG_SESSION_TYPE', 'wayland'], ['XDG_SESSION_TYPE', 'x11'], ['XDG_VTNR', '7']] as const)
    assert.equal(told(`setpriv --reuid=someone --clear-groups env -i PATH=/usr/bin:/bin ${variable}=${value} sh -c '. /etc/profile.d/nestbox.sh; echo "<$DISPLAY $XAUTHORITY>"'`), variable === 'DISPLAY' ? `<${value} >` : '< >', variable);
  const manager = (account: string) => {
    succeeds(inside.run(`loginctl enable-linger ${account}; i=0; until [ -S /run/user/$(id -u ${account})/bus ] || [ $i -gt 1200 ]; do sleep 0.1; i=$((i + 1)); done`));
    return told(`su - ${account} -c 'env -u DISPLAY XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user show-environment' | grep -E '^(DISPLAY|XAUTHORITY)='`);
  };
  assert.equal(manager('someone'), `DISPLAY=${display}\nXAUTHORITY=/run/nestbox/xauth`);
  assert.equal(manager('listener'), '');
  assert.deepEqual(await inside.end(), []);
});
