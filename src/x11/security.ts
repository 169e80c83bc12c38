import { Complaint } from '../errors.ts';
import type { XConnection } from './connection.ts';
import { padding } from './setup.ts';
import { MagicCookie } from './xauthority.ts';

/** What a server says of one of its extensions; the numbers are 0 where it is not present. */
export interface XExtension {
  present: boolean;
  majorOpcode: number;
  firstEvent: number;
  firstError: number;
}

const queryExtensionRequest = 98;

/** Whether the server offers an extension to this client. QueryExtension: X11 protocol, section 9 and appendix B. */
export async function queryExtension(x: XConnection, name: string): Promise<XExtension> {
  const text = Buffer.from(name, 'latin1');
  const body = Buffer.alloc(4);
  body.writeUInt16LE(text.length);
  const reply = await x.call(queryExtensionRequest, 0, Buffer.concat([body, text]));
  return {
    present: reply.readUInt8(8) !== 0,
    majorOpcode: reply.readUInt8(9),
    firstEvent: reply.readUInt8(10),
    firstError: reply.readUInt8(11),
  };
}

/** A key made by the server itself, and the id by which it is revoked. */
export interface Authorization {
  id: number;
  key: Buffer;
}

// Request numbers, value bits and errors: Security Extension Specification, and xextproto's securproto.h and secur.h.
const queryVersion = 0;
const generate = 1;
const revoke = 2;
const timeoutBit = 1;
const trustLevelBit = 2;

/**
 * Has the server make a new MIT-MAGIC-COOKIE-1 key. A client with an untrusted one sees hardly any extension and
 * cannot read other clients' windows or keys. The key dies once no client has used it for `timeoutSeconds` (0: never),
 * and with every reset of the server: one that was not started with -noreset forgets it when its last client leaves.
 * A server without the extension (Xwayland) or a connection that is itself untrusted is a Complaint.
 */
export async function generateAuthorization(
  x: XConnection,
  { trusted, timeoutSeconds }: { trusted: boolean; timeoutSeconds: number },
): Promise<Authorization> {
  const name = Buffer.from(MagicCookie);
  const head = Buffer.alloc(8);
  head.writeUInt16LE(name.length, 0);
  head.writeUInt32LE(timeoutBit | trustLevelBit, 4);
  const values = Buffer.alloc(8);
  values.writeUInt32LE(timeoutSeconds, 0);
  values.writeUInt32LE(trusted ? 0 : 1, 4);
  const reply = await x.call(await security(x), generate, Buffer.concat([head, name, padding(name.length), values]));
  return { id: reply.readUInt32LE(8), key: reply.subarray(32, 32 + reply.readUInt16LE(12)) };
}

/** Makes a key worthless; clients that are connected with it are disconnected. An unknown id is an XError "BadAuthorization". */
export async function revokeAuthorization(x: XConnection, id: number): Promise<void> {
  const body = Buffer.alloc(4);
  body.writeUInt32LE(id);
  await x.tell(await security(x), revoke, body);
}

async function security(x: XConnection): Promise<number> {
  const { present, majorOpcode, firstError } = await queryExtension(x, 'SECURITY');
  if (!present) {
    throw new Complaint(
      'the X server does not offer the SECURITY extension, so it cannot make keys of less trust',
      'Xwayland never offers it, nor does any server to an untrusted client; display = "nested" needs no such key.',
    );
  }
  x.errorNames.set(firstError, 'BadAuthorization').set(firstError + 1, 'BadAuthorizationProtocol');
  // Version 1.0. libXext asks for it before anything else, so this is the order servers are used to.
  await x.call(majorOpcode, queryVersion, Buffer.from([1, 0, 0, 0]));
  return majorOpcode;
}
