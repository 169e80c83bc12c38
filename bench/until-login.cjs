// node until-login.cjs FILE PROGRAM [ARGUMENT]...: runs a container that boots on a terminal of its own, until it asks for a login, and shuts it down. Writes into FILE after how many
// milliseconds its systemd had started the login (console-getty.service), and after how many more it asked: agetty waits for the jobs of the start (Type=idle), and then
// sleeps for a second on whatever is no virtual terminal (agetty.c, get_logname), which is taken off.
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
  const now = performance.now() - start;
  if (took === null && /Started .*console-getty\.service/.test(said)) took = now;
  if (!/ login: /.test(said)) return;
  writeFileSync(file, `${took ?? now - 1000} ${now - 1000}`);
  child.stdout.off('data', see).resume();
  // systemd-nspawn, which tells the system inside to shut down.
  process.kill(Number(execFileSync('pgrep', ['--parent', `${child.pid}`], { encoding: 'utf8' })), 'SIGTERM');
}

child.stdout.setEncoding('utf8').on('data', see);
child.on('exit', () => {
  clearTimeout(limit);
  if (!/ login: /.test(said)) fail('it has ended');
});
