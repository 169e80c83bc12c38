/** Images that are packed as a whole, as those for download are. */

export const packings = ['xz', 'gzip', 'zstd', 'zip'] as const;
export type Packing = (typeof packings)[number];

export const isPacking = (as: string): as is Packing => (packings as readonly string[]).includes(as);

/** What it is unpacked to: beside it, and never its own name. */
export function unpackedPath(path: string): string {
  const bare = path.replace(/\.(xz|gz|zst|zip)$/i, '');
  return bare !== path && /\.\w+$/.test(bare.split('/').at(-1)!) ? bare : `${bare}.img`;
}

/** While that is under way. */
export const partialPath = (to: string): string => `${to}.unpacking`;
