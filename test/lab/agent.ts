import type { Socket } from 'node:net';

/** The bench's end of the line to the computer; agent.pl is the other, and says what the frames are. */

export interface Outcome {
  /** As a shell counts: 128 and the signal's number where one ended it. */
  status: number;
  stdout: string;
  stderr: string;
}

/** A program that runs in the computer. */
export interface Job {
  stdout(): string;
  stderr(): string;
  /** Waits for what it prints; fails when it ends without having said it, or is silent for four minutes. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  /** Passes on what it prints, as it comes. */
  pipe(stdout: NodeJS.WritableStream, stderr: NodeJS.WritableStream): void;
  /** More of its input. */
  send(data: Uint8Array | string): void;
  /** Its input is at an end. */
  close(): void;
  /** Sends a signal, such as TERM; with "-" before it to all that it has started in its session, too. */
  kill(signal: string): void;
  /** Rejects when the computer goes away. */
  ended: Promise<Outcome>;
}

export interface Agent {
  /** Starts a program as root. */
  start(argv: readonly string[]): Job;
  /** Runs one with this input to its end; after `seconds` it is killed, and this rejects. */
  run(argv: readonly string[], input: Uint8Array | string, seconds: number): Promise<Outcome>;
  /** Resolves when an agent starts: the computer boots. Commands that an earlier one ran are lost. */
  started(): Promise<void>;
}

/** What a freshly started agent says first. A frame never begins with this, as its first bytes would be the number of a command. */
const banner = Buffer.from('\0nestbox-lab: the agent listens\0', 'latin1');
const header = 9;

/** One running program as it is seen from here. */
interface Line {
  o: Buffer[];
  e: Buffer[];
  /** Where what comes is passed on, too. */
  to: { o: NodeJS.WritableStream; e: NodeJS.WritableStream } | null;
  /** Called whenever there is more to see. */
  wake(): void;
  over: Outcome | Error | null;
}

export function agent(socket: Socket): Agent {
  const lines = new Map<number, Line>();
  let booted: (() => void)[] = [];
  let received = Buffer.alloc(0);
  let last = 0;

  const lose = (why: string) => {
    for (const line of lines.values()) {
      line.over = new Error(why);
      line.wake();
    }
    lines.clear();
  };
  const send = (number: number, kind: string, data: Uint8Array) => {
    const head = Buffer.alloc(header);
    head.writeUInt32BE(number, 0);
    head.write(kind, 4, 'latin1');
    head.writeUInt32BE(data.length, 5);
    socket.write(Buffer.concat([head, data]));
  };
  const handle = (number: number, kind: string, body: Buffer) => {
    const line = lines.get(number);
    if (!line) return;
    if (kind === 'o' || kind === 'e') {
      line[kind].push(Buffer.from(body));
      line.to?.[kind].write(Buffer.from(body));
    }
    if (kind === 'x') {
      const word = Number(body.toString());
      line.over = { status: word & 0x7f ? 128 + (word & 0x7f) : word >> 8, stdout: text(line.o), stderr: text(line.e) };
      lines.delete(number);
    }
    line.wake();
  };
  socket.on('error', () => {}).on('close', () => lose('the computer is gone')).on('data', (data) => {
    received = Buffer.concat([received, data]);
    for (;;) {
      // Nothing is believed after a boot but the banner: a frame may have been cut in two.
      const boot = received.indexOf(banner);
      if (boot >= 0) {
        received = received.subarray(boot + banner.length);
        lose('the computer has been started anew');
        for (const wake of booted) wake();
        booted = [];
      }
      if (received.length < header || received.length < header + received.readUInt32BE(5)) return;
      const end = header + received.readUInt32BE(5);
      handle(received.readUInt32BE(0), String.fromCharCode(received[4]!), received.subarray(header, end));
      received = received.subarray(end);
    }
  });

  function start(argv: readonly string[]): Job {
    const number = ++last;
    const line: Line = { o: [], e: [], to: null, wake: () => {}, over: null };
    lines.set(number, line);
    send(number, 'r', Buffer.from(argv.join('\0')));
    const watchers = new Set<() => void>();
    line.wake = () => { for (const watch of watchers) watch(); };
    const ended = new Promise<Outcome>((resolve, reject) => {
      watchers.add(() => {
        if (line.over instanceof Error) reject(new Error(`${argv.join(' ')}: ${line.over.message}`));
        else if (line.over) resolve(line.over);
      });
    });
    ended.catch(() => {}); // whoever waits for it hears of it
    return {
      ended,
      stdout: () => text(line.o),
      stderr: () => text(line.e),
      says: (pattern) => new Promise((resolve, reject) => {
        const limit = setTimeout(() => stop('it is silent'), 240_000);
        const stop = (why: string | null) => {
          clearTimeout(limit);
          watchers.delete(look);
          if (why) reject(new Error(`${argv.join(' ')}: ${why} before it said ${pattern}:\n${text(line.o).slice(-2000)}${text(line.e).slice(-2000)}`));
        };
        const look = () => {
          limit.refresh();
          const found = pattern.exec(text(line.o)) ?? pattern.exec(text(line.e));
          if (found || line.over) stop(found ? null : 'it ended');
          if (found) resolve(found);
        };
        watchers.add(look);
        look();
      }),
      pipe: (o, e) => { line.to = { o, e }; },
      send(data) {
        const bytes = Buffer.from(data);
        for (let at = 0; at < bytes.length; at += 0x10000) send(number, 'i', bytes.subarray(at, at + 0x10000));
      },
      close: () => send(number, 'e', Buffer.alloc(0)),
      kill: (signal) => send(number, 'k', Buffer.from(signal)),
    };
  }

  return {
    start,
    async run(argv, input, seconds) {
      const job = start(argv);
      job.send(input);
      job.close();
      let late: NodeJS.Timeout | undefined;
      const limit = new Promise<never>((_, reject) => {
        late = setTimeout(() => {
          job.kill('-KILL');
          reject(new Error(`${argv.join(' ')}: not ended after ${seconds} s:\n${job.stdout().slice(-2000)}${job.stderr().slice(-2000)}`));
        }, seconds * 1000);
      });
      return Promise.race([job.ended, limit]).finally(() => clearTimeout(late));
    },
    started: () => new Promise((resolve) => { booted.push(resolve); }),
  };
}

const text = (chunks: Buffer[]): string => Buffer.concat(chunks).toString();
