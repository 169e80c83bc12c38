import { createConnection } from 'node:net';

/** QEMU's own line: QMP, the QEMU Machine Protocol (docs/interop/qmp-spec.txt and qemu-qmp-ref(7)). One JSON text a line. */
export interface Monitor {
  /** Runs a command; rejects with QEMU's words where it refuses. */
  command(name: string, words?: object): Promise<unknown>;
  /** The next event of this name. */
  event(name: string): Promise<unknown>;
}

interface Message {
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: unknown;
}

export async function monitor(path: string): Promise<Monitor> {
  const socket = createConnection(path);
  await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
  const answers: { resolve(value: unknown): void; reject(error: Error): void }[] = [];
  const awaited: { name: string; resolve(value: unknown): void }[] = [];
  let rest = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines.filter((one) => one.trim() !== '')) {
      const message = JSON.parse(line) as Message;
      if (message.event) for (const { resolve } of awaited.filter(({ name }) => name === message.event).splice(0)) resolve(message.data);
      else if (message.error) answers.shift()?.reject(new Error(`QEMU: ${message.error.desc}`));
      else if ('return' in message) answers.shift()?.resolve(message.return);
    }
  }).on('close', () => { for (const { reject } of answers.splice(0)) reject(new Error('QEMU has ended')); });
  const qmp: Monitor = {
    command: (name, words = {}) => new Promise((resolve, reject) => {
      answers.push({ resolve, reject });
      socket.write(`${JSON.stringify({ execute: name, arguments: words })}\n`);
    }),
    event: (name) => new Promise((resolve) => { awaited.push({ name, resolve }); }),
  };
  await qmp.command('qmp_capabilities');
  return qmp;
}

/** QKeyCode of each key that is named otherwise by people; qemu-qmp-ref(7). */
const names: Record<string, string> = { enter: 'ret', escape: 'esc', space: 'spc', delete: 'delete', super: 'meta_l', '-': 'minus', '=': 'equal', ' ': 'spc', '\n': 'ret', '/': 'slash', '.': 'dot', ',': 'comma', ';': 'semicolon', "'": 'apostrophe', '\t': 'tab' };
/** On an American keyboard. */
const shifted: Record<string, string> = { _: '-', '+': '=', '?': '/', '>': '.', '<': ',', ':': ';', '"': "'", '!': '1', '@': '2', '#': '3', $: '4', '%': '5', '^': '6', '&': '7', '*': '8', '(': '9', ')': '0' };

const qcode = (key: string) => ({ type: 'qcode', data: names[key] ?? key });

/** "ctrl-alt-f2" as the keys of send-key. */
export const keysOf = (chord: string): object[] => chord.split('-').map((key) => qcode(key.toLowerCase()));

/** One character as the keys that make it. */
export function keysOfCharacter(character: string): object[] {
  const plain = shifted[character] ?? character.toLowerCase();
  return plain === character ? [qcode(plain)] : [qcode('shift'), qcode(plain)];
}
