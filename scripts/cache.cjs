// cache.cjs [FILE]: writes dist/program.cache, the machine code of all that has been compiled by the time that the plan of a machine file is printed.
const { rmSync, writeFileSync } = require('node:fs');
const { resolve } = require('node:path');

const dist = resolve(__dirname, '../dist');
rmSync(`${dist}/program.cache`, { force: true });
process.argv = [process.argv[0], `${dist}/nestbox.cjs`, 'plan', '--json', process.argv[2] ?? resolve(__dirname, '../examples/demo.toml')];
process.stdout.write = () => true;
process.stderr.write = () => true; // where this host lacks something for the example, the plan ends in a complaint
process.on('exit', () => {
  writeFileSync(`${dist}/program.cache`, require(`${dist}/nestbox.cjs`).createCachedData());
  process.exitCode = 0;
});
require(`${dist}/nestbox.cjs`);
