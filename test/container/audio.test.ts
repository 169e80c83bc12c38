import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, follow, machineFile, nestbox, root } from '../nestbox.ts';
import { assertTone, readWav, samplesOf, type Sound } from '../sound.ts';

const machine = (t: TestContext, name: string, more: string) => machineFile(t, `name = "${name}"\nephemeral = true\nnetwork = "none"\n${more}\n${root}`);

/** Plays a tone for a second. */
const tone = (hertz: number) => `perl -e 'print pack "s<*", map { 16000 * sin ${hertz} * 6.283185307 * $_ / 44100 } 0 .. 44100' | pacat --rate=44100 --channels=1 --format=s16le`;

/** An id of the host that stands for the person; nobody has it. */
const person = 4711;
const asPerson = ['setpriv', `--reuid=${person}`, `--regid=${person}`, '--clear-groups', '--'];

/** A sound server of the person's, as a desktop has one, and what it plays from now on. */
async function soundServer(t: TestContext) {
  if (spawnSync('pulseaudio', ['--version']).status !== 0) {
    t.skip('pulseaudio is not installed: apt install pulseaudio');
    return null;
  }
  const home = folder(t);
  const runtime = `/run/user/${person}`;
  const there = existsSync('/run/user');
  mkdirSync(`${runtime}/pulse`, { recursive: true });
  t.after(() => rmSync(there ? runtime : '/run/user', { recursive: true }));
  mkdirSync(`${home}/.config/pulse`, { recursive: true });
  const cookie = `${home}/.config/pulse/cookie`;
  writeFileSync(cookie, Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 7 + 3) & 255)), { mode: 0o600 });
  for (const path of [home, `${home}/.config`, `${home}/.config/pulse`, cookie, runtime, `${runtime}/pulse`]) chownSync(path, person, person);
  for (const path of [runtime, `${runtime}/pulse`]) chmodSync(path, 0o700);
  const env = { PATH: '/usr/bin:/bin', HOME: home, XDG_RUNTIME_DIR: runtime };
  const [program, ...as] = asPerson;
  const server = follow(t, spawn(program!, [...as, 'pulseaudio', '-n', '-F', '/dev/null', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--realtime=no', '--high-priority=no', '--disable-shm=yes',
    '-L', 'module-null-sink sink_name=theirs', '-L', `module-native-protocol-unix socket=${runtime}/pulse/native auth-cookie=${cookie}`], { env, stdio: ['ignore', 'pipe', 'pipe'] }));
  const pactl = (...words: string[]) => spawnSync(program!, [...as, 'pactl', ...words], { env, encoding: 'utf8' });
  for (const limit = Date.now() + 10_000; pactl('info').status !== 0; ) assert.ok(Date.now() < limit && server.child.exitCode === null, `the sound server does not start: ${server.stderr()}`);
  // What reaches its sink, from the time that the recording has begun.
  const recorder = spawn(program!, [...as, 'parec', '--device=theirs.monitor', '--format=s16le', '--rate=44100', '--channels=1', '--latency-msec=50'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const chunks: Buffer[] = [];
  recorder.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  t.after(() => recorder.kill());
  for (const limit = Date.now() + 10_000; chunks.length === 0; await new Promise((resolve) => setTimeout(resolve, 20))) assert.ok(Date.now() < limit, 'nothing can be recorded');
  return {
    env: { SUDO_UID: `${person}`, SUDO_GID: `${person}`, HOME: home }, cookie, pactl,
    /** Everything that it has played so far. */
    played: (): Sound => samplesOf(Buffer.concat(chunks), 1, 44100),
    forget: () => { chunks.length = 0; },
  };
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

test('a machine that plays nothing gives a recording of silence', (t) => {
  const path = `${folder(t)}/out.wav`;
  // A null sink begins with two seconds that nobody has heard.
  assert.equal(nestbox(['run', machine(t, 'audio-silence', 'audio = "playback"'), '--record-audio', path, '--', 'sleep', '3']).status, 0);
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
// parec goes on for ever where it is let: then timeout(1) ends it with status 124, and something has come.
const tryAll = trespasses.map((words) => `timeout 1 ${words} > /tmp/out 2> /tmp/err; status=$?; test -s /tmp/out && echo "out: ${words}"; echo "$status $(tail -n 1 /tmp/err) # ${words}"`).join('\n');

test('a machine that only plays can neither listen, nor load modules, nor change or end the server; and still plays', (t) => {
  const { stdout, stderr } = nestbox(['run', machine(t, 'audio-playback', 'user = "someone"\naudio = "playback"'), '--', 'sh', '-c', `${tone(440)} & \n${tryAll}\nwait; pacat --rate=44100 /dev/null && echo plays`]);
  const lines = stdout.trim().split('\n');
  assert.equal(lines.pop(), 'plays', stdout + stderr);
  assert.deepEqual(lines.map((line) => line.replace(/^1 (Failure|Stream error|Failed to get module information): Access denied # .*/, 'refused')), trespasses.map(() => 'refused'), stdout);
  assert.match(stdout, /1 Stream error: Access denied # parec -d @DEFAULT_MONITOR@\n/);
  assert.match(stdout, /1 Failure: Access denied # pactl load-module module-null-sink\n/);
});

test('what only plays reaches the sound server of the person', async (t) => {
  const host = await soundServer(t);
  if (!host) return;
  const path = `${folder(t)}/out.wav`;
  host.forget();
  const before = readFileSync(host.cookie);
  const { status, stderr } = nestbox(['run', machine(t, 'audio-tunnel', 'user = "someone"\naudio = "playback"'), '--record-audio', path, '--', 'sh', '-c', `${tone(440)}; sleep 0.5`], { env: host.env });
  assert.equal(status, 0, stderr);
  await new Promise((resolve) => setTimeout(resolve, 300)); // the recorder's own delay
  assertTone(host.played(), 440);
  assertTone(readWav(path), 440);
  assert.deepEqual(readFileSync(host.cookie), before);
  assert.doesNotMatch(host.pactl('list', 'sink-inputs', 'short').stdout, /./, 'its stream has ended with the machine');
});

test('through a sound server of its own the person\'s server stays out of reach', async (t) => {
  const host = await soundServer(t);
  if (!host) return;
  const { stdout } = nestbox(['run', machine(t, 'audio-apart', 'audio = "playback"'), '--', 'sh', '-c', `ls /run/user/${person} 2>&1; ls /run/nestbox; pactl info | grep -c "Default Sink: host"; pactl list short sinks | grep -c theirs; ${tryAll.split('\n')[0]}`], { env: host.env });
  assert.match(stdout, /No such file or directory\npulse\n1\n0\n1 Stream error: Access denied # parec -d @DEFAULT_MONITOR@\n$/);
});

test('the person\'s own sound server plays for root and for a user inside, with a copy of the key', async (t) => {
  const host = await soundServer(t);
  if (!host) return;
  const before = [readFileSync(host.cookie), statSync(host.cookie).mtimeMs, statSync(host.cookie).ino];
  for (const [user, users, hertz] of [['user = "someone"', 'own', 440], ['', 'own', 660], ['', 'host', 880]] as const) {
    host.forget();
    const { status, stderr } = nestbox(['run', machine(t, 'audio-pulse', `users = "${users}"\n${user}\naudio = "pulse"`), '--', 'sh', '-c', `${tone(hertz)}; sleep 0.3`], { env: host.env });
    assert.equal(status, 0, stderr);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assertTone(host.played(), hertz);
  }
  assert.deepEqual([readFileSync(host.cookie), statSync(host.cookie).mtimeMs, statSync(host.cookie).ino], before);
});

test('the person\'s own sound server can be listened to and changed from inside: what playback keeps away', async (t) => {
  const host = await soundServer(t);
  if (!host) return;
  const { stdout } = nestbox(['run', machine(t, 'audio-wide', 'user = "someone"\naudio = "pulse"'), '--', 'sh', '-c', tryAll.split('\n').filter((line) => /DEFAULT_MONITOR|load-module module-null-sink/.test(line)).join('\n')], { env: host.env });
  assert.match(stdout, /^out: parec -d @DEFAULT_MONITOR@\n124 +# parec -d @DEFAULT_MONITOR@\nout: pactl load-module module-null-sink\n0 +# pactl load-module module-null-sink\n$/);
});

test('without a server of the person\'s, audio = "pulse" is refused', (t) => {
  const refused = nestbox(['run', machine(t, 'audio-none', 'audio = "pulse"'), '--', 'true'], { env: { SUDO_UID: '4712', HOME: '/nonexistent' } });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /no PulseAudio \(or PipeWire\) server of the person runs/);
});
