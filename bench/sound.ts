// scripts/bench sound [--rounds N] [--json] [--short] [--minutes N] [--buffer MS]
// A machine's own sound server (audio = "playback") beside the host's own socket: how late a sound is, the processor's time, and whether a tone has gaps under load.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { root } from '../test/nestbox.ts';
import { pause, personAt } from '../test/sound-server.ts';
import { inFolder, machineFile, nestbox } from './machines.ts';
import { type Measured, median, must, options, report } from './measure.ts';
import { Recording } from './tones.ts';

const { rounds: asked, json, short, words } = options();
const rounds = asked ?? 10;
const minutes = words.includes('--minutes') ? Number(words[words.indexOf('--minutes') + 1]) : short ? 0 : 10;

const rate = 44100;
/** In ms: from when on people notice that a sound comes after its picture; ITU-R BT.1359-1, 2. */
const noticed = 125;
/** In ms, as a game asks for it. */
const latency = 30;
/** The same of the tone under load; null: what a player has that asks for nothing. */
const buffer = words.includes('--buffer') ? Number(words[words.indexOf('--buffer') + 1]) : null;

/** What a desktop's sound server has: pulse-daemon.conf(5), nice-level. */
const niceOfDesktops = -11;

const pacat = (asked: number | null) => `pacat --raw --rate=${rate} --channels=1 --format=s16le${asked === null ? '' : ` --latency-msec=${asked}`}`;

/** Ten milliseconds of a tone, which follow one another without a jump where the tone has whole waves in them. */
const block = (hertz: number) => `pack("s<*", map { 8000 * sin(${hertz} * 6.283185307179586 * $_ / ${rate}) } 0 .. ${rate / 100 - 1})`;

/** Number of clock_gettime(2), asm/unistd.h: Debian's perl-base has no Time::HiRes. */
const clock = process.arch === 'x64' ? 228 : 113;

/** As a game plays: ten milliseconds each ten milliseconds. Twice a second five of them are a tone, and it says when it has handed over the first. What is written while pacat still connects would stay before all
 *  that follows: so it waits until it has. */
const bursts = (hertz: number, count: number) => `exec perl -e '$| = 1; open(my $to, "|-", "${pacat(latency)}"); $to->autoflush(1);
  my ($tone, $silence) = (${block(hertz)}, "\\0" x ${(rate / 100) * 2});
  sub now { my $at = "\\0" x 16; syscall(${clock}, 0, $at); my ($seconds, $nanoseconds) = unpack("qq", $at); $seconds + $nanoseconds / 1e9 }
  print $to $silence for 1 .. 5; sleep 1; my $start = now;
  for my $n (0 .. ${(count + 2) * 50}) { my $wait = $start + $n / 100 - now; select(undef, undef, undef, $wait) if $wait > 0; my $at = now; print $to $n % 50 < 5 && $n >= 100 ? $tone : $silence; printf "%.3f\\n", $at * 1000 if $n % 50 == 0 && $n >= 100 }'`;

const steady = (hertz: number, seconds: number) => `exec perl -e 'my $tone = ${block(hertz)}; open(my $to, "|-", "${pacat(buffer)}"); print $to $tone for 1 .. ${seconds * 100}'`;

/** Nanoseconds on a processor of all threads of a process: Documentation/scheduler/sched-stats.rst, the first number. */
const spent = (pid: number): number => readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]), 0);

/** Those of the host that bring a sound to the sink: PulseAudio, whosever it is, and the gate before a machine's. */
const servers = (): number[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return argv[0]?.endsWith('pulseaudio') || (argv[0]?.includes('nestbox-native') && argv[1] === 'pulse-gate');
  } catch {
    return false;
  }
});

const ends: (() => unknown)[] = [];
const t = { after: (end: () => unknown) => void ends.unshift(end), skip: (why: string) => { throw new Error(why); } } as unknown as TestContext;

