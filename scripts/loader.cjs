#!/usr/bin/env node
// dist/nestbox.cjs: starts dist/program.cjs with the machine code that was kept when it was built, if this is the Node that
// made it; another one compiles as usual. Both files lie beside this one and are as trusted as it is. It saves a third of
// what nestbox itself takes to start.
const { readFileSync } = require('node:fs');
const { wrap } = require('node:module');
const { Script } = require('node:vm');

const filename = `${__dirname}/program.cjs`;
let cachedData;
try {
  cachedData = readFileSync(`${__dirname}/program.cache`);
} catch {
  // built without: it starts all the same
}
const script = new Script(wrap(readFileSync(filename, 'utf8')), { filename, cachedData });
module.exports = script;
script.runInThisContext().call(exports, exports, require, module, filename, __dirname);
