import { dirname } from 'node:path/posix';
import type { Changes } from '../host.ts';
import { leadsOutside } from '../layers.ts';
import type { Owner } from '../step.ts';
import type { MemoryHost } from './memory.ts';

/** A root, or a layer of one, of a host in memory: none of its links leads out of it. */
export class MemoryRoot implements Changes {
  readonly #host: MemoryHost;
  readonly #root: string;

  constructor(host: MemoryHost, root: string) {
    this.#host = host;
    this.#root = root;
  }

  #at(path: string): string {
    if (this.#root === '/') return path;
    const whole = `${this.#root}${path}`;
    const folder = this.#host.tree.find(dirname(whole))?.path;
    if (folder !== undefined && folder !== this.#root && !folder.startsWith(`${this.#root}/`)) throw leadsOutside(path, folder);
    return whole;
  }

  async stat(path: string) {
    return this.#host.tree.stat(this.#at(path));
  }

  async kind(path: string) {
    return this.#host.tree.kind(this.#at(path));
  }

  async read(path: string) {
    return this.#host.tree.read(this.#at(path));
  }

  async readLink(path: string) {
    return this.#host.tree.readLink(this.#at(path));
  }

  async write(path: string, data: string | Uint8Array, mode: number, owner?: Owner) {
    await this.#host.write(this.#at(path), data, mode, owner);
  }

  async mkdir(path: string, mode: number, owner?: Owner) {
    await this.#host.mkdir(this.#at(path), mode, owner);
  }

  async own(path: string, mode: number, owner: Owner) {
    await this.#host.own(this.#at(path), mode, owner);
  }

  async symlink(to: string, path: string) {
    await this.#host.symlink(to, this.#at(path));
  }

  async remove(path: string) {
    await this.#host.remove(this.#at(path));
  }
}
