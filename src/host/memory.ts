import { Complaint, packages } from '../errors.ts';
import { type Changes, type Host, saidBy, type Stat, type X11 } from '../host.ts';
import { partialPath } from '../image/packed.ts';
import type { Owner, Place, Step } from '../step.ts';
import { MemoryImages } from './memory-images.ts';
import { MemoryPrograms } from './memory-programs.ts';
import { MemoryRoot } from './memory-root.ts';
import { copyNode, linesOf, type Node, node, Tree, visit } from './memory-tree.ts';

type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

interface Process {
  name: string;
  place: Place;
  /** What it has made, and holds as long as it lives. */
  holds: Node[];
  /** The network link whose other end is in its namespace: gone with it. */
  link: string | null;
}

/** Thrown in place of an effect, or after it, where a test says so. */
export class Failure extends Error {}

/** What the program of each engine is asked for, in words of its own. */
function asked(argv: readonly string[]): { root: string; binds: string[][]; users: string[]; homes: string[] } {
  const words = argv.slice(0, argv.indexOf('--'));
  const all = (option: string) => words.filter((word) => word.startsWith(option)).map((word) => word.slice(option.length));
  if (argv[0] === 'nestbox-native')
    return { root: argv[2]!, binds: words.flatMap((word, i) => (word === '--bind' || word === '--bind-ro' ? [words.slice(i + 1, i + 3)] : [])), users: all('--user='), homes: all('--directory=') };
  const binds = [...all('--bind='), ...all('--bind-ro=')].map((bind) => bind.split(/(?<!\\):/).map((path) => path.replace(/\\(.)/g, '$1')));
  return { root: all('--directory=')[0]!, binds, users: all('-u'), homes: all('--chdir=') };
}

/** A host in memory: what steps do to files, mounts, processes, links and displays, and nothing else. It refuses what a real one would. */
export class MemoryHost implements Host {
  readonly tree = new Tree();
  readonly processes: Process[] = [];
  readonly links = new Map<string, { peer: string; set: string[] }>();
  readonly tables = new Map<string, string[]>();
  readonly displays = new Map<number, { admitted: Set<string>; keys: Set<number> }>();
  /** Volumes by their path, with the tree of their file system; a logical one has a node while it is active. */
  readonly volumes = new Map<string, Node>();
  /** Entries of binfmt_misc, and the machines that have them. */
  readonly emulators = new Map<string, Set<string>>();
  readonly images = new MemoryImages((doing) => this.act(doing), this);
  readonly programs = new MemoryPrograms(this);
  /** Effects so far. */
  effects = 0;
  /** Which effect fails; `late`: it has come about all the same, as when the power goes right after it. */
  failAt: { effect: number; late: boolean } | null = null;
  private keys = 0;

  constructor() {
    for (const path of ['/dev', '/etc', '/home', '/mnt', '/proc', '/root', '/run', '/srv', '/sys/class/net', '/usr/bin', '/var/lib', '/var/tmp']) this.folders(path);
    this.folders('/tmp').mode = 0o1777;
  }

  // For tests: what is there before.

  folders(path: string, owner?: Owner): Node {
    let at = this.tree.root;
    for (const part of path.split('/').filter(Boolean)) {
      const next = at.children.get(part) ?? node('directory', 0o755, owner);
      at.children.set(part, next);
      at = next;
    }
    return at;
  }

  put(path: string, made: Node): Node {
    const cut = path.lastIndexOf('/');
    this.folders(path.slice(0, cut)).children.set(path.slice(cut + 1), made);
    return made;
  }

  /** All that there is, as lines that can be compared. */
  snapshot(): string[] {
    return [
      ...this.images.lines(), ...this.tree.lines(), ...[...this.volumes].flatMap(([path, root]) => linesOf(root).map((line) => `in ${path}: ${line}`)), ...this.tree.mounts.map(({ at, type }) => `mount ${type} ${at}`), ...this.processes.map(({ name }) => `process ${name}`),
      ...[...this.emulators].map(([entry, machines]) => `entry ${entry} of ${[...machines].join(' ')}`),
      ...[...this.links].map(([name, { peer, set }]) => `link ${name} ${peer} ${set.join(' ')}`), ...[...this.tables].map(([name, rules]) => `table ${name} ${rules.join(' ')}`),
      ...[...this.displays].flatMap(([number, { admitted, keys }]) => [...[...admitted].map((user) => `display :${number} admits ${user}`), ...[...keys].map((key) => `display :${number} has key ${key}`)]),
    ];
  }

