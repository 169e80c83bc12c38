import { type Check, type Finding, works } from '../doctor.ts';

/** Drivers and file systems -> for which words they are needed, and what the kernel is built with to have them. */
export const wanted: Record<string, { words: string[]; option: string }> = {
  overlay: { words: ['root.debian', 'root.arch', 'root.tar', 'root.host', 'root.clone', 'ephemeral'], option: 'CONFIG_OVERLAY_FS' },
  loop: { words: ['root.image', 'root.luks of a file'], option: 'CONFIG_BLK_DEV_LOOP' },
  dm_crypt: { words: ['root.luks', 'encrypted partitions'], option: 'CONFIG_DM_CRYPT' },
  veth: { words: ['network = "private"', 'network.bridge', 'network.networkd'], option: 'CONFIG_VETH' },
  bridge: { words: ['network.bridge'], option: 'CONFIG_BRIDGE' },
  nf_tables: { words: ['network = "private"'], option: 'CONFIG_NF_TABLES' },
};

/** What the kernel itself has. */
export default {
  title: 'The kernel',
  look({ facts: { kernel, runs32, architecture }, condition }): Finding[] {
    const { namespaces, userNamespaces, drivers, modules, callFilters } = condition;
    const own = ['users = "own"', 'users = "shift"'];
    const lacking = Object.entries(wanted).filter(([name]) => drivers[name] === 'missing');
    const untold = Object.keys(wanted).filter((name) => drivers[name] === 'unknown');
    return [
      works(`Linux ${kernel}`),
      ...(userNamespaces === null || !namespaces.includes('user') ? [{ state: 'missing' as const, what: 'the kernel has no user namespaces: root inside would be root of the host', words: own, mend: 'a kernel with CONFIG_USER_NS; users = "host" does without' }]
        : userNamespaces === 0 ? [{ state: 'missing' as const, what: 'user namespaces are switched off on this host (user.max_user_namespaces is 0)', words: own, mend: 'sysctl user.max_user_namespaces=15000; users = "host" does without' }]
          : [works('user namespaces', ...own)]),
      ...(callFilters ? [] : [{ state: 'limited' as const, what: 'the kernel has no filters of system calls: programs inside may make all that their capabilities let them', words: ['syscalls', 'engine = "nspawn"', 'engine = "lxc"'], mend: 'a kernel with CONFIG_SECCOMP_FILTER' }]),
      ...(namespaces.includes('net') ? [] : [{ state: 'missing' as const, what: 'the kernel has no network namespaces', words: ['network = "none"', 'network = "private"'], mend: 'a kernel with CONFIG_NET_NS; network = "host" does without' }]),
      ...(lacking.length + untold.length === 0 ? [works(`its drivers that machines use: ${Object.keys(wanted).join(', ')}`)] : []),
      // Whether they come with the right modules is told there: drivers.ts.
      ...(modules === 'others' ? [] : lacking.map(([name, { words, option }]): Finding => ({ state: 'missing', what: `the kernel has no '${name}'`, words, mend: `a kernel with ${option}` }))),
      ...(untold.length === 0 ? [] : [{ state: 'limited' as const, what: `the kernel has no list of its modules, and these are not in use now: ${untold.join(', ')}`, words: [...new Set(untold.flatMap((name) => wanted[name]!.words))], mend: 'they may be built in: a machine that needs one tells' }]),
      ...(runs32 === false ? [{ state: 'limited' as const, what: `this host runs no 32-bit programs (${architecture})`, words: ['roots for i386 or armhf'], mend: architecture === 'x86_64' ? 'start the kernel without ia32_emulation=0, or one with CONFIG_IA32_EMULATION' : 'an emulator runs them: see processors below' }] : []),
    ];
  },
} satisfies Check;
