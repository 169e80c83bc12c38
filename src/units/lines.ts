import { basename } from 'node:path/posix';
import type { Step } from '../step.ts';
import { emulatorCommands } from '../steps/emulators.ts';
import { mountCommands } from '../steps/mounts.ts';
import { seatCommands, terminalCommands } from '../steps/terminals.ts';
import { volumeCommands } from '../steps/volumes.ts';
import { store } from '../store.ts';
import { machinesFolder } from '../volumes.ts';

/** What one step becomes where systemd takes it: argument lists of the host's programs, each with a program of the table in errors.ts first. */
export interface Lines {
  /** Steps that nestbox takes itself, once: they last, or need the person's session. */
  once: Step[];
  /** At each start of the machine. */
  start: string[][];
  /** After its end, in this order; each is tried. */
  stop: string[][];
}

type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** `kept` gives a place that outlives a boot to a file that is put in place at each start. */
type Say<S extends Step> = (step: S, kept: () => string) => Partial<Lines>;

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');

const owned = ({ uid, gid }: { uid: number; gid: number } = { uid: 0, gid: 0 }): string[] => ['-o', `${uid}`, '-g', `${gid}`];

/** What is below the store, and the folder of systemd's machines, stays over a boot, and is made by nestbox; all else is to be made anew. */
const lasts = (path: string): boolean => path.startsWith(`${store.base}/`) || path === machinesFolder;

const once = (step: Step): Partial<Lines> => ({ once: [step] });

/** Each folder above it must be there. */
export const folder = (path: string, mode: number, owner?: { uid: number; gid: number }): string[] => ['install', '-d', '-m', octal(mode), ...owned(owner), path];

const place = (from: string, path: string, mode: number, owner?: { uid: number; gid: number }): string[] => ['install', '-m', octal(mode), ...owned(owner), from, path];

/** The kinds of steps that prepare a run. Those that only take back what others did, and those that build, are never among them. */
const says: { [K in Prepares]: Say<Of<K>> } = {
  mkdir: (step) => (lasts(step.path) ? once(step) : { start: [folder(step.path, step.mode, step.owner)] }),
  symlink: (step) => (lasts(step.path) ? once(step) : { start: [['ln', '-sfn', step.to, step.path]] }),
  write(step, kept) {
    if (lasts(step.path)) return once(step);
    const path = kept();
    return { once: [{ kind: 'write', path, text: step.text, mode: 0o600 }], start: [place(path, step.path, step.mode, step.owner)] };
  },
  cookie(step, kept) {
    const root = { uid: 0, gid: 0 };
    const [server, client] = [kept(), kept()];
    return {
      once: [{ ...step, server: { path: server, owner: root }, client: { path: client, owner: root } }],
      start: [place(server, step.server.path, 0o600, step.server.owner), place(client, step.client.path, 0o600, step.client.owner)],
    };
  },
  'copy-cookie'(step, kept) {
    const path = kept();
    return { once: [{ ...step, path, owner: { uid: 0, gid: 0 } }], start: [place(path, step.path, 0o600, step.owner)] };
  },
  authorize(step, kept) {
    const path = kept();
    return { once: [{ ...step, path, owner: { uid: 0, gid: 0 } }], start: [place(path, step.path, 0o600, step.owner)] };
  },
  admit: once,
  overlay: (step) => ({ start: [mountCommands.overlay(step)], stop: [mountCommands.unmount(step)] }),
  bind: (step) => ({ start: [mountCommands.bind(step)], stop: [mountCommands.unmount(step)] }),
  tmpfs: (step) => ({ start: [mountCommands.tmpfs(step)], stop: [mountCommands.unmount(step)] }),
  ipc: (step) => ({ start: [mountCommands.ipc(step)], stop: [mountCommands.unmount(step)] }),
  emulator: (step) => ({ start: [emulatorCommands.register(step)], stop: [emulatorCommands.withdraw(step)] }),
  activate: (step) => ({ start: [volumeCommands.activate(step)], stop: [volumeCommands.deactivate(step)] }),
  unlock: (step) => ({ start: [volumeCommands.unlock(step)], stop: [volumeCommands.lock(step)] }),
  'check-file-system': (step) => ({ start: [volumeCommands.check(step)] }),
  'mount-volume': (step) => ({ start: [volumeCommands.mount(step)], stop: [mountCommands.unmount(step), ['rmdir', '--ignore-fail-on-non-empty', step.at]] }),
  loop: (step) => ({ start: [volumeCommands.loop(step)], stop: [volumeCommands.loopEnd(step), ['rm', '-f', step.link]] }),
  unpack: () => ({}), // it is done when the machine is started by hand, and stays
  node: ({ path, from, mode, owner }) => ({ start: [['nestbox-native', 'node', octal(mode), `${owner.uid}:${owner.gid}`, from, path]] }),
  seat: (step) => ({ start: [seatCommands.take(step)], stop: [seatCommands.giveBack(step)] }),
  terminal: (step) => ({ start: [terminalCommands.take(step)], stop: [terminalCommands.giveBack(step)] }),
  'linker-cache'(step, kept) {
    const path = kept();
    return { once: [{ ...step, path }], start: [place(path, step.path, 0o644)] };
  },
  workspace: once, 'copy-tree': once, 'link-inside': once, accounts: once, places: once, 'mount-point': once, 'hide-private': once,
  fifo: ({ path }) => ({ start: [['nestbox-native', 'gate', 'make', path]] }),
  link: () => ({}), // systemd-nspawn makes it
  service: () => ({}), // a unit of its own each
};

