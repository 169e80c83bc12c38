import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { front, machineFile, nestbox } from './machines.ts';
import { measure, options, report } from './measure.ts';
import { nameOf, places } from './worlds.ts';

/** `nestbox list` of 1,000 machines, as people call it and where something is left to Node, beside `machinectl list-images` of their roots: in a container that boots this host's own system, as that needs systemd. */

const source = new URL('..', import.meta.url).pathname.replace(/\/$/, '');
const count = 1000;

export async function besideMachinectl(folder: string, rounds: number): Promise<void> {
  const name = 'nestbox-bench-images';
  const file = machineFile(folder, name, `[root]\nhost = true\n`);
  writeFileSync(file, `name = "${name}"\nboot = true\nnetwork = "none"\nparameters = ["systemd.unit=basic.target"]\nfiles = ["${source}"]\n[root]\nhost = true\n`);
  const [program = '', ...more] = nestbox('run', file);
  const child = spawn(program, more, { stdio: ['ignore', 'ignore', 'inherit'] });
  const inside = (...argv: string[]) => {
    const [exec = '', ...words] = nestbox('exec', '--root', name, '--', ...argv);
    return spawnSync(exec, words, { encoding: 'utf8' });
  };
  try {
    for (const limit = Date.now() + 180_000; inside('systemctl', 'is-active', 'basic.target').stdout.trim() !== 'active'; await new Promise((resolve) => setTimeout(resolve, 300)))
      if (Date.now() > limit || child.exitCode !== null) throw new Error('the container does not come up');
    const { status, stdout, stderr } = inside('sh', '-c', `cd "$0" && exec node --import tsx bench/scale.ts inside --rounds ${rounds} ${options().json ? '--json' : ''}`, source);
    console.log(stdout);
    if (status === 1 && stdout !== '') process.exitCode = 1;
    else if (status !== 0) throw new Error(stderr);
  } finally {
    const over = once(child, 'exit');
    if (child.exitCode === null && child.kill()) await over;
  }
}

/** What is done in there. */
export function inContainer(rounds: number): void {
  for (let i = 0; i < count; i++) {
    const root = `/var/lib/machines/${nameOf(i)}`;
    const record = `${places.lib}/machines/${nameOf(i)}`;
    for (const path of [`${root}/usr/lib`, record, places.files]) mkdirSync(path, { recursive: true });
    writeFileSync(`${root}/usr/lib/os-release`, 'ID=bench\n');
    writeFileSync(`${places.files}/${nameOf(i)}.toml`, `name = "${nameOf(i)}"\n[root]\ndirectory = "${root}"\n`);
    writeFileSync(`${record}/machine.json`, JSON.stringify({ name: nameOf(i), template: null, directory: root, shift: 0x40000000 + i * 0x10000, file: `${places.files}/${nameOf(i)}.toml` }));
  }
  const measured = measure([
    { name: 'machinectl list-images', argv: ['machinectl', 'list-images', '--no-pager', '--no-legend'] },
    { name: 'nestbox list', argv: [front, 'list'] },
    { name: 'nestbox list, by Node', argv: nestbox('list') },
  ], { rounds, warmups: 2 });
  report(`${count} machines listed`, measured, [{ name: 'nestbox list', to: 'machinectl list-images', goal: 2, margin: 1.2 }, { name: 'nestbox list, by Node', to: 'machinectl list-images', goal: null }], {}, options().json);
}
