import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { deflateSync } from 'node:zlib';
import { Complaint } from '../../src/errors.ts';
import { decodePng, encodePng } from '../../src/png.ts';
import {
  changeHosts, chooseCookie, connectX, FamilyLocal, FamilyWild, generateAuthorization, listHosts, localUser, MagicCookie, type Picture,
  parseDisplay, queryExtension, readXauthority, revokeAuthorization, rgbOf, screenshot, writeXauthority, type XConnection, XError,
} from '../../src/x11.ts';
import { createWindow, startXvfb, writeXauthorityFile, type Xvfb } from '../x11-client.ts';

const run = promisify(execFile);

async function open(t: TestContext, { socket, key }: Pick<Xvfb, 'socket' | 'key'>): Promise<XConnection> {
  const x = await connectX({ socket, key });
  t.after(() => x.close());
  return x;
}

function pixel({ width, rgb }: Picture, x: number, y: number): number[] {
  return [...rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

/** A server at a socket of its own that does with each client what the test says. */
async function startServer(t: TestContext, serve: (client: Socket) => void): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'nestbox-x11-'));
  const socket = join(folder, 'socket');
  const clients: Socket[] = [];
  const server = createServer((client) => {
    clients.push(client);
    serve(client.on('error', () => {}));
  });
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.after(async () => {
    for (const client of clients) client.destroy();
    await new Promise((closed) => server.close(closed));
    rmSync(folder, { recursive: true });
  });
  return socket;
}

test('a client with the right key learns what the screen is like, one with a wrong key or none is told why not', async (t) => {
  const server = await startXvfb(t, { width: 320, height: 240 });
  if (!server) return;
  const { setup } = await open(t, server);
  assert.deepEqual(
    [setup.width, setup.height, setup.depth, setup.masks],
    [320, 240, 24, { red: 0xff0000, green: 0xff00, blue: 0xff }],
  );
  assert.deepEqual(setup.formats.find(({ depth }) => depth === 24), { depth: 24, bitsPerPixel: 32, scanlinePad: 32 });
  assert.match(setup.vendor, /X\.Org/);
  for (const key of [Buffer.from('nestbox evil key'), null]) {
    const told = /refused the connection: (Authorization required|Invalid MIT-MAGIC-COOKIE-1 key)/;
    await assert.rejects(connectX({ socket: server.socket, key }), (error) => error instanceof Complaint && told.test(error.message));
  }
  await assert.rejects(connectX({ ...server, screen: 1 }), Complaint);
  await assert.rejects(connectX({ socket: join(server.folder, 'nothing'), key: null }), /no X server listens/);
});

test('a screenshot shows a window in its colour at its place, and another colour around it', async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const x = await open(t, server);
  await createWindow(x, { x: 0, y: 0, width: 320, height: 240, background: 0x102030 });
  await createWindow(x, { x: 40, y: 30, width: 100, height: 50, background: 0xff8800 });
  const picture = await screenshot(x);
  assert.deepEqual([picture.width, picture.height, picture.rgb.length], [320, 240, 320 * 240 * 3]);
  for (const [column, row] of [[40, 30], [139, 79], [90, 50]] as const) assert.deepEqual(pixel(picture, column, row), [255, 136, 0]);
  for (const [column, row] of [[39, 30], [40, 29], [140, 79], [139, 80], [0, 0], [319, 239]] as const) {
    assert.deepEqual(pixel(picture, column, row), [16, 32, 48]);
  }
  const again = decodePng(encodePng(picture));
  assert.deepEqual([again.width, again.height, again.rgb.equals(picture.rgb)], [320, 240, true]);
});

test('a screen larger than one strip comes out whole', async (t) => {
  const server = await startXvfb(t, { width: 1600, height: 1201 });
  if (!server) return;
  const x = await open(t, server);
  await createWindow(x, { x: 0, y: 0, width: 1600, height: 1201, background: 0x0000ff });
  await createWindow(x, { x: 0, y: 600, width: 1600, height: 100, background: 0xff0000 });
  await createWindow(x, { x: 1599, y: 1200, width: 1, height: 1, background: 0x00ff00 });
  const picture = await screenshot(x);
  const colours = (column: number) => [0, 599, 600, 654, 655, 656, 699, 700, 1200].map((row) => pixel(picture, column, row).indexOf(255));
  assert.deepEqual(colours(0), [2, 2, 0, 0, 0, 0, 0, 2, 2]);
  assert.deepEqual(colours(1599), [2, 2, 0, 0, 0, 0, 0, 2, 1]);
});

