import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { decodePng } from '../../src/png.ts';
import { program } from '../nestbox.ts';
import { readWav, type Sound } from '../sound.ts';
import { type Agent, connect, type Outcome } from './agent.ts';
import { cache, does, image, kept, keyOf, lock, progress } from './image.ts';
import { keysOf, keysOfCharacter, type Monitor, monitor } from './monitor.ts';
import type { Host } from './recipe.ts';

export { type Host, hosts } from './recipe.ts';

/** A virtual computer with systemd, a screen, a sound card and a keyboard, and nestbox installed on it. */
export interface Computer {
  /** Runs a program on it, as root, to its end. */
  run(...argv: string[]): Promise<Outcome>;
  /** As run(), and it must succeed; what it printed. */
  does(...argv: string[]): Promise<string>;
  /** As run(), with this text as its input and a limit other than two minutes. */
  runWith(options: { input?: string; seconds?: number }, ...argv: string[]): Promise<Outcome>;
  put(local: string, path: string, mode?: number): Promise<void>;
  write(path: string, text: string, mode?: number): Promise<void>;
  get(path: string): Promise<string>;
  /** Presses keys together: "ctrl-alt-f2". */
  press(chord: string): Promise<void>;
  /** Types a text on an American keyboard. */
  type(text: string): Promise<void>;
  /** What its screen shows. */
  screen(): Promise<ReturnType<typeof decodePng>>;
  /** All that its sound card has played so far. */
  sound(): Sound;
  /** Returns when it has booted again. */
  reboot(): Promise<void>;
  /** A USB keyboard comes, and goes. */
  plug(name: string): Promise<void>;
  unplug(name: string): Promise<void>;
}

/** Of QEMU's own: qemu-system-x86_64(1). KVM is not asked for, so that it runs where there is none. */
const hardware = (folder: string, kernel: string): string[] => [
  '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '2048', '-display', 'none', '-nodefaults',
  '-kernel', `${kernel}/vmlinuz`, '-initrd', `${kernel}/initrd.img`, '-append', 'root=/dev/vda rw quiet console=tty0',
  '-qmp', `unix:${folder}/monitor,server=on,wait=off`,
  '-device', 'virtio-serial', '-chardev', `socket,id=agent,path=${folder}/agent,server=on,wait=off`, '-device', 'virtserialport,chardev=agent,name=nestbox.lab',
  '-device', 'virtio-vga', '-device', 'virtio-keyboard-pci', '-device', 'virtio-mouse-pci', '-device', 'qemu-xhci,id=usb',
  '-audiodev', `wav,id=speakers,path=${folder}/sound.wav`, '-device', 'intel-hda', '-device', 'hda-output,audiodev=speakers',
  '-netdev', 'user,id=net,restrict=on', '-device', 'virtio-net-pci,netdev=net',
];

interface Powered {
  qemu: ChildProcess;
  monitor: Monitor;
  agent: Agent;
}

