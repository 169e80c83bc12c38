import type { XConnection } from './connection.ts';

/** An entry of the server's access list, as `xhost` shows it. Families: X11 protocol, appendix B, "HOST"; 5 is ServerInterpreted. */
export interface XHost {
  family: number;
  address: Buffer;
}

const changeHostsRequest = 109;
const listHostsRequest = 110;
const serverInterpreted = 5;

/** The entry that admits one user of this computer: a name, or "#1000" for a number. What `xhost +si:localuser:` adds. */
export function localUser(text: string): XHost {
  return { family: serverInterpreted, address: Buffer.from(`localuser\0${text}`) };
}

/** Who is admitted without a key. `enabled` is false where everybody is. ListHosts: X11 protocol, section 9 and appendix B. */
export async function listHosts(x: XConnection): Promise<{ enabled: boolean; hosts: XHost[] }> {
  const reply = await x.call(listHostsRequest, 0, Buffer.alloc(0));
  const hosts: XHost[] = [];
  for (let left = reply.readUInt16LE(8), at = 32; left > 0; left--) {
    const length = reply.readUInt16LE(at + 2);
    hosts.push({ family: reply.readUInt8(at), address: reply.subarray(at + 4, at + 4 + length) });
    at += 4 + length + (-length & 3);
  }
  return { enabled: reply.readUInt8(1) !== 0, hosts };
}

/**
 * Adds an entry to the access list or takes it away; one that is there already, or already gone, is no error. An
 * entry the server does not understand is an XError "BadValue"; an untrusted client gets "BadAccess". ChangeHosts:
 * X11 protocol, section 9 and appendix B.
 */
export async function changeHosts(x: XConnection, mode: 'insert' | 'delete', { family, address }: XHost): Promise<void> {
  const head = Buffer.alloc(4);
  head.writeUInt8(family, 0);
  head.writeUInt16LE(address.length, 2);
  await x.tell(changeHostsRequest, mode === 'insert' ? 0 : 1, Buffer.concat([head, address]));
}
