import * as v from 'valibot';
import type { Exposure } from '../edits.ts';
import { warns } from '../errors.ts';
import { defineGrant, type Exposed } from '../grant.ts';
import { capabilityNames } from '../powers.ts';

/** What root with the host's ids can do to the host with one of them; none: no more than without. */
const opens: Record<string, Exposure> = {
  all: { risk: 'high', what: 'root inside is root of the host: it can load modules into the kernel, and change what it likes there' },
  CAP_SYS_MODULE: { risk: 'high', what: 'root inside can load modules into the kernel: the host is theirs' },
  CAP_SYS_RAWIO: { risk: 'high', what: 'root inside can talk to hardware past the drivers, and to every disk that it can open: the host is theirs' },
  CAP_SYS_ADMIN: { risk: 'high', what: 'root inside can mount file systems of the host, and change settings of the kernel that all share' },
  CAP_MKNOD: { risk: 'high', what: 'root inside can make a node of every device: the device list alone keeps it from opening them' },
  CAP_SYS_PTRACE: { risk: 'medium', what: 'root inside can look into every process that it sees' },
  CAP_BPF: { risk: 'high', what: 'root inside can load programs into the kernel (the system call bpf must be allowed as well), and with them watch the host' },
  CAP_PERFMON: { risk: 'high', what: 'root inside can watch the kernel and all programs of the host (the system call perf_event_open must be allowed as well)' },
  CAP_MAC_ADMIN: { risk: 'high', what: 'root inside can change the rules of AppArmor, SELinux or Smack, for the host as well' },
  CAP_MAC_OVERRIDE: { risk: 'high', what: 'root inside is not held by the rules of Smack' },
  CAP_SYS_TIME: { risk: 'high', what: 'root inside can set the clock of the host' },
  CAP_SYSLOG: { risk: 'medium', what: "root inside reads the kernel's log, with addresses of the kernel in it, and can empty it" },
  CAP_AUDIT_READ: { risk: 'medium', what: 'root inside can read what the host writes down for its audit' },
  CAP_CHECKPOINT_RESTORE: { risk: 'medium', what: 'root inside can give new processes the numbers that it likes' },
  CAP_BLOCK_SUSPEND: { risk: 'low', what: 'root inside can keep the host awake' },
  CAP_WAKE_ALARM: { risk: 'low', what: 'root inside can wake the host' },
  CAP_IPC_LOCK: { risk: 'low', what: 'root inside can hold memory that the host then cannot put to the disk' },
  CAP_SYS_PACCT: { risk: 'low', what: 'root inside can have the end of every process written down' },
};

function exposuresOf(names: readonly string[], { isHostRoot, sharesNetwork }: Exposed): Exposure[] {
  // The kernel asks for the host's own capability wherever something belongs to the host.
  if (!isHostRoot) return [{ risk: 'low', what: `root inside has more of the kernel to try (${names.join(', ')}), but over what belongs to the machine alone` }];
  if (names.includes('all')) return [opens.all!];
  const network: Exposure[] = names.includes('CAP_NET_ADMIN') && sharesNetwork ? [{ risk: 'high', what: 'root inside can change addresses, routes and the firewall of the host (CAP_NET_ADMIN)' }] : [];
  return [...names.flatMap((name) => (opens[name] ? [{ ...opens[name], what: `${opens[name].what} (${name})` }] : [])), ...network];
}

export default defineGrant({
  summary: "what root inside may do besides the usual, by the names of capabilities(7), or all",
  example: '["CAP_SYS_TIME", "CAP_IPC_LOCK"]',
  options: v.pipe(v.array(v.picklist(['all', ...capabilityNames])), v.minLength(1, 'expected "all" or names such as "CAP_SYS_TIME"')),

  needs: (_, { boots, inside, shift }) => (boots || inside.uid === shift ? [] : [warns(`capabilities are root's, and the program runs as '${inside.name}': it has none of them`, 'going on')]),

  edits: (capabilities) => ({ capabilities }),

  exposes: (names, _, machine = { isHostRoot: true, sharesNetwork: true }) => exposuresOf(names, machine),
});
