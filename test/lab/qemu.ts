import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { getPriority, setPriority } from 'node:os';
import { program } from '../nestbox.ts';
import { type Agent, agent } from './agent.ts';
import { cache, desktopDisk, does, image, kept, keyOf, making, progress } from './image.ts';
import { type Monitor, monitor } from './monitor.ts';
import type { Host } from './recipe.ts';

/**
 * The computer's hardware, as options of qemu-system-x86_64(1). KVM is not asked for, so that it runs where there is none.
 * A second output of the card is there, and not connected. `place` has the sockets that the bench listens at. It ends instead
 * of starting anew, as that takes twice the time in the same process: the code that QEMU has made of the old system's is in the way.
 * With two processors QEMU needs a fifth more of this machine's time for the same work, and Linux, which changes its code while the other processor runs it,
 * ends with 'Oops: int3' now and then.
 * Without use-timer=off the sound card goes by a clock of its own, and samples are lost where QEMU is late by 46 ms.
 */
const hardware = (kernel: string, place: string): string[] => [
  '-accel', 'tcg', '-cpu', 'max', '-m', '2048', '-display', 'none', '-nodefaults', '-no-reboot',
  '-kernel', `${kernel}/vmlinuz`, '-initrd', `${kernel}/initrd.img`, '-append', 'root=/dev/vda rw quiet mitigations=off console=ttyS0 console=tty0',
  '-chardev', `socket,id=monitor,path=${place}/monitor`, '-mon', 'chardev=monitor,mode=control',
  '-chardev', `socket,id=agent,path=${place}/agent`, '-device', 'virtio-serial', '-device', 'virtserialport,chardev=agent,name=nestbox.lab',
  '-chardev', 'ringbuf,id=console,size=65536', '-serial', 'chardev:console',
  '-device', 'virtio-vga,max_outputs=2', '-device', 'virtio-keyboard-pci', '-device', 'virtio-mouse-pci', '-device', 'qemu-xhci,id=usb',
  '-audiodev', 'wav,id=speakers,path=/proc/self/fd/3', '-device', 'intel-hda', '-device', 'hda-output,audiodev=speakers,use-timer=off',
  ...[5, 6, 7].flatMap((number) => ['-drive', `file=/proc/self/fd/${number},format=qcow2,if=virtio,cache=unsafe,discard=unmap`]),
  '-netdev', 'user,id=net,restrict=on', '-device', 'virtio-net-pci,netdev=net',
];

/** A second place at the computer, beside the first one: a graphics card, a pointer for each, and a sound card. Keys are told apart by the card. */
export const secondPlace: string[] = [
  '-device', 'virtio-gpu-pci,id=right', '-device', 'usb-mouse,bus=usb.0,port=2', '-device', 'usb-tablet,bus=usb.0,port=4,display=right',
  '-audiodev', 'wav,id=second,path=/proc/self/fd/8', '-device', 'intel-hda,id=hda2', '-device', 'hda-output,bus=hda2.0,audiodev=second,use-timer=off',
];

/** A second graphics card with two outputs, the other one of which is not connected. */
export const twoOutputs: string[] = ['-device', 'virtio-gpu-pci,id=right,max_outputs=2'];

/** The file that QEMU's screendump is told to write; its numbers from 3 on are files of the bench: sound, screen, the disks, and the second sound. */
export const screenFile = '/proc/self/fd/4';

export interface Running {
  monitor: Monitor;
  agent: Agent;
  /** Files that have no name any more: what has been played, and the last picture of the screen. */
  sound: string;
  secondSound: string;
  screen: string;
  /** Once it has ended by itself: starts it from its disk, and waits until it has booted. */
  again(): Promise<Running>;
  /** Ends it at once, for good. */
  end(): Promise<void>;
  over: Promise<unknown>;
}

/** The open disks of a computer: its system, the desktops, and an empty one. */
type Disks = [system: number, desktops: number, empty: number];

/**
 * Starts QEMU with open disks. It dies with this process; its files are passed on open and have no name any more: nothing
 * is left of them, however it or this process ends.
 */
