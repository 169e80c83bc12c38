import { connect, type Socket } from 'node:net';

/** A Unix socket from which exact numbers of bytes are read. One reader at a time. */
export class Wire {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #length = 0;
  #wanted: { bytes: number; resolve: (bytes: Buffer) => void; reject: (error: Error) => void } | null = null;
  #ended: Error | null = null;

  /** Connects; `explain` turns what the system says (null: the other side closed) into what the reader is told. */
  constructor(path: string, explain: (error: NodeJS.ErrnoException | null) => Error) {
    this.#socket = connect(path);
    this.#socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#serve();
    });
    this.#socket.on('error', (error) => this.end(explain(error)));
    this.#socket.on('close', () => this.end(explain(null)));
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next `bytes` bytes, however many pieces they come in. Rejects with the error given to `end`. */
  read(bytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#wanted = { bytes, resolve, reject };
      this.#serve();
    });
  }

  /** Closes at once; what was not read yet rejects with `error`. Only the first error counts. */
  end(error: Error): void {
    this.#ended ??= error;
    this.#socket.destroy();
    this.#serve();
  }

  #serve(): void {
    const wanted = this.#wanted;
    if (!wanted) return;
    // Pieces are joined only when enough of them are there: joining at each arrival would copy a picture many times.
    if (this.#length >= wanted.bytes) {
      const all = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
      this.#chunks = [all.subarray(wanted.bytes)];
      this.#length -= wanted.bytes;
      this.#wanted = null;
      wanted.resolve(all.subarray(0, wanted.bytes));
    } else if (this.#ended) {
      this.#wanted = null;
      wanted.reject(this.#ended);
    }
  }
}
