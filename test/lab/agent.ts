import { createConnection, type Socket } from 'node:net';

/** The bench's end of the line to the computer; agent.pl is the other, and says what the frames are. */

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

interface Command {
  stdout: Buffer[];
  stderr: Buffer[];
  ended(outcome: Outcome | Error): void;
}

/** What a freshly started agent says first; no frame begins with the number that these letters are. */
const banner = Buffer.from('\0nestbox-lab: the agent listens\0', 'latin1');
const header = 9;

export interface Agent {
  /** Runs a program in the computer, as root. Rejects when the computer goes away, or after `milliseconds`. */
  run(argv: readonly string[], input: Uint8Array, milliseconds: number): Promise<Outcome>;
  /** Resolves when an agent starts: the computer has booted. Commands that an earlier one ran are lost. */
  started(): Promise<void>;
  close(): void;
}

/** QEMU listens at `path` already. */
export async function connect(path: string): Promise<Agent> {
  const socket = createConnection(path);
  await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
  const commands = new Map<number, Command>();
  let waiting: (() => void)[] = [];
  let received = Buffer.alloc(0);
  const lose = (why: string) => {
    for (const command of commands.values()) command.ended(new Error(why));
    commands.clear();
  };
  const take = (length: number): Buffer => {
    const taken = received.subarray(0, length);
    received = received.subarray(length);
    return taken;
  };
  socket.on('close', () => lose('the computer is gone')).on('data', (data) => {
    received = Buffer.concat([received, data]);
    for (;;) {
      if (received.length >= 4 && received.subarray(0, 4).equals(banner.subarray(0, 4))) {
        if (received.length < banner.length) return;
        take(banner.length);
        lose('the computer has been started anew');
        for (const wake of waiting) wake();
        waiting = [];
        continue;
      }
      if (received.length < header || received.length < header + received.readUInt32BE(5)) return;
      const head = take(header);
      const body = take(head.readUInt32BE(5));
      handle(head.readUInt32BE(0), String.fromCharCode(head[4]!), body);
    }
  });
  function handle(number: number, kind: string, body: Buffer): void {
    const command = commands.get(number);
    if (!command) return;
    if (kind === 'o') command.stdout.push(Buffer.from(body));
    if (kind === 'e') command.stderr.push(Buffer.from(body));
    if (kind !== 'x') return;
    const word = Number(body.toString());
    commands.delete(number);
    command.ended({ status: word & 0x7f ? 128 + (word & 0x7f) : word >> 8, stdout: Buffer.concat(command.stdout).toString(), stderr: Buffer.concat(command.stderr).toString() });
  }
  let last = 0;
  return {
    async run(argv, input, milliseconds) {
      const number = ++last;
      let timer: NodeJS.Timeout | undefined;
      try {
        return await new Promise<Outcome>((resolve, reject) => {
          commands.set(number, { stdout: [], stderr: [], ended: (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)) });
          timer = setTimeout(() => {
            const { stdout, stderr } = commands.get(number)!;
            commands.delete(number);
            send(socket, number, 'k', Buffer.from('-9'));
            reject(new Error(`${argv.join(' ')}: not ended after ${milliseconds / 1000} s:\n${Buffer.concat([...stdout, ...stderr]).toString().slice(-2000)}`));
          }, milliseconds);
          send(socket, number, 'r', Buffer.from(argv.join('\0')));
          for (let at = 0; at < input.length; at += 0x10000) send(socket, number, 'i', input.subarray(at, at + 0x10000));
          send(socket, number, 'e', Buffer.alloc(0));
        });
      } finally {
        clearTimeout(timer);
      }
    },
    started: () => new Promise((resolve) => { waiting.push(resolve); }),
    close: () => { socket.destroy(); },
  };
}

function send(socket: Socket, number: number, kind: string, data: Uint8Array): void {
  const head = Buffer.alloc(header);
  head.writeUInt32BE(number, 0);
  head.write(kind, 4, 'latin1');
  head.writeUInt32BE(data.length, 5);
  socket.write(Buffer.concat([head, data]));
}
