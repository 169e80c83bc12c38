import { Complaint } from './errors.ts';
import { type AccountsToAdd, addAccounts, readAccountFiles, removeAccounts } from './accounts.ts';
import { hidePrivate, inLayers, makeMountPoint, makePlaces, missingIn, missingPlaces, removeEmpty } from './layers.ts';
import { makeLink, removeLink } from './links.ts';
import { firstId } from './names.ts';
import type { Host } from './host.ts';
import type { Journal } from './journal.ts';
import { pasteable } from './words.ts';

/** Ids of the host. */
export interface Owner {
  uid: number;
  gid: number;
}

/** Where a process of a machine is put. */
export type Place =
  /** Control groups of nestbox's own; `folders` is one for each controller. */
  | { kind: 'cgroup'; folders: string[] }
  /** A unit of systemd, with settings as in `systemctl set-property`. */
  | { kind: 'unit'; name: string; properties: string[] };

/** One thing done to the host. Plain data: it can be printed, compared and journalled. */
export type Step =
  | { kind: 'mkdir'; path: string; mode: number; owner?: Owner }
  /** A folder that is removed with all that has come into it. */
  | { kind: 'workspace'; path: string }
  | { kind: 'write'; path: string; text: string; mode: number; owner?: Owner }
  | { kind: 'symlink'; path: string; to: string }
  | { kind: 'fifo'; path: string }
  | { kind: 'copy'; from: string; path: string; mode: number; owner: Owner }
  | { kind: 'rename'; from: string; to: string }
  | { kind: 'remove'; path: string }
  | { kind: 'remove-tree'; path: string }
  /** A key of its own for X display `number`, one file for the server and one for those inside. */
  | { kind: 'cookie'; number: number; server: { path: string; owner: Owner }; client: { path: string; owner: Owner } }
  /** A key that a running X server makes for this machine (SECURITY extension), or a copy of the person's where it has none. */
  | { kind: 'authorize'; socket: string; number: number; authority: string | null; trusted: boolean; path: string; owner: Owner }
  | { kind: 'deauthorize'; socket: string; number: number; authority: string | null; path: string }
  | { kind: 'admit'; socket: string; number: number; authority: string | null; user: string }
  | { kind: 'dismiss'; socket: string; number: number; authority: string | null; user: string }
  /** A copy of the key of the X display that the person sits at, for a program that runs under another id. */
  | { kind: 'copy-cookie'; number: number; authority: string | null; path: string; owner: Owner }
  /** `upper` and `work` are names of folders in `top`; ids of the layers are shown from `shift` on, 0: as they are. */
  | { kind: 'overlay'; at: string; top: string; upper: string; work: string; lower: string; shift: number }
  /** Whiteouts in an overlay's upper folder for each file below `below` that not everybody on the host may read. */
  | { kind: 'hide-private'; below: string; upper: string }
  | { kind: 'bind'; from: string; at: string; owner: Owner; shownAs: Owner; write: boolean }
  | { kind: 'tmpfs'; at: string; mode: number; bytes: number; owner: Owner; devices: boolean }
  | { kind: 'unmount'; at: string }
  | { kind: 'node'; path: string; type: 'c' | 'b'; major: number; minor: number; mode: number; owner: Owner }
  /** Makes the folders, then writes each setting and reads it back where `check` says what must be there. */
  | { kind: 'cgroup'; folders: string[]; settings: { file: string; value: string }[]; check?: { file: string; lines: string[] } }
  | { kind: 'cgroup-end'; folders: string[] }
  | { kind: 'accounts'; layers: string[]; add: AccountsToAdd }
  | { kind: 'accounts-end'; layers: string[]; add: AccountsToAdd }
  /** The folders that every root has, and the links into /usr. */
  | { kind: 'places'; layers: string[] }
  /** A file or folder that a bind covers, in the uppermost layer, with the folders above it as the lower layers have them. */
  | { kind: 'mount-point'; layers: string[]; path: string; type: 'file' | 'directory' }
  /** What one of these two has made, if nothing has come into it; the root was in a stranger's hands meanwhile. */
  | { kind: 'remove-empty'; layer: string; path: string }
  /** A long-running program that fills `target`; it cannot outlive nestbox, nor leave a mount. Where `seen` is given it finds the target there. */
  | { kind: 'build'; target: string; seen?: string; argv: string[]; what: string }
  /** `of`: the machine that it belongs to, which must not run meanwhile. */
  | { kind: 'copy-tree'; from: string; to: string; of: string }
  /** All that was written to the file system of `path` is on the disk. */
  | { kind: 'sync'; path: string }
  /** All files of a directory in place of the person's get ids from `shift` on, by nspawn. `scratch` is a folder made for the time of it. */
  | { kind: 'owners'; directory: string; shift: number; scratch: string }
  | { kind: 'link'; name: string; peer: string; address: string; bridge: string | null; nat: { table: string; network: string } | null }
  | { kind: 'link-end'; name: string; nat: string | null }
  | { kind: 'service'; name: string; argv: string[]; environment: Record<string, string>; user: Owner; ready: string; log: string; place: Place; leaves: string[]; grace: boolean; output: { path: string; owner: Owner } | null }
  /** `grace`: it is asked to end first, and killed only when it does not. */
  | { kind: 'stop'; place: Place; grace: boolean }
  /** A file of a program that was killed, or an empty folder: left where it is when a living process holds it. */
  | { kind: 'leftover'; path: string }
  | { kind: 'container'; name: string; argv: string[]; environment: Record<string, string>; place: Place; inside: InsideNetwork | null; leftovers: string[] };

