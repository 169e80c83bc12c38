import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, machineFile, nestbox, root, running } from '../nestbox.ts';
import { assertPausedTone, assertTone, readWav } from '../sound.ts';
import { hasPulseAudio, pause, person, personAt, tone } from '../sound-server.ts';

const machine = (t: TestContext, name: string, more: string) => machineFile(t, `name = "${name}"\nephemeral = true\nnetwork = "none"\n${more}\n${root}`);

/** A sound server of the person's, as a desktop has one, and what it plays from now on. */
async function soundServer(t: TestContext, isElsewhere = false) {
  if (!hasPulseAudio(t)) return null;
  const host = personAt(t);
  await host.pulseAudio(isElsewhere ? `${host.home}/elsewhere` : undefined);
  return host;
}

test('what a machine plays is in the recording: a tone with its frequency and its length', (t) => {
  const path = `${folder(t)}/out.wav`;
  writeFileSync(path, 'an earlier recording, which is longer than a header of a WAV file'.repeat(10_000));
  for (const [user, hertz] of [['user = "someone"', 440], ['', 1000]] as const) {
    const { status, stderr } = nestbox(['run', machine(t, 'audio-record', `${user}\naudio = "playback"`), '--record-audio', path, '--', 'sh', '-c', tone(hertz)]);
    assert.equal(status, 0, stderr);
    assertTone(readWav(path), hertz);
  }
});

/** Ends well when it is asked to. */
const untilAsked = 'trap "exit 0" TERM; while :; do sleep 0.05; done';

/** Until so many bytes are in the file. */
async function holds(path: string, bytes: number): Promise<void> {
  const size = () => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  for (const limit = Date.now() + 60_000; size() < bytes; await pause(50)) assert.ok(Date.now() < limit, `${path} has ${size()} bytes`);
}

test('a machine that plays nothing gives a recording of silence', async (t) => {
  const path = `${folder(t)}/out.wav`;
  const run = running(t, ['run', machine(t, 'audio-silence', 'audio = "playback"'), '--record-audio', path, '--', 'sh', '-c', untilAsked]);
  await holds(path, 200_000); // a null sink begins with two seconds that nobody has heard
  assert.equal((await run.end()).status, 0);
  const { samples, rate } = readWav(path);
  assert.ok(samples.length > 0.5 * rate && samples.every((sample) => sample === 0), `${samples.length} samples`);
});

test('a recording is the person\'s file, also where nestbox runs as root, and is not written through a link', (t) => {
  const place = folder(t);
  chownSync(place, person, person);
  const env = { SUDO_UID: `${person}`, SUDO_GID: `${person}`, HOME: place };
  const file = machine(t, 'audio-file', '[audio.playback]\nrecord = "~/out.wav"');
  assert.equal(nestbox(['run', file, '--', 'sleep', '0.3'], { env }).status, 0);
  assert.deepEqual([statSync(`${place}/out.wav`).uid, statSync(`${place}/out.wav`).gid], [person, person]);
  rmSync(`${place}/out.wav`);
  writeFileSync(`${place}/precious`, 'precious');
  spawnSync('ln', ['-s', 'precious', `${place}/out.wav`]);
  const refused = nestbox(['run', file, '--', 'true'], { env });
  assert.deepEqual([refused.status, readFileSync(`${place}/precious`, 'utf8')], [1, 'precious']);
  assert.match(refused.stderr, /cannot write .*out\.wav/);
});

/** What no program of a machine that only plays may do; each is tried, and says whether it was let. */
const trespasses = [
  'parec -d @DEFAULT_MONITOR@', 'parec', 'parec -d @DEFAULT_SOURCE@', 'parec -d 0', 'parec -d $(pactl get-default-sink).monitor', 'parec --monitor-stream=0',
  'pactl load-module module-null-sink', 'pactl load-module module-native-protocol-tcp auth-anonymous=1', 'pactl list modules short', 'pactl unload-module 0', 'pactl exit',
  'pactl set-sink-volume @DEFAULT_SINK@ 10%', 'pactl set-sink-mute @DEFAULT_SINK@ 1', 'pactl suspend-sink @DEFAULT_SINK@ 1', 'pactl set-default-sink other', 'pactl set-source-mute @DEFAULT_SOURCE@ 0',
];
// parec goes on for ever where it is let: something comes, and then nobody listens to it any more.
const tryAll = trespasses.map((words) => `{ timeout 60 ${words} 2> /tmp/err; echo $? > /tmp/status; } | head -c 1 > /tmp/out; test -s /tmp/out && echo "out: ${words}"; echo "$(cat /tmp/status) $(tail -n 1 /tmp/err) # ${words}"`).join('\n');

