// scripts/bench scale [--rounds N] [--json] [--short] [--plot] [hosts] [machine] [images]
// Time and memory with many machines, of a machine with very many binds and devices, and beside `machinectl list-images`.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tinyRoot } from '../test/roots.ts';
import { besideMachinectl, inContainer } from './images-listed.ts';
import { inFolder, machineFile, nestbox } from './machines.ts';
import { type Goal, type Measured, measure, median, must, options, report, type Variant } from './measure.ts';
import { plot } from './plot.ts';
import { enter, layOut, leave, nameOf } from './worlds.ts';

const { rounds: asked, json, short, words } = options();
const rounds = asked ?? 9;
const parts = words.filter((word) => ['hosts', 'machine', 'images'].includes(word));
const has = (part: string) => parts.length === 0 || parts.includes(part);

/** What ten times as much may take at most, in times: the slope of the line in a plot with two logarithmic axes is 1.15. */
const tenfold = 10 ** 1.15;

/**
 * Told by a process itself at its end: its megabytes at the highest, as what the parent reads of a child (ru_maxrss) has the parent's own in it; and milliseconds of the processor, in which
 * others that work beside it are not.
 */
function watched(folder: string): { options: string[]; read(): { peak: number; took: number } } {
  const [script, file] = [`${folder}/watched.cjs`, `${folder}/watched`];
  writeFileSync(script, `const fs = require('node:fs'); process.on('exit', () => { const { user, system } = process.cpuUsage(); fs.writeFileSync(${JSON.stringify(file)}, \`\${/VmHWM:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]} \${user + system}\`); });\n`);
  return {
    options: ['--require', script],
    read() {
      const [kilobytes, microseconds] = readFileSync(file, 'utf8').split(' ').map(Number) as [number, number];
      return { peak: kilobytes / 1024, took: microseconds / 1000 };
    },
  };
}

interface Series {
  command: string;
  sizes: number[];
  measured: Measured[];
  memory: Measured[];
}

/** One command at each size, with 0 for what it takes by itself. */
async function grow(folder: string, commands: Record<string, (size: number) => string[]>, sizes: number[], at: (size: number) => void): Promise<Series[]> {
  const { options: watching, read } = watched(folder);
  const peaks = new Map<string, number[]>();
  const name = (command: string, size: number) => `${command}, ${size}`;
  const variants = Object.entries(commands).flatMap(([command, argv]) => sizes.map((size): Variant => {
    const [program = '', ...more] = argv(size);
    return {
      name: name(command, size), argv: [program, ...watching, ...more], before: () => at(size),
      after: () => void peaks.set(name(command, size), [...(peaks.get(name(command, size)) ?? []), read().peak]),
      took: () => read().took,
    };
  }));
  const measured = measure(variants, { rounds, warmups: short ? 0 : 1 });
  return Object.keys(commands).map((command) => {
    const names = sizes.map((size) => name(command, size));
    return { command, sizes, measured: measured.filter((one) => names.includes(one.name)), memory: names.map((one) => ({ name: one, times: peaks.get(one)!.slice(-rounds) })) };
  });
}

/** The largest against a tenth of it, both less nothing. */
const goals = ({ command, sizes }: Series): Goal[] => {
  const [largest, tenth] = [sizes.at(-1)!, sizes.at(-1)! / 10];
  return [{ name: `${command}, ${largest}`, to: `${command}, ${tenth}`, less: `${command}, 0`, goal: tenfold, margin: 1.25 }];
};

function tell(title: string, series: Series[]): void {
  report(`${title}: time of the processor`, series.flatMap(({ measured }) => measured), series.flatMap(goals), {}, json);
  if (!json) console.log();
  report(`${title}: memory at its highest`, series.flatMap(({ memory }) => memory), series.flatMap(goals).map((goal) => ({ ...goal, margin: 1.5 })), {}, json, 'MB');
}

