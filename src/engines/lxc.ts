import { dirname } from 'node:path/posix';
import { defineEngine, engineOptions, type Lacks } from '../engine.ts';
import { lacks as lacking, lacksProgram, type Problem } from '../errors.ts';
import { assignment } from '../ini.ts';
import { configOf, configText, haltSignal, seccompFile, statusFile } from '../lxc/config.ts';
import { seccompProfile } from '../lxc/seccomp.ts';
import type { Machine } from '../machine.ts';
import type { Step } from '../step.ts';
import { store } from '../store.ts';
import { commandOf } from '../units/commands.ts';

const lacks: Lacks = {
  networkd: { why: 'an LXC container is known to no systemd-machined, and systemd-networkd has no settings for its link', mend: 'say network = "private", or engine = "nspawn"' },
  'host-cgroups': { why: 'LXC shows a container its own part of the tree of control groups', mend: 'leave cgroups out, or say engine = "nspawn"' },
};

/** lxc-start(1) and lxc.container.conf(5), from version 5 on. */
export default defineEngine({
  summary: 'LXC',
  options: engineOptions(lacks, {}),
  lacks,
  mountsInside: true,
  service: (machine) => `lxc@${machine}.service`,

  units(machine, facts, comment) {
    const { name } = machine;
    const folder = `${store.lxc}/${name}`;
    return {
      files: filesOf(machine, facts, folder, comment), steps: statusSteps(machine), link: 'before', image: null, folder,
      lines: [
        ['Slice', 'machine.slice'], // where it is looked for: src/probe.ts
        ...Object.entries(withoutIdTools).map(([key, value]) => ['Environment', assignment(key, value)] as const),
        ['ExecStartPost', commandOf(facts, ['lxc-wait', `--name=${name}`, '--state=RUNNING', '--timeout=60'])], // `lxc-start` alone would return before it runs
        ['DeviceAllow', '/dev/net/tun rwm'], ['DeviceAllow', 'char-pts rw'],
      ],
    };
  },

  needs: ({ edits: { syscalls } }, { programs, distribution }): Problem[] => [
    ...(programs['lxc-start'] ? [] : [lacksProgram('lxc-start', 'run the container', { distribution })]),
    ...(programs['nestbox-native'] ? [] : [lacksProgram('nestbox-native', 'start the program in the container', { distribution })]),
    ...syscalls.filter((name) => name.startsWith('~@')).map((name) => ({ ...lacking(`LXC knows no groups of system calls, and ${name.slice(1)} is one`, 'name the calls one by one, or say engine = "nspawn"'), at: ['syscalls'] })),
  ],

  start(machine, facts) {
    const { name, run, place, boot, ipc } = machine;
    const folders = `${run}/lxc`;
    const folder = `${folders}/${name}`;
    return [
      { kind: 'mkdir', path: folders, mode: 0o711 }, { kind: 'mkdir', path: folder, mode: 0o711 }, // the container's root looks at them
      ...filesOf(machine, facts, folder).map(({ path, text }): Step => ({ kind: 'write', path, text, mode: 0o600 })),
      ...statusSteps(machine),
      {
        kind: 'container', name, boots: boot !== null, ...(boot ? { halt: haltSignal(machine) } : { status: statusFile(run) }),
        // Only to be found by LXC's own programs under this folder: a container of the same name in /var/lib/lxc is another one.
        argv: ['lxc-start', '--foreground', '--close-all-fds', `--name=${name}`, `--lxcpath=${folders}`],
        console: { at: 1, terminal: '', pipe: '--define=lxc.console.path=none' },
        environment: withoutIdTools, ...(ipc !== null && { ipc }), place, inside: null, ports: [],
        leftovers: [`/run/lxc/lock${folders}/.${name}`, ...lockFolders(folders)],
      },
    ];
  },
});

/** The configuration, and what it names. */
function filesOf(machine: Machine, facts: Parameters<typeof configOf>[1], folder: string, comment: readonly string[] = []): { path: string; text: string }[] {
  const { syscalls, capabilities } = machine.edits;
  return [{ path: `${folder}/config`, text: configText(comment, configOf(machine, facts, folder)) }, { path: seccompFile(folder), text: seccompProfile(syscalls, capabilities) }];
}

/** Where the first process of a container that runs a program says how that has ended. */
const statusSteps = ({ boot, run, shift }: Pick<Machine, 'boot' | 'run' | 'shift'>): Step[] => (boot ? [] : [{ kind: 'write', path: statusFile(run), text: '', mode: 0o600, owner: { uid: shift, gid: shift } }]);

/**
 * LXC asks newuidmap(1) where that is in the path, and it knows of no ids but those of people (/etc/subuid). Root may map any: everything that LXC
 * needs besides is called by its whole path.
 */
const withoutIdTools = { PATH: '/nonexistent' };

/** LXC makes a lock for each container's folder, and leaves the folders above it: lxclock.c. */
function lockFolders(path: string): string[] {
  const above = (at: string): string[] => (at === '/' ? [] : [`/run/lxc/lock${at}`, ...above(dirname(at))]);
  return [...above(path), '/run/lxc/lock', '/run/lxc'];
}
