// Loaded before nestbox itself (node --require): ends it with SIGKILL at the point that KILL_AT names.
//   step:N      when the Nth step is about to begin: all before it are done
//   disk:N      when something has been brought to the disk for the Nth time, or a file cut or lengthened
//   journal:N   when the Nth way back has been written down, and its step has not begun
//   wait        at each of all these in turn: says "at NUMBER KIND: WHAT", and goes on when it has read a line
// KILL_WITH is another signal: SIGSTOP leaves it there.
const fs = require('node:fs');

const [wanted, number] = (process.env.KILL_AT ?? '').split(':');
const { readSync, writeSync } = fs;
let [left, passed] = [Number(number), 0];
const reached = (kind, what) => {
  if (wanted === 'wait') {
    writeSync(1, `at ${++passed} ${kind}: ${what}\n`);
    readSync(0, Buffer.alloc(1));
  } else if (kind === wanted && --left === 0) process.kill(process.pid, process.env.KILL_WITH ?? 'SIGKILL');
};

const { write } = process.stderr;
process.stderr.write = function (chunk, ...rest) {
  const result = write.call(this, chunk, ...rest);
  if (String(chunk).startsWith('nestbox: ')) reached('step', String(chunk).split('\n')[0]);
  return result;
};

fs.writeSync = (file, data, ...rest) => {
  const result = writeSync(file, data, ...rest);
  if (typeof data === 'string' && data.startsWith('[{"kind"')) reached('journal', data.slice(0, 40));
  return result;
};

for (const name of ['fdatasyncSync', 'fsyncSync', 'ftruncateSync', 'renameSync']) {
  const real = fs[name];
  fs[name] = (...words) => {
    const result = real(...words);
    reached('disk', name);
    return result;
  };
}