  /** Another host that is as this one is now. */
  copy(): MemoryHost {
    const { tree: { root, mounts }, processes, links, tables, displays, volumes, emulators, images: { files }, effects, keys } = this;
    // All at once: what is mounted, held or in a volume is the same node as in the tree.
    const copied = structuredClone({ tree: { root, mounts }, processes, links, tables, displays, volumes, emulators, files, effects, keys });
    const made = new MemoryHost();
    Object.assign(made.tree, copied.tree);
    for (const [path, bytes] of copied.files) made.images.files.set(path, Buffer.from(bytes));
    const { tree: _, files: __, ...rest } = copied;
    return Object.assign(made, rest);
  }

  act<T>(doing: () => T): T {
    const fails = ++this.effects === this.failAt?.effect;
    if (fails && !this.failAt!.late) throw new Failure('the test lets this fail');
    const result = doing();
    if (fails) throw new Failure('the test lets this fail late');
    return result;
  }

  // Files.

  within(root: string): Changes {
    return new MemoryRoot(this, root);
  }

  async stat(path: string): Promise<Stat | null> {
    return this.tree.stat(path);
  }

  async kind(path: string): Promise<Stat['kind'] | null> {
    return this.tree.kind(path);
  }

  async list(path: string): Promise<string[]> {
    return [...(this.tree.find(path)?.node.children.keys() ?? [])];
  }

  async resolve(path: string): Promise<string | null> {
    return this.tree.find(path)?.path ?? null;
  }

  async read(path: string): Promise<string | null> {
    return this.tree.read(path);
  }

  async readLink(path: string): Promise<string | null> {
    return this.tree.readLink(path);
  }

  place(path: string, made: Node, replace = false): Node {
    const at = this.tree.folder(path);
    if (!at) throw new Complaint(`cannot create ${path}: it does not exist`);
    const there = at.folder.children.get(at.name);
    if (there && (!replace || there.kind === 'directory')) throw new Complaint(`cannot create ${path}: it is there already`);
    at.folder.children.set(at.name, made);
    return made;
  }

  async writeNew(path: string, data: string, mode: number, owner?: Owner): Promise<void> {
    if (this.tree.kind(path) !== null) throw new Complaint(`cannot write ${path}: it is there already`);
    await this.write(path, data, mode, owner);
  }

  write(path: string, data: string | Uint8Array, mode: number, owner?: Owner): Promise<void> {
    return this.effect(() => void this.place(path, node('file', mode, owner, typeof data === 'string' ? data : Buffer.from(data).toString('base64')), true));
  }

  set(path: string, value: string): Promise<void> {
    return this.effect(() => {
      const at = this.tree.folder(path);
      // Folders of control groups have their settings from the beginning; of the others each is a file that is there.
      if (!at || (!path.startsWith('/sys/fs/cgroup/') && !at.folder.children.has(at.name))) throw new Complaint(`cannot set ${path}: it does not exist`);
      const setting = (name: string) => this.child(at.folder, name);
      if (at.name === 'devices.deny') setting('devices.list').text = value === 'a' ? '' : setting('devices.list').text.split('\n').filter((line) => line !== value).join('\n');
      else if (at.name === 'devices.allow') setting('devices.list').text += `${value}\n`;
      else setting(at.name).text = value;
    });
  }

  private child(folder: Node, name: string): Node {
    const there = folder.children.get(name) ?? node('file', 0o644);
    folder.children.set(name, there);
    return there;
  }

  mkdir(path: string, mode: number, owner?: Owner): Promise<void> {
    return this.effect(() => void this.place(path, node('directory', mode, owner)));
  }

  own(path: string, mode: number, owner: Owner): Promise<void> {
    return this.effect(() => {
      const found = this.tree.find(path, false);
      if (!found) throw new Complaint(`cannot give ${path} its owner: it does not exist`);
      Object.assign(found.node, { mode, ...owner });
    });
  }

  symlink(to: string, path: string): Promise<void> {
    return this.effect(() => void this.place(path, node('link', 0o777, undefined, to)));
  }

  rename(from: string, to: string): Promise<void> {
    return this.effect(() => {
      const moved = this.tree.find(from, false)?.node;
      if (!moved) throw new Complaint(`cannot rename ${from} to ${to}: it does not exist`);
      this.place(to, moved, true);
      this.drop(from);
    });
  }

  drop(path: string): void {
    const at = this.tree.folder(path);
    at?.folder.children.delete(at.name);
  }

  remove(path: string): Promise<void> {
    return this.effect(() => {
      const found = this.tree.find(path, false);
      if (!found) throw new Complaint(`cannot remove ${path}: it does not exist`);
      if (this.tree.mountsBelow(found.path).includes(found.path)) throw new Complaint(`cannot remove ${path}: it is in use`);
      if (found.node.children.size === 0) this.drop(path);
    });
  }