test('a machine that only plays can neither listen, nor load modules, nor change or end the server; and still plays', (t) => {
  const { stdout, stderr } = nestbox(['run', machine(t, 'audio-playback', 'user = "someone"\naudio = "playback"'), '--', 'sh', '-c', `${tone(440)} & \n${tryAll}\nwait; pacat --rate=44100 /dev/null && echo plays`]);
  const lines = stdout.trim().split('\n');
  assert.equal(lines.pop(), 'plays', stdout + stderr);
  assert.deepEqual(lines.map((line) => line.replace(/^1 (Failure|Stream error|Failed to get module information): Access denied # .*/, 'refused')), trespasses.map(() => 'refused'), stdout);
  assert.match(stdout, /1 Stream error: Access denied # parec -d @DEFAULT_MONITOR@\n/);
  assert.match(stdout, /1 Failure: Access denied # pactl load-module module-null-sink\n/);
});

test('what only plays reaches the sound server of the person, where their PULSE_SERVER says that it is', async (t) => {
  const host = await soundServer(t, true);
  if (!host) return;
  const path = `${folder(t)}/out.wav`;
  host.forget();
  const before = readFileSync(host.cookie);
  const run = running(t, ['--keep', `PWD=${host.home}`, '--keep', `PULSE_SERVER=tcp:sound.invalid unix:${host.home}/elsewhere`, 'run', machine(t, 'audio-tunnel', 'user = "someone"\naudio = "playback"'), '--record-audio', path, '--', 'sh', '-c', `${tone(440)}; echo played; ${untilAsked}`], host.env);
  await run.says(/played/);
  const heard = await host.heard();
  const { status, stderr } = await run.end();
  assert.equal(status, 0, stderr);
  assertPausedTone(heard, 440);
  assertPausedTone(readWav(path), 440);
  assert.deepEqual(readFileSync(host.cookie), before);
  for (const limit = Date.now() + 10_000; /./.test(host.pactl('list', 'sink-inputs', 'short').stdout); await pause(50)) assert.ok(Date.now() < limit, 'its stream has ended with the machine');
});

test('through a sound server of its own the person\'s server stays out of reach', async (t) => {
  const host = await soundServer(t);
  if (!host) return;
  const { stdout } = nestbox(['run', machine(t, 'audio-apart', 'audio = "playback"'), '--', 'sh', '-c', `ls /run/user/${person} 2>&1; ls /run/nestbox; pactl info | grep -c "Default Sink: host"; pactl list short sinks | grep -c theirs; ${tryAll.split('\n')[0]}`], { env: host.env });
  assert.match(stdout, /No such file or directory\npulse\n1\n0\n1 Stream error: Access denied # parec -d @DEFAULT_MONITOR@\n$/);
});

test('the person\'s own sound server plays for root and for a user inside, and its key is left alone', async (t) => {
  const host = await soundServer(t);
  if (!host) return;
  const before = [readFileSync(host.cookie), statSync(host.cookie).mtimeMs, statSync(host.cookie).ino];
  for (const [user, users, hertz] of [['user = "someone"', 'own', 440], ['', 'own', 660], ['', 'host', 880]] as const) {
    host.forget();
    const { status, stderr } = nestbox(['run', machine(t, 'audio-pulse', `users = "${users}"\n${user}\naudio = "pulse"`), '--', 'sh', '-c', `${tone(hertz)}; sleep 0.3`], { env: host.env });
    assert.equal(status, 0, stderr);
    assertTone(await host.heard(), hertz);
  }
  assert.deepEqual([readFileSync(host.cookie), statSync(host.cookie).mtimeMs, statSync(host.cookie).ino], before);
});

test('the person\'s own sound server can be listened to and changed from inside: what playback keeps away', async (t) => {
  const host = await soundServer(t);
  if (!host) return;
  const { stdout } = nestbox(['run', machine(t, 'audio-wide', 'user = "someone"\naudio = "pulse"'), '--', 'sh', '-c', tryAll.split('\n').filter((line) => /DEFAULT_MONITOR|load-module module-null-sink/.test(line)).join('\n')], { env: host.env });
  assert.match(stdout, /^out: parec -d @DEFAULT_MONITOR@\n\d+ [^\n]*# parec -d @DEFAULT_MONITOR@\nout: pactl load-module module-null-sink\n0 +# pactl load-module module-null-sink\n$/);
});

for (const [kind, folder] of [['pulse', 'pulse/open'], ['playback', 'sound/gate']])
  test(`audio = "${kind}": on the host nobody but the person reaches the socket that is for all accounts inside`, async (t) => {
    const host = await soundServer(t);
    if (!host) return;
    const started = running(t, ['run', machine(t, 'audio-closed', `user = "someone"\naudio = "${kind}"`), '--', 'sh', '-c', 'echo up; sleep 1000'], host.env);
    await started.says(/up/);
    const socket = `/run/nestbox/${readdirSync('/run/nestbox').find((name) => /^audio-closed/.test(name))}/${folder}/native`;
    const reaches = (uid: number) => spawnSync('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--', 'env', '-i', 'PATH=/usr/bin:/bin', 'HOME=/nonexistent', 'pactl', '-s', `unix:${socket}`, 'info'], { encoding: 'utf8' });
    assert.equal(reaches(person).status, 0, reaches(person).stderr);
    assert.notEqual(reaches(person + 1).status, 0);
    await started.end('SIGTERM');
  });

test('without a server of the person\'s, audio = "pulse" is refused', (t) => {
  const refused = nestbox(['run', machine(t, 'audio-none', 'audio = "pulse"'), '--', 'true'], { env: { SUDO_UID: '4712', HOME: '/nonexistent' } });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /no PulseAudio \(or PipeWire\) server of the person runs/);
});
