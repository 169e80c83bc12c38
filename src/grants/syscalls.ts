import * as v from 'valibot';
import type { Danger } from '../dangers.ts';
import type { Exposure, Smaller } from '../edits.ts';
import { allExposed, defineGrant } from '../grant.ts';
import { shown } from '../mistakes.ts';
import { nearest } from '../words.ts';

/** Groups of systemd, as `systemd-analyze syscall-filter` of 247 to 260 lists them. */
const groups = [
  '@aio', '@basic-io', '@chown', '@clock', '@cpu-emulation', '@debug', '@default', '@file-system', '@io-event', '@ipc', '@keyring', '@known', '@memlock', '@module', '@mount', '@network-io', '@obsolete',
  '@pkey', '@privileged', '@process', '@raw-io', '@reboot', '@resources', '@sandbox', '@setuid', '@signal', '@swap', '@sync', '@system-service', '@timer',
];

/** Why systemd-nspawn leaves these out: with the host's ids what they open is the host's. `alone`: what is left of that with ids of its own. */
const grave: { calls: string[]; what: string; alone: string; can: Danger }[] = [
  { calls: ['add_key', 'keyctl', 'request_key', '@keyring'], what: "keyrings are the kernel's and not the container's: root inside finds those of root of the host", alone: "keyrings are the kernel's: what is kept in them is bounded by ids alone", can: 'secrets' },
  { calls: ['bpf'], what: 'root inside can load programs into the kernel, and with them read its memory and watch the host', alone: "the kernel's checker of BPF programs is within reach", can: 'kernel' },
  { calls: ['perf_event_open'], what: 'root inside can watch the kernel and all programs of the host', alone: "the kernel's performance counters are within reach", can: 'processes' },
  { calls: ['kexec_load', 'kexec_file_load', 'reboot', '@reboot'], what: 'root inside can put another kernel in the place of the running one', alone: 'the kernel refuses another kernel to ids that are not its own', can: 'kernel' },
  { calls: ['open_by_handle_at'], what: 'root inside can open every file of each file system of which it sees a part', alone: 'the kernel opens files by a handle only in file systems of the machine', can: 'root' },
  { calls: ['init_module', 'finit_module', 'delete_module', '@module'], what: 'root inside can load modules into the kernel where it has CAP_SYS_MODULE', alone: 'the kernel takes no module from ids that are not its own', can: 'kernel' },
  { calls: ['ioperm', 'iopl', '@raw-io', 'pciconfig_read', 'pciconfig_write'], what: 'root inside can talk to hardware past the drivers where it has CAP_SYS_RAWIO', alone: 'the kernel gives no ports to ids that are not its own', can: 'memory' },
  { calls: ['swapon', 'swapoff', '@swap'], what: 'root inside can take the swap space of the host away', alone: 'the kernel takes no swap space from ids that are not its own', can: 'settings' },
  { calls: ['settimeofday', 'clock_settime', 'clock_adjtime', 'adjtimex', '@clock'], what: 'root inside can set the clock of the host where it has CAP_SYS_TIME', alone: 'the kernel lets ids that are not its own set no clock', can: 'settings' },
  { calls: ['syslog'], what: "root inside reads the kernel's log where it has CAP_SYSLOG", alone: "the kernel's log can be read where the host lets everybody", can: 'hints' },
  { calls: ['quotactl', 'acct', 'fanotify_init', 'lookup_dcookie'], what: 'root inside can watch files and processes of the host, or set quotas there', alone: 'the kernel refuses them to ids that are not its own', can: 'processes' },
  { calls: ['@privileged', '@known', '@obsolete', '@debug', '@cpu-emulation'], what: 'much of what the kernel keeps for root is within reach of root inside', alone: 'much more of the kernel is within reach of programs inside', can: 'kernel' },
];

const smaller: Smaller = { say: 'leave it out of syscalls', loses: 'what the program does with these calls' };
const ownIds: Smaller = { say: 'users = "own"', loses: 'that these calls reach what is the host\'s' };

const form = v.pipe(
  v.string(),
  v.regex(/^~?(@[a-z][a-z-]*|[a-z_][a-z0-9_]*)$/, 'expected the name of a system call, a group such as "@keyring", or one of these that is refused, such as "~mount"'),
  v.rawCheck(({ dataset, addIssue }) => {
    const group = dataset.typed && /@.*/.exec(dataset.value)?.[0];
    if (!group || groups.includes(group)) return;
    const meant = nearest(group, groups);
    addIssue({ message: `systemd has no group of system calls '${shown(group)}'${meant ? `: did you mean '${meant}'?` : '; systemd-analyze syscall-filter lists them'}` });
  }),
);

export default defineGrant({
  summary: 'system calls that programs inside may make besides the usual: names and @groups of systemd; with ~ before it, one that they may not',
  example: '["add_key", "keyctl", "~@swap"]',
  options: v.pipe(
    v.array(form), v.minLength(1, 'expected names of system calls'),
    v.check((names) => !names.some((name) => names.includes(`~${name}`)), 'one is allowed and refused: leave one of the two out'),
  ),
  needs: () => [],
  edits: (syscalls) => ({ syscalls }),

  exposes(names, _, machine = allExposed) {
    const allowed = names.filter((name) => !name.startsWith('~'));
    const found = grave.flatMap(({ calls, what, alone, can }): Exposure[] => {
      const asked = allowed.filter((name) => calls.includes(name)).join(', ');
      return asked === '' ? [] : [machine.isHostRoot ? { can, what: `${what} (${asked})`, smaller: ownIds } : { can: 'calls', what: `${alone} (${asked})`, smaller }];
    });
    const others = allowed.filter((name) => !grave.some(({ calls }) => calls.includes(name)));
    return [...found, ...(others.length > 0 ? [{ can: 'calls' as const, what: `more of the kernel is within reach of programs inside (${others.join(', ')})`, smaller }] : [])];
  },
});
