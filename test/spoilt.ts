/** What a power cut or a disk makes of a file: ext4 leaves zeroes where what was written had not come to the disk. */
export const spoilt: [what: string, spoil: (was: Buffer) => Buffer][] = [
  ['empty', () => Buffer.alloc(0)],
  ['cut off', (was) => was.subarray(0, -20)],
  ['cut off in the middle', (was) => was.subarray(0, was.length >> 1)],
  ['all zeroes', (was) => Buffer.alloc(was.length)],
  ['zeroes at its beginning', (was) => Buffer.from(was).fill(0, 0, was.length >> 2)],
  ['zeroes in the middle', (was) => Buffer.from(was).fill(0, was.length >> 1, (was.length * 3) >> 2)],
  ['zeroes at its end', (was) => Buffer.concat([was.subarray(0, -10), Buffer.alloc(10)])],
  ['another letter', (was) => Buffer.concat([was.subarray(0, was.length >> 1), Buffer.from('~'), was.subarray((was.length >> 1) + 1)])],
];
