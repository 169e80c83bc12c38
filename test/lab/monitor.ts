import type { Socket } from 'node:net';

/** QEMU's own line: QMP, the QEMU Machine Protocol (docs/interop/qmp-spec.txt and qemu-qmp-ref(7)). One JSON text a line. */
export interface Monitor {
  /** Runs a command; rejects with QEMU's words where it refuses. */
  command(name: string, words?: object): Promise<unknown>;
  /** The next event of this name whose data has all of this. */
  event(name: string, data?: Record<string, unknown>): Promise<void>;
}

interface Message {
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: Record<string, unknown>;
}

export async function monitor(socket: Socket): Promise<Monitor> {
  const answers: { resolve(value: unknown): void; reject(error: Error): void }[] = [];
  const awaited = new Set<(message: Message) => void>();
  let rest = '';
  socket.on('error', () => {}).setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines.filter((one) => one.trim() !== '')) {
      const message = JSON.parse(line) as Message;
      if (message.event) for (const look of awaited) look(message);
      else if (message.error) answers.shift()?.reject(new Error(`QEMU: ${message.error.desc}`));
      else if ('return' in message) answers.shift()?.resolve(message.return);
    }
  }).on('close', () => { for (const { reject } of answers.splice(0)) reject(new Error('QEMU has ended')); });
  const qmp: Monitor = {
    command: (name, words = {}) => new Promise((resolve, reject) => {
      answers.push({ resolve, reject });
      socket.write(`${JSON.stringify({ execute: name, arguments: words })}\n`);
    }),
    event: (name, data = {}) => new Promise((resolve) => {
      const look = (message: Message) => {
        if (message.event !== name || Object.entries(data).some(([key, value]) => message.data?.[key] !== value)) return;
        awaited.delete(look);
        resolve();
      };
      awaited.add(look);
    }),
  };
  await qmp.command('qmp_capabilities');
  return qmp;
}

/** QKeyCode of each key that is named otherwise by people; qemu-qmp-ref(7). */
const names: Record<string, string> = {
  enter: 'ret', escape: 'esc', space: 'spc', super: 'meta_l', '\n': 'ret', '\t': 'tab', ' ': 'spc', '-': 'minus', '=': 'equal', '/': 'slash', '\\': 'backslash',
  '.': 'dot', ',': 'comma', ';': 'semicolon', "'": 'apostrophe', '`': 'grave_accent', '[': 'bracket_left', ']': 'bracket_right',
};
/** On an American keyboard. */
const shifted: Record<string, string> = {
  _: '-', '+': '=', '?': '/', '>': '.', '<': ',', ':': ';', '"': "'", '|': '\\', '~': '`', '{': '[', '}': ']',
  '!': '1', '@': '2', '#': '3', $: '4', '%': '5', '^': '6', '&': '7', '*': '8', '(': '9', ')': '0',
};

const qcode = (key: string) => ({ type: 'qcode', data: names[key] ?? key });

/** "ctrl-alt-f2" as the keys of send-key. */
export const keysOf = (chord: string): object[] => chord.split('-').map((key) => qcode(key.toLowerCase()));

/** One character as the keys that make it. */
export function keysOfCharacter(character: string): object[] {
  const plain = shifted[character] ?? character.toLowerCase();
  return plain === character ? [qcode(plain)] : [qcode('shift'), qcode(plain)];
}
