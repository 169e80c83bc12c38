import { Complaint } from '../errors.ts';
import { store } from '../store.ts';
import type { MemoryHost } from './memory.ts';
import { merged, type Node, node, visit } from './memory-tree.ts';

/** Programs that steps run, by their argument lists, as far as they change a host in memory. A Complaint is what they say as they fail. */
export class MemoryPrograms {
  readonly #host: MemoryHost;

  constructor(host: MemoryHost) {
    this.#host = host;
  }

  /** What it prints, where that is a text; null: there is none by this name. */
  named(program: string): ((words: string[], input: string) => unknown) | null {
    return this.#programs[program] ?? null;
  }

  readonly #programs: Record<string, (words: string[], input: string) => unknown> = {
    mount: (words) => {
      const options = new Map(words[3]!.split(',').map((option) => option.split('=') as [string, string]));
      this.#mount(words.at(-1)!, 'tmpfs', node('directory', Number.parseInt(options.get('mode')!, 8), { uid: Number(options.get('uid')), gid: Number(options.get('gid')) }));
    },
    'nestbox-native': ([job, ...words], input) => {
      if (job === 'overlay') {
        const [at, top, upper, work, lower] = words;
        const [over, under, working] = [this.#host.node(`${top}/${upper}`), this.#host.node(lower!), this.#host.node(`${top}/${work}`)];
        this.#mount(at!, 'overlay', merged(over, under), over);
        if (!working.children.has('work')) working.children.set('work', node('directory', 0));
      } else if (job === 'ipc') this.#mount(words[0]!, 'nsfs', node('file', 0o444));
      else if (job === 'bind') this.#mount(words[1]!, 'bind', this.#host.node(words[0]!));
      else if (job === 'seal') return `${[...this.#host.node(words[0]!).children.keys()].sort().join(' ')}\n`;
      else if (job === 'inside') return this.#inside(words, input);
      // Who has the terminal is told by the file that keeps which one was visible before.
      else if (job === 'console') this.#host.act(() => (words[0] === 'take' ? this.#host.place(words[2]!, node('file', 0o644, undefined, '1\n'), true) : this.#host.drop(words[2]!)));
      else if (job === 'seat') this.#host.act(() => (words[0] === 'take' ? this.#host.place(`${store.seats}/${words[1]!}`, node('file', 0o644, undefined, words.slice(2).join('\n')), true) : this.#host.drop(`${store.seats}/${words[1]!}`)));
      else if (job === 'loop' || job === 'loop-end') this.#loop(job, words);
      else if (job === 'unlock' || job === 'lock' || job === 'activate' || job === 'deactivate' || job === 'check' || job === 'mount') this.#volume(job, words);
      else if (job === 'binfmt') this.#host.act(() => this.#emulator(words));
      else if (job === 'unmount') this.#host.act(() => this.#unmount(words[0]!));
      else if (job === 'chroot-mounts') this.#chrootMounts(words);
      else if (job === 'chroot-unmount') this.#chrootUnmount(words);
      else throw new Error(`a host in memory cannot do nestbox-native ${job}`);
    },
    mknod: (words) => {
      const [path, type, major, minor] = words.slice(-4);
      this.#host.act(() => this.#host.place(path!, node('other', 0o600, undefined, `${type} ${major}:${minor}`)));
    },
    mkfifo: (words) => void this.#host.act(() => this.#host.place(words.at(-1)!, node('other', 0o644, undefined, 'pipe'))),
    find: ([lower]) => {
      const hidden: string[] = [];
      const open = (found: Node) => (found.mode & (found.kind === 'directory' ? 0o005 : 0o004)) !== 0;
      visit(lower!, this.#host.node(lower!), (path, found) => ['file', 'directory'].includes(found.kind) && !open(found) && hidden.push(`${path}\0`), open);
      return hidden.join('');
    },
    sync: () => {},
    systemctl: ([verb, name]) => {
      if (verb === 'start') this.#host.act(() => this.#host.start(name!, { kind: 'unit', name: name!, properties: [] }));
      if (verb === 'stop') for (const process of this.#host.processes.filter((running) => running.name === name)) this.#host.act(() => this.#host.end(process));
    },
    ip: ([thing, verb, ...words]) => this.#host.act(() => {
      if (thing === 'link' && verb === 'add') {
        if (this.#host.links.has(words[0]!)) throw new Complaint('RTNETLINK answers: File exists');
        this.#host.links.set(words[0]!, { peer: words.at(-1)!, set: [] });
        for (const name of [words[0]!, words.at(-1)!]) this.#host.folders(`/sys/class/net/${name}`);
      } else if (verb === 'delete') this.#host.unlink(words[0]!);
      else this.#host.link(thing === 'address' ? words.at(-1)! : words[0]!).set.push(words.join(' '));
    }),
    nft: ([command]) => {
      if (command === 'list tables ip') return [...this.#host.tables.keys()].map((name) => `table ip ${name}\n`).join('');
      this.#host.act(() => {
        for (const [verb, thing, , table = '', ...rest] of command!.replace(/\{.*?\}/g, '{}').split(' ; ').map((one) => one.split(' ')))
          if (verb === 'delete') this.#host.tables.delete(table);
          else this.#host.tables.set(table, [...(this.#host.tables.get(table) ?? []), ...(thing === 'table' ? [] : [rest.join(' ')])]);
      });
    },
  };