  async mustBeUnmounted(path: string): Promise<void> {
    const mounted = this.tree.mountsBelow(path);
    if (mounted.length > 0) throw new Complaint(`${path} is not removed: ${mounted.join(', ')} is mounted there`);
  }

  async removeTree(path: string): Promise<void> {
    await this.mustBeUnmounted(path);
    await this.effect(() => this.drop(path));
  }

  removeLeftover(path: string): Promise<void> {
    return this.effect(() => {
      const found = this.tree.find(path, false);
      if (!found || found.node.children.size > 0 || this.tree.mountsBelow(found.path).length > 0) return;
      if (!this.processes.some(({ holds }) => holds.includes(found.node))) this.drop(path);
    });
  }

  async mountsBelow(path: string): Promise<string[]> {
    return this.tree.mountsBelow(path);
  }

  async isMounted(path: string): Promise<boolean> {
    return this.tree.mounts.some(({ at }) => at === path);
  }

  private async effect(doing: () => void): Promise<void> {
    this.act(doing);
  }

  // Programs: those that steps run, by their argument lists.

  async run(argv: readonly string[], input = ''): Promise<{ code: number; stdout: string; stderr: string }> {
    const [program = '', ...words] = argv;
    if (!Object.hasOwn(packages, program)) throw new Error(`'${program}' is not in the table of programs`);
    const does = this.programs.named(program);
    if (!does) throw new Error(`a host in memory cannot run ${argv.join(' ')}`);
    const answer = (code: number, stdout: string, stderr: string) => ({ code, stdout, stderr });
    try {
      const printed = does(words, input);
      return answer(0, typeof printed === 'string' ? printed : '', '');
    } catch (error) {
      if (error instanceof Complaint) return answer(error.hint === 'ended' ? 3 : 1, '', error.message);
      throw error;
    }
  }

  async unlock(argv: readonly string[]): Promise<void> {
    const { code, stderr } = await this.run(argv);
    if (code !== 0) throw saidBy(stderr, argv, code);
  }

  node(path: string): Node {
    const found = this.tree.find(path);
    if (!found) throw new Complaint(`${path}: No such file or directory`);
    return found.node;
  }

  link(name: string): { peer: string; set: string[] } {
    const found = this.links.get(name);
    if (!found) throw new Complaint(`Cannot find device "${name}"`);
    return found;
  }

  unlink(name: string): void {
    for (const end of [name, this.link(name).peer]) this.drop(`/sys/class/net/${end}`);
    this.links.delete(name);
  }

  // What takes long, and what stays.

  async build({ target, argv }: Of<'build'>): Promise<void> {
    const root = this.node(target);
    if (argv[0] === 'cp') this.act(() => root.children.set('half', node('file', 0o644)));
    const files = { '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n', '/etc/group': 'root:x:0:\nshadow:x:42:\n', '/etc/shadow': 'root:*:19000::::::\n', '/bin/sh': '' };
    for (const [path, text] of Object.entries(files))
      this.act(() => {
        const [, folder = '', name = ''] = path.split('/');
        const at = root.children.get(folder) ?? node('directory', 0o755);
        root.children.set(folder, at);
        at.children.set(name, node('file', name === 'shadow' ? 0o640 : 0o644, { uid: 0, gid: name === 'shadow' ? 42 : 0 }, text));
      });
  }

  async bringFetched({ root }: Of<'fetched-in'>): Promise<void> {
    this.act(() => this.node(root));
  }

  async keepFetched(root: string): Promise<void> {
    this.act(() => this.node(root));
  }

  async unpack({ from, to }: Of<'unpack'>): Promise<void> {
    this.node(from);
    await this.write(partialPath(to), '', 0o600);
    this.act(() => this.place(to, node('file', 0o644)));
    await this.remove(partialPath(to));
  }

  async copyTree({ from, to }: Of<'copy-tree'>): Promise<void> {
    const copy = copyNode(this.node(from));
    if (!this.tree.find(to)) this.act(() => this.place(to, node('directory', copy.mode, copy)));
    const made = this.node(to);
    for (const [name, child] of copy.children) this.act(() => made.children.set(name, child));
  }

  /** A file at a time, the directory itself as the last. */
  async changeOwners({ directory, from, to, notes }: Of<'owners'>): Promise<void> {
    const all: Node[] = [];
    visit(directory, this.node(directory), (_, found) => all.unshift(found));
    const now = (id: number) => (id >= from && id < from + 0x10000 ? id - from + to : id);
    await this.write(notes, '', 0o600);
    for (const found of all) if (now(found.uid) !== found.uid || now(found.gid) !== found.gid) this.act(() => Object.assign(found, { uid: now(found.uid), gid: now(found.gid) }));
    await this.remove(notes);
  }

