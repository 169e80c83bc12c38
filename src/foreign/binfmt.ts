import { lacks, type Problem, warns } from '../errors.ts';
import { type Facts, kernelIsAtLeast } from '../facts.ts';
import { installing } from '../packages.ts';
import { architectureNamed } from './elf.ts';

/** What the kernel knows of emulators: Documentation/admin-guide/binfmt-misc.rst. */
export interface Binfmt {
  /** Its folder /proc/sys/fs/binfmt_misc has something to be read; else nobody has mounted it, or one who has cannot be seen from here. */
  mounted: boolean;
  /** Somebody has switched all entries off (its file `status`). */
  off: boolean;
  /** Those that were made last come first: so the kernel tries them. */
  entries: Entry[];
  /** QEMU's programs for other processors on this host. */
  emulators: Emulator[];
  /** nestbox runs in a user namespace: one that has a binfmt_misc of its own (Linux 6.7) sees nothing of the host's, also when it has no entry. */
  namespaced: boolean;
}

export interface Entry {
  name: string;
  enabled: boolean;
  interpreter: string;
  flags: string;
  offset: number;
  /** Hexadecimal, as the kernel shows them; null: it goes by the name of a file. */
  magic: string | null;
  mask: string | null;
  /** What is at the interpreter's path on the host; null: nothing. */
  file: Emulator | null;
}

export interface Emulator {
  path: string;
  /** false: it needs libraries of the host; null: it is no program. */
  static: boolean | null;
  /** It belongs to root, and nobody else may change it. */
  safe: boolean;
  /** As it says itself, such as 7.2.22; null: unknown. */
  version: string | null;
}

export const binfmtFolder = '/proc/sys/fs/binfmt_misc';

interface Row {
  qemu: string;
  /** Hexadecimal. */
  magic: string;
  mask: string;
}

/** The first 20 bytes of an ELF program (elf(5)): e_ident, e_type, e_machine. A shared object is a program as well. */
const header = (bits: 32 | 64, endian: 'little' | 'big', machine: string): string =>
  `7f454c46${bits === 64 ? '02' : '01'}${endian === 'little' ? '01' : '02'}01000000000000000000${endian === 'little' ? `0200${machine.slice(2)}${machine.slice(0, 2)}` : `0002${machine}`}`;

/** `abi`: which bits of EI_OSABI count; ff: all, fc: those of GNU are free, 00: none. */
const maskOf = (endian: 'little' | 'big', abi: string, more: { ident?: string; version?: string; machine?: string } = {}): string =>
  `${more.ident ?? 'ffffffffffff'}${more.version ?? 'ff'}${abi}ffffffffffffffff${endian === 'little' ? 'feff' : 'fffe'}${more.machine ?? 'ffff'}`;

const plain = (qemu: string, bits: 32 | 64, endian: 'little' | 'big', machine: string, abi = '00'): Row => ({ qemu, magic: header(bits, endian, machine), mask: maskOf(endian, abi) });

/** MIPS: whether the addresses are o32's or n32's is in e_flags, at 36; what EI_ABIVERSION says is left free. */
function mips(qemu: string, bits: 32 | 64, endian: 'little' | 'big', n32: boolean): Row {
  const mask = `ffffffffffffff0000ffffffffffffff${endian === 'little' ? 'feffffff' : 'fffeffff'}`;
  if (bits === 64) return { qemu, magic: header(bits, endian, '0008'), mask };
  const flags = (bit: string) => (endian === 'little' ? `${bit}000000` : `000000${bit}`);
  return {
    qemu, magic: `${header(bits, endian, '0008')}${endian === 'little' ? '01000000' : '00000001'}${'00'.repeat(12)}${flags(n32 ? '20' : '00')}`,
    mask: `${mask}ffffffff${'00'.repeat(12)}${flags('20')}`,
  };
}

