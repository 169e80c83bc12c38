import { constants } from 'node:fs';
import { closeSync, fstatSync, readFileSync } from 'node:fs';
import { open, readFile, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { socketOf } from '../displays.ts';
import { Complaint } from '../errors.ts';
import type { X11 } from '../host.ts';
import { changeHosts, chooseCookie, connectX, FamilyWild, generateAuthorization, listHosts, localUser, MagicCookie, queryExtension, readXauthority, revokeAuthorization, writeXauthority, type XConnection } from '../x11.ts';
import { files } from './files.ts';
import { openHeld } from './held.ts';

/** From the kernel itself (random(4)): node:crypto, which asks there too, takes 5 ms to load. */
async function random(bytes: number): Promise<Uint8Array> {
  const file = await open('/dev/urandom');
  try {
    return (await file.read(Buffer.alloc(bytes), 0, bytes)).buffer;
  } finally {
    await file.close();
  }
}

/** A key for one display, valid whatever the host is called inside: family "wild". */
const keyFile = (number: number, key: Uint8Array) => writeXauthority([{ family: FamilyWild, address: new Uint8Array(), number: `${number}`, name: MagicCookie, data: key }]);

async function personsKey(number: number, authority: string | null): Promise<Buffer | null> {
  if (!authority) return null;
  // Not by way of a link: the file is in somebody else's home, and we are root.
  const file = openHeld(authority, constants.O_RDONLY);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > 2 ** 20) throw new Complaint(`${authority} is no file with keys of displays`);
    return chooseCookie(readXauthority(readFileSync(file)), hostname(), number);
  } finally {
    closeSync(file);
  }
}

async function withDisplay<T>({ socket, number, authority }: { socket: string; number: number; authority: string | null }, use: (x: XConnection) => Promise<T>): Promise<T> {
  const x = await connectX({ socket, key: await personsKey(number, authority) });
  try {
    return await use(x);
  } finally {
    x.close();
  }
}

/** Why the display on this host does not let in whoever has that file with keys; null: it does. Nothing is asked of it but that. */
export async function whyClosed(number: number, authority: string | null): Promise<string | null> {
  try {
    (await connectX({ socket: socketOf(number), key: await personsKey(number, authority) })).close();
    return null;
  } catch (error) {
    return error instanceof Complaint ? error.message : `${authority} cannot be read`;
  }
}

/** How long the server keeps a key that nobody uses: it outlives a crash of nestbox by this, and bounds it. A day. */
const timeoutSeconds = 24 * 60 * 60;

export const displays: X11 = {
  async newKey({ number, server, client }) {
    const key = keyFile(number, await random(16));
    for (const { path, owner } of [server, client]) await files.write(path, key, 0o600, owner);
  },

  async copyKey({ number, authority, path, owner }) {
    const key = await personsKey(number, authority);
    await files.write(path, key ? keyFile(number, key) : '', 0o600, owner);
  },

  authorize: (step) => withDisplay(step, async (x) => {
    const { number, authority, trusted, path, as, owner } = step;
    if ((await queryExtension(x, 'SECURITY')).present) {
      const { id, key } = await generateAuthorization(x, { trusted, timeoutSeconds });
      try {
        await files.write(`${path}.id`, `${id}`, 0o600);
        await files.write(path, keyFile(as, key), 0o600, owner);
      } catch (error) {
        await revokeAuthorization(x, id);
        throw error;
      }
      return;
    }
    if (!trusted) throw new Complaint(`display :${number} makes no untrusted keys (it has no SECURITY extension; Xwayland never has)`, 'use display = "nested"');
    const key = await personsKey(number, authority);
    return files.write(path, key ? keyFile(as, key) : '', 0o600, owner);
  }),

  async deauthorize(step) {
    const id = await files.read(`${step.path}.id`);
    // A server that has ended has forgotten its keys; one that has been restarted does not know this one.
    if (id !== null) await withDisplay(step, (x) => revokeAuthorization(x, Number(id))).catch(() => {});
    for (const path of [`${step.path}.id`, step.path]) await unlink(path).catch(() => {});
  },

  isAdmitted: (step) => withDisplay(step, async (x) => {
    const wanted = localUser(step.user);
    return (await listHosts(x)).hosts.some(({ family, address }) => family === wanted.family && Buffer.from(address).equals(Buffer.from(wanted.address)));
  }),

  admit: (step, admitted) => withDisplay(step, (x) => changeHosts(x, admitted ? 'insert' : 'delete', localUser(step.user))).catch((error: unknown) => {
    if (admitted) throw error; // else: a server that has ended admits nobody
  }),
};

/** A connection to the display of a running machine, with the key that nestbox made for it. */
export async function openDisplay(socket: string, number: number, keyPath: string): Promise<XConnection> {
  return connectX({ socket, key: chooseCookie(readXauthority(await readFile(keyPath)), hostname(), number) });
}