await inFolder(async (folder) => {
  try {
    const person = personAt(t);
    const server = await person.pulseAudio();
    await person.deaf();
    setPriority(server.child.pid!, niceOfDesktops);
    const file = machineFile(folder, 'nestbox-bench-sound', `user = "someone"\naudio = "playback"\n${root}`);
    must(nestbox('create', file));
    ends.unshift(() => must(nestbox('rm', 'nestbox-bench-sound')));

    // A sink for each: a stream that stops and goes on makes the server mix anew what it has mixed already, and that is heard in the monitor of all that plays beside it.
    if (person.pactl('load-module', 'module-null-sink', 'sink_name=beside').status !== 0) throw new Error('the sound server takes no second sink');
    const sinks = { 'host socket': 'beside', 'private server': 'theirs' };
    const recordings = Object.fromEntries(Object.entries(sinks).map(([name, sink]) => {
      const recorder = person.asPerson(['parec', '--raw', `--device=${sink}.monitor`, '--format=s16le', `--rate=${rate}`, '--channels=1', '--latency-msec=10'], 'ignore');
      ends.unshift(async () => { const over = once(recorder, 'exit'); if (recorder.kill()) await over; });
      setPriority(recorder.pid!, niceOfDesktops); // what it loses nobody has played badly
      const recording = new Recording(rate);
      recorder.stdout!.on('data', (chunk: Buffer) => recording.add(chunk, performance.timeOrigin + performance.now()));
      return [name, recording];
    })) as Record<keyof typeof sinks, Recording>;

    const players = {
      'host socket': (script: string): ChildProcess => person.asPerson(['env', `PULSE_SINK=${sinks['host socket']}`, 'sh', '-c', script], 'ignore'),
      'private server': (script: string): ChildProcess => {
        const [program = '', ...more] = nestbox('run', file, '--', 'sh', '-c', script);
        return spawn(program, more, { env: { ...process.env, ...person.env, PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'inherit'] });
      },
    };
    type Name = keyof typeof players;
    const names = Object.keys(players) as Name[];

    // In turn: how late each burst is, and what the servers take meanwhile.
    const late: Record<Name, number[]> = { 'host socket': [], 'private server': [] };
    const processor: Record<Name, number[]> = { 'host socket': [], 'private server': [] };
    const heardPerRound = 6;
    for (let round = 0; round < rounds; round++)
      for (const name of round % 2 ? names : [...names].reverse()) {
        recordings[name].forget();
        const player = players[name](bursts(400, heardPerRound));
        const handed: number[] = [];
        let before: Map<number, number> | null = null;
        createInterface(player.stdout!).on('line', (line) => {
          before ??= new Map(servers().map((pid) => [pid, spent(pid)]));
          handed.push(Number(line));
          if (handed.length === heardPerRound) processor[name].push([...before].reduce((sum, [pid, was]) => sum + (spent(pid) - was), 0) / 1e6 / ((heardPerRound - 1) / 2));
        });
        await once(player, 'exit');
        await pause(300);
        const begins = recordings[name].begins();
        // The last that was heard belongs to the last that was handed over: none is heard before it.
        const each = handed.flatMap((at) => begins.filter((heard) => heard > at && heard < at + 450).slice(0, 1).map((heard) => heard - at));
        if (each.length < heardPerRound - 1) throw new Error(`${name}: of ${handed.length} sounds ${each.length} were heard`);
        late[name].push(median(each));
      }
    const row = (what: string, of: Record<Name, number[]>): Measured[] => names.map((name) => ({ name: `${what}, ${name}`, times: of[name] }));

    const facts: Record<string, string> = { 'asked for': `${latency} ms; the recorder's own lateness is in both` };
    if (minutes > 0) {
      // Both at the same time, each with a tone of its own.
      const tones: Record<Name, number> = { 'host socket': 1000, 'private server': 400 };
      const load = [0, 1].map(() => spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }));
      for (const { pid } of load) setPriority(pid!, constants.priority.PRIORITY_NORMAL);
      ends.unshift(() => load.map((one) => one.kill()));
      for (const name of names) recordings[name].forget();
      const seconds = minutes * 60;
      const playing = names.map((name) => players[name](steady(tones[name], seconds)));
      await Promise.all(playing.map((one) => once(one, 'exit')));
      await pause(500);
      for (const one of load) one.kill();
      const told = names.map((name) => recordings[name].tone(tones[name]));
      for (const [i, name] of names.entries())
        facts[`${minutes} minutes under load of two cores, ${name}`] = `${told[i]!.heard.toFixed(1)} s of tone, ${told[i]!.gaps} gaps, ${told[i]!.jumps} jumps of its phase (buffer: ${buffer === null ? "the server's own" : `${buffer} ms`})`;
      const wrong = told.map(({ gaps, jumps }) => gaps + jumps);
      if (wrong[1]! > 0 && wrong[0] === 0) process.exitCode = 1; // where the host's own stops too, the computer was too busy for either
    }
    if (server.child.exitCode !== null) throw new Error('the sound server has ended');
    report('Sound', [...row('lateness', late), { name: 'lateness that is noticed', times: late['host socket'].map(() => noticed) }, ...row('processor a second', processor)], [
      { name: 'lateness, private server', to: 'lateness that is noticed', goal: 1, margin: 3 },
      { name: 'lateness, private server', to: 'lateness, host socket', goal: null },
      { name: 'processor a second, private server', to: 'processor a second, host socket', goal: 4.5, margin: 1.5 },
    ], facts, json);
  } finally {
    for (const end of ends) await end();
  }
});
