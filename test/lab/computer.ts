import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { decodePng, encodePng } from '../../src/png.ts';
import { program } from '../nestbox.ts';
import { hearTone, readWav, type Sound } from '../sound.ts';
import type { Job, Outcome } from './agent.ts';
import { place } from './image.ts';
import { keysOf, keysOfCharacter } from './monitor.ts';
import { boot, resume, screenFile } from './qemu.ts';
import type { Host } from './recipe.ts';

export { type Host, hosts, newest } from './recipe.ts';

/** A virtual computer with systemd, a screen, a sound card and a keyboard, and nestbox installed on it. */
export interface Computer {
  /** Runs a program on it, as root, to its end. */
  run(...argv: string[]): Promise<Outcome>;
  /** As run(), and it must succeed; what it printed. */
  does(...argv: string[]): Promise<string>;
  /** As run(), with this as its input and a limit other than ten minutes. */
  runWith(options: { input?: Uint8Array | string; seconds?: number }, ...argv: string[]): Promise<Outcome>;
  /** Starts a program, which goes on meanwhile; it ends with the computer at the latest. */
  start(...argv: string[]): Job;
  /** Waits until a program succeeds there: for what tells nobody that it has happened. Fails after five minutes. */
  until(...argv: string[]): Promise<void>;
  /** Waits until a program that shows what there is prints what matches: for logs, as what has been written comes there a moment later. Fails after five minutes. */
  tells(pattern: RegExp, ...argv: string[]): Promise<string>;
  /** Copies a file of this machine, or a folder with all that is in it, to `path`. The folder that it lies in is made. */
  put(local: string, path: string, mode?: number): Promise<void>;
  write(path: string, content: Uint8Array | string, mode?: number): Promise<void>;
  /** What a file holds. */
  get(path: string): Promise<string>;
  /** Presses keys together: "ctrl-alt-f2". They are those of the keyboard that came last. */
  press(chord: string): Promise<void>;
  /** Types a line on an American keyboard: a hundred characters at most, and no faster than the computer comes to read it. */
  type(text: string): Promise<void>;
  /** Moves the mouse to the right, by what it counts. */
  move(right: number): Promise<void>;
  /** What its screen shows; three bytes a pixel. encodePng() makes a file of it. */
  screen(): Promise<ReturnType<typeof decodePng>>;
  /** Waits until the screen shows it; fails after four minutes. */
  shows(what: (screen: ReturnType<typeof decodePng>) => boolean): Promise<void>;
  /** The same computer, as it is used at its second graphics card, and heard at its second sound card: secondPlace of qemu.ts. */
  right: Pick<Computer, 'type' | 'press' | 'screen' | 'sound'>;
  /** The second output of that card: twoOutputs of qemu.ts. */
  second: Pick<Computer, 'screen'>;
  /** What its sound card has played since it was started; QEMU writes its file by 4 KiB, so that the last 23 ms can be missing. */
  sound(): Sound;
  /** Waits until its sound card has played some of a tone: for what plays by itself. Fails after two minutes. */
  plays(hertz: number): Promise<void>;
  /** Starts it anew, and returns when it has booted. USB keyboards are gone then. */
  reboot(): Promise<void>;
  /** A power cut: what has not been written to the disk is lost. Returns when it has booted again. */
  cut(): Promise<void>;
  /** A USB keyboard comes: returns when its device is there, /dev/input/by-id/usb-QEMU_QEMU_USB_Keyboard_NAME-event-kbd, whose path it gives. */
  plug(name: string, where?: { port: string; display?: string }): Promise<string>;
  /** It goes; returns when its device has gone. */
  unplug(name: string): Promise<void>;
}

/** How long a key is held, in ms. */
const hold = 20;

/** How many characters are typed at once. A USB keyboard of QEMU's keeps 16 keys that go down or up, and Linux 64 events for a program that does not read: what is more is lost. */
const together = 6;

