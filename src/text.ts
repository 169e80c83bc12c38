import { stripVTControlCharacters } from 'node:util';

/** How wide a cell is seen. Most have no colour: not to look for one is quicker by far. */
const widthOf = (cell: string): number => (cell.includes('\x1b') ? stripVTControlCharacters(cell) : cell).length;

/** Rows as columns of equal width, the first row as their titles. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => widthOf(row[i] ?? ''))));
  return rows.map((row, n) => {
    const line = row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + cell.length - widthOf(cell)))).join('  ').trimEnd();
    return n === 0 && process.stdout.isTTY ? `\x1b[1m${line}\x1b[22m` : line;
  }).join('\n');
}

/** Bytes as 178M, 1.2G. */
export function sizeOf(bytes: number): string {
  const power = Math.min(4, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  const size = bytes / 1024 ** power;
  return `${size < 10 && power > 0 ? size.toFixed(1) : Math.round(size)}${'BKMGT'[power]}`;
}

/** A line about what is going on: beside the output of the program, never in it. */
export const note = (line: string): void => {
  process.stderr.write(`nestbox: ${line.replaceAll('\n', '\nnestbox: ')}\n`);
};