/** Debian's name -> how its programs are known and which of QEMU's runs them: scripts/qemu-binfmt-conf.sh of QEMU 11.1, as Debian has it in /usr/lib/binfmt.d. */
const table: Record<string, Row> = {
  amd64: { qemu: 'x86_64', magic: header(64, 'little', '003e'), mask: maskOf('little', 'fc', { ident: 'fffffffffffe', version: 'fe' }) },
  i386: { qemu: 'i386', magic: header(32, 'little', '0003'), mask: maskOf('little', 'fc', { ident: 'fffffffffffe', version: 'fe' }) },
  arm64: plain('aarch64', 64, 'little', '00b7'),
  arm64be: plain('aarch64_be', 64, 'big', '00b7'),
  armhf: plain('arm', 32, 'little', '0028'),
  armel: plain('arm', 32, 'little', '0028'),
  arm: plain('arm', 32, 'little', '0028'),
  armeb: plain('armeb', 32, 'big', '0028'),
  riscv64: plain('riscv64', 64, 'little', '00f3'),
  riscv32: plain('riscv32', 32, 'little', '00f3'),
  ppc64el: { qemu: 'ppc64le', magic: header(64, 'little', '0015'), mask: maskOf('little', 'fc', { machine: 'ff00' }) },
  ppc64: plain('ppc64', 64, 'big', '0015', 'fc'),
  powerpc: plain('ppc', 32, 'big', '0014', 'fc'),
  s390x: plain('s390x', 64, 'big', '0016', 'fc'),
  mips64el: mips('mips64el', 64, 'little', false),
  mips64: mips('mips64', 64, 'big', false),
  mips64r6el: mips('mips64el', 64, 'little', false),
  mips64r6: mips('mips64', 64, 'big', false),
  mipsn32el: mips('mipsn32el', 32, 'little', true),
  mipsn32: mips('mipsn32', 32, 'big', true),
  mipsn32r6el: mips('mipsn32el', 32, 'little', true),
  mipsn32r6: mips('mipsn32', 32, 'big', true),
  mipsel: mips('mipsel', 32, 'little', false),
  mips: mips('mips', 32, 'big', false),
  mipsr6el: mips('mipsel', 32, 'little', false),
  mipsr6: mips('mips', 32, 'big', false),
  loong64: { qemu: 'loongarch64', magic: header(64, 'little', '0102'), mask: 'fffffffffffffffc00fffffffffffffffeffffff' }, // EI_ABIVERSION is left free
  sparc64: plain('sparc64', 64, 'big', '002b', 'fc'),
  sparc: plain('sparc', 32, 'big', '0002', 'fc'),
  alpha: plain('alpha', 64, 'little', '9026'),
  hppa: plain('hppa', 32, 'big', '000f'),
  m68k: plain('m68k', 32, 'big', '0004'),
  sh4: plain('sh4', 32, 'little', '002a', 'fc'),
  sh4eb: plain('sh4eb', 32, 'big', '002a', 'fc'),
  or1k: plain('or1k', 32, 'big', '005c'),
  xtensa: plain('xtensa', 32, 'little', '005e'),
  xtensaeb: plain('xtensaeb', 32, 'big', '005e'),
  microblaze: plain('microblaze', 32, 'big', 'baab'),
  microblazeel: plain('microblazeel', 32, 'little', 'baab'),
  hexagon: plain('hexagon', 32, 'little', '00a4'),
};

/** What QEMU's user emulator for it has in its name: qemu-aarch64, qemu-aarch64-static; null: QEMU has none. */
export const qemuOf = (architecture: string): string | null => table[architecture]?.qemu ?? null;

/** Where it may be, the best first: the name that ends in -P is Debian's for one that is told a program's own first word. */
export const emulatorPaths = (qemu: string): string[] => [`/usr/libexec/qemu-binfmt/${qemu}-binfmt-P`, `/usr/bin/qemu-${qemu}-static`, `/usr/bin/qemu-${qemu}`, `/usr/local/bin/qemu-${qemu}-static`, `/usr/local/bin/qemu-${qemu}`];

/** The text of /proc/sys/fs/binfmt_misc/NAME. */
export function parseEntry(name: string, text: string): Omit<Entry, 'file'> {
  const [state = ''] = text.split('\n');
  const field = (key: string): string | null => new RegExp(`^${key}:? (.*)$`, 'm').exec(text)?.[1]?.trim() ?? null;
  return { name, enabled: state === 'enabled', interpreter: field('interpreter') ?? '', flags: field('flags') ?? '', offset: Number(field('offset') ?? 0), magic: field('magic'), mask: field('mask') };
}

/** Whether the kernel would give a program that begins with these bytes to this entry, were it the first that it tries: search_binfmt_handler() of fs/binfmt_misc.c. */
export function takes({ enabled, offset, magic, mask }: Pick<Entry, 'enabled' | 'offset' | 'magic' | 'mask'>, beginning: Buffer): boolean {
  if (!enabled || magic === null) return false;
  const [wanted, counts] = [Buffer.from(magic, 'hex'), mask === null ? null : Buffer.from(mask, 'hex')];
  return wanted.every((byte, i) => (((beginning[offset + i] ?? 0) ^ byte) & (counts?.[i] ?? 0xff)) === 0);
}

