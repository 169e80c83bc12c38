// scripts/bench graphics [--rounds N] [--json] [--short] [DRAWING]... [trial]
// x11perf and glxgears in a machine beside the host: through the bound socket of the host's display, through the gate that shares memory with it, and through X servers of its own, in a window and in memory.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { root as shared } from '../test/nestbox.ts';
import { startXvfb, writeXauthorityFile } from '../test/x11-client.ts';
import { inFolder, machineFile, nestbox } from './machines.ts';
import { type Goal, type Measured, measure, options, report, type Variant } from './measure.ts';

const { rounds: asked, json, short, words } = options();
const rounds = asked ?? 9;

/** With Mesa, which draws with the processor where there is no card: llvmpipe. */
const withMesa = shared.replace(/\]\n$/, ', "mesa-utils", "libgl1-mesa-dri"]\n');

/** As often as takes about a second: x11perf that is to find that out by itself takes ten. */
const repetitions: Record<string, number> = { noop: 50_000_000, rect500: 50_000, copywinwin500: 9_000, putimage500: 1_250, shmput500: 8_000 };
const x11perf = (drawing: string) => ['x11perf', '-repeat', '1', ...(repetitions[drawing] ? ['-reps', `${repetitions[drawing]}`] : ['-time', '1']), `-${drawing}`];

const named = words.filter((word) => word !== 'trial');
const drawings = short ? ['rect500'] : named.length > 0 ? named.filter((word) => word !== 'glxgears') : ['noop', 'rect500', 'copywinwin500', 'putimage500', 'shmput500'];
/** Memory cannot be shared over the bound socket alone: that ends x11perf. */
const isFor = (drawing: string, display: string): boolean => drawing !== 'shmput500' || display !== 'bound socket';
const hasGears = !short && existsSync('/usr/bin/glxgears') && (named.length === 0 || named.includes('glxgears'));

const ends: (() => unknown)[] = [];
const t = { after: (end: () => unknown) => void ends.unshift(end), skip: (why: string) => { throw new Error(why); } } as unknown as TestContext;

/** "   5000 reps @   0.1783 msec (  5610.0/sec): 500x500 rectangle" -> ms */
const perOperation = (said: string): number => 1000 / Number(/reps? @.*\(\s*([\d.]+)\/sec\)/.exec(said)?.[1]);
/** "301 frames in 5.0 seconds = 60.0 FPS" -> ms a frame */
const perFrame = (said: string): number => 1000 / Number(/= *([\d.]+) FPS/.exec(said)?.[1]);

await inFolder(async (folder) => {
  const output = `${folder}/output`;
  /** A command whose own words say how long each took. */
  const saying = (name: string, argv: string[], environment: Record<string, string>, took: (said: string) => number): Variant => ({
    name, environment, argv: ['sh', '-c', `exec "$@" > ${output} 2>&1`, 'sh', ...argv],
    took: () => {
      const ms = took(readFileSync(output, 'utf8'));
      if (!(ms > 0)) throw new Error(`${name}: ${readFileSync(output, 'utf8')}`);
      return ms;
    },
  });
  try {
    const screen = await startXvfb(t, { width: 1280, height: 900 });
    const authority = `${folder}/authority`;
    writeXauthorityFile(authority, screen!.key);
    const host = { DISPLAY: `:${screen!.display}`, XAUTHORITY: authority };
    // It counts the frames of five seconds each, and goes on for ever.
    const gears = ['sh', '-c', 'vblank_mode=0 timeout -s INT 12 glxgears -geometry 300x300 || true'];

    if (words.includes('trial')) return await trial(host, saying);

    const displays = {
      'bound socket': 'display = "x11"',
      ...(!short && { 'shared memory': '[display.x11]\nshared-memory = true', 'nested server': '[display.nested]\nsize = "1000x800"', 'headless server': '[display.headless]\nsize = "1280x900"' }),
    };
    const inside: Record<string, (argv: string[]) => string[]> = {};
    for (const [name, display] of Object.entries(displays)) {
      const machine = `nestbox-bench-${name.replace(' ', '-')}`;
      const file = machineFile(folder, machine, '');
      writeFileSync(file, `name = "${machine}"\nnetwork = "none"\nephemeral = true\n${display}\n${short ? shared : withMesa}`);
      const [program = '', ...more] = nestbox('run', file, '--', 'sh', '-c', 'echo up; exec sleep 100000');
      const child = spawn(program, more, { env: { ...process.env, ...host }, stdio: ['ignore', 'pipe', 'inherit'] });
      ends.unshift(async () => { const over = once(child, 'exit'); if (child.exitCode === null && child.kill()) await over; });
      await Promise.race([once(child.stdout!, 'data'), once(child, 'exit').then(() => { throw new Error(`${machine} does not run`); })]);
      inside[name] = (argv) => nestbox('exec', machine, '--', ...argv);
    }
    const byHand = short ? null : await startXephyr(179, host, ['-screen', '1000x800', '-resizeable']);
    const variants = [...drawings.map((drawing) => ({ what: drawing, argv: x11perf(drawing), took: perOperation })), ...(hasGears ? [{ what: 'glxgears', argv: gears, took: perFrame }] : [])]
      .flatMap(({ what, argv, took }) => [
        saying(`${what}, host`, argv, host, took), ...(byHand === null ? [] : [saying(`${what}, Xephyr by hand`, argv, { DISPLAY: `:${byHand.number}`, XAUTHORITY: authority }, took)]),
        ...Object.entries(inside).filter(([name]) => isFor(what, name)).map(([name, within]) => saying(`${what}, ${name}`, within(argv), {}, took)),
      ]);
    const measured = measure(variants, { rounds, warmups: 0 });
    const whats = [...new Set(measured.map(({ name }) => name.split(', ')[0]!))];
    report('One operation of x11perf, one frame of glxgears', measured, whats.flatMap((what): Goal[] => [
      ...(isFor(what, 'bound socket') ? [{ name: `${what}, bound socket`, to: `${what}, host`, goal: 1.03, margin: 1.35 }] : []),
      ...(short ? [] : [
        { name: `${what}, shared memory`, to: `${what}, host`, goal: what === 'shmput500' ? 1.03 : null, margin: 1.35 },
        { name: `${what}, headless server`, to: `${what}, host`, goal: 1.03, margin: 1.35 },
        { name: `${what}, nested server`, to: `${what}, Xephyr by hand`, goal: 1.03, margin: 1.35 },
        { name: `${what}, nested server`, to: `${what}, host`, goal: null },
      ]),
    ]), {}, json);
  } finally {
    for (const end of ends) await end();
    rmSync(output, { force: true });
  }
});

