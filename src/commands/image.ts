import { Complaint } from '../errors.ts';
import { nearest } from '../words.ts';

export interface ImageOptions {
  partition?: string;
  margin?: string;
  as?: string;
  repair?: boolean;
  'passphrase-fd'?: string;
  'key-file'?: string;
  'dry-run'?: boolean;
  json?: boolean;
  verbose?: boolean;
}

/** Each is given the words after its own; returns the exit status. */
export type ImageCommand = (words: string[], options: ImageOptions) => Promise<number>;

const commands: Record<string, () => Promise<{ default: ImageCommand }>> = {
  info: () => import('./image/info.ts'),
  check: () => import('./image/check.ts'),
  grow: () => import('./image/grow.ts'),
  shrink: () => import('./image/shrink.ts'),
  compress: () => import('./image/compress.ts'),
  mount: () => import('./image/mount.ts'),
  unmount: async () => ({ default: (await import('./image/mount.ts')).unmount }),
};

/** Looks at disk images, and changes the size of what is in them. */
export default async function image([name, ...words]: string[], options: ImageOptions): Promise<number> {
  const load = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!load) {
    const meant = name && nearest(name, Object.keys(commands));
    throw new Complaint(name ? `there is no 'nestbox image ${name}'` : 'what about the image?', meant ? `did you mean '${meant}'?` : `nestbox image ${Object.keys(commands).join('|')} FILE`);
  }
  return (await load()).default(words, options);
}
