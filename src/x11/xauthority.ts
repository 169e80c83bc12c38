import { Complaint } from '../errors.ts';

/** An entry that is good for every host name: what a container needs, whose host name is not the host's. Xauth.h of libXau. */
export const FamilyWild = 0xffff;
/** An entry for a server on the computer whose host name is the address. Xauth.h of libXau. */
export const FamilyLocal = 256;
/** The one kind of key that every X server understands. */
export const MagicCookie = 'MIT-MAGIC-COOKIE-1';

/** One record of an .Xauthority file. `number` is the display number as text; empty means every display. */
export interface XauthorityRecord {
  family: number;
  address: Uint8Array;
  number: string;
  name: string;
  data: Uint8Array;
}

/**
 * The records of an .Xauthority file (format: Xau(3), "u16 family, then address, number, name and data, each with a
 * u16 length before it", big endian). A file that another program is still writing may stop in the middle of a
 * record: the whole records before it are given.
 */
export function readXauthority(file: Buffer): XauthorityRecord[] {
  const records: XauthorityRecord[] = [];
  let at = 0;
  const field = (): Buffer | null => {
    if (at + 2 > file.length) return null;
    const end = at + 2 + file.readUInt16BE(at);
    if (end > file.length) return null;
    const bytes = file.subarray(at + 2, end);
    at = end;
    return bytes;
  };
  while (at + 2 <= file.length) {
    const family = file.readUInt16BE(at);
    at += 2;
    const address = field();
    const number = address && field();
    const name = number && field();
    const data = name && field();
    if (!data) break;
    records.push({ family, address, number: number.toString('latin1'), name: name.toString('latin1'), data });
  }
  return records;
}

/** The file that holds these records; the inverse of `readXauthority`. A field over 65535 bytes is a RangeError. */
export function writeXauthority(records: readonly XauthorityRecord[]): Buffer {
  const u16 = (value: number): Buffer => {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    return bytes;
  };
  return Buffer.concat(records.flatMap((record) => [
    u16(record.family),
    ...[record.address, Buffer.from(record.number, 'latin1'), Buffer.from(record.name, 'latin1'), record.data]
      .flatMap((field) => [u16(field.length), field]),
  ]));
}

/**
 * The key a program would present to display `displayNumber` of this computer: the first MIT-MAGIC-COOKIE-1 entry
 * that XauGetBestAuthByAddr of libXau accepts for (FamilyLocal, hostname, number). Null where there is none.
 */
export function chooseCookie(records: readonly XauthorityRecord[], hostname: string, displayNumber: number): Buffer | null {
  const record = records.find(({ family, address, number, name }) =>
    name === MagicCookie
    && (number === '' || number === String(displayNumber))
    && (family === FamilyWild || (family === FamilyLocal && Buffer.from(hostname).equals(address))));
  return record ? Buffer.from(record.data) : null;
}

/** Where a DISPLAY value leads. `host` is empty for this computer; `socket` is null where only TCP leads there. */
export interface XDisplay {
  host: string;
  number: number;
  screen: number;
  socket: string | null;
}

/**
 * Reads a DISPLAY value: ":0", ":0.1", "unix:0", "host:0", "[::1]:0", and "unix:/path" as libxcb 1.17 reads it, which
 * looks for the key of display 0 there. Anything else is a Complaint.
 */
export function parseDisplay(text: string): XDisplay {
  const path = /^(?:unix:)?(\/.+)$/s.exec(text)?.[1];
  if (path !== undefined) return { host: '', number: 0, screen: 0, socket: path };
  const parts = /^(?:(unix|tcp|inet6?)\/)?([^/:]*|\[[0-9a-f:]+\]):(\d{1,5})(?:\.(\d{1,3}))?$/i.exec(text);
  const [, protocol, name = '', number, screen = '0'] = parts ?? [];
  if (number === undefined) {
    throw new Complaint(`"${text}" is not a display`, 'A display looks like ":0", ":0.1", "unix:/run/x/socket" or "host:0".');
  }
  const host = name.replace(/^\[|\]$/g, '');
  const local = protocol === 'unix' || (protocol === undefined && (host === '' || host === 'unix'));
  return {
    host: local ? '' : host,
    number: Number(number),
    screen: Number(screen),
    socket: local ? `/tmp/.X11-unix/X${Number(number)}` : null,
  };
}
