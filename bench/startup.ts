// scripts/bench startup [--rounds N] [--json] [--short] [--against OTHER/nestbox.cjs]
// `nestbox run M -- true`, and the same as an exported launcher says it, beside the same systemd-nspawn started by hand, with the filters that are kept and without, podman on the same tree, and Node alone.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { attempt } from '../src/attempt.ts';
import { store } from '../src/store.ts';
import { root as shared } from '../test/nestbox.ts';
import { debian, front, inFolder, machineFile, native, nestbox, planned } from './machines.ts';
import { type Goal, measure, must, options, report, type Variant } from './measure.ts';

/** Left alone, podman raises both above what it was started with, which not every root may do (CAP_SYS_RESOURCE). */
const lowLimits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=4096:4096'];

const { rounds = 25, json, short, against } = options();

// crun refuses a host with both versions of control groups. This is a mount namespace of our own: no other process sees it.
if (!short && existsSync('/sys/fs/cgroup/unified/cgroup.procs')) must(['umount', '/sys/fs/cgroup/unified']);

await inFolder(async (folder) => {
  const overlay = machineFile(folder, 'nestbox-bench-overlay', short ? shared : debian());
  must(nestbox('run', overlay, '--', 'true')); // makes the template and the machine: neither is measured here
  const [mounted] = planned('overlay', overlay);
  const tree = `${folder}/tree`;
  const directory = machineFile(folder, 'nestbox-bench-directory', `[root]\ndirectory = "${tree}"\n`);
  if (!short) {
    must(['cp', '-a', mounted!.lower, tree]);
    must(nestbox('run', directory, '--', 'true'));
  }

  // The same overlay by hand, with an upper folder of its own: one cannot be in two overlays at once.
  const top = `${folder}/top`;
  const at = `${folder}/mounted`;
  for (const path of [top, `${top}/upper`, `${top}/work`, at]) mkdirSync(path);
  must([native, 'overlay', at, top, 'upper', 'work', mounted!.lower, `${mounted!.shift}`]);

  try {
    const variants: Variant[] = [
      { name: 'node -e 0', argv: [process.execPath, '-e', '0'] },
      ...(short ? [] : [{ name: 'nspawn, directory', ...byHand(directory) }]),
      { name: 'nspawn, overlay', ...byHand(overlay, at) },
      ...(short ? [] : [{ name: 'nspawn with kept filters, directory', ...withFilters(byHand(directory)) }]),
      { name: 'nspawn with kept filters, overlay', ...withFilters(byHand(overlay, at)) },
      ...(short ? [] : [{ name: 'podman run --rootfs', argv: ['podman', 'run', '--rm', '--network=none', ...lowLimits, '--rootfs', tree, 'true'] }]),
      ...(short ? [] : [{ name: 'nestbox, directory', argv: nestbox('run', directory, '--', 'true') }]),
      { name: 'nestbox, overlay', argv: nestbox('run', overlay, '--', 'true') },
      ...(short ? [] : [{ name: 'launcher, directory', argv: [front, 'exec', '--start', 'nestbox-bench-directory', '--', 'true'] }]),
      { name: 'launcher, overlay', argv: [front, 'exec', '--start', 'nestbox-bench-overlay', '--', 'true'] },
      ...(against ? [
        { name: 'other, directory', argv: [process.execPath, against, 'run', directory, '--', 'true'] },
        { name: 'other, overlay', argv: [process.execPath, against, 'run', overlay, '--', 'true'] },
      ] : []),
    ];
    const goals: Goal[] = [
      { name: 'nspawn with kept filters, overlay', to: 'nspawn, overlay', goal: 0.5, margin: 1.3 },
      { name: 'nestbox, overlay', to: 'nspawn, overlay', goal: 1.7, margin: 1.5 },
      { name: 'launcher, overlay', to: 'nspawn, overlay', goal: 0.5, margin: 1.5 },
      ...(short ? [] : [
        { name: 'nspawn with kept filters, directory', to: 'nspawn, directory', goal: 0.5, margin: 1.3 },
        { name: 'launcher, directory', to: 'nspawn, directory', goal: 0.5, margin: 1.5 },
        { name: 'nestbox, directory', to: 'nspawn, directory', goal: 1.7, margin: 1.3 },
        { name: 'nestbox, directory', to: 'podman run --rootfs', goal: 0.75, margin: 1.2 },
        { name: 'nestbox, overlay', to: 'podman run --rootfs', goal: 0.75, margin: 1.2 },
      ]),
      { name: 'node -e 0', to: 'nspawn, overlay', goal: null },
      ...(against ? ['directory', 'overlay'].map((root) => ({ name: `nestbox, ${root}`, to: `other, ${root}`, goal: null })) : []),
    ];
    const measured = measure(variants, { rounds, warmups: short ? 1 : 3 });
    const { resident, peak } = await memory(overlay);
    const goal = 60;
    report('Start of `true`', measured, goals, {
      'memory of nestbox while a machine runs': `${resident} MB resident, ${peak} MB at its highest (goal: below ${goal} MB${peak < goal ? '' : ', MISSED'})`,
    }, json);
  } finally {
    must(['umount', at]);
    must(nestbox('rm', 'nestbox-bench-overlay', ...(short ? [] : ['nestbox-bench-directory'])));
  }
});

interface ByHand {
  argv: string[];
  environment: Record<string, string>;
}

/** What nestbox would start, without nestbox; `at`: with its root there. */
function byHand(file: string, at?: string): ByHand {
  const [step] = planned('container', file, '--', 'true');
  const [nspawn = '', ...rest] = step!.argv;
  const argv = [nspawn, '--console=pipe', ...rest.map((option) => (at && option.startsWith('--directory=') ? `--directory=${at}` : option))];
  return { argv, environment: step!.environment };
}

/** The same, started as nestbox starts it. */
function withFilters({ argv: [program = '', ...words], environment }: ByHand): ByHand {
  return { argv: [native, 'launch', '--filters', store.filters, '--', must(['which', program]).stdout.trim(), ...words], environment };
}

/** MB of the nestbox process: while `sleep 1` runs, and at its highest, which is before. */
async function memory(file: string): Promise<{ resident: number; peak: number }> {
  const [program = '', ...words] = nestbox('run', file, '--', 'sleep', '1');
  const child = spawn(program, words, { stdio: 'ignore' });
  let [resident, peak] = [0, 0];
  const look = setInterval(() => {
    const status = attempt(() => readFileSync(`/proc/${child.pid}/status`, 'utf8'), ''); // it may have ended
    const [, now] = /^VmRSS:\s+(\d+)/m.exec(status) ?? [];
    if (now === undefined) return;
    resident = Number(now);
    peak = Math.max(peak, resident);
  }, 5);
  await new Promise((resolve) => child.once('exit', resolve));
  clearInterval(look);
  return { resident: Math.round(resident / 1024), peak: Math.round(peak / 1024) };
}
