import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Facts } from '../../src/facts.ts';
import { beginningOf, type Binfmt, type Emulator, type Entry, emulatorPaths, judge, nativeArchitectures, parseEntry, qemuOf, registerLine, takes } from '../../src/foreign/binfmt.ts';
import { architectureNamed, architectureOf, architectures, interpreterOf } from '../../src/foreign/elf.ts';
import { MemoryHost } from '../../src/host/memory.ts';
import { apply, undo } from '../../src/apply.ts';
import { plan, steps } from '../../src/plan.ts';
import { meetStored, storedHost } from './hosts.ts';
import { closeSession, machineWith, memoryJournal, world } from './world.ts';

/** An ELF header, elf(5), and behind it program headers; the last may be PT_INTERP. */
function elf(bits: 32 | 64, endian: 'little' | 'big', machine: number, flags = 0, interpreter: string | null = null): Buffer {
  const [wide, little] = [bits === 64, endian === 'little'];
  const bytes = Buffer.alloc(512);
  const half = (at: number, value: number) => (little ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at));
  const quarter = (at: number, value: number) => (little ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at));
  const word = (at: number, value: number) => (wide ? (little ? bytes.writeBigUInt64LE(BigInt(value), at) : bytes.writeBigUInt64BE(BigInt(value), at)) : quarter(at, value));
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, little ? 1 : 2, 1]).copy(bytes);
  half(16, 3);
  half(18, machine);
  quarter(20, 1);
  const [start, size] = wide ? [64, 56] : [52, 32];
  word(wide ? 32 : 28, start);
  quarter(wide ? 48 : 36, flags);
  half(wide ? 54 : 42, size);
  half(wide ? 56 : 44, 2);
  quarter(start, 6); // PT_PHDR
  quarter(start + size, interpreter === null ? 1 : 3);
  word(start + size + (wide ? 8 : 4), 400);
  word(start + size + (wide ? 32 : 16), (interpreter ?? '').length + 1);
  bytes.write(interpreter ?? '', 400, 'latin1');
  return bytes;
}