type Prepares = Exclude<Step['kind'], 'link-inside-end' | 'terminal-end' | 'seat-end' | 'device-allow' | 'device-forbid' | 'node-inside' | 'file-inside' | 'remove-inside' | 'rename' | 'remove' | 'remove-tree' | 'deauthorize' | 'dismiss' | 'unmount' | 'chroot-mounts' | 'chroot-unmount' | 'emulator-end' | 'deactivate' | 'lock' | 'loop-end' | 'cgroup' | 'cgroup-end' | 'container' | 'accounts-end' | 'remove-empty' | 'build' | 'merged' | 'fetched-in' | 'fetched-out' | 'mask' | 'seal' | 'verify' | 'sync' | 'owners' | 'image-length' | 'image-table' | 'image-check' | 'image-resize' | 'image-copy' | 'image-replace' | 'onward' | 'link-end' | 'ports-end' | 'stop' | 'leftover' | 'reload' | 'unit'>;

/** All steps of a plan's `passing` half, for the machine `name`. Throws for a step that no run begins with: that is a mistake of ours. */
export function linesOf(steps: readonly Step[], name: string): Lines {
  const all: Lines = { once: [], start: [], stop: [] };
  let files = 0;
  for (const step of steps) {
    const say = (says as Partial<Record<Step['kind'], Say<Step>>>)[step.kind];
    if (!say) throw new Error(`'${step.kind}' is no step that a run begins with`);
    const said = say(step, () => `${store.service(name)}/files/${String(files++).padStart(3, '0')}-${'path' in step ? basename(step.path) : step.kind}`);
    all.once.push(...(said.once ?? []));
    all.start.push(...(said.start ?? []));
    all.stop.unshift(...(said.stop ?? []));
  }
  return { ...all, start: joined(all.start) };
}

/** Lists of operands that one process can take in one go: each process is a millisecond of every start. */
const manyAtOnce = [{ begins: ['install', '-d'], operands: 1 }, { begins: ['nestbox-native', 'node'], operands: 2 }];

/** Commands that follow each other and differ in their operands alone, as one. */
export function joined(commands: readonly string[][]): string[][] {
  const out: string[][] = [];
  for (const argv of commands) {
    const last = out.at(-1);
    const many = manyAtOnce.find(({ begins }) => begins.every((word, i) => argv[i] === word));
    const same = many && last && argv.slice(0, -many.operands).every((word, i) => last[i] === word);
    const operands = argv.slice(-(many?.operands ?? 0));
    if (same) last.push(...(many.operands === 1 && last.includes(operands[0]!) ? [] : operands));
    else out.push([...argv]);
  }
  return out;
}

/** Whether the machine needs the session of the person who starts it: nobody is there when it comes up with the host. */
export const needsSession = (steps: readonly Step[]): boolean => steps.some(({ kind }) => kind === 'copy-cookie' || kind === 'authorize' || kind === 'admit');
