import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { folder, follow, type Running } from './nestbox.ts';
import { hearTone, samplesOf, type Sound } from './sound.ts';

/** The sound server that a person at a desktop has, with what it plays. */

/** An id of the host that stands for the person; nobody has it. */
export const person = 4711;

/** The person's folders, before any sound server of theirs has been started. */
export function personAt(t: TestContext) {
  const home = folder(t);
  const runtime = `/run/user/${person}`;
  const there = existsSync('/run/user');
  mkdirSync(runtime, { recursive: true });
  t.after(() => rmSync(there ? runtime : '/run/user', { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(`${home}/.config/pulse`, { recursive: true });
  const cookie = `${home}/.config/pulse/cookie`;
  writeFileSync(cookie, Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 7 + 3) & 255)), { mode: 0o600 });
  for (const path of [home, `${home}/.config`, `${home}/.config/pulse`, cookie, runtime]) chownSync(path, person, person);
  chmodSync(runtime, 0o700);
  const env: NodeJS.ProcessEnv = { PATH: '/usr/bin:/bin', HOME: home, XDG_RUNTIME_DIR: runtime, DBUS_SESSION_BUS_ADDRESS: 'unix:path=/dev/null' };
  const asPerson = (argv: string[], stdio: 'ignore' | 'pipe' = 'pipe'): ChildProcess =>
    spawn('setpriv', [`--reuid=${person}`, `--regid=${person}`, '--clear-groups', '--', ...argv], { env, stdio: ['ignore', 'pipe', stdio] });
  const pactl = (...words: string[]) => spawnSync('setpriv', [`--reuid=${person}`, `--regid=${person}`, '--clear-groups', '--', 'pactl', ...words], { env, encoding: 'utf8' });
  let chunks: Buffer[] = [];
  let recorder: ChildProcess;
  /** What reaches its sink from now on. */
  const record = async () => {
    recorder = asPerson(['parec', '--device=theirs.monitor', '--format=s16le', '--rate=44100', '--channels=1', '--latency-msec=50'], 'ignore');
    t.after(() => recorder.kill());
    chunks = [];
    recorder.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
    for (const limit = Date.now() + 60_000; chunks.length === 0; await pause(20)) assert.ok(Date.now() < limit, 'nothing can be recorded');
  };
  const sound = (): Sound => samplesOf(Buffer.concat(chunks), 1, 44100);
  const up = async (server: Running) => {
    for (const limit = Date.now() + 60_000; !/theirs/.test(pactl('list', 'short', 'sinks').stdout); await pause(20)) assert.ok(Date.now() < limit && server.child.exitCode === null, `the sound server does not start: ${server.stderr()}`);
    await record();
    return server;
  };
  return {
    env: { SUDO_UID: `${person}`, SUDO_GID: `${person}`, HOME: home }, home, runtime, cookie, pactl, asPerson,
    /** Starts PulseAudio with a sink that is heard by nobody else, where programs look for it or elsewhere. */
    async pulseAudio(socket = `${runtime}/pulse/native`): Promise<Running> {
      env.PULSE_SERVER = `unix:${socket}`;
      mkdirSync(`${runtime}/pulse`, { recursive: true, mode: 0o700 });
      chownSync(`${runtime}/pulse`, person, person);
      return await up(follow(t, asPerson(['pulseaudio', '-n', '-F', '/dev/null', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--realtime=no', '--high-priority=no', '--disable-shm=yes',
        '-L', 'module-null-sink sink_name=theirs', '-L', `module-native-protocol-unix socket=${socket} auth-cookie=${cookie}`])));
    },
    /** Starts PipeWire with what speaks PulseAudio's protocol, and what links programs to a sink; without a bus, as the person has none here. */
    async pipeWire(): Promise<Running[]> {
      // WirePlumber has other settings since 0.5: Debian 13 has that.
      const isOld = /libwireplumber 0\.4\./.test(spawnSync('wireplumber', ['--version'], { encoding: 'utf8' }).stdout);
      const [folder, name, text] = isOld ? ['main.lua.d', '60-no-bus.lua', 'alsa_monitor.enabled = false; v4l2_monitor.enabled = false; libcamera_monitor.enabled = false; default_access.properties["enable-flatpak-portal"] = false\n']
        : ['wireplumber.conf.d', '60-no-bus.conf', 'wireplumber.profiles = { no-bus = { inherits = [ policy, mixin.systemwide-session ] } }\n'];
      const settings = `${home}/.config/wireplumber/${folder}`;
      mkdirSync(settings, { recursive: true });
      writeFileSync(`${settings}/${name}`, text);
      const linking = isOld ? [['wireplumber', '-c', 'main.conf'], ['wireplumber', '-c', 'policy.conf']] : [['wireplumber', '-p', 'no-bus']];
      const started: Running[] = [];
      for (const [argv, there] of [[['pipewire'], 'pipewire-0'], ...linking.map((words) => [words, null] as const), [['pipewire-pulse'], 'pulse/native']] as const) {
        started.push(follow(t, asPerson([...argv])));
        for (const limit = Date.now() + 60_000; there && !existsSync(`${runtime}/${there}`); await pause(20)) assert.ok(Date.now() < limit, `${argv[0]} does not start`);
      }
      for (const limit = Date.now() + 60_000; pactl('load-module', 'module-null-sink', 'sink_name=theirs').status !== 0; await pause(100)) assert.ok(Date.now() < limit, 'PipeWire takes no sink');
      await up(started.at(-1)!);
      return started;
    },
    /** Everything that it has played so far, with what the recorder itself is late. */
    async played(): Promise<Sound> {
      await pause(300);
      return sound();
    },
    /** The same when a sound has come to its end, with a second of silence behind it: the servers on the way and the recorder are late where the computer is busy. */
    async heard(): Promise<Sound> {
      for (const limit = Date.now() + 60_000; ; await pause(100)) {
        const { rate, samples } = sound();
        const last = samples.findLastIndex((sample) => Math.abs(sample) > 500);
        if ((last >= 0 && samples.length - last > rate) || Date.now() > limit) return { rate, samples };
      }
    },
    /** Waits until that tone is heard, or most of it. */
    hears: (hertz: number): Promise<void> => hearTone(sound, hertz, 30_000),
    forget: () => { chunks = []; },
    /** Nothing more is recorded. */
    async deaf() {
      const over = once(recorder, 'exit');
      if (recorder.kill()) await over;
    },
  };
}

/** As a machine is switched off. */
export async function killed({ child }: Running): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return; // with another that it needs
  const over = once(child, 'exit');
  child.kill('SIGKILL');
  await over;
}

export const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Plays a tone, in a shell. */
export const tone = (hertz: number, seconds = 1): string => `perl -e 'print pack "s<*", map { 16000 * sin ${hertz} * 6.283185307 * $_ / 44100 } 0 .. ${44100 * seconds}' | pacat --rate=44100 --channels=1 --format=s16le`;

/** Whether the host has PulseAudio; the test is skipped where it has not. */
export function hasPulseAudio(t: TestContext): boolean {
  if (spawnSync('pulseaudio', ['--version']).status === 0) return true;
  t.skip('pulseaudio is not installed: apt install pulseaudio');
  return false;
}

/** Whether the host has PipeWire in PulseAudio's place; the test is skipped where it has not. */
export function hasPipeWire(t: TestContext): boolean {
  if (['pipewire', 'pipewire-pulse', 'wireplumber', 'pactl'].every((program) => spawnSync(program, ['--version']).status === 0)) return true;
  t.skip('PipeWire is not installed: apt install pipewire pipewire-pulse wireplumber pulseaudio-utils');
  return false;
}
