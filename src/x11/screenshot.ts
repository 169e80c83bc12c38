import { Complaint } from '../errors.ts';
import type { XConnection } from './connection.ts';
import type { ColourMasks } from './setup.ts';

/** A picture: three bytes a pixel (red, green, blue), row by row from the top, without padding. */
export interface Picture {
  width: number;
  height: number;
  rgb: Buffer;
}

/** The bytes of a ZPixmap image and how to read them: X11 protocol, section 8, "Server Information". Pads and pixels in bits. */
export interface PixmapImage {
  data: Buffer;
  width: number;
  height: number;
  bitsPerPixel: number;
  scanlinePad: number;
  byteOrder: 'lsb-first' | 'msb-first';
  masks: ColourMasks;
}

const largestStrip = 4 << 20;
const getGeometry = 14;
const getImage = 73;
const zPixmap = 2;

/**
 * What the screen shows now. The server is not stopped meanwhile, so a window that moves may be torn, and a screen
 * that is made smaller in that moment is an XError "BadMatch". A screen with a colour map (8 bits and less) is a
 * Complaint. GetGeometry and GetImage: X11 protocol, section 9 and appendix B.
 */
export async function screenshot(x: XConnection): Promise<Picture> {
  const { root, depth, masks, formats, imageByteOrder: byteOrder } = x.setup;
  const format = formats.find((candidate) => candidate.depth === depth);
  if (!format?.scanlinePad || ![16, 24, 32].includes(format.bitsPerPixel) || !(masks.red && masks.green && masks.blue)) {
    throw new Complaint(`the X server's screen has a depth of ${depth} bits; only true colour of 15 bits and more can be read`);
  }
  const drawable = Buffer.alloc(4);
  drawable.writeUInt32LE(root);
  // Asked anew: the screen may have been resized since the connection was made.
  const geometry = await x.call(getGeometry, 0, drawable);
  const width = geometry.readUInt16LE(16);
  const height = geometry.readUInt16LE(18);
  const rows = Math.max(1, Math.floor(largestStrip / bytesPerRow(width, format)));
  const strips: Buffer[] = [];
  for (let top = 0; top < height; top += rows) {
    const strip = { width, height: Math.min(rows, height - top) };
    const body = Buffer.alloc(16);
    body.writeUInt32LE(root, 0);
    body.writeInt16LE(top, 6);
    body.writeUInt16LE(width, 8);
    body.writeUInt16LE(strip.height, 10);
    body.writeUInt32LE(0xffffffff, 12);
    const reply = await x.call(getImage, zPixmap, body);
    strips.push(rgbOf({ ...strip, ...format, data: reply.subarray(32), byteOrder, masks }));
  }
  return { width, height, rgb: Buffer.concat(strips) };
}

/** The pixels of an image as red, green, blue. Colours of fewer or more than eight bits are scaled; a short image is a RangeError. */
export function rgbOf({ data, width, height, bitsPerPixel, scanlinePad, byteOrder, masks }: PixmapImage): Buffer {
  const [red, green, blue] = [channel(masks.red), channel(masks.green), channel(masks.blue)];
  const stride = bytesPerRow(width, { bitsPerPixel, scanlinePad });
  const bytes = bitsPerPixel / 8;
  const rgb = Buffer.alloc(width * height * 3);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let at = row * stride, end = at + width * bytes; at < end; at += bytes) {
      const pixel = byteOrder === 'lsb-first' ? data.readUIntLE(at, bytes) : data.readUIntBE(at, bytes);
      rgb[to++] = red(pixel);
      rgb[to++] = green(pixel);
      rgb[to++] = blue(pixel);
    }
  }
  return rgb;
}

function bytesPerRow(width: number, { bitsPerPixel, scanlinePad }: { bitsPerPixel: number; scanlinePad: number }): number {
  return Math.ceil(width * bitsPerPixel / scanlinePad) * scanlinePad / 8;
}

function channel(mask: number): (pixel: number) => number {
  const shift = 31 - Math.clz32(mask & -mask);
  const most = mask >>> shift;
  return most === 255 ? (pixel) => (pixel >>> shift) & 255 : (pixel) => Math.round(((pixel & mask) >>> shift) * 255 / most);
}
