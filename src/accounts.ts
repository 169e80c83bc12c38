import { Complaint } from './errors.ts';
import type { Accounts } from './facts.ts';
import type { Host } from './host.ts';
import { inLayers, makeAbove, makeMountPoint, removeEmpty } from './layers.ts';
import { firstId } from './names.ts';

/** Lines to be added to a root's passwd, shadow and group files: passwd(5), shadow(5), group(5). */
export interface AccountsToAdd {
  users: { name: string; uid: number; gid: number; home: string; shell: string }[];
  groups: { name: string; gid: number }[];
  members: { group: string; user: string }[];
}

/** The text of passwd and group files as values; lines that are no entries (NIS, comments) are left out. */
export function parseAccounts(passwd: string, group: string): Accounts {
  const rows = (text: string, fields: number) => text.split('\n').map((line) => line.split(':')).filter((row) => row.length >= fields && /^\d+$/.test(row[2]!));
  return {
    users: rows(passwd, 7).map(([name, , uid, gid, , home, shell]) => ({ name: name!, uid: Number(uid), gid: Number(gid), home: home!, ...(shell && { shell }) })),
    groups: rows(group, 4).map(([name, , gid, members]) => ({ name: name!, gid: Number(gid), members: members!.split(',').filter(Boolean) })),
  };
}

/**
 * What a root lacks for `user` to exist and to be in groups with the numeric ids `gids`. Numeric, as a device node's
 * group is an id to the kernel, and the same id has another name, or none, in another distribution.
 */
export function accountsFor(accounts: Accounts, user: { name: string; uid?: number | undefined }, gids: number[], nameOf: (gid: number) => string): AccountsToAdd {
  const add: AccountsToAdd = { users: [], groups: [], members: [] };
  const known = accounts.users.find(({ name }) => name === user.name);
  if (!known) {
    const uid = user.uid ?? firstFree(accounts);
    add.users.push({ name: user.name, uid, gid: uid, home: `/home/${user.name}`, shell: '/bin/sh' });
    if (!accounts.groups.some(({ gid }) => gid === uid)) add.groups.push({ name: freeName(user.name, accounts, add), gid: uid });
  }
  for (const gid of new Set(gids)) {
    const group = accounts.groups.find((candidate) => candidate.gid === gid);
    if (group?.members.includes(user.name)) continue;
    const name = group?.name ?? freeName(nameOf(gid), accounts, add);
    if (!group) add.groups.push({ name, gid });
    add.members.push({ group: name, user: user.name });
  }
  return add;
}

export const isNothing = ({ users, groups, members }: AccountsToAdd): boolean => users.length + groups.length + members.length === 0;

/** 1000 and up: what useradd(8) gives to people (UID_MIN in login.defs). */
function firstFree({ users, groups }: Accounts): number {
  let id = 1000;
  while (users.some(({ uid }) => uid === id) || groups.some(({ gid }) => gid === id)) id++;
  return id;
}

function freeName(wanted: string, accounts: Accounts, { groups }: AccountsToAdd): string {
  const taken = (name: string) => [...accounts.groups, ...groups].some((group) => group.name === name);
  let name = wanted;
  for (let n = 0; taken(name); n++) name = `host-${wanted}${n || ''}`;
  return name;
}

/** The files as they should be; `shadow` is null where the root has none. */
export function withAccounts(files: { passwd: string; group: string; shadow: string | null }, add: AccountsToAdd): typeof files {
  // A file whose last line is not ended stays so: else it would not be the same again when the lines are taken out.
  const lines = (text: string, more: string[]) => (more.length === 0 ? text : text === '' || text.endsWith('\n') ? `${text}${more.join('\n')}\n` : `${text}\n${more.join('\n')}`);
  const group = lines(files.group, add.groups.map(({ name, gid }) => `${name}:x:${gid}:`)).split('\n').map((line) => {
    const joining = add.members.filter((member) => line.startsWith(`${member.group}:`)).map(({ user }) => user);
    const [name, password, gid, members = ''] = line.split(':');
    return joining.length === 0 ? line : [name, password, gid, [...new Set([...members.split(',').filter(Boolean), ...joining])].join(',')].join(':');
  });
  return {
    passwd: lines(files.passwd, add.users.map(({ name, uid, gid, home, shell }) => `${name}:x:${uid}:${gid}::${home}:${shell}`)),
    group: group.join('\n'),
    shadow: files.shadow === null ? null : lines(files.shadow, add.users.map(({ name }) => `${name}:!:19000::::::`)), // no password fits '!'
  };
}

