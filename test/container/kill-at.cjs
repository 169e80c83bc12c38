// Loaded before nestbox itself (node --require): ends it with SIGKILL at the point that KILL_AT names.
//   step:N      when the Nth step is about to begin: all before it are done
//   disk:N      when something has been brought to the disk for the Nth time, or a file cut or lengthened
//   journal:N   when the Nth way back has been written down, and its step has not begun
const fs = require('node:fs');

const [what, number] = (process.env.KILL_AT ?? '').split(':');
let left = Number(number);
const count = () => {
  if (--left === 0) process.kill(process.pid, 'SIGKILL');
};

if (what === 'step') {
  const write = process.stderr.write;
  process.stderr.write = function (chunk, ...rest) {
    const result = write.call(this, chunk, ...rest);
    if (String(chunk).startsWith('nestbox: ')) count();
    return result;
  };
}

if (what === 'journal') {
  const { writeSync } = fs;
  fs.writeSync = (file, data, ...rest) => {
    const result = writeSync(file, data, ...rest);
    if (typeof data === 'string' && data.startsWith('[{"kind"')) count();
    return result;
  };
}

if (what === 'disk') {
  for (const name of ['fdatasyncSync', 'fsyncSync', 'ftruncateSync', 'renameSync']) {
    const real = fs[name];
    fs[name] = (...words) => {
      const result = real(...words);
      count();
      return result;
    };
  }
}