/** A booted computer for the length of the test, as it was when it had just started; one with `more` hardware is booted for it. */
export async function power(t: Pick<TestContext, 'after'>, host: Host, more: readonly string[] = []): Promise<Computer> {
  const release = await place();
  t.after(release);
  let running = more.length > 0 ? await boot(host, more) : await resume(host);
  // For whoever looks for the mistake.
  const picture = process.env.NESTBOX_LAB_SCREEN;
  t.after(async () => {
    if (picture) writeFileSync(picture, encodePng(await computer.screen()));
    await running.end();
  });
  const keyboard = (name: string) => `/dev/input/by-id/usb-QEMU_QEMU_USB_Keyboard_${name}-event-kbd`;

  const pictureOf = async (of: object) => {
    await running.monitor.command('screendump', { filename: screenFile, format: 'png', ...of });
    return decodePng(readFileSync(running.screen));
  };
  /** Each key goes down and comes up again: at a card of its own there is nothing that would do it by itself. */
  const pressRight = async (keys: object[]) => {
    for (const down of [true, false]) {
      for (const key of down ? keys : keys.toReversed()) await running.monitor.command('input-send-event', { device: 'right', events: [{ type: 'key', data: { down, key } }] });
      await setTimeout(hold);
    }
  };

  const computer: Computer = {
    right: {
      async type(text) {
        for (const character of text) await pressRight(keysOfCharacter(character));
      },
      press: (chord) => pressRight(keysOf(chord)),
      screen: () => pictureOf({ device: 'right' }),
      sound: () => readWav(running.secondSound),
    },
    second: { screen: () => pictureOf({ device: 'right', head: 1 }) },
    run: (...argv) => computer.runWith({}, ...argv),
    runWith: ({ input = '', seconds = 600 }, ...argv) => running.agent.run(argv, input, seconds),
    does: async (...argv) => succeeded(argv, await computer.run(...argv)),
    start: (...argv) => running.agent.start(argv),
    async until(...argv) {
      succeeded(argv, await computer.runWith({ seconds: 330 }, 'timeout', '300', 'sh', '-c', 'until "$@" > /dev/null; do sleep 0.2; done', 'sh', ...argv));
    },
    async tells(pattern, ...argv) {
      for (const limit = Date.now() + 300_000; ; await setTimeout(200)) {
        const { stdout, stderr } = await computer.run(...argv);
        if (pattern.test(stdout)) return stdout;
        if (Date.now() > limit) throw new Error(`${argv.join(' ')} does not come to print ${pattern}, but:\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
      }
    },
    async put(local, path, mode) {
      const status = statSync(local);
      if (!status.isDirectory()) return computer.write(path, readFileSync(local), mode ?? status.mode & 0o777);
      const input = execFileSync('tar', ['--create', '--numeric-owner', `--directory=${local}`, '.'], { maxBuffer: 2 ** 28 });
      succeeded([path], await computer.runWith({ input }, 'sh', '-ec', 'mkdir -p "$0"; exec tar --extract --directory "$0"', path));
    },
    async write(path, content, mode = 0o644) {
      succeeded([path], await computer.runWith({ input: content }, 'install', '-D', `--mode=${mode.toString(8)}`, '/dev/stdin', path));
    },
    get: (path) => computer.does('cat', path),
    press: async (chord) => void (await running.monitor.command('send-key', { keys: keysOf(chord), 'hold-time': hold })),
    async type(text) {
      if (text.length > 100) throw new RangeError('a hundred characters at most');
      for (let at = 0; at < text.length; at += together) {
        const part = [...text.slice(at, at + together)].map(keysOfCharacter);
        for (const keys of part) await running.monitor.command('send-key', { keys, 'hold-time': hold });
        if (at + together >= text.length) return;
        await setTimeout(2 * hold * part.flat().length);
        await computer.run('true');
      }
    },
    move: async (right) => void (await running.monitor.command('input-send-event', { events: [{ type: 'rel', data: { axis: 'x', value: right } }] })),
    screen: () => pictureOf({}),
    async shows(what) {
      for (const limit = Date.now() + 240_000; !what(await computer.screen()); await computer.run('sleep', '0.05')) {
        if (Date.now() > limit) throw new Error('the screen does not come to show it');
      }
    },
    sound: () => readWav(running.sound),
    plays: (hertz) => hearTone(computer.sound, hertz, 120_000),
    async reboot() {
      await computer.run('systemctl', 'reboot').catch(() => {}); // its end may come before the answer
      running = await running.again();
    },
    async cut() {
      await running.monitor.command('quit');
      running = await running.again();
    },
    async plug(name, where = undefined) {
      await running.monitor.command('device_add', { driver: 'usb-kbd', bus: 'usb.0', id: name, serial: name, ...where });
      await computer.does('udevadm', 'wait', '--timeout=240', keyboard(name));
      return keyboard(name);
    },
    async unplug(name) {
      const gone = running.monitor.event('DEVICE_DELETED', { device: name });
      await running.monitor.command('device_del', { id: name });
      await gone;
      await computer.does('udevadm', 'wait', '--timeout=240', '--removed', keyboard(name));
    },
  };
  await install(computer);
  return computer;
}

function succeeded(argv: string[], { status, stdout, stderr }: Outcome): string {
  if (status !== 0) throw new Error(`${argv.join(' ')}\nended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}

/** The nestbox that is tested, as a package would put it. */
async function install(computer: Computer): Promise<void> {
  await computer.put(dirname(program), '/usr/lib/nestbox/dist');
  await computer.does('ln', '-s', '/usr/lib/nestbox/dist/nestbox', '/usr/local/bin/nestbox');
}