/** The files without what withAccounts() added, as far as it is still as it was added. */
export function withoutAccounts(files: { passwd: string; group: string; shadow: string | null }, add: AccountsToAdd): typeof files {
  const group = files.group.split('\n').map((line) => {
    const leaving = add.members.filter((member) => line.startsWith(`${member.group}:`)).map(({ user }) => user);
    const [name, password, gid, members = ''] = line.split(':');
    return leaving.length === 0 ? line : [name, password, gid, members.split(',').filter((member) => member && !leaving.includes(member)).join(',')].join(':');
  });
  const without = (text: string, lines: string[]) => text.split('\n').filter((line) => !lines.includes(line)).join('\n');
  return {
    passwd: without(files.passwd, add.users.map(({ name, uid, gid, home, shell }) => `${name}:x:${uid}:${gid}::${home}:${shell}`)),
    group: without(group.join('\n'), add.groups.map(({ name, gid }) => `${name}:x:${gid}:`)),
    shadow: files.shadow === null ? null : without(files.shadow, add.users.map(({ name }) => `${name}:!:19000::::::`)),
  };
}

const names = ['passwd', 'group', 'shadow'] as const;

/** The files, and the layers that have them, or a Complaint where following them would lead out of the root. */
export async function readAccountFiles(host: Host, layers: string[]): Promise<{ found: (string | null)[]; texts: { passwd: string; group: string; shadow: string | null } }> {
  const found = await Promise.all(names.map((name) => inLayers(host, layers, `/etc/${name}`)));
  // A link could lead to the host's own files, which would then be read into the machine.
  for (const [i, layer] of found.entries())
    if (layer && (await host.within(layer).kind(`/etc/${names[i]!}`)) !== 'file') throw new Complaint(`/etc/${names[i]!} in the machine's root is not a file: no account is added to it`, 'make it a file, or leave `user` out');
  const [passwd, group, shadow] = await Promise.all(found.map((layer, i) => (layer ? host.within(layer).read(`/etc/${names[i]!}`) : null)));
  return { found, texts: { passwd: passwd ?? '', group: group ?? '', shadow: shadow ?? null } };
}

async function change(host: Host, layers: string[], edit: typeof withAccounts, add: AccountsToAdd): Promise<void> {
  const { found, texts: before } = await readAccountFiles(host, layers);
  const after = edit(before, add);
  for (const [i, name] of names.entries()) {
    const text = after[name];
    if (text === null || text === before[name]) continue;
    const path = `/etc/${name}`;
    const stat = found[i] ? await host.within(found[i]).stat(path) : null;
    await makeAbove(host, layers, path);
    await host.within(layers[0]!).write(path, text, stat ? stat.mode & 0o777 : name === 'shadow' ? 0o640 : 0o644, { uid: stat?.uid ?? 0, gid: stat?.gid ?? 0 });
  }
}

/** Adds the lines to the uppermost layer's files, and makes each new user's home. */
export async function addAccounts(host: Host, layers: string[], add: AccountsToAdd): Promise<void> {
  await change(host, layers, withAccounts, add);
  const first = firstId((await host.stat(layers[0]!))?.uid ?? 0); // users = "shift" has changed the owners on the disk
  for (const { uid, gid, home } of add.users)
    if ((await inLayers(host, layers, home)) === null) {
      await makeMountPoint(host, layers, home, 'directory');
      await host.within(layers[0]!).own(home, 0o750, { uid: first + uid, gid: first + gid });
    }
}

/** Takes the lines out again; a home that holds anything stays. */
export async function removeAccounts(host: Host, layers: string[], add: AccountsToAdd): Promise<void> {
  if ((await host.kind(layers[0]!)) === null) return;
  try {
    await change(host, layers, withoutAccounts, add);
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    // The machine has put links in the place of its files: what was added is not there any more.
  }
  for (const { home } of add.users) await removeEmpty(host, layers[0]!, home);
}
