import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { attempt } from '../src/attempt.ts';

/** All of a host that a machine could have left something in, as lines that can be compared. */
export interface Snapshot {
  lines: Set<string>;
  /** Of every process: number and start time. */
  processes: Set<string>;
}

function tree(path: string, wanted: (path: string) => boolean = () => true, depth = 12): string[] {
  if (depth === 0) return [];
  return attempt(() => readdirSync(path), []).flatMap((name) => {
    const found = `${path}/${name}`;
    const stat = attempt(() => lstatSync(found), null);
    if (!stat || !wanted(found)) return [];
    return [`${found} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid}`, ...(stat.isDirectory() ? tree(found, wanted, depth - 1) : [])];
  });
}

interface Process {
  pid: number;
  parent: number;
  started: string;
  state: string;
}

/** What proc(5) says of it from its state on, which is the third field. */
const fieldsOf = (pid: number | string): string[] | null => attempt(() => readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' '), null);

function allProcesses(): Process[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    const fields = fieldsOf(name);
    return fields ? [{ pid: Number(name), state: fields[0]!, parent: Number(fields[1]), started: fields[19]! }] : [];
  });
}

const lines = (program: string, ...args: string[]): string[] => attempt(() => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n').filter(Boolean), []);

/** What nestbox, or a program that it starts, might leave in a folder that others use too. */
const ours = /\/(\.X\d+-lock|\.X11-unix|X\d+|nspawn.*|nestbox.*|pulse.*|\.?xauth.*|\.#.*|dbus.*|systemd.*)( |$|\/)/i;

export function snapshot(): Snapshot {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(Boolean).map((line) => `mount ${line.split(' ')[4]} ${line.split(' - ')[1]}`);
  const loops = readdirSync('/sys/block').filter((name) => name.startsWith('loop')).flatMap((name) => attempt(() => [`loop ${name} ${readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim()}`], []));
  const groups = lines('find', '/sys/fs/cgroup', '-type', 'd').filter((path) => /nestbox|\/(payload|supervisor)$/.test(path)); // the latter are nspawn's
  return {
    lines: new Set([
      ...mounts, ...loops, ...groups,
      // The first mount(8) of a computer makes /run/mount, and leaves it.
      ...tree('/run', (path) => !/^\/run\/(user|mount)/.test(path)),
      // The folders that all machines share stay until the last is gone: what is in them counts. Templates are kept, whole ones, and what the next run needs no Node for.
      ...tree('/var/lib/nestbox', (path) => !/\/templates\/[^/.]|\/machines\/[^/]*\/warm$/.test(path)).filter((line) => !/^\/var\/lib\/nestbox\/(journal|scratch|services|machines|templates) /.test(line)),
      ...tree('/dev/shm'), ...tree('/root', (path) => ours.test(path) || /\/\.config/.test(path), 3),
      ...tree('/etc', (path) => /^\/etc\/(nestbox|systemd|passwd|group|shadow|subuid|subgid|udev)/.test(path)).filter((line) => !line.startsWith('/etc/nestbox ')), ...tree('/tmp', (path) => ours.test(path), 3),
      ...readdirSync('/sys/class/net').map((name) => `link ${name}`), ...lines('nft', 'list', 'tables'), ...lines('ip', 'netns', 'list'),
      ...attempt(() => readdirSync('/proc/sys/fs/binfmt_misc'), []).filter((name) => name.startsWith('nestbox-')).map((name) => `entry ${name} of binfmt_misc`),
      `ip_forward ${attempt(() => readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim(), '')}`,
      ...readFileSync('/proc/net/unix', 'utf8').split('\n').map((line) => line.split(' ').at(-1)!).filter((path) => ours.test(path) && !path.includes('/nestbox-lab.')).map((path) => `socket ${path}`),
    ]),
    processes: new Set(allProcesses().map(({ pid, started }) => `${pid} ${started}`)),
  };
}

/** It has been killed, and has only to get a processor to be gone: what dies with its parent is told so by the kernel before anybody hears of the parent's end. */
export function isDying(pid: number): boolean {
  const fields = fieldsOf(pid);
  if (!fields || fields[0] === 'Z') return false;
  const pending = attempt(() => readFileSync(`/proc/${pid}/status`, 'utf8'), '').match(/^(Sig|Shd)Pnd:\s*\w+$/gm) ?? [];
  return (Number(fields[6]) & (exiting | signaled)) !== 0 || pending.some((line) => ((BigInt(`0x${line.split(/\s+/)[1]}`) >> 8n) & 1n) === 1n); // SIGKILL is 9
}

/** Flags of a process: linux/sched.h. */
const [exiting, signaled] = [0x4, 0x400];

/** Loop devices that somebody, such as udev, has open a moment longer than whoever detached them: losetup(8). */
const lazyLoops = (): string[] => readdirSync('/sys/block').filter((name) => name.startsWith('loop') && attempt(() => readFileSync(`/sys/block/${name}/loop/autoclear`, 'utf8').trim(), '0') === '1' && !isMounted(name));
const isMounted = (loop: string): boolean => readFileSync('/proc/self/mountinfo', 'utf8').includes(` /dev/${loop} `);

/** Waits for what the kernel has still to take away, by what it says of that. What nobody has ended is not waited for. */
export function settle(isSettled: () => boolean): void {
  for (const limit = Date.now() + 20_000; !isSettled() && Date.now() < limit; ) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
}

/** What is there now and was not before, or the other way round; nothing: the host is as it was. */
export function differences(before: Snapshot): string[] {
  settle(() => !allProcesses().some(({ pid, started }) => !before.processes.has(`${pid} ${started}`) && isDying(pid)) && lazyLoops().every((name) => [...before.lines].some((line) => line.startsWith(`loop ${name} `))));
  const after = snapshot();
  const processes = allProcesses();
  const byPid = new Map(processes.map((process) => [process.pid, process]));
  // Others may start processes of their own meanwhile: those of ours are below this one, or have lost their parent.
  const isOurs = ({ pid, parent }: Process): boolean => parent === 1 || parent === process.pid || (byPid.has(parent) && !before.processes.has(`${parent} ${byPid.get(parent)!.started}`) && pid !== parent && isOurs(byPid.get(parent)!));
  const started = processes.filter((process) => process.state !== 'Z' && !before.processes.has(`${process.pid} ${process.started}`) && isOurs(process))
    .map(({ pid }) => ({ pid, command: attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '), '') })).filter(({ command }) => command !== '');
  return [
    ...[...after.lines].filter((line) => !before.lines.has(line)).map((line) => `left behind: ${line}`),
    ...[...before.lines].filter((line) => !after.lines.has(line)).map((line) => `gone: ${line}`),
    ...started.map(({ pid, command }) => `still running: ${pid} ${command}`),
  ];
}