  start(name: string, place: Place, link: string | null = null): Process {
    for (const folder of place.kind === 'cgroup' ? place.folders : []) this.node(folder);
    const process: Process = { name, place, holds: [], link };
    this.processes.push(process);
    return process;
  }

  async serve({ name, argv, place, ready, log, leaves, output, user }: Of<'service'>): Promise<void> {
    if (!Object.hasOwn(packages, argv[0]!)) throw new Error(`'${argv[0]}' is not in the table of programs`);
    if (output) this.act(() => this.place(output.path, node('file', 0o644, output.owner, 'recorded'), true));
    this.act(() => this.child(this.tree.folder(log)!.folder, log.slice(log.lastIndexOf('/') + 1)));
    const process = this.act(() => this.start(name, place));
    for (const path of new Set([...leaves, ready])) if (path !== output?.path) this.act(() => process.holds.push(this.place(path, node(path === ready ? 'socket' : 'file', 0o644, user, name), true)));
  }

  async contain({ name, argv, place, inside, leftovers }: Of<'container'>): Promise<void> {
    const { root, binds, users, homes } = asked(argv);
    const shown = (path: string) => this.tree.find(`${root}${path}`);
    if (this.node(root).children.size === 0) throw new Complaint(`${root} holds no root file system`);
    for (const [from = '', to = ''] of binds) {
      this.node(from);
      if (!/^\/(run|tmp|dev|proc|sys)\//.test(to) && !shown(to)) throw new Complaint(`${to} is not there to be covered inside`);
    }
    for (const user of users) if (!new RegExp(`^${user}:`, 'm').test(shown('/etc/passwd')?.node.text ?? '')) throw new Complaint(`there is no user ${user} inside`);
    for (const home of homes) if (!shown(home)) throw new Complaint(`${home} is not there inside`);
    const link = inside && [...this.links].find(([, { peer }]) => peer === inside.peer)![0];
    const process = this.act(() => this.start(`container ${name}`, place, link));
    for (const path of leftovers) if (this.tree.folder(path)) this.act(() => process.holds.push(this.place(path, node('directory', 0o755))));
    const upper = this.tree.mounts.find(({ at }) => at === root)?.upper;
    if (upper) this.act(() => upper.children.set('written-inside', node('file', 0o644)));
    this.act(() => this.end(process));
  }

  end(process: Process): void {
    this.processes.splice(this.processes.indexOf(process), 1);
    if (process.link && this.links.has(process.link)) this.unlink(process.link);
  }

  async stop(place: Place): Promise<void> {
    const isThere = (other: Place) => JSON.stringify(other) === JSON.stringify(place);
    for (const process of this.processes.filter((running) => isThere(running.place))) this.act(() => this.end(process));
  }

  async endGroup(folders: readonly string[]): Promise<void> {
    for (const process of this.processes.filter(({ place }) => place.kind === 'cgroup' && place.folders.some((folder) => folders.includes(folder)))) this.act(() => this.end(process));
    for (const folder of folders) this.act(() => this.drop(folder));
  }

  interrupted(): void {}

  // X servers.

  private display(number: number): { admitted: Set<string>; keys: Set<number> } {
    const found = this.displays.get(number);
    if (!found) throw new Complaint(`nothing listens on display :${number}`);
    return found;
  }

  readonly x11: X11 = {
    newKey: async ({ server, client }) => {
      for (const { path, owner } of [server, client]) await this.write(path, 'key', 0o600, owner);
    },
    copyKey: async ({ number, path, owner }) => {
      this.display(number);
      await this.write(path, 'copied key', 0o600, owner);
    },
    authorize: async ({ number, path, owner }) => {
      const id = ++this.keys;
      // One effect: a key that a crash leaves in the server alone ends by itself, after its timeout.
      this.act(() => {
        this.display(number).keys.add(id);
        this.place(`${path}.id`, node('file', 0o600, undefined, `${id}`), true);
      });
      await this.write(path, 'made key', 0o600, owner);
    },
    deauthorize: async ({ number, path }) => this.act(() => {
      this.displays.get(number)?.keys.delete(Number(this.tree.find(`${path}.id`)?.node.text));
      for (const file of [`${path}.id`, path]) this.drop(file);
    }),
    isAdmitted: async ({ number, user }) => this.display(number).admitted.has(user),
    admit: async ({ number, user }, admitted) => this.act(() => void (admitted ? this.display(number).admitted.add(user) : this.displays.get(number)?.admitted.delete(user))),
  };
}
