import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { FamilyWild, MagicCookie, writeXauthority, type XConnection } from '../src/x11.ts';

export interface Xvfb {
  display: number;
  socket: string;
  key: Buffer;
  /** A folder of this server, removed after the test. */
  folder: string;
}

/** An Xvfb that lives as long as the test, or null when it is not installed; the test is then skipped. */
export async function startXvfb(t: TestContext, { width = 320, height = 240, depth = 24 } = {}): Promise<Xvfb | null> {
  const folder = mkdtempSync(join(tmpdir(), 'nestbox-xvfb-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const key = Buffer.from('nestbox test key');
  writeXauthorityFile(join(folder, 'server'), key);
  // -displayfd: the server takes a free number itself and writes it when clients may come.
  const server = spawn(
    'Xvfb',
    ['-displayfd', '3', '-screen', '0', `${width}x${height}x${depth}`, '-auth', join(folder, 'server'), '-noreset', '-nolisten', 'tcp'],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
  );
  let complaints = '';
  server.stderr?.on('data', (text) => { complaints += text; });
  try {
    await once(server, 'spawn');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.skip('Xvfb is not installed: apt install xvfb');
    return null;
  }
  const ended = once(server, 'exit');
  t.after(async () => {
    server.kill();
    await ended;
  });
  const told = once(server.stdio[3] as Readable, 'data').then(([number]) => Number(number));
  const display = await Promise.race([told, ended.then(() => { throw new Error(`Xvfb ended: ${complaints}`); })]);
  return { display, socket: `/tmp/.X11-unix/X${display}`, key, folder };
}

/** Writes an .Xauthority file with one entry, good for every host name and display number. */
export function writeXauthorityFile(path: string, key: Uint8Array): void {
  const record = { family: FamilyWild, address: Buffer.alloc(0), number: '', name: MagicCookie, data: key };
  writeFileSync(path, writeXauthority([record]), { mode: 0o600 });
}

/** Shows a window without border or frame, filled with one pixel value. CreateWindow 1, MapWindow 8: X11 protocol, appendix B. */
export async function createWindow(
  x: XConnection,
  { x: left, y: top, width, height, background }: { x: number; y: number; width: number; height: number; background: number },
): Promise<number> {
  const window = x.newId();
  const inputOutput = 1;
  const backgroundPixel = 0x2;
  const overrideRedirect = 0x200;
  const body = Buffer.alloc(36);
  body.writeUInt32LE(window, 0);
  body.writeUInt32LE(x.setup.root, 4);
  body.writeInt16LE(left, 8);
  body.writeInt16LE(top, 10);
  body.writeUInt16LE(width, 12);
  body.writeUInt16LE(height, 14);
  body.writeUInt16LE(inputOutput, 18);
  body.writeUInt32LE(backgroundPixel | overrideRedirect, 24);
  body.writeUInt32LE(background, 28);
  body.writeUInt32LE(1, 32);
  await x.tell(1, 0, body);
  await x.tell(8, 0, body.subarray(0, 4));
  return window;
}

/** The beginning of a Perl program, for the host or for inside: it is let in by the server of $DISPLAY. */
const perlClient = `
use IO::Socket::UNIX; $| = 1;
my ($number) = $ENV{DISPLAY} =~ /:(\\d+)/;
my $x = IO::Socket::UNIX->new(Peer => "/tmp/.X11-unix/X$number") or die "no display: $!\\n";
sub get { my ($wanted, $got) = (shift, ""); while (length $got < $wanted) { sysread $x, $got, $wanted - length $got, length $got or die "the server hung up\\n" } $got }
my $file = do { open my $f, "<", $ENV{XAUTHORITY} or die "$ENV{XAUTHORITY}: $!\\n"; local $/; <$f> };
my (undef, undef, undef, $name, $key) = unpack "n n/a n/a n/a n/a", $file;
syswrite $x, pack("a x v4 x2", "l", 11, 0, length $name, length $key) . $name . "\\0" x (-length($name) & 3) . $key;
my ($status, $length) = unpack "C x5 v", get(8); my $setup = get(4 * $length); $status == 1 or die "refused\\n";
`;

/**
 * A Perl program, for the host or for inside, that does what a key logger does: it asks the server of $DISPLAY at short
 * intervals which keys are down (QueryKeymap 44: X11 protocol, appendix B), and prints "down KEYCODE" for each new one.
 * "looked" comes after every tenth question.
 */
export const keyListener = `${perlClient}
for (my ($count, %down) = 1; ; $count++) {
  syswrite $x, pack "C x v", 44, 1;
  my $reply = get(32);
  $reply = get(32) while ord $reply != 1; # events that every client gets, such as a new keyboard map
  my $map = substr($reply, 8) . get(8);
  my %now = map { $_ => 1 } grep { vec $map, $_, 1 } 8 .. 255;
  print map { "down $_\\n" } grep { !$down{$_} } sort keys %now;
  %down = %now;
  print "looked\\n" if $count % 10 == 0;
  select undef, undef, undef, 0.01;
}`;

/** Where sharedPicture draws, and the colour of its pixel number `i`. */
export const shared = { left: 20, top: 10, width: 60, height: 40, pixel: (i: number): number => (i * 0x010307) & 0xffffff };

/** What the programs below have in common: MIT-SHM (Attach 1, PutImage 3, GetImage 4, AttachFd 6: xorgproto's shmproto.h). */
const perlMemory = `${perlClient}
my ($base, $vendor, $formats) = unpack "x4 V x8 v x3 C", $setup;
my ($window, $depth) = unpack "V x34 C", substr $setup, 32 + ($vendor + 3 & ~3) + 8 * $formats;
sub reply { my $reply = get(32); $reply = get(32) while ord $reply > 1; $reply }
sub result { my $reply = reply(); ord $reply or die "refused " . ord(substr $reply, 1) . "\\n"; $reply }
syswrite $x, pack "C x v v x2 a8", 98, 4, 7, "MIT-SHM";
my ($is, $shm) = unpack "x8 C C", result(); $is or die "no MIT-SHM\\n";
my ($w, $h) = (${shared.width}, ${shared.height});
sub attaching { pack "C C v V V C x3", $shm, 1, 4, $base + $_[0], $_[1], 0 }
sub attach { syswrite $x, attaching(@_) . pack "C x v", 43, 1; result() }
sub draw { syswrite $x, pack "C C v V V v6 v2 C C C x V V", $shm, 3, 10, $window, $base + 3, $w, $h, 0, 0, $w, $h, ${shared.left}, ${shared.top}, $depth, 2, 0, $base + $_[0], 0 }
`;

/**
 * A Perl program that puts a picture on the screen by memory that it shares with the server, and which is its user's alone (0600), and reads it back
 * into another segment. "the same": it is. With the number of a segment it says whether the server lets it have that one: "attached", or "refused" and the error.
 */
export const sharedPicture = `${perlMemory}
if (@ARGV) { attach(1, $ARGV[0]); print "attached\\n"; exit }
my $picture = pack "V*", map { $_ * 0x010307 & 0xffffff } 0 .. $w * $h - 1;
my ($from, $to) = map { shmget(0, length $picture, 01600) // die "shmget: $!\\n" } 1, 2;
shmwrite $from, $picture, 0, length $picture or die "shmwrite: $!\\n";
attach(1, $from); attach(2, $to);
syswrite $x, pack "C x v V V V", 55, 4, $base + 3, $window, 0;
draw(1);
syswrite $x, pack "C C v V v4 V C x3 V V", $shm, 4, 8, $window, ${shared.left}, ${shared.top}, $w, $h, 0xffffffff, 2, $base + 2, 0;
result();
shmread $to, my $read, 0, length $picture or die "shmread: $!\\n";
print pack("V*", map { $_ & 0xffffff } unpack "V*", $read) eq $picture ? "the same\\n" : "another picture\\n";
print "$from\\n";`;

/** The same program, by a client that says another order of its bytes than it has: 'R' is one that some servers know, and no client. */
export const inOrder = (program: string, order: string): string => {
  assert.match(program, /"l", 11/);
  return program.replace('"l", 11', `"${order}", 11`);
};

/** The same program, by a client that says its numbers with the highest byte first; pixels ("V*") are in the order of the server. */
export const bigEndian = (program: string): string => inOrder(program, 'B').replace(/pack(\(| )"[^"*]*"/g, (template) => template.replaceAll('V', 'N').replaceAll(/\bv/g, 'n'));

const longRequests = `
syswrite $x, pack "C x v v x2 a12", 98, 5, 12, "BIG-REQUESTS";
syswrite $x, pack "C x v", (unpack "x8 C C", result())[1], 1;
result();
`;

/** A Perl program that sends a request whose length is, in bytes, 8 modulo 2 ** 32, and says whether the server still answers. */
export const overlong = `${perlMemory}${longRequests}
syswrite $x, pack("C x v V", 127, 0, 0x40000002) . pack "C x v", 43, 1;
result();
print "answered\\n";`;

/**
 * A Perl program that gives the server memory by number and as a file in one message, in both orders, and draws with each. The file is too small for the
 * picture: "in order" is said where the server has made an error of that one alone. Then the number of a segment that is its own, and of another, as a long request (BIG-REQUESTS);
 * many in one message; and memory that the server makes (CreateSegment 7), and hands out as a file.
 */
export const mixedMemory = `${perlMemory}
my ($sendmsg, $recvmsg, $memfd) = \`uname -m\` =~ /x86_64/ ? (46, 47, 319) : (211, 212, 279);
my $memory = shmget(0, 4 * $w * $h, 01600) // die "shmget: $!\\n";
sub tell_with {
  my ($bytes, $file) = @_;
  my $part = pack "P Q", $bytes, length $bytes;
  my $control = pack "Q l l l x4", 20, 1, 1, $file; # SCM_RIGHTS of SOL_SOCKET: cmsg(3)
  my $message = pack "Q L x4 P Q P Q l x4", 0, 0, $part, 1, $control, length $control, 0;
  syscall($sendmsg, fileno $x, $message, 0) == length $bytes or die "sendmsg: $!\\n";
}
sub small { my $name = "small"; my $file = syscall $memfd, $name, 0; open my $open, "+<&=", $file; truncate $open, 64; push our @kept, $open; $file }
sub attaching_file { pack "C C v V C x3", $shm, 6, 3, $base + $_[0], 0 }
syswrite $x, pack "C x v V V V", 55, 4, $base + 3, $window, 0;
tell_with(attaching_file(4) . attaching(5, $memory), small());
tell_with(attaching(6, $memory) . attaching_file(7), small());
for (4 .. 7) { draw($_); syswrite $x, pack "C x v", 43, 1; my $is = ord reply(); reply() unless $is; push our @drawn, $is }
print "@drawn" eq "0 1 1 0" ? "in order\\n" : "@drawn\\n";
${longRequests}
for ($memory, $ARGV[0]) {
  syswrite $x, pack("C C v V V V C x3", $shm, 1, 0, 5, $base + 8 + $n++, $_, 0) . pack "C x v", 43, 1;
  my $is = ord reply(); reply() unless $is; print $is ? "attached\\n" : "refused\\n";
}
syswrite $x, join("", map { attaching(100 + $_, $memory) } 1 .. 200) . pack "C x v", 43, 1;
result();
syswrite $x, pack "C C v V V C x3", $shm, 7, 4, $base + 400, 4 * $w * $h, 0;
my ($bytes, $control) = ("\\0" x 32, "\\0" x 24);
my $part = pack "P Q", $bytes, 32;
my $message = pack "Q L x4 P Q P Q l x4", 0, 0, $part, 1, $control, 24, 0;
syscall($recvmsg, fileno $x, $message, 0) == 32 or die "recvmsg: $!\\n";
open my $made, "+<&=", unpack "x16 l", $control or die "no file came: $!\\n";
syswrite $made, pack "V*", (0x123456) x ($w * $h);
draw(400);
syswrite $x, pack "C x v", 43, 1;
result();
print "made\\n";`;