test('for which processor a program is, by its ELF header', () => {
  const cases: [string | null, Buffer][] = [
    ['amd64', elf(64, 'little', 62)], ['x32', elf(32, 'little', 62)], ['i386', elf(32, 'little', 3)], ['arm64', elf(64, 'little', 183)], ['arm64be', elf(64, 'big', 183)],
    ['armhf', elf(32, 'little', 40, 0x05000400)], ['armel', elf(32, 'little', 40, 0x05000200)], ['armel', elf(32, 'little', 40, 0x05000000)], ['arm', elf(32, 'little', 40, 0x02)], ['armeb', elf(32, 'big', 40, 0x05000000)],
    ['armhf', elf(32, 'little', 40, 0x05000000, '/lib/ld-linux-armhf.so.3')], ['armel', elf(32, 'little', 40, 0x05000000, '/lib/ld-linux.so.3')],
    ['riscv64', elf(64, 'little', 243, 5)], ['riscv32', elf(32, 'little', 243, 5)], ['ppc64el', elf(64, 'little', 21, 2)], ['ppc64', elf(64, 'big', 21, 1)], ['powerpc', elf(32, 'big', 20)],
    ['s390x', elf(64, 'big', 22)], ['s390', elf(32, 'big', 22)], ['mipsel', elf(32, 'little', 8, 0x70001007)], ['mips', elf(32, 'big', 8, 0x70001007)], ['mipsn32el', elf(32, 'little', 8, 0x80000027)], ['mipsn32', elf(32, 'big', 8, 0x80000027)],
    ['mips64el', elf(64, 'little', 8, 0x80000007)], ['mips64', elf(64, 'big', 8, 0x80000007)], ['mips64r6el', elf(64, 'little', 8, 0xa0000407)], ['mipsr6el', elf(32, 'little', 8, 0x90000407)], ['mipsn32r6', elf(32, 'big', 8, 0xa0000427)],
    ['loong64', elf(64, 'little', 258, 0x43)], ['sparc64', elf(64, 'big', 43)], ['sparc', elf(32, 'big', 18)], ['alpha', elf(64, 'little', 0x9026)], ['hppa', elf(32, 'big', 15)], ['m68k', elf(32, 'big', 4)], ['sh4', elf(32, 'little', 42, 9)], ['sh3', elf(32, 'little', 42, 3)],
    ['ia64', elf(64, 'little', 50)], [null, elf(64, 'little', 0x7777)], [null, elf(64, 'big', 62)], [null, Buffer.from('#!/bin/sh\n'.padEnd(100))], [null, Buffer.from('\x7fELF')], [null, Buffer.alloc(0)],
  ];
  for (const [name, bytes] of cases) assert.equal(architectureOf(bytes)?.name ?? null, name, `${name}`);
  assert.equal(architectureOf(readFileSync(process.execPath).subarray(0, 4096))?.name, { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch);
  assert.equal(new Set(architectures.map(({ name }) => name)).size, architectures.length);
});

test('which linker a program asks for, and when that cannot be told', () => {
  assert.equal(interpreterOf(elf(64, 'little', 62, 0, '/lib64/ld.so')), '/lib64/ld.so');
  assert.equal(interpreterOf(elf(32, 'big', 20, 0, '/lib/ld.so.1')), '/lib/ld.so.1');
  assert.equal(interpreterOf(elf(64, 'little', 62)), null);
  assert.equal(interpreterOf(elf(64, 'little', 62, 0, '/lib64/ld.so').subarray(0, 401)), ''); // it has one, whose name is cut off
  assert.equal(interpreterOf(elf(64, 'little', 62).subarray(0, 100)), undefined);
  assert.equal(interpreterOf(Buffer.from('#!/bin/sh')), undefined);
});

/** /usr/lib/binfmt.d of Debian's qemu-user-binfmt 11.1.3: what QEMU's own script makes. */
const debian = `aarch64 7f454c460201010000000000000000000200b700 ffffffffffffff00fffffffffffffffffeffffff
aarch64_be 7f454c46020201000000000000000000000200b7 ffffffffffffff00fffffffffffffffffffeffff
alpha 7f454c4602010100000000000000000002002690 ffffffffffffff00fffffffffffffffffeffffff
arm 7f454c4601010100000000000000000002002800 ffffffffffffff00fffffffffffffffffeffffff
armeb 7f454c4601020100000000000000000000020028 ffffffffffffff00fffffffffffffffffffeffff
hexagon 7f454c460101010000000000000000000200a400 ffffffffffffff00fffffffffffffffffeffffff
hppa 7f454c460102010000000000000000000002000f ffffffffffffff00fffffffffffffffffffeffff
loongarch64 7f454c4602010100000000000000000002000201 fffffffffffffffc00fffffffffffffffeffffff
m68k 7f454c4601020100000000000000000000020004 ffffffffffffff00fffffffffffffffffffeffff
microblaze 7f454c460102010000000000000000000002baab ffffffffffffff00fffffffffffffffffffeffff
microblazeel 7f454c460101010000000000000000000200abba ffffffffffffff00fffffffffffffffffeffffff
mips 7f454c46010201000000000000000000000200080000000100000000000000000000000000000000 ffffffffffffff0000fffffffffffffffffeffffffffffff00000000000000000000000000000020
mips64 7f454c4602020100000000000000000000020008 ffffffffffffff0000fffffffffffffffffeffff
mips64el 7f454c4602010100000000000000000002000800 ffffffffffffff0000fffffffffffffffeffffff
mipsel 7f454c46010101000000000000000000020008000100000000000000000000000000000000000000 ffffffffffffff0000fffffffffffffffeffffffffffffff00000000000000000000000020000000
mipsn32 7f454c46010201000000000000000000000200080000000100000000000000000000000000000020 ffffffffffffff0000fffffffffffffffffeffffffffffff00000000000000000000000000000020
mipsn32el 7f454c46010101000000000000000000020008000100000000000000000000000000000020000000 ffffffffffffff0000fffffffffffffffeffffffffffffff00000000000000000000000020000000
or1k 7f454c460102010000000000000000000002005c ffffffffffffff00fffffffffffffffffffeffff
ppc 7f454c4601020100000000000000000000020014 fffffffffffffffcfffffffffffffffffffeffff
ppc64 7f454c4602020100000000000000000000020015 fffffffffffffffcfffffffffffffffffffeffff
ppc64le 7f454c4602010100000000000000000002001500 fffffffffffffffcfffffffffffffffffeffff00
riscv32 7f454c460101010000000000000000000200f300 ffffffffffffff00fffffffffffffffffeffffff
riscv64 7f454c460201010000000000000000000200f300 ffffffffffffff00fffffffffffffffffeffffff
s390x 7f454c4602020100000000000000000000020016 fffffffffffffffcfffffffffffffffffffeffff
sh4 7f454c4601010100000000000000000002002a00 fffffffffffffffcfffffffffffffffffeffffff
sh4eb 7f454c460102010000000000000000000002002a fffffffffffffffcfffffffffffffffffffeffff
sparc 7f454c4601020100000000000000000000020002 fffffffffffffffcfffffffffffffffffffeffff
sparc64 7f454c460202010000000000000000000002002b fffffffffffffffcfffffffffffffffffffeffff
xtensa 7f454c4601010100000000000000000002005e00 ffffffffffffff00fffffffffffffffffeffffff
xtensaeb 7f454c460102010000000000000000000002005e ffffffffffffff00fffffffffffffffffffeffff`.split('\n').map((line) => line.split(' ') as [string, string, string]);

const unescaped = (text: string): string => text.replaceAll('\\x', '');

test('the entries of binfmt_misc are those of QEMU, each takes programs for its own processor, and no other', () => {
  const emulated = architectures.filter(({ name }) => qemuOf(name) !== null);
  for (const [qemu, magic, mask] of debian) {
    const ours = emulated.filter(({ name }) => qemuOf(name) === qemu);
    assert.ok(ours.length > 0, qemu);
    for (const { name } of ours) {
      const [, , , , ourMagic = '', ourMask = ''] = registerLine(name, '/q', 'F').split(':');
      assert.deepEqual([unescaped(ourMagic), unescaped(ourMask)], [magic, mask], name);
    }
  }
  for (const { name } of emulated) {
    assert.equal(qemuOf(architectureOf(beginningOf(name))?.name ?? ''), qemuOf(name), name);
    const takers = debian.filter(([, magic, mask]) => takes({ enabled: true, offset: 0, magic, mask }, beginningOf(name))).map(([qemu]) => qemu);
    assert.deepEqual(takers, ['amd64', 'i386'].includes(name) ? [] : [qemuOf(name)], name);
  }
  assert.equal(registerLine('arm64', '/usr/bin/qemu-aarch64-static', 'F'), ':nestbox-arm64:M::\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:/usr/bin/qemu-aarch64-static:F');
});

test('an entry is read as the kernel shows it', () => {
  const text = 'enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\nmagic 7f454c46\nmask ffffffff\n';
  assert.deepEqual(parseEntry('qemu-aarch64', text), { name: 'qemu-aarch64', enabled: true, interpreter: '/usr/libexec/qemu-binfmt/aarch64-binfmt-P', flags: 'POF', offset: 0, magic: '7f454c46', mask: 'ffffffff' });
  const named = parseEntry('dos', 'disabled\ninterpreter /usr/bin/wine\nflags: \nextension .exe\n');
  assert.deepEqual([named.enabled, named.flags, named.magic], [false, '', null]);
  assert.equal(takes({ enabled: true, offset: 1, magic: '454c', mask: null }, beginningOf('arm64')), true);
  assert.equal(takes({ enabled: false, offset: 0, magic: '7f', mask: null }, beginningOf('arm64')), false);
  assert.equal(takes(named, beginningOf('arm64')), false);
});

const laptop = storedHost('laptop');
const emulator = (path: string, more: Partial<Emulator> = {}): Emulator => ({ path, static: true, safe: true, version: '7.2.22', ...more });
const nothing: Binfmt = { mounted: false, off: false, entries: [], emulators: [], namespaced: false };
const having = (binfmt: Partial<Binfmt>, facts: Facts = laptop): Facts => ({ ...facts, binfmt: { ...nothing, ...binfmt } });
const staticOne = emulator('/usr/bin/qemu-aarch64-static');
const dynamicOne = emulator('/usr/bin/qemu-aarch64', { static: false });
const entry = (flags: string, file: Emulator | null, more: Partial<Entry> = {}): Entry => {
  const [, magic, mask] = debian.find(([qemu]) => qemu === 'aarch64')!;
  return { name: 'qemu-aarch64', enabled: true, interpreter: file?.path ?? '/opt/gone/qemu', flags, offset: 0, magic, mask, file, ...more };
};

/** What is done, and every word that is said. */
const judged = (facts: Facts, architecture = 'arm64', building = false) => {
  const { runs, emulation, problems } = judge(architecture, facts, { building });
  return { runs, register: emulation?.register?.line.split(':').slice(-2).join(' ') ?? null, bind: emulation?.bind ? `${emulation.bind.from} at ${emulation.bind.to}` : null, fatal: problems.some(({ fatal }) => fatal), said: problems.map(({ what, mend }) => `${what}; ${mend}`).join('\n') };
};

test('what a processor and its kernel run by themselves needs no emulator', () => {
  assert.deepEqual(nativeArchitectures({ architecture: 'x86_64' }), ['amd64', 'i386']);
  assert.deepEqual(nativeArchitectures({ architecture: 'x86_64', runs32: false }), ['amd64']);
  assert.deepEqual(nativeArchitectures({ architecture: 'aarch64', runs32: true }), ['arm64', 'armhf', 'armel']);
  assert.deepEqual(nativeArchitectures({ architecture: 'aarch64', runs32: false }), ['arm64']);
  assert.deepEqual(nativeArchitectures({ architecture: 'armv7l' }), ['armhf', 'armel']);
  for (const name of ['amd64', 'i386']) assert.deepEqual(judged(laptop, name), { runs: 'natively', register: null, bind: null, fatal: false, said: '' });
  const i386 = registerLine('i386', '/usr/bin/qemu-i386-static', 'F').split(':');
  const odd = entry('F', emulator('/usr/bin/qemu-i386-static'), { name: 'qemu-i386', magic: unescaped(i386[4]!), mask: unescaped(i386[5]!) });
  const { runs, fatal, said } = judged(having({ entries: [odd] }), 'i386');
  assert.deepEqual([runs, fatal], ['natively', false]);
  assert.match(said, /'qemu-i386'.*which this processor runs by itself; echo -1 .*, going on$/);
});

test('without an entry nestbox makes its own, with the flags that the emulator understands', () => {
  const made = (emulators: Emulator[], facts = laptop) => judged(having({ emulators }, facts));
  assert.deepEqual(made([staticOne]), { runs: 'emulated', register: '/usr/bin/qemu-aarch64-static FP', bind: null, fatal: false, said: '' });
  assert.equal(made([{ ...staticOne, version: '5.2.0' }]).register, '/usr/bin/qemu-aarch64-static F');
  assert.equal(made([{ ...staticOne, version: null }]).register, '/usr/bin/qemu-aarch64-static F');
  assert.equal(made([staticOne], { ...laptop, kernel: '5.10.0' }).register, '/usr/bin/qemu-aarch64-static F');
  assert.equal(made([staticOne, emulator(emulatorPaths('aarch64')[0]!, { version: '5.2.0' })]).register, '/usr/libexec/qemu-binfmt/aarch64-binfmt-P FP');
  assert.equal(made([dynamicOne, staticOne]).register, '/usr/bin/qemu-aarch64-static FP');
  const [none, dynamic] = [made([]), made([dynamicOne])];
  assert.match(none.said, /^this root is for arm64, and this host \(x86_64\) cannot run it: there is no emulator for its programs; apt install qemu-user-static$/);
  assert.match(dynamic.said, /qemu-aarch64 is linked with libraries that another system does not have; apt install qemu-user-static$/);
  assert.deepEqual([none.runs, none.fatal, dynamic.runs, dynamic.fatal], ['no', true, 'no', true]);
  assert.match(judged(laptop, 'ia64').said, /QEMU has no emulator/);
  assert.match(judged(having({ namespaced: true, emulators: [staticOne] })).said, /hides the entries of the host.*, going on$/);
});

test('an entry of somebody else that works is used as it is', () => {
  for (const flags of ['POF', 'F', 'OCF']) assert.deepEqual(judged(having({ mounted: true, entries: [entry(flags, staticOne)], emulators: [staticOne] })), { runs: 'emulated', register: null, bind: null, fatal: false, said: '' }, flags);
  // With F the kernel has it open: that an update has moved the file is nothing to it.
  assert.equal(judged(having({ entries: [entry('F', null)] })).runs, 'emulated');
  // Of two the newer one counts.
  assert.equal(judged(having({ entries: [entry('F', staticOne), entry('', null, { name: 'older' })] })).said, '');
  // nestbox's own is another machine's: this one has to have it too, or it would be withdrawn under it.
  assert.equal(judged(having({ entries: [entry('F', staticOne, { name: 'nestbox-arm64' })], emulators: [staticOne] })).register, '/usr/bin/qemu-aarch64-static FP');
});

test('an entry that does not work is named with what would mend it, and worked around where that is possible', () => {
  const cases: { title: string; entry: Entry; words: RegExp; bind: string | null; builds: string }[] = [
    { title: 'no F', entry: entry('', staticOne), words: /'qemu-aarch64' of binfmt_misc has no flag F/, bind: '/usr/bin/qemu-aarch64-static at /usr/bin/qemu-aarch64-static', builds: '/usr/bin/qemu-aarch64-static FP' },
    { title: 'dynamic, no F', entry: entry('', dynamicOne), words: /linked with libraries that another system does not have, and has no flag F/, bind: '/usr/bin/qemu-aarch64-static at /usr/bin/qemu-aarch64', builds: '/usr/bin/qemu-aarch64-static FP' },
    { title: 'broken', entry: entry('', null), words: /names \/opt\/gone\/qemu, which does not exist/, bind: '/usr/bin/qemu-aarch64-static at /opt/gone/qemu', builds: '/usr/bin/qemu-aarch64-static FP' },
    { title: 'no program', entry: entry('', emulator('/opt/text', { static: null })), words: /names \/opt\/text, which is no program/, bind: '/usr/bin/qemu-aarch64-static at /opt/text', builds: '/usr/bin/qemu-aarch64-static FP' },
    { title: 'dynamic, with F', entry: entry('F', dynamicOne), words: /linked with libraries/, bind: null, builds: '/usr/bin/qemu-aarch64-static FP' },
    { title: 'C and not safe', entry: entry('OCF', emulator('/opt/qemu', { safe: false })), words: /gives \/opt\/qemu the rights of set-user-id programs \(flag C\), and others than root can change that file/, bind: null, builds: '/usr/bin/qemu-aarch64-static FP' },
    { title: 'C and not safe, no F', entry: entry('OC', emulator('/opt/qemu', { safe: false })), words: /flag C/, bind: '/usr/bin/qemu-aarch64-static at /opt/qemu', builds: '/usr/bin/qemu-aarch64-static FP' },
    { title: 'off', entry: entry('F', staticOne, { enabled: false }), words: /is switched off; echo 1 > \/proc\/sys\/fs\/binfmt_misc\/qemu-aarch64/, bind: null, builds: '/usr/bin/qemu-aarch64-static FP' },
  ];
  for (const { title, entry, words, bind, builds } of cases) {
    const around = judged(having({ entries: [entry], emulators: [staticOne] }));
    assert.match(around.said, words, title);
    assert.match(around.said, /, going on$/, title);
    assert.deepEqual([around.fatal, around.bind, around.register], [false, bind, bind ? null : builds], title);
    // While a root is being built nothing can be bound in it.
    assert.deepEqual([judged(having({ entries: [entry], emulators: [staticOne] }), 'arm64', true).register, judged(having({ entries: [entry], emulators: [staticOne] }), 'arm64', true).bind], [builds, null], title);
    if (title === 'no F') continue; // its own emulator is what is bound
    const refused = judged(having({ entries: [entry], emulators: [] }));
    assert.deepEqual([refused.runs, refused.fatal], ['no', true], title);
    assert.match(refused.said, title === 'off' ? /is switched off; echo 1 >/ : /; apt install qemu-user-static$/, title);
  }
  const off = judged(having({ off: true, entries: [entry('F', staticOne)], emulators: [staticOne] }));
  assert.deepEqual([off.fatal, off.register], [true, null]);
  assert.match(off.said, /switched off on this host; echo 1 > .*status$/);
});

test('a root for another processor is built with its emulator there, which is gone at the end', async () => {
  const facts = { ...storedHost('no-systemd') };
  const spec = machineWith(facts, [], { root: { source: 'debian', options: { debian: 'bookworm', packages: [], variant: 'minbase', components: ['main'], architecture: 'arm64' } } });
  const { machine, facts: met } = meetStored(spec, facts, '/etc/nestbox/law.toml');
  const { opening, lasting, passing } = plan(machine, met);
  assert.deepEqual(opening.map(({ step }) => step.kind), ['emulator']);
  assert.ok(lasting.some(({ step }) => step.kind === 'build' && step.argv.includes('--architectures=arm64')));
  const host = world(met, machine);
  const before = host.snapshot();
  const journal = memoryJournal();
  await apply(steps(opening), host, journal.journal);
  assert.deepEqual([...host.emulators.keys()], ['nestbox-arm64']);
  await apply([...steps(lasting), ...steps(passing)], host, journal.journal);
  await undo(host, journal.journal);
  assert.equal(host.emulators.size, 0);
  await closeSession(host, machine.name);
  assert.deepEqual(host.snapshot().filter((line) => !/\/templates\/debian/.test(line)), before);
});

test('an entry stays as long as another machine has it', async () => {
  const host = new MemoryHost();
  const [one, two] = [memoryJournal(), memoryJournal()];
  const step = (machine: string) => ({ kind: 'emulator', entry: 'nestbox-arm64', machine, architecture: 'arm64', line: registerLine('arm64', '/usr/bin/qemu-aarch64-static', 'F') }) as const;
  await apply([step('one')], host, one.journal);
  await apply([step('two')], host, two.journal);
  await undo(host, one.journal);
  assert.deepEqual([...host.emulators.get('nestbox-arm64')!], ['two']);
  await undo(host, two.journal);
  assert.equal(host.emulators.size, 0);
});

test('a system for another processor boots without the credentials that its services cannot have, and an emulator that is too old is named', () => {
  const at = (systemd: number, version: string | null) => {
    const facts: Facts = { ...having({ emulators: [{ ...staticOne, version }] }), paths: {}, rootSystemd: systemd };
    const spec = machineWith(facts, [], { boot: true, root: { source: 'debian', options: { debian: 'bookworm', packages: [], variant: 'minbase', components: ['main'], architecture: 'arm64' } } });
    return meetStored(spec, facts, '/etc/nestbox/law.toml').machine;
  };
  const { edits, problems } = at(252, '7.2.22');
  assert.deepEqual(edits.texts.map(({ path }) => path), ['/etc/systemd/system/service.d/60-nestbox.conf']);
  assert.match(edits.texts[0]!.text, /^\[Service\]\n(\w+=\n)+$/m);
  const late = (systemd: number, version: string | null) => at(systemd, version).problems.map(({ what }) => what).filter((what) => !what.startsWith('set-user-id'));
  assert.equal(problems.length, 1, 'of set-user-id programs');
  assert.deepEqual(late(252, '7.2.22'), []);
  assert.match(late(257, '7.2.22')[0] ?? '', /is QEMU 7\.2\.22, under which most services of the systemd 257 /);
  for (const version of ['11.1.3', null]) assert.deepEqual(late(257, version), []);
});

test('set-user-id programs get the rights of their owners where that is accepted, by an emulator that is root\'s alone', () => {
  const of = (binfmt: Partial<Binfmt>) => judge('arm64', having(binfmt), { setuid: true });
  const made = of({ emulators: [staticOne] });
  assert.deepEqual([made.emulation?.register?.name, made.emulation?.register?.line.split(':').slice(-1)], ['nestbox-arm64-setuid', ['OCFP']]);
  const unsafe = of({ emulators: [{ ...staticOne, safe: false }] });
  assert.deepEqual([unsafe.runs, unsafe.problems[0]?.mend], ['no', 'chown root /usr/bin/qemu-aarch64-static; chmod go-w /usr/bin/qemu-aarch64-static']);
  // Somebody else's entry without C is passed over and not complained of; one with C is used.
  const over = of({ entries: [entry('POF', staticOne)], emulators: [staticOne] });
  assert.deepEqual([over.emulation?.register?.name, over.problems], ['nestbox-arm64-setuid', []]);
  assert.equal(of({ entries: [entry('OCF', staticOne)], emulators: [staticOne] }).emulation?.register, null);
});

test('every architecture has a verdict on every host, with a remedy where it does not run', () => {
  for (const { name } of architectures)
    for (const facts of [laptop, storedHost('raspberry-pi'), having({ emulators: architectures.flatMap(({ name }) => qemuOf(name) ?? []).map((qemu) => emulator(`/usr/bin/qemu-${qemu}-static`)) })]) {
      const { runs, by, problems } = judge(name, facts);
      assert.ok(by, name);
      assert.equal(runs === 'no', problems.some(({ fatal, mend }) => fatal && mend !== ''), name);
    }
  assert.equal(judge('armhf', storedHost('raspberry-pi')).runs, 'natively');
  assert.equal(architectureNamed('arm64')?.machine, 'aarch64');
});
