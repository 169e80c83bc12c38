/** What the dynamic linker has to know of a shared library. */
export interface Library {
  /** Its file's name. */
  name: string;
  /** The name by which programs ask for it (DT_SONAME); its file's name where it has none. */
  soname: string;
  /** For which programs, as in the linker's cache: see `kinds`. */
  flags: number;
}

/** Gives `length` bytes of a file from `offset` on, fewer at its end. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/**
 * e_machine and class of an ELF file -> the flags of its entries in the linker's cache: sysdeps/generic/ldconfig.h of
 * glibc (FLAG_ELF_LIBC6, 3, and one of the FLAG_..._LIB64 and the like), and the value that each linker asks for.
 */
const kinds: Record<string, number> = {
  '3/32': 0x0003, // i386
  '62/64': 0x0303, // x86-64
  '183/64': 0x0a03, // aarch64
  '40/32': 0x0903, // arm, hard float
  '21/64': 0x0503, // powerpc64
  '22/64': 0x0403, // s390x
  '243/64': 0x1003, // riscv64, double float
};

const dynamicSegment = 2; // PT_DYNAMIC
const loadedSegment = 1; // PT_LOAD
const interpreterSegment = 3; // PT_INTERP
const [neededTag, stringsTag, sonameTag] = [1, 5, 14]; // DT_NEEDED, DT_STRTAB, DT_SONAME

/** Reads a shared library's own name off its ELF headers, elf(5); null for what is no library that a linker of glibc's on a little-endian machine (or s390x) would take. */
export function libraryOf(name: string, readAt: ReadAt): Library | null {
  try {
    return read(name, readAt);
  } catch (error) {
    if (error instanceof RangeError) return null; // cut off, or not what it says it is
    throw error;
  }
}

function read(name: string, readAt: ReadAt): Library | null {
  const found = dynamicOf(readAt);
  if (found?.type !== 3) return null; // ET_DYN
  const soname = found.names(sonameTag)[0];
  // A name in a folder would be a link to somewhere else.
  return { name, soname: soname !== undefined && /^[\w.+-]+$/.test(soname) ? soname : name, flags: found.flags };
}

/** What a program or library needs to be started: its dynamic linker, and the names by which it asks for libraries. */
export interface Needs {
  /** null: it asks for none, as a library. */
  interpreter: string | null;
  libraries: string[];
  flags: number;
}

/** Reads what a program or library needs off its ELF headers; null for what is linked with nothing, or is no program that a linker of glibc's would take. */
export function needsOf(readAt: ReadAt): Needs | null {
  try {
    const found = dynamicOf(readAt);
    return found && { interpreter: found.interpreter, libraries: found.names(neededTag), flags: found.flags };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** What the dynamic linker reads of a file: `names` are those of one kind of entry. null: it is not linked dynamically. */
function dynamicOf(readAt: ReadAt): { type: number; flags: number; interpreter: string | null; names(tag: number): string[] } | null {
  const view = (offset: number, length: number) => {
    const bytes = readAt(offset, length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  const string = (offset: number) => new TextDecoder('latin1').decode(readAt(offset, 256)).split('\0')[0]!;
  const head = view(0, 64);
  if (head.getUint32(0) !== 0x7f454c46) return null;
  const wide = head.getUint8(4) === 2;
  const little = head.getUint8(5) === 1;
  const word = (data: DataView, at: number) => (wide ? Number(data.getBigUint64(at, little)) : data.getUint32(at, little));
  const flags = kinds[`${head.getUint16(18, little)}/${wide ? 64 : 32}`];
  if (flags === undefined) return null;
  const [start, size, count] = [word(head, wide ? 32 : 28), head.getUint16(wide ? 54 : 42, little), head.getUint16(wide ? 56 : 44, little)];
  const table = view(start, size * count);
  const segments = Array.from({ length: count }, (_, i) => ({
    type: table.getUint32(i * size, little), offset: word(table, i * size + (wide ? 8 : 4)), address: word(table, i * size + (wide ? 16 : 8)), length: word(table, i * size + (wide ? 32 : 16)),
  }));
  const dynamic = segments.find(({ type }) => type === dynamicSegment);
  if (!dynamic) return null;
  const bytes = view(dynamic.offset, Math.min(dynamic.length, 2 ** 16));
  const width = wide ? 8 : 4;
  const entries = Array.from({ length: Math.floor(bytes.byteLength / (2 * width)) }, (_, i) => ({ tag: word(bytes, 2 * i * width), value: word(bytes, (2 * i + 1) * width) }));
  const strings = entries.findLast(({ tag }) => tag === stringsTag)?.value;
  const holder = segments.find(({ type, address, length }) => type === loadedSegment && strings !== undefined && strings >= address && strings < address + length);
  const interpreter = segments.find(({ type }) => type === interpreterSegment);
  return {
    type: head.getUint16(16, little), flags, interpreter: interpreter ? string(interpreter.offset) : null,
    names: (tag) => (holder && strings !== undefined ? entries.filter((entry) => entry.tag === tag).map(({ value }) => string(holder.offset + strings - holder.address + value)) : []),
  };
}