/** What is set up in the network namespace of a container once it exists; the program inside waits at `gate` until then. */
export interface InsideNetwork {
  peer: string;
  address: string;
  gateway: string | null;
  gate: string;
}

/** What a step says of itself, whether it is done, its way back, and the doing. */
interface Kind<S extends Step> {
  describe(step: S): string;
  /** If so it is skipped, and the way back leaves it alone: it was there before nestbox. */
  done(step: S, host: Host): Promise<boolean>;
  /** Asked for, and journalled, before do(). */
  inverse(step: S, host: Host): Promise<Step[]>;
  do(step: S, host: Host): Promise<void>;
}

const never = async () => false;
const nothing = async (): Promise<Step[]> => [];
const absent = async ({ path }: { path: string }, host: Host) => (await host.kind(path)) === null;
const removed = async ({ path }: { path: string }): Promise<Step[]> => [{ kind: 'remove', path }];
const octal = (mode: number) => mode.toString(8).padStart(4, '0');

const kinds: { [K in Step['kind']]: Kind<Extract<Step, { kind: K }>> } = {
  mkdir: {
    describe: ({ path, mode }) => `create ${path}/ (mode ${octal(mode)})`,
    done: async ({ path }, host) => (await host.kind(path)) === 'directory',
    inverse: removed,
    do: ({ path, mode, owner }, host) => host.mkdir(path, mode, owner),
  },
  workspace: {
    describe: ({ path }) => `create ${path}/ (mode 0700)`,
    done: never,
    inverse: async ({ path }) => [{ kind: 'remove-tree', path }],
    do: ({ path }, host) => host.mkdir(path, 0o700),
  },
  write: {
    describe: ({ path, text, mode }) => `write ${path} (${text.length} characters, mode ${octal(mode)})`,
    done: async ({ path, text }, host) => (await host.read(path)) === text,
    inverse: async ({ path, mode, owner }, host) => {
      const before = await host.read(path);
      return [before === null ? { kind: 'remove', path } : { kind: 'write', path, text: before, mode, ...(owner && { owner }) }];
    },
    do: ({ path, text, mode, owner }, host) => host.write(path, text, mode, owner),
  },
  symlink: {
    describe: ({ path, to }) => `link ${path} to ${to}`,
    done: never,
    inverse: removed,
    do: ({ path, to }, host) => host.symlink(to, path),
  },
  fifo: {
    describe: ({ path }) => `make a pipe at ${path}`,
    done: never,
    inverse: removed,
    do: ({ path }, host) => must(host, ['mkfifo', '-m', '0644', path]),
  },
  copy: {
    describe: ({ from, path, mode }) => `copy ${from} to ${path} (mode ${octal(mode)})`,
    done: never,
    inverse: removed,
    do: ({ from, path, mode, owner }, host) => host.copy(from, path, mode, owner),
  },
  rename: {
    describe: ({ from, to }) => `rename ${from} to ${to}`,
    done: async ({ to }, host) => (await host.kind(to)) !== null, // another build of the same was faster: it serves as well
    inverse: nothing,
    do: async ({ from, to }, host) => {
      try {
        await host.rename(from, to);
      } catch (error) {
        if ((await host.kind(to)) === null) throw error; // else it became so after done() had looked
      }
    },
  },
  remove: {
    describe: ({ path }) => `remove ${path}`,
    done: absent,
    inverse: nothing,
    do: ({ path }, host) => host.remove(path),
  },
  'remove-tree': {
    describe: ({ path }) => `remove ${path}/ and all below it`,
    done: absent,
    inverse: nothing,
    do: ({ path }, host) => host.removeTree(path),
  },
  cookie: {
    describe: ({ number, client }) => `write ${client.path} (a new key for display :${number})`,
    done: never,
    inverse: async ({ server, client }) => [{ kind: 'remove', path: server.path }, { kind: 'remove', path: client.path }],
    do: (step, host) => host.x11.newKey(step),
  },
  authorize: {
    describe: ({ number, path, trusted }) => `write ${path} (a key that display :${number} makes for ${trusted ? 'this machine' : 'an untrusted program'})`,
    done: never,
    inverse: async ({ socket, number, authority, path }) => [{ kind: 'deauthorize', socket, number, authority, path }],
    do: (step, host) => host.x11.authorize(step),
  },
  deauthorize: {
    describe: ({ number, path }) => `withdraw the key in ${path} from display :${number}`,
    done: never, // a crash may have come between the number of the key, written first, and the key
    inverse: nothing,
    do: (step, host) => host.x11.deauthorize(step),
  },
  admit: {
    describe: ({ number, user }) => `let user ${user} connect to display :${number} without a key`,
    done: (step, host) => host.x11.isAdmitted(step),
    inverse: async ({ kind: _, ...step }) => [{ kind: 'dismiss', ...step }],
    do: (step, host) => host.x11.admit(step, true),
  },
  dismiss: {
    describe: ({ number, user }) => `no longer let user ${user} connect to display :${number}`,
    done: never,
    inverse: nothing,
    do: (step, host) => host.x11.admit(step, false),
  },
  'copy-cookie': {
    describe: ({ number, path }) => `write ${path} (a copy of the key for display :${number})`,
    done: never,
    inverse: removed,
    do: (step, host) => host.x11.copyKey(step),
  },
  overlay: {
    describe: ({ at, top, upper, lower, shift }) => `mount ${lower} on ${at}, changes kept in ${top}/${upper}${shift ? `, ids from ${shift}` : ''}`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: ({ at, top, upper, work, lower, shift }, host) => must(host, ['nestbox-native', 'overlay', at, top, upper, work, lower, ...(shift ? [`${shift}`] : [])]),
  },
  'hide-private': {
    describe: ({ below }) => `hide what not everybody may read below ${below}`,
    done: async ({ below }, host) => (await host.kind(below)) === null,
    inverse: nothing, // they are in the overlay's own folder, which is removed as a whole
    do: ({ below, upper }, host) => hidePrivate(host, below, upper),
  },
  bind: {
    describe: ({ from, at, write, owner, shownAs }) => `mount ${from} on ${at}${write ? '' : ', read-only'}, its owner ${owner.uid}:${owner.gid} as ${shownAs.uid}:${shownAs.gid}`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: ({ from, at, owner, shownAs, write }, host) =>
      must(host, ['nestbox-native', 'bind', from, at, `${owner.uid} ${shownAs.uid} 1`, `${owner.gid} ${shownAs.gid} 1`, ...(write ? [] : ['read-only'])]),
  },
  tmpfs: {
    describe: ({ at, bytes }) => `mount a tmpfs on ${at} (${bytes} bytes)`,
    done: ({ at }, host) => host.isMounted(at),
    inverse: async ({ at }) => [{ kind: 'unmount', at }],
    do: ({ at, mode, bytes, owner, devices }, host) =>
      must(host, ['mount', '-t', 'tmpfs', '-o', `mode=${mode.toString(8)},size=${bytes},uid=${owner.uid},gid=${owner.gid},nosuid,${devices ? 'noexec' : 'nodev'}`, 'nestbox', at]),
  },
  unmount: {
    describe: ({ at }) => `unmount ${at}`,
    done: async ({ at }, host) => !(await host.isMounted(at)),
    inverse: nothing,
    do: ({ at }, host) => must(host, ['umount', at]),
  },
  node: {
    describe: ({ path, type, major, minor, mode, owner }) => `make device node ${path} (${type} ${major}:${minor}, mode ${octal(mode)}, owner ${owner.uid}:${owner.gid})`,
    done: never,
    inverse: removed,
    do: async ({ path, type, major, minor, mode, owner }, host) => {
      await must(host, ['mknod', '-m', '0600', path, type, `${major}`, `${minor}`]);
      await host.own(path, mode, owner);
    },
  },
  cgroup: {
    describe: ({ folders, settings }) =>
      [`make control group${folders.length === 1 ? '' : 's'} ${folders.join(' ')}`, ...settings.map(({ file, value }) => `  ${value} > ${file}`)].join('\n'),
    done: never,
    inverse: async ({ folders }) => [{ kind: 'cgroup-end', folders }],
    do: (step, host) => makeGroup(step, host),
  },
  'cgroup-end': {
    describe: ({ folders }) => `end all that runs in ${folders.join(' ')}, and remove it`,
    done: never,
    inverse: nothing,
    do: ({ folders }, host) => host.endGroup(folders),
  },
  accounts: {
    describe: ({ layers, add }) =>
      [...add.users.map((user) => `add user ${user.name} (${user.uid}:${user.gid}, home ${user.home})`), ...add.groups.map((group) => `add group ${group.name} (${group.gid})`),
        ...add.members.map(({ group, user }) => `add ${user} to group ${group}`)].join(', ').concat(` in ${layers[0]}`),
    done: never,
    // A layer of its own is removed as a whole; the person's directory is not.
    inverse: async ({ layers, add }, host) => {
      await readAccountFiles(host, layers); // what it complains about is no reason to come back
      return layers.length > 1 ? [] : [{ kind: 'accounts-end', layers, add }];
    },
    do: ({ layers, add }, host) => addAccounts(host, layers, add),
  },
  'accounts-end': {
    describe: ({ layers }) => `take the accounts that nestbox added out of ${layers[0]}`,
    done: never,
    inverse: nothing,
    do: ({ layers, add }, host) => removeAccounts(host, layers, add),
  },
  places: {
    describe: ({ layers }) => `make sure that ${layers[0]} has the folders that every root has`,
    done: async ({ layers }, host) => (await missingPlaces(host, layers)).length === 0,
    inverse: async ({ layers }, host) => (await missingPlaces(host, layers)).map((path) => ({ kind: 'remove-empty' as const, layer: layers[0]!, path })),
    do: ({ layers }, host) => makePlaces(host, layers),
  },
  'mount-point': {
    describe: ({ layers, path }) => `make sure that ${path} exists in ${layers[0]}`,
    done: async ({ layers, path }, host) => (await inLayers(host, layers, path)) !== null,
    inverse: async ({ layers, path }, host) => (await missingIn(host, layers, path)).map((missing) => ({ kind: 'remove-empty' as const, layer: layers[0]!, path: missing })),
    do: ({ layers, path, type }, host) => makeMountPoint(host, layers, path, type),
  },
  'remove-empty': {
    describe: ({ layer, path }) => `remove ${layer}${path} if it is empty`,
    done: never,
    inverse: nothing,
    do: ({ layer, path }, host) => removeEmpty(host, layer, path),
  },
  build: {
    describe: ({ what, argv }) => `${what}\n  ${pasteable(argv)}`,
    done: never,
    inverse: nothing, // `target` is removed as a whole by whoever made it
    do: (step, host) => host.build(step),
  },
  'copy-tree': {
    describe: ({ from, to }) => `copy ${from}/ to ${to}/`,
    done: never,
    inverse: nothing, // as with build
    do: (step, host) => host.copyTree(step),
  },
  sync: {
    describe: ({ path }) => `write all of ${path}/ to the disk`,
    done: never,
    inverse: nothing,
    do: ({ path }, host) => must(host, ['sync', '--file-system', path]),
  },
  owners: {
    describe: ({ directory, shift }) => (shift === 0 ? `give the files of ${directory}/ back their owners` : `give all files of ${directory}/ other owners: ids from ${shift}`),
    done: async ({ directory, shift }, host) => {
      const stat = await host.stat(directory);
      return stat === null || firstId(stat.uid) === shift;
    },
    inverse: async (step, host) => [{ ...step, shift: firstId((await host.stat(step.directory))!.uid) }],
    do: (step, host) => host.changeOwners(step),
  },
  link: {
    describe: ({ name, peer, address, bridge, nat }) =>
      `make the network link ${name} (${bridge ? `on bridge ${bridge}` : address}) to ${peer}${nat ? `, ${nat.network} goes out under this host's address` : ''}`,
    done: never,
    inverse: async ({ name, nat }) => [{ kind: 'link-end', name, nat: nat?.table ?? null }],
    do: (step, host) => makeLink(host, step),
  },
  'link-end': {
    describe: ({ name }) => `remove the network link ${name}`,
    done: never,
    inverse: nothing,
    do: ({ name, nat }, host) => removeLink(host, name, nat),
  },
  service: {
    describe: ({ argv, user, environment, output }) =>
      `start, as ${user.uid}:${user.gid}: ${pasteable([...Object.entries(environment).map(([name, value]) => `${name}=${value}`), ...argv])}${output ? ` > ${output.path}` : ''}`,
    done: never,
    inverse: async ({ place, grace, leaves }) => [{ kind: 'stop', place, grace }, ...leaves.map((path) => ({ kind: 'leftover' as const, path }))],
    do: (step, host) => host.serve(step),
  },
  stop: {
    describe: ({ place }) => `stop ${place.kind === 'unit' ? place.name : `all that runs in ${place.folders.join(' ')}`}`,
    done: never,
    inverse: nothing,
    do: ({ place, grace }, host) => host.stop(place, grace),
  },
  leftover: {
    describe: ({ path }) => `remove ${path} unless somebody uses it`,
    done: absent,
    inverse: nothing,
    do: ({ path }, host) => host.removeLeftover(path),
  },
  container: {
    describe: ({ argv }) => `run ${pasteable(argv)}`,
    done: never,
    inverse: async ({ place, leftovers }) => [{ kind: 'stop', place, grace: false }, ...leftovers.map((path) => ({ kind: 'leftover' as const, path }))],
    do: (step, host) => host.contain(step),
  },
};