  /** As native/chroot.c: what a root needs, and what is bound into it; a file tells that all is there. */
  #chrootMounts([root = '', ...words]: string[]): void {
    for (const name of ['run', 'sys', 'dev', 'dev/pts', 'dev/shm', 'tmp', 'proc']) {
      this.#makePlace(`${root}/${name}`, 'directory');
      this.#mount(`${root}/${name}`, name, node('directory', 0o755));
    }
    for (let i = 0; i < words.length; i += 3) {
      const [from, to] = [this.#host.node(words[i + 1]!), `${root}${words[i + 2]}`];
      this.#makePlace(to, from.kind === 'directory' ? 'directory' : 'file');
      this.#mount(to, 'bind', from);
    }
    this.#host.act(() => this.#makePlace(`${root}/run/nestbox/mounts`, 'file'));
  }

  #makePlace(path: string, kind: Node['kind']): void {
    if (this.#host.tree.find(path)) return;
    this.#makePlace(path.slice(0, path.lastIndexOf('/')), 'directory');
    this.#host.place(path, node(kind, 0o755));
  }

  #chrootUnmount([root = '', ...before]: string[]): void {
    const left = [...before];
    const ours = this.#host.tree.mountsBelow(root).filter((at) => at !== root && (left.includes(at) ? left.splice(left.indexOf(at), 1).length === 0 : true));
    for (const at of ours.reverse()) this.#host.act(() => this.#unmount(at));
  }

  /** A container whose first process has this number has its root below /proc. */
  #inside([pid, , what, path, ...words]: string[], input: string): string {
    const root = this.#host.tree.find(`/proc/${pid}/root`);
    if (!root) throw new Complaint('the container has ended', 'ended');
    const at = `${root.path}${path}`;
    const [type, major, minor, mode, uid, gid] = words;
    const found = this.#host.tree.find(at, false)?.node;
    if (what === 'look') return found ? `${found.kind === 'other' ? found.text : 'no device'}\n` : '';
    const folder = at.slice(0, at.lastIndexOf('/'));
    if (what === 'remove') {
      if (found && (type === undefined ? found.kind === 'file' : found.text === `${type} ${major}:${minor}`)) this.#host.act(() => this.#host.drop(at));
      for (let empty = folder; empty.length > `${root.path}/dev`.length && this.#host.tree.find(empty)?.node.children.size === 0; empty = empty.slice(0, empty.lastIndexOf('/'))) this.#host.drop(empty);
    } else if (what === 'node' && found) throw new Complaint(`${path} in the container: File exists`);
    else this.#host.act(() => {
      this.#host.folders(folder);
      this.#host.place(at, what === 'node' ? node('other', Number.parseInt(mode!, 8), { uid: Number(uid), gid: Number(gid) }, `${type} ${major}:${minor}`) : node('file', 0o644, undefined, input), true);
    });
    return '';
  }

  /** A block device is a node whose text says which bytes of which file it is over, and whose it is. */
  #loop(job: 'loop' | 'loop-end', words: string[]): void {
    const devices = [...this.#host.node('/dev').children].filter(([name]) => name.startsWith('loop'));
    if (job === 'loop-end') {
      const [machine = '', start] = words;
      for (const [name, { text }] of devices) {
        const [file, at, , owner] = text.split(' ');
        if (owner !== machine || (start !== undefined && at !== start)) continue;
        if (this.#host.tree.mounts.some(({ type }) => type === `volume ${file} ${at}`)) throw new Complaint(`/dev/${name} stays open`);
        this.#host.act(() => this.#host.drop(`/dev/${name}`));
      }
      return;
    }
    const [file = '', start, size, link = '', machine] = words;
    this.#host.node(file);
    const other = devices.find(([, { text }]) => text.startsWith(`${file} `) && !text.endsWith(` ${machine}`));
    if (other) throw new Complaint(`${file} is in use`);
    const own = devices.find(([, { text }]) => text === `${file} ${start} ${size} ${machine}`);
    let path = `/dev/loop${devices.length}`;
    if (own) path = `/dev/${own[0]}`;
    else this.#host.act(() => this.#host.put(path, node('other', 0o600, undefined, `${file} ${start} ${size} ${machine}`)));
    this.#host.act(() => this.#host.place(link, node('link', 0o777, undefined, path), true));
  }

  #volume(job: 'unlock' | 'lock' | 'activate' | 'deactivate' | 'check' | 'mount', [first = '', second = '', third = '']: string[]): void {
    const there = (path: string) => this.#host.tree.find(path) !== null;
    const appear = (path: string) => there(path) || this.#host.act(() => this.#host.put(path, node('other', 0o600, undefined, 'a block device')));
    if (job === 'activate' && !there(second)) {
      this.#host.act(() => this.#host.place(third, node('file', 0o600), true));
      appear(second);
    } else if (job === 'deactivate' && there(second)) {
      for (const [path] of this.#host.volumes) if (path.endsWith(first) && there(path)) this.#host.act(() => this.#host.drop(path));
      this.#host.act(() => this.#host.drop(second));
    } else if (job === 'unlock') {
      this.#host.node(first);
      appear(`/dev/mapper/${second}`);
    } else if (job === 'lock') {
      if (this.#host.tree.mounts.some(({ type }) => type === `volume ${first}`)) throw new Complaint(`/dev/mapper/${first} stays open`);
      this.#host.act(() => this.#host.drop(`/dev/mapper/${first}`));
    } else if (job === 'mount' && !this.#host.tree.mounts.some(({ at }) => at === second)) {
      this.#host.node(first);
      if (!there(second)) this.#host.act(() => this.#host.place(second, node('directory', 0o755)));
      const over = this.#host.node(first).text.split(' ');
      this.#mount(second, `volume ${over.length === 4 ? `${over[0]} ${over[1]}` : first.slice('/dev/mapper/'.length)}`, this.#host.volumes.get(third)!);
    }
  }

  /** An entry is there as long as a machine has it. */
  #emulator([verb, entry = '', machine = '']: string[]): void {
    const users = this.#host.emulators.get(entry) ?? new Set();
    if (verb === 'register') this.#host.emulators.set(entry, users.add(machine));
    else if (users.delete(machine) && users.size === 0) this.#host.emulators.delete(entry);
  }

  #mount(at: string, type: string, root: Node, upper?: Node): void {
    this.#host.act(() => {
      const found = this.#host.tree.find(at);
      if (!found) throw new Complaint(`${at}: No such file or directory`);
      this.#host.tree.mounts.push({ at: found.path, type, root, ...(upper && { upper }) });
    });
  }

  #unmount(at: string): void {
    const i = this.#host.tree.mounts.findLastIndex((mount) => mount.at === at);
    if (i < 0) throw new Complaint(`unmount ${at}: it is not mounted`);
    if (this.#host.tree.mounts.some((mount) => mount.at.startsWith(`${at}/`))) throw new Complaint(`unmount ${at}: it is in use`);
    this.#host.tree.mounts.splice(i, 1);
  }
}