test('a screenshot of a screen with 16 bits a pixel', async (t) => {
  const server = await startXvfb(t, { width: 321, height: 240, depth: 16 });
  if (!server) return;
  const x = await open(t, server);
  assert.equal(x.setup.depth, 16);
  await createWindow(x, { x: 0, y: 0, width: 321, height: 240, background: 0 });
  await createWindow(x, { x: 5, y: 7, width: 30, height: 20, background: 0xfc00 }); // red 31 of 31, green 32 of 63
  const picture = await screenshot(x);
  assert.deepEqual([pixel(picture, 5, 7), pixel(picture, 34, 26), pixel(picture, 35, 26), pixel(picture, 4, 7)],
    [[255, 130, 0], [255, 130, 0], [0, 0, 0], [0, 0, 0]]);
});

test('pixels are read in both byte orders, with padded rows, of 16, 24 and 32 bits', () => {
  const layout = { width: 1, height: 2, scanlinePad: 32 };
  const lastByteUnused = { red: 0xff000000, green: 0xff0000, blue: 0xff00 };
  const of24 = { red: 0xff0000, green: 0xff00, blue: 0xff };
  const lines = (...rows: number[][]) => Buffer.from(rows.flat());
  const expected = Buffer.from([255, 136, 0, 16, 32, 48]);
  const cases = [
    { data: lines([0, 0x88, 0xff, 0], [0x30, 0x20, 0x10, 9]), bitsPerPixel: 32, byteOrder: 'lsb-first', masks: of24 },
    { data: lines([0, 0xff, 0x88, 0], [9, 0x10, 0x20, 0x30]), bitsPerPixel: 32, byteOrder: 'msb-first', masks: of24 },
    { data: lines([0, 0x88, 0xff, 9], [0x30, 0x20, 0x10, 9]), bitsPerPixel: 24, byteOrder: 'lsb-first', masks: of24 },
    { data: lines([0xff, 0x88, 0, 9], [0x10, 0x20, 0x30, 9]), bitsPerPixel: 24, byteOrder: 'msb-first', masks: of24 },
    { data: lines([0xff, 0x88, 0, 0], [0x10, 0x20, 0x30, 0]), bitsPerPixel: 32, byteOrder: 'msb-first', masks: lastByteUnused },
  ] as const;
  for (const image of cases) assert.deepEqual(rgbOf({ ...layout, ...image }), expected);
  const of16 = { ...layout, bitsPerPixel: 16, masks: { red: 0xf800, green: 0x7e0, blue: 0x1f } };
  const cyanAndRed = Buffer.from([0, 255, 255, 255, 0, 0]);
  assert.deepEqual(rgbOf({ ...of16, data: lines([0xff, 0x07, 9, 9], [0x00, 0xf8, 9, 9]), byteOrder: 'lsb-first' }), cyanAndRed);
  assert.deepEqual(rgbOf({ ...of16, data: lines([0x07, 0xff, 9, 9], [0xf8, 0x00, 9, 9]), byteOrder: 'msb-first' }), cyanAndRed);
  const of30 = { ...layout, height: 1, bitsPerPixel: 32, masks: { red: 0x3ff00000, green: 0xffc00, blue: 0x3ff } };
  assert.deepEqual([...rgbOf({ ...of30, data: lines([0xff, 0x03, 0, 0x20]), byteOrder: 'lsb-first' })], [128, 0, 255]);
  assert.throws(() => rgbOf({ ...of16, data: lines([0, 0]), byteOrder: 'lsb-first' }), RangeError);
});

