// node until-login.cjs FILE PROGRAM [ARGUMENT]...: runs a container that boots on a terminal of its own, until it asks for a login; writes into FILE after how many
// milliseconds it started the program that asks (agetty sleeps for a second before it does, on whatever is no virtual terminal: agetty.c, get_logname), and shuts it down.
const { spawn, execFileSync } = require('node:child_process');
const { writeFileSync } = require('node:fs');
const { performance } = require('node:perf_hooks');

const [file, ...argv] = process.argv.slice(2);
const quoted = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
const start = performance.now();
// systemd gives a login to a console that is a terminal alone.
const child = spawn('script', ['--quiet', '--flush', '--return', '--command', `exec ${quoted}`, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
const limit = setTimeout(() => fail('there is no login'), 60_000);
let said = '';
let took = null;

function fail(why) {
  process.stderr.write(`${said.slice(-2000)}\n${why}\n`);
  child.kill('SIGKILL');
  process.exit(1);
}

function see(data) {
  said += data;
  if (took === null && /Started .*console-getty\.service/.test(said)) took = performance.now() - start;
  if (!/ login: /.test(said)) return;
  writeFileSync(file, `${took}`);
  child.stdout.off('data', see).resume();
  // systemd-nspawn, which tells the system inside to shut down.
  process.kill(Number(execFileSync('pgrep', ['--parent', `${child.pid}`], { encoding: 'utf8' })), 'SIGTERM');
}

child.stdout.setEncoding('utf8').on('data', see);
child.on('exit', () => {
  clearTimeout(limit);
  if (!/ login: /.test(said)) fail('it has ended');
});