/** Starts QEMU over a disk; it dies with this process. `state`: what it goes on from. */
async function powered(folder: string, kernel: string, disk: string, state: string | null): Promise<Powered> {
  const native = program.replace('nestbox.cjs', 'nestbox-native');
  const qemu = spawn(native, ['launch', '--die-with', `${process.pid}`, '--', '/usr/bin/qemu-system-x86_64', ...hardware(folder, kernel), '-drive', `file=${disk},format=qcow2,if=virtio,cache=unsafe,discard=unmap`, ...(state ? ['-incoming', `exec:cat ${state}`] : [])], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  qemu.stderr!.setEncoding('utf8').on('data', (text: string) => { said += text; });
  const over = once(qemu, 'exit').then(() => { throw new Error(`QEMU ended: ${said.trim()}`); });
  over.catch(() => {});
  while (!existsSync(`${folder}/agent`) || !existsSync(`${folder}/monitor`)) await Promise.race([over, new Promise((resolve) => setTimeout(resolve, 20))]);
  return { qemu, monitor: await monitor(`${folder}/monitor`), agent: await connect(`${folder}/agent`) };
}

const layer = (path: string, over: string, format: string) => does('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', format, '-b', over, path);

/** The folder with the state of the booted computer, and its disk as it was then. */
async function warm(host: Host): Promise<{ folder: string; kernel: string }> {
  const kernel = await image(host);
  const key = keyOf([kernel, hardware('', ''), await does('qemu-system-x86_64', '--version')]);
  const folder = await kept(cache, `warm-${host}`, key, async (at) => {
    progress(`${host}: booting, to be kept as it is then`);
    await layer(`${at}/disk.qcow2`, `${kernel}/disk.raw`, 'raw');
    const { qemu, monitor: qmp, agent } = await powered(at, kernel, `${at}/disk.qcow2`, null);
    await agent.started();
    const { stdout } = await agent.run(['systemctl', 'is-system-running', '--wait'], Buffer.alloc(0), 300_000);
    if (stdout.trim() !== 'running') throw new Error(`the lab's ${host} is ${stdout.trim()}: ${(await agent.run(['systemctl', '--failed', '--no-legend'], Buffer.alloc(0), 60_000)).stdout}`);
    await agent.run(['sync'], Buffer.alloc(0), 60_000);
    await qmp.command('stop');
    await qmp.command('migrate', { uri: `exec:cat > ${at}/state` });
    for (let status = ''; status !== 'completed'; ) {
      ({ status = '' } = (await qmp.command('query-migrate')) as { status?: string });
      if (status === 'failed') throw new Error('QEMU cannot keep its state');
      await new Promise((resolve) => setTimeout(resolve, 100)); // QEMU tells this event only to those who have asked for the capability
    }
    agent.close();
    const over = once(qemu, 'exit');
    await qmp.command('quit');
    await over;
    for (const name of ['agent', 'monitor', 'sound.wav']) rmSync(`${at}/${name}`, { force: true });
    progress(`${host}: kept, ${Math.round(statSync(`${at}/state`).size / 2 ** 20)} MiB`);
  });
  return { folder, kernel };
}

/** A booted computer for the length of the test, as it was when it had just started. */
export async function power(t: Pick<TestContext, 'after'>, host: Host): Promise<Computer> {
  const release = await lock();
  t.after(release);
  for (const name of readdirSync(cache)) if (name.startsWith('run-')) rmSync(`${cache}/${name}`, { recursive: true }); // of a test that was killed
  const { folder: from, kernel } = await warm(host);
  const folder = mkdtempSync(`${cache}/run-`);
  await layer(`${folder}/disk.qcow2`, `${from}/disk.qcow2`, 'qcow2');
  const { qemu, monitor: qmp, agent } = await powered(folder, kernel, `${folder}/disk.qcow2`, `${from}/state`);
  t.after(async () => {
    agent.close();
    const over = once(qemu, 'exit');
    if (qemu.exitCode === null && qemu.kill('SIGKILL')) await over;
    rmSync(folder, { recursive: true });
  });
  for (let status = ''; status !== 'paused' && status !== 'running'; ) {
    ({ status = '' } = (await qmp.command('query-status')) as { status?: string });
    if (status === 'inmigrate') await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await qmp.command('cont');

  const computer: Computer = {
    run: (...argv) => computer.runWith({}, ...argv),
    runWith: ({ input = '', seconds = 120 }, ...argv) => agent.run(argv, Buffer.from(input), seconds * 1000),
    async does(...argv) {
      const { status, stdout, stderr } = await computer.run(...argv);
      if (status !== 0) throw new Error(`${argv.join(' ')}\nended with ${status}:\n${stdout}${stderr}`);
      return stdout;
    },
    async put(local, path, mode = 0o644) {
      const { status, stderr } = await agent.run(['sh', '-ec', 'cat > "$0"; chmod "$1" "$0"', path, mode.toString(8)], readFileSync(local), 120_000);
      if (status !== 0) throw new Error(`${path}: ${stderr}`);
    },
    async write(path, text, mode = 0o644) {
      const { status, stderr } = await agent.run(['sh', '-ec', 'cat > "$0"; chmod "$1" "$0"', path, mode.toString(8)], Buffer.from(text), 120_000);
      if (status !== 0) throw new Error(`${path}: ${stderr}`);
    },
    get: (path) => computer.does('cat', path),
    press: async (chord) => void (await qmp.command('send-key', { keys: keysOf(chord), 'hold-time': 50 })),
    async type(text) {
      for (const character of text) {
        await qmp.command('send-key', { keys: keysOfCharacter(character), 'hold-time': 30 });
        await new Promise((resolve) => setTimeout(resolve, 60)); // QEMU holds each key for its time, and drops what comes meanwhile
      }
    },
    async screen() {
      await qmp.command('screendump', { filename: `${folder}/screen.png`, format: 'png' });
      return decodePng(readFileSync(`${folder}/screen.png`));
    },
    sound: () => readWav(`${folder}/sound.wav`),
    async reboot() {
      const started = agent.started();
      await computer.run('systemctl', 'reboot').catch(() => {}); // its end may come before the answer
      await started;
    },
    plug: async (name) => void (await qmp.command('device_add', { driver: 'usb-kbd', bus: 'usb.0', id: name })),
    async unplug(name) {
      const gone = qmp.event('DEVICE_DELETED');
      await qmp.command('device_del', { id: name });
      await gone;
    },
  };
  await install(computer);
  return computer;
}

/** The nestbox that is tested, as a package would put it. */
async function install(computer: Computer): Promise<void> {
  const dist = program.slice(0, program.lastIndexOf('/'));
  const there = '/usr/lib/nestbox';
  await computer.does('mkdir', '-p', `${there}/dist`, `${there}/scripts`, `${there}/examples`);
  for (const name of ['nestbox.cjs', 'program.cjs', 'nestbox-native']) await computer.put(`${dist}/${name}`, `${there}/dist/${name}`, 0o755);
  await computer.does('ln', '-s', 'nestbox-native', `${there}/dist/nestbox`);
  await computer.does('ln', '-s', `${there}/dist/nestbox`, '/usr/local/bin/nestbox');
}

