import type { Stat } from '../host.ts';
import type { Owner } from '../step.ts';

/** A tree of files in memory with links and mounts, as far as nestbox's steps can tell it from the kernel's. */

export interface Node {
  kind: Stat['kind'];
  mode: number;
  uid: number;
  gid: number;
  /** Text of a file, target of a link, numbers of a device. */
  text: string;
  children: Map<string, Node>;
}

export const node = (kind: Stat['kind'], mode: number, owner: Owner = { uid: 0, gid: 0 }, text = ''): Node => ({ kind, mode, uid: owner.uid, gid: owner.gid, text, children: new Map() });

export interface MemoryMount {
  at: string;
  type: string;
  root: Node;
  /** Of an overlay: where its changes go. */
  upper?: Node;
}

const whiteout = 'c 0:0';

export class Tree {
  readonly root: Node = node('directory', 0o755);
  readonly mounts: MemoryMount[] = [];

  /** What a path leads to; `path` is the one without links. Null: a folder on the way, or a link's end, is not there. */
  find(path: string, follow = true, depth = 0): { path: string; node: Node; parent: Node | null } | null {
    if (depth > 40) return null;
    let at = this.top('/', this.root);
    let where = '';
    let parent: Node | null = null;
    const parts = path.split('/');
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!;
      if (part === '' || part === '.') continue;
      if (part === '..') {
        const rest = parts.slice(i + 1).join('/');
        return this.find(`${where.slice(0, where.lastIndexOf('/')) || '/'}/${rest}`, follow, depth + 1);
      }
      const next: Node | undefined = at.children.get(part);
      if (!next) return null;
      if (next.kind === 'link' && (follow || parts.slice(i + 1).some((more) => more !== ''))) {
        const target = next.text.startsWith('/') ? next.text : `${where}/${next.text}`;
        return this.find(`${target}/${parts.slice(i + 1).join('/')}`, follow, depth + 1);
      }
      where += `/${part}`;
      parent = at;
      at = this.top(where, next);
    }
    return { path: where || '/', node: at, parent };
  }

  /** The folder that a path would be made in, with the path without links. */
  folder(path: string): { folder: Node; name: string; path: string } | null {
    const trimmed = path.replace(/\/+$/, '');
    const cut = trimmed.lastIndexOf('/');
    const found = this.find(trimmed.slice(0, cut) || '/');
    const name = trimmed.slice(cut + 1);
    return found?.node.kind === 'directory' ? { folder: found.node, name, path: `${found.path === '/' ? '' : found.path}/${name}` } : null;
  }

  /** What is at a path itself, not where a link leads. */
  stat(path: string): Stat | null {
    const found = this.find(path, false)?.node;
    return found ? { kind: found.kind, uid: found.uid, gid: found.gid, mode: found.mode } : null;
  }

  kind(path: string): Stat['kind'] | null {
    return this.find(path, false)?.node.kind ?? null;
  }

  read(path: string): string | null {
    const found = this.find(path)?.node;
    return found && found.kind !== 'directory' ? found.text : null;
  }

  readLink(path: string): string | null {
    const found = this.find(path, false)?.node;
    return found?.kind === 'link' ? found.text : null;
  }

  private top(path: string, covered: Node): Node {
    for (let i = this.mounts.length - 1; i >= 0; i--) if (this.mounts[i]!.at === path) return this.mounts[i]!.root;
    return covered;
  }

  mountsBelow(path: string): string[] {
    return this.mounts.map(({ at }) => at).filter((at) => at === path || at.startsWith(`${path}/`));
  }

  /** Every file below the root, not what is mounted. */
  lines(): string[] {
    return linesOf(this.root);
  }
}

/** One line for each file. */
export function linesOf(root: Node): string[] {
  const out: string[] = [];
  const walk = (path: string, { kind, mode, uid, gid, text, children }: Node) => {
    out.push(`${path || '/'} ${kind} ${mode.toString(8)} ${uid}:${gid} ${JSON.stringify(text)}`);
    for (const [name, child] of [...children].sort(([a], [b]) => (a < b ? -1 : 1))) walk(`${path}/${name}`, child);
  };
  walk('', root);
  return out;
}

export function copyNode({ children, ...rest }: Node): Node {
  return { ...rest, children: new Map([...children].map(([name, child]) => [name, copyNode(child)])) };
}

/** What an overlay shows: the upper folder over the lower one, whiteouts hiding. */
export function merged(upper: Node, lower: Node): Node {
  const children = new Map(lower.children);
  for (const [name, above] of upper.children) {
    const below = lower.children.get(name);
    if (above.text === whiteout) children.delete(name);
    else children.set(name, above.kind === 'directory' && below?.kind === 'directory' ? merged(above, below) : above);
  }
  return { ...upper, children };
}

/** Visits all that is below a node; `enter` says whether to go into a folder. */
export function visit(path: string, at: Node, each: (path: string, found: Node) => void, enter: (found: Node) => boolean = () => true): void {
  each(path, at);
  if (at.kind === 'directory' && enter(at)) for (const [name, child] of at.children) visit(`${path}/${name}`, child, each, enter);
}
