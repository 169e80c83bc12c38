import { stripVTControlCharacters, styleText } from 'node:util';

/** Rows as columns of equal width, the first row as their titles. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => stripVTControlCharacters(row[i] ?? '').length)));
  return rows.map((row, n) => {
    const line = row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + cell.length - stripVTControlCharacters(cell).length))).join('  ').trimEnd();
    return n === 0 ? styleText('bold', line) : line;
  }).join('\n');
}

/** A line about what is going on: beside the output of the program, never in it. */
export const note = (line: string): void => {
  process.stderr.write(`nestbox: ${line.replaceAll('\n', '\nnestbox: ')}\n`);
};
