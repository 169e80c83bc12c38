import { readFileSync, statSync, watch } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path/posix';
import { Complaint } from '../errors.ts';

/** Waiting for a program of the host to be of use. */

/** Waits for a socket that takes connections, or a file with something in it. */
export async function until(path: string, log: string, name: string, status: () => number | null, over: Promise<void> = new Promise(() => {})): Promise<void> {
  const isReady = async () => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat !== undefined && (stat.isSocket() ? await takesConnections(path) : stat.size > 0);
  };
  const changed = new Changes(dirname(path));
  const limit = Date.now() + 20_000;
  try {
    while (!(await isReady())) {
      if (status() !== null) throw new Complaint(`'${name}' ended with exit status ${status()} before it was ready`, lastWords(log));
      if (Date.now() > limit) throw new Complaint(`'${name}' is not ready after 20 seconds`, lastWords(log));
      await Promise.race([changed.next(), over]);
    }
  } finally {
    changed.close();
  }
}

/** Changes of a folder, as the kernel tells them; once a second without one, as a bound. */
class Changes {
  private seen = false;
  private wake: () => void = () => {};
  private readonly watcher;
  constructor(folder: string) {
    this.watcher = watch(folder, () => {
      this.seen = true;
      this.wake();
    });
  }
  async next(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    if (!this.seen)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        timer = setTimeout(resolve, 1000);
      });
    clearTimeout(timer);
    this.seen = false;
  }
  close(): void {
    this.watcher.close();
  }
}

export const takesConnections = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

function lastWords(log: string): string {
  try {
    return readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n');
  } catch {
    return '';
  }
}
