/** What a processor is called, and how its programs are told. */
export interface Architecture {
  /** As Debian and its ports call it: /usr/share/dpkg/cputable and tupletable. */
  name: string;
  /** As `uname -m` says it on such a computer. */
  machine: string;
  bits: 32 | 64;
  endian: 'little' | 'big';
}

/** One row of the table: the fields of an ELF header that tell. */
interface Row extends Architecture {
  /** e_machine. */
  elf: number;
  /** The bits of e_flags that tell it from others with the same machine, class and order of bytes. */
  flags?: { mask: number; value: number };
}

const row = (name: string, machine: string, bits: 32 | 64, endian: 'little' | 'big', elf: number, flags?: { mask: number; value: number }): Row => ({ name, machine, bits, endian, elf, ...(flags && { flags }) });

/** Levels of MIPS in e_flags: EF_MIPS_ARCH, and there E_MIPS_ARCH_32R6 and 64R6 of binutils' include/elf/mips.h. */
const [levels, release6of32, release6of64] = [0xf0000000, 0x90000000, 0xa0000000];
/** EF_MIPS_ABI2: 64-bit registers and 32-bit addresses. */
const n32 = 0x20;
const mips = (mask: number, value: number) => ({ mask: mask >>> 0, value: value >>> 0 });

/**
 * The first that fits. Numbers of <elf.h> (EM_...), names of dpkg's tables; where Debian has no port, the name is that of QEMU.
 */
const table: Row[] = [
  row('amd64', 'x86_64', 64, 'little', 62), // EM_X86_64
  row('x32', 'x86_64', 32, 'little', 62), // EM_X86_64 with ELFCLASS32
  row('i386', 'i686', 32, 'little', 3), // EM_386
  row('arm64', 'aarch64', 64, 'little', 183), // EM_AARCH64
  row('arm64be', 'aarch64_be', 64, 'big', 183),
  row('arm64ilp32', 'aarch64', 32, 'little', 183),
  // EM_ARM: EF_ARM_EABIMASK, and below it EF_ARM_ABI_FLOAT_HARD. A program of before the EABI has neither.
  row('armhf', 'armv7l', 32, 'little', 40, { mask: 0xff000400, value: 0x05000400 }), // EF_ARM_EABI_VER5
  row('arm', 'armv5tel', 32, 'little', 40, { mask: 0xff000000, value: 0 }), // EF_ARM_EABI_UNKNOWN
  row('armel', 'armv7l', 32, 'little', 40),
  row('armeb', 'armv5teb', 32, 'big', 40),
  row('riscv64', 'riscv64', 64, 'little', 243), // EM_RISCV
  row('riscv32', 'riscv32', 32, 'little', 243),
  row('ppc64el', 'ppc64le', 64, 'little', 21), // EM_PPC64, of version 2 of the ABI
  row('ppc64', 'ppc64', 64, 'big', 21), // of either version
  row('powerpc', 'ppc', 32, 'big', 20), // EM_PPC
  row('powerpcel', 'ppcle', 32, 'little', 20),
  row('s390x', 's390x', 64, 'big', 22), // EM_S390
  row('s390', 's390', 32, 'big', 22),
  // EM_MIPS
  row('mips64r6el', 'mips64', 64, 'little', 8, mips(levels, release6of64)),
  row('mips64r6', 'mips64', 64, 'big', 8, mips(levels, release6of64)),
  row('mips64el', 'mips64', 64, 'little', 8),
  row('mips64', 'mips64', 64, 'big', 8),
  row('mipsn32r6el', 'mips64', 32, 'little', 8, mips(levels | n32, release6of64 | n32)),
  row('mipsn32r6', 'mips64', 32, 'big', 8, mips(levels | n32, release6of64 | n32)),
  row('mipsn32el', 'mips64', 32, 'little', 8, mips(n32, n32)),
  row('mipsn32', 'mips64', 32, 'big', 8, mips(n32, n32)),
  row('mipsr6el', 'mips', 32, 'little', 8, mips(levels, release6of32)),
  row('mipsr6', 'mips', 32, 'big', 8, mips(levels, release6of32)),
  row('mipsel', 'mips', 32, 'little', 8),
  row('mips', 'mips', 32, 'big', 8),
  row('mipsel', 'mips', 32, 'little', 10), // EM_MIPS_RS3_LE
  row('loong64', 'loongarch64', 64, 'little', 258), // EM_LOONGARCH
  row('sparc64', 'sparc64', 64, 'big', 43), // EM_SPARCV9
  row('sparc', 'sparc', 32, 'big', 18), // EM_SPARC32PLUS: what Debian's port was built for
  row('sparc', 'sparc', 32, 'big', 2), // EM_SPARC
  row('alpha', 'alpha', 64, 'little', 0x9026), // EM_ALPHA
  row('hppa', 'parisc', 32, 'big', 15), // EM_PARISC
  row('ia64', 'ia64', 64, 'little', 50), // EM_IA_64
  row('m68k', 'm68k', 32, 'big', 4), // EM_68K
  // EM_SH; EF_SH_MACH_MASK, EF_SH3
  row('sh3', 'sh3', 32, 'little', 42, { mask: 0x1f, value: 3 }),
  row('sh3eb', 'sh3eb', 32, 'big', 42, { mask: 0x1f, value: 3 }),
  row('sh4', 'sh4', 32, 'little', 42),
  row('sh4eb', 'sh4eb', 32, 'big', 42),
  row('or1k', 'openrisc', 32, 'big', 92), // EM_OPENRISC
  row('arc', 'arc', 32, 'little', 195), // EM_ARCV2
  row('nios2', 'nios2', 32, 'little', 113), // EM_ALTERA_NIOS2
  row('tilegx', 'tilegx', 64, 'little', 191), // EM_TILEGX
  row('avr32', 'avr32', 32, 'big', 185), // EM_AVR32
  row('m32r', 'm32r', 32, 'big', 88), // EM_M32R
  row('xtensa', 'xtensa', 32, 'little', 94), // EM_XTENSA
  row('xtensaeb', 'xtensa', 32, 'big', 94),
  row('microblazeel', 'microblaze', 32, 'little', 189), // EM_MICROBLAZE
  row('microblaze', 'microblaze', 32, 'big', 189),
  row('microblaze', 'microblaze', 32, 'big', 0xbaab), // EM_MICROBLAZE_OLD of binutils' include/elf/common.h
  row('microblazeel', 'microblaze', 32, 'little', 0xbaab),
  row('hexagon', 'hexagon', 32, 'little', 164), // EM_QDSP6
];