/** How a program for this processor begins. */
export const beginningOf = (architecture: string): Buffer => Buffer.concat([Buffer.from(table[architecture]?.magic ?? '', 'hex')], 128);

/** nestbox's own entry for it. `setuid`: the one that gives set-user-id programs the rights of their owners; nestbox-native keeps that before the other. */
export const entryOf = (architecture: string, setuid = false): string => `nestbox-${architecture}${setuid ? '-setuid' : ''}`;

export const isOurs = ({ name }: Pick<Entry, 'name'>): boolean => name.startsWith('nestbox-');

/** The line for the file `register`. The kernel reads the backslashes itself. */
export function registerLine(architecture: string, interpreter: string, flags: string): string {
  const name = entryOf(architecture, flags.includes('C'));
  const { magic, mask } = table[architecture]!;
  const escaped = (hex: string) => hex.replace(/../g, '\\x$&');
  return `:${name}:M::${escaped(magic)}:${escaped(mask)}:${interpreter}:${flags}`;
}

/** What is done so that programs for another processor run in a machine. */
export interface Emulation {
  architecture: string;
  /** The emulator's path on the host. */
  emulator: string;
  version: string | null;
  /** Whether set-user-id programs get the rights of their owners. */
  setuid: boolean;
  /** nestbox's own entry; null: somebody else's does. */
  register: { name: string; line: string } | null;
  /** The emulator where an entry of somebody else's looks for it inside. */
  bind: { from: string; to: string } | null;
}

export interface Verdict {
  runs: 'natively' | 'emulated' | 'no';
  /** What runs them, in a few words. */
  by: string;
  emulation: Emulation | null;
  problems: Problem[];
}

/**
 * Whether this host runs programs of an architecture, how, and what is wrong. `building`: also while a root is being made, in which nothing can be bound. `setuid`: so
 * that set-user-id programs get the rights of their owners (flag C), which the emulator has then: it loads what whoever calls it tells it to (QEMU_LD_PREFIX).
 */
export function judge(architecture: string, facts: Facts, { building = false, setuid = false } = {}): Verdict {
  const { binfmt } = facts;
  const remedy = installing(['qemu-user-static'], facts);
  const known = table[architecture];
  const beginning = beginningOf(architecture);
  const taker = known && binfmt && !binfmt.off ? binfmt.entries.find((entry) => !isOurs(entry) && takes(entry, beginning)) : undefined;
  if (runsNatively(architecture, facts)) {
    const problems = taker ? [warns(`the entry '${taker.name}' of binfmt_misc has ${taker.interpreter} run programs for ${architecture}, which this processor runs by itself`, `echo -1 > ${binfmtFolder}/${taker.name} takes it away, going on`)] : [];
    return { runs: 'natively', by: 'the processor', emulation: null, problems };
  }
  const no = (what: string, mend: string): Verdict => ({ runs: 'no', by: what, emulation: null, problems: [lacks(`${wanted(architecture, facts)}: ${what}`, mend)] });
  if (!known) return no('QEMU has no emulator for its programs', 'use a root for another processor');
  if (binfmt?.off) return no('binfmt_misc is switched off on this host', `echo 1 > ${binfmtFolder}/status`);
  const paths = emulatorPaths(known.qemu);
  const there = paths.flatMap((path) => binfmt?.emulators.find((emulator) => emulator.path === path) ?? []);
  const own = there.find((emulator) => emulator.static);
  const faults = taker ? faultsOf(taker) : [];
  const lacksRights = setuid && taker !== undefined && !taker.flags.includes('C');
  if (taker && faults.length === 0 && !lacksRights) return { runs: 'emulated', by: `${taker.interpreter} (entry '${taker.name}')`, emulation: { architecture, emulator: taker.interpreter, version: taker.file?.version ?? null, setuid: taker.flags.includes('C'), register: null, bind: null }, problems: [] };

  const off = known && binfmt ? binfmt.entries.find((entry) => !isOurs(entry) && !entry.enabled && takes({ ...entry, enabled: true }, beginning)) : undefined;
  const bad = faults.length > 0 ? taker : taker ? undefined : off;
  const said = !bad ? '' : `the entry '${bad.name}' of binfmt_misc ${bad === off ? 'is switched off' : faults.join(', and ')}`;
  const mend = !bad ? '' : bad === off ? `echo 1 > ${binfmtFolder}/${bad.name}` : remedy;
  // Without F the kernel looks inside for what the entry names: there, any that is static will do.
  const bound = taker && !lacksRights && !taker.flags.includes('F') && !building ? (taker.file?.static && (taker.file.safe || !taker.flags.includes('C')) ? taker.file : own) : undefined;
  if (bound) {
    return {
      runs: 'emulated', by: `${bound.path} (entry '${taker!.name}', bound at ${taker!.interpreter})`,
      emulation: { architecture, emulator: bound.path, version: bound.version, setuid: taker!.flags.includes('C'), register: null, bind: { from: bound.path, to: taker!.interpreter } },
      problems: [warns(said, `${mend} mends it; ${bound.path} is bound at ${taker!.interpreter} inside, going on`)],
    };
  }
  if (!own) {
    const other = there.find((emulator) => emulator.static === false);
    return no(bad ? said : other ? `${other.path} is linked with libraries that another system does not have` : 'there is no emulator for its programs', bad === off && bad?.file?.static ? mend : remedy);
  }
  if (setuid && !own.safe) return no(`${own.path} would run with the rights of set-user-id programs, and others than root can change it`, `chown root ${own.path}; chmod go-w ${own.path}`);
  const flags = `${setuid ? 'OC' : ''}F${namesProgram(own, facts) ? 'P' : ''}`;
  return {
    runs: 'emulated', by: own.path,
    emulation: { architecture, emulator: own.path, version: own.version, setuid, register: { name: entryOf(architecture, setuid), line: registerLine(architecture, own.path, flags) }, bind: null },
    problems: [
      ...(bad ? [warns(said, `${mend} mends it; nestbox has an entry of its own before it as long as the machine runs, going on`)] : []),
      ...(binfmt?.namespaced && !binfmt.mounted ? [warns('nestbox runs in a user namespace, and gives that a binfmt_misc of its own, which hides the entries of the host from all programs in it', 'run nestbox outside of it, or register the emulator there, going on')] : []),
    ],
  };
}