test('an untrusted key opens neither shared memory nor the screen, a trusted one does, and a revoked one nothing', async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const x = await open(t, server);
  const trusted = await generateAuthorization(x, { trusted: true, timeoutSeconds: 0 });
  const untrusted = await generateAuthorization(x, { trusted: false, timeoutSeconds: 0 });
  assert.deepEqual([trusted.key.length, untrusted.key.length], [16, 16]);
  const near = await open(t, { ...server, key: trusted.key });
  const far = await open(t, { ...server, key: untrusted.key });
  const extensions = (client: XConnection) =>
    Promise.all(['MIT-SHM', 'GLX', 'XTEST', 'SECURITY'].map(async (name) => (await queryExtension(client, name)).present));
  assert.deepEqual(await extensions(near), await extensions(x));
  assert.equal((await queryExtension(near, 'MIT-SHM')).present, true);
  assert.deepEqual(await extensions(far), [false, false, false, false]);
  await screenshot(near);
  await assert.rejects(screenshot(far), XError);
  await assert.rejects(changeHosts(far, 'insert', localUser('#4294967294')), { code: 'BadAccess' });
  await assert.rejects(generateAuthorization(far, { trusted: false, timeoutSeconds: 0 }), Complaint);

  await revokeAuthorization(x, untrusted.id);
  await assert.rejects(queryExtension(far, 'MIT-SHM'), Complaint, 'its client is thrown out');
  await assert.rejects(connectX({ ...server, key: untrusted.key }), Complaint);
  await assert.rejects(revokeAuthorization(x, untrusted.id), { code: 'BadAuthorization' });
  await screenshot(near);
});

test('a key file without host name and number serves a real client', async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const { key } = await generateAuthorization(await open(t, server), { trusted: true, timeoutSeconds: 0 });
  const file = join(server.folder, 'client');
  writeXauthorityFile(file, key);
  try {
    const env = { PATH: process.env.PATH, DISPLAY: `:${server.display}`, XAUTHORITY: file };
    assert.match((await run('xdpyinfo', [], { env })).stdout, /dimensions: +320x240 pixels/);
    writeXauthorityFile(file, Buffer.from('nestbox evil key'));
    await assert.rejects(run('xdpyinfo', [], { env }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.skip('xdpyinfo is not installed: apt install x11-utils');
  }
});

test('adding a user to the access list and taking it away leaves the list as it was', async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  const x = await open(t, server);
  const before = await listHosts(x);
  const nobody = localUser('#4294967294');
  await changeHosts(x, 'insert', nobody);
  const during = await listHosts(x);
  assert.equal(during.hosts.length, before.hosts.length + 1);
  assert.ok(during.hosts.some(({ family, address }) => family === 5 && address.toString() === 'localuser\0#4294967294'));
  await changeHosts(x, 'delete', nobody);
  assert.deepEqual(await listHosts(x), before);
  assert.equal(before.enabled, true);
  await assert.rejects(changeHosts(x, 'insert', { family: 99, address: Buffer.from('x') }), { code: 'BadValue' });
});

test('a user on the access list needs no key', async (t) => {
  const server = await startXvfb(t);
  if (!server) return;
  await changeHosts(await open(t, server), 'insert', localUser(`#${process.getuid?.()}`));
  (await connectX({ socket: server.socket, key: null })).close();
});

test('answers may come in small pieces, and requests may overlap, also when their count starts anew', async (t) => {
  const server = await startXvfb(t, { width: 40, height: 30 });
  if (!server) return;
  const socket = await startServer(t, (client) => {
    const upstream = connect(server.socket);
    client.pipe(upstream);
    upstream.on('data', async (bytes) => {
      upstream.pause();
      for (let at = 0; at < bytes.length; at += 7) {
        await new Promise((written) => client.write(bytes.subarray(at, at + 7), written));
        await new Promise((next) => setImmediate(next));
      }
      upstream.resume();
    });
    client.on('close', () => upstream.destroy());
  });
  const x = await open(t, { ...server, socket });
  const [picture, hosts, extension] = await Promise.all([screenshot(x), listHosts(x), queryExtension(x, 'BIG-REQUESTS')]);
  assert.deepEqual([picture.width, hosts.enabled, extension.present], [40, true, true]);

  const direct = await open(t, server);
  for (let count = 0; count < 70; count++) {
    await Promise.all(Array.from({ length: 1000 }, () => queryExtension(direct, 'BIG-REQUESTS')));
  }
});