/** An X server in a window of the host's, started by hand; null: it does not start. */
async function startXephyr(number: number, host: Record<string, string>, words: string[]): Promise<{ number: number; process: ChildProcess } | null> {
  const server = spawn('Xephyr', [`:${number}`, '-auth', host.XAUTHORITY!, '-noreset', ...words], { env: { ...process.env, ...host }, stdio: 'ignore' });
  ends.unshift(async () => { const over = once(server, 'exit'); if (server.exitCode === null && server.kill()) await over; });
  const socket = `/tmp/.X11-unix/X${number}`;
  for (const limit = Date.now() + 10_000; !existsSync(socket) && Date.now() < limit && server.exitCode === null; await new Promise((resolve) => setTimeout(resolve, 50)));
  return server.exitCode !== null || !existsSync(socket) ? null : { number, process: server };
}

/** What Xephyr may be told, tried with the host's own x11perf: how long a picture takes, and what both servers take of the processor for it. */
async function trial(host: Record<string, string>, saying: (name: string, argv: string[], environment: Record<string, string>, took: (said: string) => number) => Variant): Promise<void> {
  const sets: Record<string, string[]> = { 'as it is': ['-extension', 'MIT-SHM'], 'with MIT-SHM': [], '-fakexa': ['-extension', 'MIT-SHM', '-fakexa'], '+bs': ['-extension', 'MIT-SHM', '+bs'] };
  const drawings = ['rect500', 'putimage500'];
  const variants: Variant[] = [];
  const processor = new Map<string, number[]>();
  for (const [i, [name, more]] of Object.entries(sets).entries()) {
    const number = 180 + i;
    const server = await startXephyr(number, host, ['-screen', '1000x800', ...more]);
    if (server === null) { console.log(`${name}: it does not start`); continue; }
    const spent = () => Number(readFileSync(`/proc/${server.process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    for (const drawing of drawings) {
      const key = `${drawing}, ${name}`;
      let before = 0;
      variants.push({
        ...saying(key, x11perf(drawing), { DISPLAY: `:${number}`, XAUTHORITY: host.XAUTHORITY! }, perOperation),
        before: () => { before = spent(); },
        after: () => void processor.set(key, [...(processor.get(key) ?? []), spent() - before]),
      });
    }
  }
  const measured = measure(variants, { rounds, warmups: 0 });
  const names = [...new Set(measured.map(({ name }) => name.split(', ')[1]!))];
  report('Options of Xephyr, one operation of x11perf', measured, drawings.flatMap((drawing) => names.slice(1).map((name): Goal => ({ name: `${drawing}, ${name}`, to: `${drawing}, ${names[0]}`, goal: null }))), {}, json);
  const spentIn: Measured[] = measured.map(({ name }) => ({ name, times: processor.get(name)! }));
  if (!json) console.log();
  report("Options of Xephyr, its processor's time", spentIn, [], {}, json);
}
