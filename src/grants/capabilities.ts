import * as v from 'valibot';
import type { Exposure } from '../edits.ts';
import { warns } from '../errors.ts';
import { allExposed, defineGrant, type Exposed } from '../grant.ts';
import { capabilityNames } from '../powers.ts';

/** What root with the host's ids can do to the host with one of them; none: no more than without. */
const opens: Record<string, Exposure> = {
  all: { can: 'kernel', what: 'root inside is root of the host: it can load modules into the kernel, and change what it likes there' },
  CAP_SYS_MODULE: { can: 'kernel', what: 'root inside can load modules into the kernel: the host is theirs' },
  CAP_SYS_RAWIO: { can: 'memory', what: 'root inside can talk to hardware past the drivers, and to every disk that it can open: the host is theirs' },
  CAP_SYS_ADMIN: { can: 'root', what: 'root inside can mount file systems of the host, and change settings of the kernel that all share' },
  CAP_MKNOD: { can: 'disks', what: 'root inside can make a node of every device: the device list alone keeps it from opening them' },
  CAP_SYS_PTRACE: { can: 'processes', what: 'root inside can look into every process that it sees' },
  CAP_BPF: { can: 'kernel', what: 'root inside can load programs into the kernel (the system call bpf must be allowed as well), and with them watch the host' },
  CAP_PERFMON: { can: 'processes', what: 'root inside can watch the kernel and all programs of the host (the system call perf_event_open must be allowed as well)' },
  CAP_MAC_ADMIN: { can: 'settings', what: 'root inside can change the rules of AppArmor, SELinux or Smack, for the host as well' },
  CAP_MAC_OVERRIDE: { can: 'settings', what: 'root inside is not held by the rules of Smack' },
  CAP_SYS_TIME: { can: 'settings', what: 'root inside can set the clock of the host' },
  CAP_SYSLOG: { can: 'hints', what: "root inside reads the kernel's log, with addresses of the kernel in it, and can empty it" },
  CAP_AUDIT_READ: { can: 'hints', what: 'root inside can read what the host writes down for its audit' },
  CAP_CHECKPOINT_RESTORE: { can: 'calls', what: 'root inside can give new processes the numbers that it likes' },
  CAP_BLOCK_SUSPEND: { can: 'power', what: 'root inside can keep the host awake' },
  CAP_WAKE_ALARM: { can: 'power', what: 'root inside can wake the host' },
  CAP_IPC_LOCK: { can: 'all-memory', what: 'root inside can hold memory that the host then cannot put to the disk' },
  CAP_SYS_PACCT: { can: 'hints', what: 'root inside can have the end of every process written down' },
};

const ownIds = { say: 'users = "own"', loses: "that root inside has these rights over what is the host's" };

/** What programs with these capabilities, besides the usual ones, could do. */
export function exposuresOf(names: readonly string[], { isHostRoot, sharesNetwork }: Pick<Exposed, 'isHostRoot' | 'sharesNetwork'>): Exposure[] {
  // The kernel asks for the host's own capability wherever something belongs to the host.
  if (!isHostRoot) return [{ can: 'calls', what: `root inside has more of the kernel to try (${names.join(', ')}), but over what belongs to the machine alone`, smaller: { say: 'leave capabilities out', loses: 'what the program does with them' } }];
  if (names.includes('all')) return [{ ...opens.all!, smaller: ownIds }];
  const network: Exposure[] = names.includes('CAP_NET_ADMIN') && sharesNetwork ? [{ can: 'settings', what: 'root inside can change addresses, routes and the firewall of the host (CAP_NET_ADMIN)' }] : [];
  return [...names.flatMap((name, i) => (opens[name] ? [{ ...opens[name], what: `${opens[name].what} (${name})`, at: [i], smaller: ownIds }] : [])), ...network];
}

export default defineGrant({
  summary: "what root inside may do besides the usual, by the names of capabilities(7), or all",
  example: '["CAP_SYS_TIME", "CAP_IPC_LOCK"]',
  options: v.pipe(v.array(v.picklist(['all', ...capabilityNames])), v.minLength(1, 'expected "all" or names such as "CAP_SYS_TIME"')),

  needs: (_, { boots, inside, shift }) => (boots || inside.uid === shift ? [] : [warns(`capabilities are root's, and the program runs as '${inside.name}': it has none of them`, 'going on')]),

  edits: (capabilities) => ({ capabilities }),

  exposes: (names, _, machine = allExposed) => exposuresOf(names, machine),
});
