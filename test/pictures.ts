import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { encodePng } from '../src/png.ts';

/** Pictures for README.md and docs/: what tests have read back from screens. */

interface Picture {
  width: number;
  height: number;
  rgb: Uint8Array;
}

/** Of a file; what is more has no place in a repository. */
const most = 100_000;

/** Pixels between two screens. */
const gap = 12;

/** Writes docs/pictures/NAME.png with UPDATE_PICTURES=1, several screens beside one another, and does nothing otherwise. Fails where the file would be over 100 kB. */
export function picture(name: string, ...screens: Picture[]): void {
  if (process.env.UPDATE_PICTURES !== '1') return;
  const folder = new URL('../docs/pictures/', import.meta.url);
  const file = encodePng(plainer(beside(screens)));
  assert.ok(file.length <= most, `${name}.png would have ${file.length} bytes`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${name}.png`, folder), file);
}

/** On white, all at the upper edge. */
function beside(screens: Picture[]): Picture {
  const width = screens.reduce((sum, screen) => sum + screen.width, gap * (screens.length - 1));
  const height = Math.max(...screens.map((screen) => screen.height));
  const rgb = Buffer.alloc(width * height * 3, 255);
  let left = 0;
  for (const screen of screens) {
    for (let y = 0; y < screen.height; y++) rgb.set(screen.rgb.subarray(y * screen.width * 3, (y + 1) * screen.width * 3), (y * width + left) * 3);
    left += screen.width + gap;
  }
  return { width, height, rgb };
}

/** The upper left corner. */
export const corner = ({ width, rgb }: Picture, right: number, bottom: number): Picture =>
  ({ width: right, height: bottom, rgb: Buffer.concat(Array.from({ length: bottom }, (_, y) => rgb.subarray(y * width * 3, (y * width + right) * 3))) });

/** With 16 shades of each colour, so that the file has a third of the size. */
const plainer = ({ width, height, rgb }: Picture): Picture => ({ width, height, rgb: rgb.map((value) => Math.round(value / 17) * 17) });
