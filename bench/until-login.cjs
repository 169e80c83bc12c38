// node until-login.cjs FILE PROGRAM [ARGUMENT]...: runs a container that boots on a terminal of its own, until it asks for a login, and shuts it down. Writes into FILE how many
// milliseconds that took, less the second that agetty sleeps before, on whatever is no virtual terminal (agetty.c, get_logname).
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

function fail(why) {
  process.stderr.write(`${said.slice(-2000)}\n${why}\n`);
  child.kill('SIGKILL');
  process.exit(1);
}

function see(data) {
  said += data;
  if (!/ login: /.test(said)) return;
  writeFileSync(file, `${performance.now() - start - 1000}`);
  child.stdout.off('data', see).resume();
  // systemd-nspawn, which tells the system inside to shut down.
  process.kill(Number(execFileSync('pgrep', ['--parent', `${child.pid}`], { encoding: 'utf8' })), 'SIGTERM');
}

child.stdout.setEncoding('utf8').on('data', see);
child.on('exit', () => {
  clearTimeout(limit);
  if (!/ login: /.test(said)) fail('it has ended');
});
