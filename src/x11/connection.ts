import { Complaint } from '../errors.ts';
import { padding, printable, readSetup, setupRequest, type XSetup } from './setup.ts';
import { Wire } from './wire.ts';

/** A request that the server refused. `code` is the protocol's name: "BadAccess", "BadMatch" ... */
export class XError extends Error {
  readonly code: string;

  constructor(code: string, request: string) {
    super(`the X server answered ${code} to request ${request}`);
    this.name = 'XError';
    this.code = code;
  }
}

interface Waiting {
  settle: (answer: Buffer | Error) => void;
  timer: NodeJS.Timeout;
}

/** Error codes 1 to 17: X11 protocol, appendix B, "Errors". */
const coreErrors = [
  'Request', 'Value', 'Window', 'Pixmap', 'Atom', 'Cursor', 'Font', 'Match', 'Drawable', 'Access', 'Alloc', 'Colormap', 'GContext',
  'IDChoice', 'Name', 'Length', 'Implementation',
];

/** The server may be one that a container runs: a length it makes up must not fill the host's memory. Bytes. */
const longestReply = 16 << 20;

/** GetInputFocus: the cheapest core request that has a reply. */
const getInputFocus = 43;
const genericEvent = 35;

/** An open connection. Requests may overlap; each promise is settled by its own reply. Events are dropped. */
export class XConnection {
  readonly setup: XSetup;
  /** Names of error codes; an extension adds its own when it is asked for. */
  readonly errorNames = new Map(coreErrors.map((name, index) => [index + 1, `Bad${name}`]));
  readonly #wire: Wire;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #sequence = 0;
  #resources = 0;
  #ended: Error | null = null;

  constructor(wire: Wire, setup: XSetup, timeoutMs: number) {
    this.#wire = wire;
    this.setup = setup;
    this.#timeoutMs = timeoutMs;
    void this.#listen();
  }

  /**
   * Sends a request that has a reply and gives the reply, its 32-byte head included. `detail` is the request's second
   * byte; `body`, what follows the length. Rejects with XError, or with a Complaint if the server is gone or silent.
   */
  call(opcode: number, detail: number, body: Uint8Array): Promise<Buffer> {
    return this.#send(opcode, detail, body);
  }

  /** Sends a request that has no reply; resolves when the server has carried it out, rejects as `call` does. */
  async tell(opcode: number, detail: number, body: Uint8Array): Promise<void> {
    await Promise.all([this.#send(opcode, detail, body), this.#send(getInputFocus, 0, Buffer.alloc(0))]);
  }

  /** A resource id that this connection has not used yet. X11 protocol, section 8: resource-id-base and -mask. */
  newId(): number {
    const lowestBit = this.setup.resourceMask & -this.setup.resourceMask;
    return (this.setup.resourceBase | (this.#resources++ * lowestBit)) >>> 0;
  }

  /** Ends the connection at once; what still waits is rejected. */
  close(): void {
    this.#end(new Error('the connection to the X server was closed here'));
  }

  #send(opcode: number, detail: number, body: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const pad = padding(body.length);
      const head = Buffer.from([opcode, detail, 0, 0]);
      head.writeUInt16LE((4 + body.length + pad.length) / 4, 2);
      // The server counts requests from 1 and repeats the lower 16 bits of its count in each answer.
      this.#sequence = (this.#sequence + 1) & 0xffff;
      this.#waiting.set(this.#sequence, {
        settle: (answer) => answer instanceof Error ? reject(answer) : resolve(answer),
        timer: setTimeout(() => this.#end(silence('the X server', this.#timeoutMs)), this.#timeoutMs),
      });
      this.#wire.write(Buffer.concat([head, body, pad]));
    });
  }

  /** X11 protocol, section 1, "Reply Format", "Error Format", "Event Format". */
  async #listen(): Promise<void> {
    try {
      for (;;) {
        const head = await this.#wire.read(32);
        const type = head.readUInt8(0) & 0x7f;
        const extra = type === 1 || type === genericEvent ? head.readUInt32LE(4) * 4 : 0;
        if (extra > longestReply) throw new Error(`the X server announced an answer of ${extra} bytes, too long`);
        const packet = extra === 0 ? head : Buffer.concat([head, await this.#wire.read(extra)]);
        if (type === 1) this.#settle(packet.readUInt16LE(2), packet);
        else if (type === 0) this.#settle(packet.readUInt16LE(2), this.#error(packet));
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #settle(sequence: number, answer: Buffer | Error): void {
    if (!this.#waiting.has(sequence)) return;
    // Answers come in the order of the requests: what was sent earlier and still waits has succeeded without a reply.
    for (const [earlier, { settle, timer }] of this.#waiting) {
      this.#waiting.delete(earlier);
      clearTimeout(timer);
      settle(earlier === sequence ? answer : Buffer.alloc(0));
      if (earlier === sequence) return;
    }
  }

  #error(packet: Buffer): XError {
    const code = packet.readUInt8(1);
    return new XError(this.errorNames.get(code) ?? `error ${code}`, `${packet.readUInt8(10)}.${packet.readUInt16LE(8)}`);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#wire.end(error);
    for (const { settle, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      settle(error);
    }
    this.#waiting.clear();
  }
}

/**
 * Connects to the X server that listens at `socket`, presenting `key` as MIT-MAGIC-COOKIE-1 (null: no key). `screen`
 * chooses whose root window `setup` describes. A server that is absent, refuses, or is silent for `timeoutMs`
 * (default 5000, also for each later request) is a Complaint.
 */
export async function connectX(
  { socket, key, screen = 0, timeoutMs = 5000 }: { socket: string; key: Uint8Array | null; screen?: number; timeoutMs?: number },
): Promise<XConnection> {
  const wire = new Wire(socket, (error) => unreachable(socket, error));
  const timer = setTimeout(() => wire.end(silence(`the X server at ${socket}`, timeoutMs)), timeoutMs);
  try {
    wire.write(setupRequest(key));
    const head = await wire.read(8);
    const body = await wire.read(head.readUInt16LE(6) * 4);
    const status = head.readUInt8(0);
    if (status !== 1) throw refusal(socket, key, printable(status === 0 ? body.subarray(0, head.readUInt8(1)) : body));
    return new XConnection(wire, readSetup(body, screen), timeoutMs);
  } catch (error) {
    wire.end(error as Error);
    if (!(error instanceof RangeError)) throw error;
    throw new Complaint(`the X server at ${socket} cannot be used: ${error.message}`, undefined, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function refusal(socket: string, key: Uint8Array | null, reason: string): Complaint {
  return new Complaint(
    `the X server at ${socket} refused the connection: ${reason || 'it gave no reason'}`,
    key
      ? 'The key is of another server, of an earlier start of this one, or was revoked.'
      : 'It wants a key, from the .Xauthority file it was started with.',
  );
}

function silence(server: string, timeoutMs: number): Complaint {
  return new Complaint(`${server} did not answer within ${timeoutMs / 1000} s`);
}

function unreachable(socket: string, error: NodeJS.ErrnoException | null): Complaint {
  if (!error) return new Complaint(`the X server at ${socket} closed the connection`);
  const why = error.code === 'ENOENT' || error.code === 'ECONNREFUSED' ? `no X server listens at ${socket}`
    : error.code === 'EACCES' ? `this user may not open ${socket}`
    : `the connection to the X server at ${socket} failed: ${error.message}`;
  return new Complaint(why, undefined, { cause: error });
}