/** All that are known, each once. */
export const architectures: readonly Architecture[] = table.filter(({ name }, i) => table.findIndex((other) => other.name === name) === i)
  .map(({ name, machine, bits, endian }) => ({ name, machine, bits, endian }));

/** By the name that Debian has for it. */
export const architectureNamed = (name: string): Architecture | undefined => architectures.find((architecture) => architecture.name === name);

/**
 * For which processor an ELF file is, by its first bytes: 64 tell, and more tell a soft-float ARM program from one that says nothing, by the
 * linker that it asks for. null: no ELF file, or a processor that is not in the table.
 */
export function architectureOf(header: Buffer): Architecture | null {
  const head = read(header);
  if (!head) return null;
  const { bits, endian, elf, flags } = head;
  const found = table.find((one) => one.bits === bits && one.endian === endian && one.elf === elf && (!one.flags || (flags & one.flags.mask) >>> 0 === one.flags.value));
  if (!found) return null;
  // Older linkers left the bits of the floating point out.
  const name = found.name === 'armel' && interpreterOf(header)?.endsWith('/ld-linux-armhf.so.3') ? 'armhf' : found.name;
  return architectureNamed(name)!;
}

/**
 * The dynamic linker that an ELF program asks for (PT_INTERP), by its first bytes: null where it asks for none, as one that is static; '' where it asks for one
 * whose name stands further on. undefined: what is there does not tell.
 */
export function interpreterOf(header: Buffer): string | null | undefined {
  const head = read(header);
  if (!head) return undefined;
  const { bits, word, half } = head;
  const [start, size, count] = bits === 64 ? [word(32), half(54), half(56)] : [word(28), half(42), half(44)];
  for (let i = 0; i < count; i++) {
    const at = start + i * size;
    if (at + size > header.length || size < (bits === 64 ? 56 : 32)) return undefined;
    if (head.quarter(at) !== 3) continue; // PT_INTERP
    const [offset, length] = bits === 64 ? [word(at + 8), word(at + 32)] : [word(at + 4), word(at + 16)];
    return offset + length <= header.length ? header.toString('latin1', offset, offset + length).split('\0')[0]! : '';
  }
  return null;
}

interface Head extends Pick<Architecture, 'bits' | 'endian'> {
  elf: number;
  flags: number;
  /** An address or offset of the file's class. */
  word(at: number): number;
  /** 32 bits. */
  quarter(at: number): number;
  /** 16 bits. */
  half(at: number): number;
}

/** The ELF header, elf(5). */
function read(bytes: Buffer): Head | null {
  if (bytes.length < 52 || bytes.readUInt32BE(0) !== 0x7f454c46) return null;
  const [wide, little] = [bytes[4] === 2, bytes[5] === 1];
  if (![1, 2].includes(bytes[4]!) || ![1, 2].includes(bytes[5]!) || (wide && bytes.length < 64)) return null;
  const half = (at: number) => (little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  const quarter = (at: number) => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const word = (at: number) => (wide ? Number(little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at)) : quarter(at));
  return { bits: wide ? 64 : 32, endian: little ? 'little' : 'big', elf: half(18), flags: quarter(wide ? 48 : 36), word, quarter, half };
}