async function makeGroup({ folders, settings, check }: Extract<Step, { kind: 'cgroup' }>, host: Host): Promise<void> {
  for (const folder of folders) if ((await host.kind(folder)) === null) await host.mkdir(folder, 0o755);
  for (const { file, value } of settings) await host.set(file, value);
  if (!check) return;
  const found = ((await host.read(check.file)) ?? '').split('\n').filter(Boolean);
  const same = found.length === check.lines.length && check.lines.every((line) => found.includes(line));
  if (!same) throw new Complaint(`${check.file} should be '${check.lines.join(', ')}' but is '${found.join(', ')}'`, 'the kernel did not take the device rights: nothing was started');
}

/** Runs a program of the host that must succeed; otherwise a Complaint with its command line and its last words. */
export async function must(host: Host, argv: string[]): Promise<void> {
  const { code, stderr } = await host.run(argv);
  if (code !== 0) throw new Complaint(`this failed with exit status ${code}: ${pasteable(argv)}`, stderr.trim().split('\n').slice(-5).join('\n'));
}

const of = (step: Step) => kinds[step.kind] as unknown as Kind<Step>;

/** A step in a person's words; further lines are indented. */
export const describe = (step: Step): string => of(step).describe(step);

/** Takes the steps in order; each way back is journalled before its step. Stops at the first that fails. */
export async function apply(steps: readonly Step[], host: Host, journal: Journal | null, tell: (step: Step) => void = () => {}): Promise<void> {
  for (const step of steps) {
    host.interrupted();
    if (await of(step).done(step, host)) continue;
    tell(step);
    const inverse = await of(step).inverse(step, host);
    if (inverse.length > 0) await journal?.append(inverse);
    await of(step).do(step, host);
  }
}

/**
 * Undoing is applying: the inverses, last first, through the same code. One that fails does not keep the others from
 * being tried: what is left is told, and stays in the journal for the next `nestbox clean`.
 */
export async function undo(host: Host, journal: Journal, tell?: (step: Step) => void): Promise<void> {
  const failures: unknown[] = [];
  for (const inverse of (await journal.entries()).reverse())
    for (const step of inverse)
      try {
        if (await of(step).done(step, host)) continue;
        tell?.(step);
        await of(step).do(step, host);
      } catch (error) {
        failures.push(error);
      }
  if (failures.length === 0) return journal.clear();
  throw failures.length === 1 ? failures[0] : new Complaint(failures.map((error) => (error as Error).message).join('\n'), 'nestbox clean tries again');
}