test('a silent server, one that hangs up and one that lies about a length are given up', async (t) => {
  const silent = await startServer(t, () => {});
  await assert.rejects(connectX({ socket: silent, key: null, timeoutMs: 50 }), /did not answer within 0.05 s/);
  const leaving = await startServer(t, (client) => client.end());
  await assert.rejects(connectX({ socket: leaving, key: null }), /closed the connection/);
  const refusing = await startServer(t, (client) => client.end(Buffer.from('\0\x06\x0b\0\0\0\x02\0no\x1b[2J\0\0', 'latin1')));
  await assert.rejects(connectX({ socket: refusing, key: null }), /refused the connection: no \[2J$/);
  const short = await startServer(t, (client) => client.end(Buffer.from('\x01\0\x0b\0\0\0\x01\0abcd', 'latin1')));
  await assert.rejects(connectX({ socket: short, key: null }), /cannot be used/);

  const server = await startXvfb(t, { width: 40, height: 30 });
  if (!server) return;
  const after = (bytes: Buffer | null) => startServer(t, (client) => {
    const upstream = connect(server.socket);
    let pieces = 0;
    // The first piece from the client is its greeting; what follows is answered by us.
    client.on('data', (piece) => pieces++ === 0 ? upstream.write(piece) : bytes && client.write(bytes));
    upstream.on('data', (piece) => client.write(piece));
    client.on('close', () => upstream.destroy());
  });
  const boast = Buffer.alloc(32);
  boast.writeUInt8(1, 0);
  boast.writeUInt16LE(1, 2);
  boast.writeUInt32LE(0xffffffff, 4);
  const lying = await connectX({ ...server, socket: await after(boast) });
  await assert.rejects(listHosts(lying), /too long/);
  const dumb = await connectX({ ...server, socket: await after(null), timeoutMs: 3000 });
  await assert.rejects(listHosts(dumb), Complaint);
  await assert.rejects(listHosts(dumb), Complaint, 'and it stays so');
});

test('an .Xauthority file is read back as written, and a truncated one up to its last whole record', () => {
  const records = [
    { family: FamilyLocal, address: Buffer.from('castle'), number: '0', name: MagicCookie, data: Buffer.from('local key of :0!') },
    { family: 0, address: Buffer.from([127, 0, 0, 1]), number: '10', name: 'XDM-AUTHORIZATION-1', data: Buffer.from([0, 255]) },
    { family: FamilyWild, address: Buffer.alloc(0), number: '', name: MagicCookie, data: Buffer.from('wild') },
  ];
  const file = writeXauthority(records);
  assert.equal(file.subarray(0, 13).toString('hex'), '01000006636173746c65000130');
  assert.deepEqual(readXauthority(file), records);
  for (let length = 0; length < file.length; length++) {
    const read = readXauthority(file.subarray(0, length));
    assert.deepEqual(read, records.slice(0, read.length));
    assert.ok(read.length < records.length);
  }
});

test('the key is chosen as libXau chooses it', () => {
  const record = (family: number, address: string, number: string, data: string, name = MagicCookie) =>
    ({ family, address: Buffer.from(address), number, name, data: Buffer.from(data) });
  const records = [
    record(FamilyLocal, 'castle', '0', 'xdm', 'XDM-AUTHORIZATION-1'),
    record(FamilyLocal, 'castle', '1', 'one'),
    record(FamilyLocal, 'tower', '0', 'tower'),
    record(0, 'castle', '0', 'tcp'),
    record(FamilyLocal, 'castle', '0', 'castle'),
    record(FamilyWild, 'whatever', '', 'wild'),
  ];
  const chosen = (hostname: string, number: number) => chooseCookie(records, hostname, number)?.toString();
  assert.deepEqual([chosen('castle', 0), chosen('castle', 1), chosen('tower', 0), chosen('tower', 1)], ['castle', 'one', 'tower', 'wild']);
  assert.equal(chooseCookie(records.slice(0, 5), 'hut', 0), null);
});

test('a DISPLAY value leads to a socket or to a host', () => {
  const local = (number: number, screen = 0) => ({ host: '', number, screen, socket: `/tmp/.X11-unix/X${number}` });
  assert.deepEqual([':0', ':0.1', 'unix:12', 'unix/castle:3.2'].map(parseDisplay), [local(0), local(0, 1), local(12), local(3, 2)]);
  assert.deepEqual(parseDisplay('castle:10.0'), { host: 'castle', number: 10, screen: 0, socket: null });
  assert.deepEqual(parseDisplay('[::1]:1'), { host: '::1', number: 1, screen: 0, socket: null });
  assert.deepEqual(parseDisplay('unix:/run/nestbox/X'), { host: '', number: 0, screen: 0, socket: '/run/nestbox/X' });
  for (const wrong of ['', '0', ':', ':x', 'castle::0', ':0.', ':0\n', 'wayland-0', ':123456']) {
    assert.throws(() => parseDisplay(wrong), Complaint, wrong);
  }
});

test('a PNG file has the header that programs look for, and every filter is undone', () => {
  const rgb = Buffer.from([255, 136, 0, 16, 32, 48, 1, 2, 3, 250, 251, 252, 7, 77, 177, 0, 0, 0]);
  const file = encodePng({ width: 3, height: 2, rgb });
  assert.equal(file.subarray(0, 33).toString('hex'), '89504e470d0a1a0a0000000d49484452000000030000000208020000001216f14d');
  assert.deepEqual(decodePng(file), { width: 3, height: 2, rgb });
  assert.throws(() => encodePng({ width: 3, height: 3, rgb }), RangeError);

  // Each row is filtered in another way, by the definitions in section 9.2 of the specification.
  // Large values overflow a byte in sums; small ones bring about the ties that filter 4 has to decide.
  const pixels = Array.from({ length: 20 }, (_, row) =>
    Array.from({ length: 200 }, (_, at) => (row * 91 + at * at * 13 + 7 * (at % 11)) % (row < 10 ? 256 : 5)));
  const rows = pixels.map((line, row) => {
    const filter = row % 5;
    return [filter, ...line.map((value, at) => {
      const [left, up, corner] = [line[at - 4] ?? 0, pixels[row - 1]?.[at] ?? 0, pixels[row - 1]?.[at - 4] ?? 0];
      const near = [left, up, corner].sort((a, b) => Math.abs(left + up - corner - a) - Math.abs(left + up - corner - b))[0];
      return value - ([0, left, up, Math.floor((left + up) / 2), near][filter] ?? 0);
    })];
  });
  const opaque = Buffer.from(pixels.flat().filter((_, at) => at % 4 !== 3));
  assert.deepEqual(decodePng(withRows(50, 20, 6, rows)), { width: 50, height: 20, rgb: opaque });

  const flipped = Buffer.from(file);
  flipped.writeUInt8(file.readUInt8(50) ^ 1, 50);
  for (const damaged of [file.subarray(0, -1), file.subarray(1), flipped]) {
    assert.throws(() => decodePng(damaged), Complaint);
  }
  assert.throws(() => decodePng(withRows(50, 20, 6, rows.slice(1))), /damaged/);
  assert.throws(() => decodePng(withRows(50, 20, 6, [...rows, [0]])), /damaged/);
  assert.throws(() => decodePng(withRows(50, 20, 3, rows)), /only PNG files/);
});

/** A PNG file with these filtered rows, its pixels in two IDAT chunks as many programs write them. */
function withRows(width: number, height: number, colour: number, rows: number[][]): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, colour], 8);
  const packed = deflateSync(Buffer.from(rows.flat()));
  const chunks = [
    ['IHDR', header], ['tEXt', Buffer.from('Title\0x')],
    ['IDAT', packed.subarray(0, 9)], ['IDAT', packed.subarray(9)], ['IEND', Buffer.alloc(0)],
  ] as const;
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...chunks.map(([type, data]) => {
    const bytes = Buffer.alloc(12 + data.length);
    bytes.writeUInt32BE(data.length, 0);
    bytes.write(type, 4);
    bytes.set(data, 8);
    bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), 8 + data.length);
    return bytes;
  })]);
}

/** Bit by bit, so that it shares nothing with the table it checks. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