/** `status` and `plan` are of one machine, which is there in a host without others too. */
const commandsOfHosts = {
  list: () => nestbox('list', '--json'),
  status: () => nestbox('status', '--json', nameOf(4)),
  plan: () => nestbox('plan', '--json', nameOf(3)),
  'audit --all': () => nestbox('audit', '--all', '--json'),
  doctor: () => nestbox('doctor', '--json'),
};

/** Hosts with 0, 10, 100 and 1,000 machines. */
async function hosts(folder: string): Promise<Series[]> {
  const root = tinyRoot(`${folder}/root`);
  const sizes = short ? [0, 30, 300] : [0, 10, 100, 1000];
  const sleepers: ChildProcess[] = [];
  try {
    for (let i = 0; i < 100; i++) sleepers.push(spawn('sleep', ['10000'], { stdio: 'ignore' }));
    const pids = sleepers.map(({ pid }) => pid!);
    for (const size of sizes) layOut(`${folder}/${size}`, size === 0 ? 5 : size, root, pids);
    let current: string | null = null;
    const at = (size: number) => {
      const wanted = `${folder}/${size}`;
      if (wanted !== current) enter(wanted, current === null);
      current = wanted;
    };
    try {
      return await grow(folder, commandsOfHosts, sizes, at);
    } finally {
      if (current !== null) leave();
    }
  } finally {
    const over = sleepers.map((one) => once(one, 'exit'));
    for (const one of sleepers) one.kill();
    await Promise.all(over);
  }
}

/** A machine with up to 10,000 binds and 2,000 nodes. */
async function largeMachine(folder: string): Promise<Series[]> {
  const root = tinyRoot(`${folder}/large-root`);
  const sizes = short ? [0, 300, 3000] : [0, 100, 1000, 10_000];
  const nodes = '/dev/nestbox-bench';
  mkdirSync(`${folder}/binds`);
  for (let i = 0; i < sizes.at(-1)!; i++) writeFileSync(`${folder}/binds/${i}`, '');
  mkdirSync(nodes);
  must(['mount', '-t', 'tmpfs', 'nodes', nodes]);
  try {
    must(['sh', '-c', `cd ${nodes}; i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i + 1)); done | xargs -n 1 -I @ mknod @ c 1 3`]);
    const files = new Map(sizes.map((size) => {
      const numbers = Array.from({ length: size }, (_, i) => i);
      const text = `files = [\n${numbers.map((i) => `  "${folder}/binds/${i}",\n`).join('')}]\ndevices = [\n${numbers.slice(0, size / 5).map((i) => `  "${nodes}/${i}",\n`).join('')}]\n[root]\ndirectory = "${root}"\n`;
      return [size, machineFile(folder, `nestbox-bench-large-${size}`, text)];
    }));
    return await grow(folder, {
      'plan of a machine': (size) => nestbox('plan', '--json', files.get(size)!),
      'audit of a machine': (size) => nestbox('audit', '--json', files.get(size)!),
    }, sizes, () => {});
  } finally {
    must(['umount', nodes]);
    rmSync(nodes, { recursive: true });
  }
}

if (words.includes('inside')) inContainer(rounds);
else await inFolder(async (folder) => {
  const all: Series[] = [];
  if (has('hosts')) all.push(...(await hosts(folder)));
  if (has('machine')) all.push(...(await largeMachine(folder)));
  if (all.length > 0) tell('Many machines, and a machine with much', all);
  if (has('images') && !short) await besideMachinectl(folder, rounds);
  const points = (of: 'measured' | 'memory') => (hosted: boolean) => all.filter(({ command }) => command.includes('of a machine') !== hosted).map((one) => ({ name: one.command, points: one.sizes.flatMap((size, i) => (size === 0 ? [] : [{ x: size, y: median(one[of][i]!.times) }])) }));
  if (words.includes('--plot')) writeFileSync(new URL('scale.svg', import.meta.url), plot([
    { title: 'machines on the host: ms', series: points('measured')(true) }, { title: 'machines on the host: MB', series: points('memory')(true) },
    { title: 'binds of one machine: ms', series: points('measured')(false) }, { title: 'binds of one machine: MB', series: points('memory')(false) },
  ]));
});