async function start(kernel: string, disks: Disks, ...options: string[]): Promise<Running> {
  const place = mkdtempSync('/var/tmp/nestbox-lab.');
  try {
    const [sound, screen, secondSound] = [openSync(`${place}/sound`, 'w+'), openSync(`${place}/screen`, 'w+'), openSync(`${place}/second`, 'w+')];
    const calls = Promise.all([call(`${place}/monitor`), call(`${place}/agent`)]);
    const native = program.replace('nestbox.cjs', 'nestbox-native');
    const argv = ['launch', '--die-with', `${process.pid}`, '--', '/usr/bin/qemu-system-x86_64', ...hardware(kernel, place), ...options];
    const qemu = spawn(native, argv, { stdio: ['ignore', 'ignore', 'pipe', sound, screen, ...disks, secondSound] });
    setPriority(qemu.pid!, Math.max(5, getPriority())); // what compares times or listens to a tone on this machine comes first
    let said = '';
    qemu.stderr!.setEncoding('utf8').on('data', (text: string) => { said += text; });
    const over = once(qemu, 'exit');
    const close = (...files: number[]) => { for (const file of files) closeSync(file); };
    const [monitorSocket, agentSocket] = await Promise.race([calls, over.then(() => { throw new Error(`QEMU ended: ${said.trim()}`); })]);
    return {
      monitor: await monitor(monitorSocket),
      agent: agent(agentSocket),
      sound: `/proc/self/fd/${sound}`,
      secondSound: `/proc/self/fd/${secondSound}`,
      screen: `/proc/self/fd/${screen}`,
      over,
      async again() {
        await over;
        close(sound, screen, secondSound);
        const next = await start(kernel, disks, ...options.filter((word) => !['-incoming', 'defer'].includes(word)));
        await booted(next);
        return next;
      },
      async end() {
        qemu.kill('SIGKILL');
        await over;
        close(sound, screen, secondSound, ...disks);
      },
    };
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** The one who calls at a socket. */
async function call(path: string): Promise<Socket> {
  const server = createServer().listen(path);
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  return socket;
}

/** Makes a layer over each disk, and an empty one; what is written goes there. */
async function layers(place: string, system: string, desktops: string, format: string): Promise<Disks> {
  const make = async (name: string, ...words: string[]) => {
    const path = `${place}/${name}.qcow2`;
    await does('qemu-img', 'create', '-q', '-f', 'qcow2', path, ...words);
    return openSync(path, 'r+');
  };
  return [await make('disk', '-F', format, '-b', system), await make('desktops', '-F', format, '-b', desktops), await make('empty', '8G')];
}

/**
 * Waits for what can come after the end of the boot, in the middle of a test that has looked at what was there before: what udev has started for the sound
 * card, and the login on the first terminal, which systemd begins when it has nothing else to do.
 */
async function settled(agent: Running['agent']): Promise<void> {
  await agent.run(['systemctl', 'start', 'sound.target'], '', 240);
  await agent.run(['timeout', '240', 'sh', '-c', 'until grep -q login: /dev/vcs1; do sleep 0.1; done'], '', 300);
}

/** Waits for the end of a boot, and for the devices that come when they like; what the console has said is in the error where it takes too long. */
async function booted({ agent, monitor }: Running): Promise<void> {
  const begins = agent.started();
  const ready = async () => {
    await begins;
    await agent.run(['systemctl', 'is-system-running', '--wait'], '', 600);
    await agent.run(['udevadm', 'wait', '--timeout=240', '/dev/snd/pcmC0D0p', '/dev/dri/card0', '/dev/fb0'], '', 300);
    await settled(agent);
  };
  let late: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => { late = setTimeout(reject, 600_000, new Error('not booted after 10 minutes')); });
  try {
    await Promise.race([limit, ready()]);
  } catch (cause) {
    throw new Error(`the computer does not boot. Its console:\n${await monitor.command('ringbuf-read', { device: 'console', size: 65536 })}`, { cause });
  } finally {
    clearTimeout(late);
  }
}

/** Sends the computer's state, or takes one up; tells when it is done. */
async function migrated(qmp: Monitor, command: 'migrate' | 'migrate-incoming', uri: string): Promise<void> {
  await qmp.command('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
  const done = qmp.event('MIGRATION', { status: 'completed' });
  const failed = qmp.event('MIGRATION', { status: 'failed' }).then(() => { throw new Error(`QEMU: ${uri} failed`); });
  await qmp.command(command, { uri });
  await Promise.race([done, failed]);
}

/** The folder with a computer that has just booted: its state, and its disk as it was then. */
async function warm(host: Host, kernel: string, desktops: string): Promise<string> {
  const key = keyOf([kernel, desktops, hardware('', ''), await does('qemu-system-x86_64', '--version')]);
  return kept(cache, `warm-${host}`, key, async (at) => {
    progress(`${host}: booting, to be kept as it is then`);
    const began = Date.now();
    const computer = await start(kernel, await layers(at, `${kernel}/disk.raw`, `${desktops}/desktops.raw`, 'raw'));
    const says = async (...argv: string[]) => (await computer.agent.run(argv, '', 60)).stdout.trim();
    try {
      await booted(computer);
      const state = await says('systemctl', 'is-system-running');
      if (state !== 'running') throw new Error(`the lab's ${host} is ${state}: ${await says('systemctl', '--failed', '--no-legend')}`);
      progress(`${host}: booted in ${Math.round((Date.now() - began) / 1000)} s`);
      await says('sync');
      await computer.monitor.command('stop');
      await migrated(computer.monitor, 'migrate', `exec:cat > ${at}/state`);
      await computer.monitor.command('quit');
      await computer.over; // what it still has of the disk is written then
    } finally {
      await computer.end();
    }
    progress(`${host}: kept, ${Math.round(statSync(`${at}/state`).size / 2 ** 20)} MiB`);
  });
}

/** A computer with more hardware than the others, which is booted for it. The caller has a place for it. */
export async function boot(host: Host, more: readonly string[]): Promise<Running> {
  const [kernel, desktops] = await making(async () => [await image(host), await desktopDisk()] as const);
  const place = mkdtempSync('/var/tmp/nestbox-lab.');
  const disks = await layers(place, `${kernel}/disk.raw`, `${desktops}/desktops.raw`, 'raw');
  rmSync(place, { recursive: true });
  const computer = await start(kernel, disks, ...more);
  try {
    await booted(computer);
  } catch (error) {
    await computer.end(); // else the test waits for it, and others for its place
    throw error;
  }
  return computer;
}

/** A booted computer, as it was when it had just started. The caller has a place for it. */
export async function resume(host: Host): Promise<Running> {
  const { kernel, from } = await making(async () => {
    const kernel = await image(host);
    return { kernel, from: await warm(host, kernel, await desktopDisk()) };
  });
  const place = mkdtempSync('/var/tmp/nestbox-lab.');
  const disks = await layers(place, `${from}/disk.qcow2`, `${from}/desktops.qcow2`, 'qcow2');
  rmSync(place, { recursive: true });
  const computer = await start(kernel, disks, '-incoming', 'defer');
  await migrated(computer.monitor, 'migrate-incoming', `exec:cat ${from}/state`);
  await computer.monitor.command('cont');
  await settled(computer.agent);
  return computer;
}
