import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { openSync, readFileSync, readlinkSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { loopControl, machine, makeNode, open, perl } from '../device-nodes.ts';
import { folder, nestbox, program, type Running, running } from '../nestbox.ts';
import { differences, snapshot } from '../snapshot.ts';

/** A machine that runs for the length of the test, or until it is ended. */
async function up(t: TestContext, name: string, more = '', what = 'echo ready; exec sleep 1000'): Promise<Running> {
  const run = running(t, ['run', machine(t, name, more), '--', 'sh', '-c', what]);
  await run.says(/ready/);
  return run;
}

/** In a terminal of 91 columns: what comes out of it, and its exit status. */
function inTerminal(args: string[], input = ''): { status: number | null; out: string } {
  const quoted = [process.execPath, program, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const { status, stdout } = spawnSync('script', ['-qec', `stty rows 33 cols 91; ${quoted}`, '/dev/null'], { encoding: 'utf8', input, timeout: 120_000 });
  return { status, out: stdout.replaceAll('\r', '').replace('^@', '') }; // script(1) types that at the end of its input
}

test('the exit status of a program in a running machine is that of nestbox, and what is piped goes through', async (t) => {
  await up(t, 'exec-status');
  for (const status of [0, 1, 7, 200]) assert.equal(nestbox(['exec', 'exec-status', 'sh', '-c', `exit ${status}`]).status, status);
  assert.equal(nestbox(['exec', 'exec-status', 'sh', '-c', 'kill -KILL $$']).status, 137);
  const missing = nestbox(['exec', 'exec-status', '/usr/bin/no-such-program']);
  assert.deepEqual([missing.status, missing.stderr], [127, '/usr/bin/no-such-program: No such file or directory\n']);
  assert.equal(nestbox(['exec', 'exec-status', '/etc/passwd']).status, 126);
  const words = ['', 'b c', '$HOME', "it's", '--root', '-u', '*', 'ü\n2'];
  assert.equal(nestbox(['exec', 'exec-status', 'printf', '[%s]', ...words]).stdout, words.map((word) => `[${word}]`).join(''));
  assert.deepEqual(nestbox(['exec', 'exec-status', '--', 'sh', '-c', 'tr a-z A-Z; echo complaint >&2'], { input: 'first\n' }), { status: 0, stdout: 'FIRST\n', stderr: 'complaint\n' });
  assert.match(nestbox(['exec', 'exec-nobody', 'true']).stderr, /'exec-nobody' does not run/);
  assert.match(nestbox(['exec', '--user', 'stranger', 'exec-status', 'true']).stderr, /there is no user 'stranger' inside/);
});

test('a program that comes later has what those of the machine have: ids, groups, capabilities, filters, limits, namespaces, environment', async (t) => {
  const look = `grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp)' /proc/self/status; ulimit -a; cat /proc/self/cgroup | sed 's/.*://' | sort -u; for n in ipc mnt net pid user uts cgroup; do readlink /proc/self/ns/$n; done
    pwd; echo "$HOME $USER $LOGNAME $PATH $XDG_RUNTIME_DIR $GREETING $LANG $container"; umask; echo ready; exec sleep 1000`;
  for (const users of ['own', 'host']) {
    const run = await up(t, 'exec-same', `users = "${users}"\nuser = "someone"\nenvironment = { GREETING = "hello" }\n[limits]\ntasks = 50`, look);
    const { stdout, stderr } = nestbox(['exec', 'exec-same', 'sh', '-c', look.replace('exec sleep 1000', 'true')], { env: { SECRET: 'of the host' } });
    assert.equal(stdout, run.stdout(), `${users}: ${stderr}`);
    assert.match(stdout, /^NoNewPrivs:\s1$/m);
    assert.match(stdout, /^Seccomp:\s2$/m);
    // Nothing of the host comes in with it.
    const open = nestbox(['exec', 'exec-same', 'sh', '-c', 'env | grep -c SECRET; ls /proc/self/fd | tr "\\n" " "; cat /proc/self/sessionid /dev/null; ps -o sid= -p $$ 2>/dev/null || true'], { env: { SECRET: 'of the host' } }).stdout;
    assert.match(open, /^0\n0 1 2 3 /, 'only its three descriptors, and the folder that ls reads');
    const root = nestbox(['exec', '--root', 'exec-same', 'sh', '-c', 'id -u; echo "$HOME:$XDG_RUNTIME_DIR"; grep CapEff /proc/self/status | cut -f2; grep CapBnd /proc/self/status | cut -f2']).stdout.split('\n');
    assert.deepEqual([root[0], root[1], root[2]], ['0', '/root:', root[3]], 'root has all within the bounds of the container, and no more');
    assert.equal(nestbox(['exec', '-u', '4242', 'exec-same', 'id', '-u']).stdout, '4242\n');
    await run.end();
  }
});

test('a program that comes later opens no device that the machine may not open', async (t) => {
  const shared = folder(t);
  if (!makeNode(t, `${shared}/withheld`, loopControl, 0)) return;
  await up(t, 'exec-devices', `users = "host"\nfiles = ["${shared}"]`);
  const { stdout } = nestbox(['exec', '--root', 'exec-devices', ...perl(open(`${shared}/withheld`), `print \`mknod /tmp/n c 10 237 2>&1\``)]);
  assert.equal(stdout, '1 Operation not permitted\nmknod: /tmp/n: Operation not permitted\n');
});

test('what is seen of nestbox inside cannot be used to change it on the host', async (t) => {
  await up(t, 'exec-self', 'users = "host"');
  const inside = running(t, ['exec', '--root', 'exec-self', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await inside.says(/ready/);
  // The process that the one inside is born from: until that becomes the program, root inside could reach its file through /proc.
  const [parent] = readFileSync(`/proc/${inside.child.pid}/task/${inside.child.pid}/children`, 'utf8').trim().split(' ');
  assert.match(readlinkSync(`/proc/${parent}/exe`), /^\/memfd:nestbox-native/);
  assert.throws(() => openSync(`/proc/${parent}/exe`, 'r+'), /EPERM|ETXTBSY/);
});

test('in a terminal it gets one of its own inside, of the same size, and not ours', async (t) => {
  await up(t, 'exec-terminal', 'user = "someone"');
  const { status, out } = inTerminal(['exec', 'exec-terminal', 'sh', '-c', 'tty; stty size; stat -c %U $(tty); echo to-tty > /dev/tty; readlink /proc/self/fd/2; exit 9']);
  assert.deepEqual([status, out], [9, '/dev/pts/0\n33 91\nsomeone\nto-tty\n/dev/pts/0\n']);
  // One of the three that is no terminal: then the others are pipes, and no terminal of the host is inside.
  const { stdout } = spawnSync('script', ['-qec', `${process.execPath} ${program} exec exec-terminal sh -c 'test -t 0 || echo none; (: > /dev/tty) 2>/dev/null || echo no controlling one' | cat`, '/dev/null'], { encoding: 'utf8', input: '' });
  assert.equal(stdout.replaceAll('\r', ''), 'none\nno controlling one\n');
});

test('shell is the login shell of the user, in a terminal where there is one', async (t) => {
  await up(t, 'exec-shell', 'user = "someone"');
  assert.deepEqual(nestbox(['shell', 'exec-shell'], { input: 'echo "$0 $SHELL $(pwd) $(id -un)"; exit 3\n' }), { status: 3, stdout: '-sh /bin/sh /home/someone someone\n', stderr: '' });
  assert.match(nestbox(['shell', 'exec-shell', 'root'], { input: 'echo "$0 $(id -un)"\n' }).stdout, /^-bash root$/m);
  assert.match(inTerminal(['shell', 'exec-shell'], 'tty\nexit 5\n').out, /\/dev\/pts\/0/);
});

test('signals reach the program, and it ends with the nestbox that started it', async (t) => {
  await up(t, 'exec-signals');
  const trapping = running(t, ['exec', 'exec-signals', 'sh', '-c', 'trap "echo one" USR1; trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done']);
  await trapping.says(/ready/);
  trapping.child.kill('SIGUSR1');
  await trapping.says(/one/);
  assert.equal((await trapping.end('SIGTERM')).status, 9);
  const killed = running(t, ['exec', 'exec-signals', 'sh', '-c', 'echo ready; exec sleep 987']);
  await killed.says(/ready/);
  await killed.end('SIGKILL');
  const alive = () => nestbox(['exec', 'exec-signals', 'sh', '-c', 'grep -l "^sleep.987" /proc/*/cmdline 2>/dev/null']).stdout;
  for (const limit = Date.now() + 60_000; alive() !== '' && Date.now() < limit; ) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(alive(), '');
});

test('when the machine ends, what has come into it ends too, and nothing is left', async (t) => {
  const before = snapshot();
  const run = await up(t, 'exec-end');
  const inside = running(t, ['exec', 'exec-end', 'sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done']);
  await inside.says(/ready/);
  await run.end();
  assert.equal((await inside.end(null)).status, 137);
  assert.deepEqual(differences(before), []);
});