const wanted = (architecture: string, facts: Facts): string => `this root is for ${architecture}, and this host (${facts.architecture}) cannot run it`;

/** Why programs in another root would not be run by this entry, or not safely. */
export function faultsOf({ interpreter, flags, file }: Entry): string[] {
  const fixed = flags.includes('F');
  // With F the kernel has opened it long ago, and it may have been replaced since.
  if (!file) return fixed ? [] : [`names ${interpreter}, which does not exist`];
  return [
    ...(file.static === null ? [`names ${interpreter}, which is no program`] : file.static ? [] : [`names ${interpreter}, which is linked with libraries that another system does not have`]),
    ...(fixed ? [] : ['has no flag F: its emulator is looked for inside']),
    ...(flags.includes('C') && !file.safe ? [`gives ${interpreter} the rights of set-user-id programs (flag C), and others than root can change that file`] : []),
  ];
}

/** Whether it knows a program's own first word from the place after the path (flag P): from its name, or AT_FLAGS_PRESERVE_ARGV0 of Linux 5.12 and QEMU 6.0. */
const namesProgram = ({ path, version }: Emulator, facts: Facts): boolean => path.endsWith('-binfmt-P') || (version !== null && Number.parseInt(version, 10) >= 6 && kernelIsAtLeast(facts, 5, 12));

/** uname -m -> Debian's name of what such a kernel and its processor run. */
const debianNames: Record<string, string> = { x86_64: 'amd64', i686: 'i386', aarch64: 'arm64', armv7l: 'armhf', armv6l: 'armel', riscv64: 'riscv64', ppc64le: 'ppc64el', ppc64: 'ppc64', s390x: 's390x', loongarch64: 'loong64', mips64: 'mips64el' };

/** The host's own architecture, as Debian calls it. */
export const nativeName = ({ architecture }: Pick<Facts, 'architecture'>): string => debianNames[architecture] ?? architecture;

/** 32-bit programs that a 64-bit kernel runs by itself, where it was built for that. */
const narrower: Record<string, string[]> = { amd64: ['i386'], arm64: ['armhf', 'armel'], armhf: ['armel'], ppc64: ['powerpc'], s390x: ['s390'], sparc64: ['sparc'], mips64el: ['mipsel', 'mipsn32el'] };

/** Debian's names of the architectures whose programs this host runs without an emulator. */
export function nativeArchitectures(facts: Pick<Facts, 'architecture' | 'runs32'>): string[] {
  const name = nativeName(facts);
  const wide = architectureNamed(name)?.bits === 64;
  return [name, ...(!wide || facts.runs32 !== false ? (narrower[name] ?? []) : [])];
}

const runsNatively = (architecture: string, facts: Facts): boolean => nativeArchitectures(facts).includes(architecture);
