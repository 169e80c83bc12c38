import { MagicCookie } from './xauthority.ts';

/** How the server lays out pixels of one depth in an image, in bits. */
export interface PixmapFormat {
  depth: number;
  bitsPerPixel: number;
  scanlinePad: number;
}

/** Which bits of a pixel hold which colour. All zero where pixels are indices into a colour map. */
export interface ColourMasks {
  red: number;
  green: number;
  blue: number;
}

/** What the server said of itself and of one screen; sizes in pixels. */
export interface XSetup {
  vendor: string;
  resourceBase: number;
  resourceMask: number;
  imageByteOrder: 'lsb-first' | 'msb-first';
  formats: PixmapFormat[];
  root: number;
  width: number;
  height: number;
  depth: number;
  masks: ColourMasks;
}

/** Zero bytes that bring `length` to a multiple of four, as every field of the protocol wants it. */
export function padding(length: number): Buffer {
  return Buffer.alloc(-length & 3);
}

/** The client's first bytes, little endian, protocol 11.0: X11 protocol, section 8, "Connection Initiation". */
export function setupRequest(key: Uint8Array | null): Buffer {
  const name = key ? Buffer.from(MagicCookie) : Buffer.alloc(0);
  const data = key ?? Buffer.alloc(0);
  const head = Buffer.alloc(12);
  head.write('l');
  head.writeUInt16LE(11, 2);
  head.writeUInt16LE(name.length, 6);
  head.writeUInt16LE(data.length, 8);
  return Buffer.concat([head, name, padding(name.length), data, padding(data.length)]);
}

/**
 * The server's acceptance, without its first eight bytes: X11 protocol, section 8, "Server Response". Throws a
 * RangeError if it is shorter than it claims, or has no such screen.
 */
export function readSetup(body: Buffer, screen: number): XSetup {
  const vendorLength = body.readUInt16LE(16);
  const screens = body.readUInt8(20);
  const formats = body.readUInt8(21);
  if (screen >= screens) throw new RangeError(`the X server has no screen ${screen}, only ${screens}`);
  let at = 32 + vendorLength + padding(vendorLength).length;
  const setup = {
    vendor: printable(body.subarray(32, 32 + vendorLength)),
    resourceBase: body.readUInt32LE(4),
    resourceMask: body.readUInt32LE(8),
    imageByteOrder: body.readUInt8(22) === 0 ? 'lsb-first' as const : 'msb-first' as const,
    formats: Array.from({ length: formats }, (_, index): PixmapFormat => ({
      depth: body.readUInt8(at + 8 * index),
      bitsPerPixel: body.readUInt8(at + 8 * index + 1),
      scanlinePad: body.readUInt8(at + 8 * index + 2),
    })),
  };
  at += 8 * formats;
  for (let index = 0; ; index++) {
    const visuals = readVisuals(body, at + 40, body.readUInt8(at + 39));
    if (index === screen) {
      return {
        ...setup,
        root: body.readUInt32LE(at),
        width: body.readUInt16LE(at + 20),
        height: body.readUInt16LE(at + 22),
        depth: body.readUInt8(at + 38),
        masks: visuals.masks.get(body.readUInt32LE(at + 32)) ?? { red: 0, green: 0, blue: 0 },
      };
    }
    at = visuals.end;
  }
}

function readVisuals(body: Buffer, start: number, depths: number): { masks: Map<number, ColourMasks>; end: number } {
  const masks = new Map<number, ColourMasks>();
  let at = start;
  for (let depth = 0; depth < depths; depth++) {
    const count = body.readUInt16LE(at + 2);
    at += 8;
    for (let visual = 0; visual < count; visual++, at += 24) {
      masks.set(body.readUInt32LE(at), {
        red: body.readUInt32LE(at + 8),
        green: body.readUInt32LE(at + 12),
        blue: body.readUInt32LE(at + 16),
      });
    }
  }
  return { masks, end: at };
}

/** What a server says, fit for a terminal: a server inside a container must not send escape sequences to the host's. */
export function printable(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[^\x20-\x7e]+/g, ' ').trim();
}
