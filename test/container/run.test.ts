import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { follow, machineFile, nestbox, program, root, running } from '../nestbox.ts';

const throwAway = (t: TestContext, name: string, more = 'network = "none"') =>
  machineFile(t, `name = "${name}"\nephemeral = true\n${more}\n${root}`);

/** What of a machine can be seen on the host while it runs, and must be gone afterwards. */
function traces(name: string, display?: number): Record<string, string[]> {
  const list = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);
  const groups = list('/sys/fs/cgroup').flatMap((controller) => [`/sys/fs/cgroup/${controller}`, ...list(`/sys/fs/cgroup/${controller}`).map((group) => `/sys/fs/cgroup/${controller}/${group}`)]);
  const processes = readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && `${readFileSync(`/proc/${pid}/cgroup`, 'utf8')} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8')}`.includes(`nestbox-${name}`);
    } catch {
      return false;
    }
  });
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map((line) => line.split(' ').slice(3).join(' '));
  return {
    groups: groups.filter((path) => path.includes(`/nestbox-${name}`)), processes, mounts: mounts.filter((line) => line.includes(name)), display: [`/tmp/.X11-unix/X${display}`, `/tmp/.X${display}-lock`].filter((path) => existsSync(path)),
    files: [`/run/nestbox/${name}`, `/var/lib/nestbox/scratch/${name}`, `/var/lib/nestbox/journal/${name}`, `/run/systemd/nspawn/propagate/${name}`].filter((path) => existsSync(path)),
  };
}

const gone = (traces: Record<string, string[]>, told: string) => assert.deepEqual(Object.values(traces).flat(), [], told);

test('the exit status of the program is that of nestbox', (t) => {
  const file = throwAway(t, 'run-status');
  for (const status of [0, 1, 7, 200]) {
    const ended = nestbox(['run', file, '--', 'sh', '-c', `exit ${status}`]);
    assert.equal(ended.status, status, ended.stderr);
  }
  // nspawn keeps the number of the signal to itself; it also takes 133 for a wish to start again, and gives 1.
  assert.equal(nestbox(['run', file, '--', 'sh', '-c', 'kill -KILL $$']).status, 255);
  const missing = nestbox(['run', file, '--', '/usr/bin/no-such-program']);
  assert.notEqual(missing.status, 0);
  assert.match(missing.stderr, /no-such-program.*No such file/);
});

test('what stands after -- is the program with its arguments, each as it was given', (t) => {
  const words = ['', 'b c', '$HOME', "it's", '--machine=other', '*', 'ü\n2', '\\n'];
  assert.equal(nestbox(['run', throwAway(t, 'run-words'), '--', 'printf', '[%s]', ...words]).stdout, words.map((word) => `[${word}]`).join(''));
});

test('what is piped into nestbox is read by the program, and only what the program says comes out', (t) => {
  const { stdout, status } = nestbox(['run', throwAway(t, 'run-stdin'), '--', 'sh', '-c', 'tr a-z A-Z; echo complaint >&2'], { input: 'first\nsecond\n' });
  assert.deepEqual([status, stdout], [0, 'FIRST\nSECOND\n']);
});

test('SIGUSR1 and SIGTERM reach the program, which decides what they mean', async (t) => {
  const run = running(t, ['run', throwAway(t, 'run-signals'), '--', 'sh', '-c', 'trap "echo one" USR1; trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done']);
  await run.says(/ready/);
  run.child.kill('SIGUSR1');
  await run.says(/one/);
  assert.deepEqual(await run.end('SIGTERM').then(({ status, stdout }) => [status, stdout]), [9, 'ready\none\nterm\n']);
});

test('SIGINT ends the program, and nothing of the machine is left on the host', async (t) => {
  const file = throwAway(t, 'run-int', 'user = "someone"\ndisplay = "headless"\nnetwork = "none"\nfiles = ["/etc/hostname"]\n[limits]\ntasks = 64');
  const run = running(t, ['run', file, '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  const { running: state } = JSON.parse(nestbox(['status', 'run-int', '--json']).stdout) as { running: { display: { number: number } } };
  const during = traces('run-int', state.display.number);
  assert.deepEqual(Object.keys(during).filter((kind) => during[kind]!.length === 0), [], 'all of it can be seen while it runs');
  assert.equal(during.files!.length, 4);
  const { stderr } = await run.end('SIGINT');
  gone(traces('run-int', state.display.number), stderr);
});

test('a program that does not listen to SIGINT is ended by the second one', async (t) => {
  const run = running(t, ['run', throwAway(t, 'run-deaf'), '--', 'sh', '-c', 'trap "echo heard" INT; echo ready; while :; do sleep 0.05; done']);
  await run.says(/ready/);
  run.child.kill('SIGINT');
  await run.says(/heard/);
  const { stderr } = await run.end('SIGINT');
  gone(traces('run-deaf'), stderr);
});

test('a terminal has its size inside, follows it when it changes, and Ctrl-C ends what runs in it', async (t) => {
  const command = `stty rows 31 cols 97; echo tty=$(tty); exec '${process.execPath}' '${program}' run '${throwAway(t, 'run-terminal')}' -- sh -c 'trap "stty size" WINCH; stty size; echo ready; while :; do sleep 0.05; done'`;
  const run = follow(t, spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe'] }));
  const [, terminal] = await run.says(/tty=(\S+)/);
  await run.says(/31 97\s+ready/);
  assert.equal(spawnSync('stty', ['-F', terminal!, 'rows', '42', 'cols', '123']).status, 0);
  await run.says(/42 123/);
  run.child.stdin!.write('\x03');
  await run.end(null);
  assert.equal(existsSync('/run/nestbox/run-terminal'), false);
});

test('the program has a home, a runtime folder of its own, a terminal type and a language', (t) => {
  const show = 'printf "%s %s %s %s " "$HOME" "$XDG_RUNTIME_DIR" "$TERM" "$LANG"; pwd; stat -c "%a %U %F" "$HOME" "$XDG_RUNTIME_DIR"; touch "$HOME/x" "$XDG_RUNTIME_DIR/x" && echo written';
  const env = { TERM: 'vt220', LANG: 'de_DE.UTF-8' };
  const user = nestbox(['run', throwAway(t, 'run-env', 'network = "none"\nuser = { name = "someone", uid = 1234 }'), '--', 'sh', '-c', `id; ${show}`], { env });
  assert.match(user.stdout, /^uid=1234\(someone\) gid=1234\(someone\) groups=1234\(someone\)\n\/home\/someone \/run\/user\/1234 vt220 de_DE.UTF-8 \/home\/someone\n750 someone directory\n700 someone directory\nwritten\n$/);
  const { stdout } = nestbox(['run', throwAway(t, 'run-env', 'network = "none"\nhostname = "other"\nenvironment = { WORDS = "a b: $c" }'), '--', 'sh', '-c', `hostname; echo "$WORDS"; ${show}`], { env: { TERM: 'vt220', LANG: 'nonsense' } });
  assert.match(stdout, /^other\na b: \$c\n\/root \/run\/user\/0 vt220 C.UTF-8 \/root\n700 root directory\n700 root directory\nwritten\n$/);
});

test('no variable of the caller but those reaches the program', (t) => {
  const { stdout } = nestbox(['run', throwAway(t, 'run-clean'), '--', 'env'], { env: { SECRET_OF_THE_CALLER: 'told' } });
  assert.match(stdout, /^HOME=/m);
  assert.doesNotMatch(stdout, /SECRET|told/);
});

test('inside there are no new privileges, and its ids are others on the host unless users = "host"', (t) => {
  const look = ['--', 'sh', '-c', 'grep NoNewPrivs /proc/self/status; cat /proc/self/uid_map; stat -c %u:%g /etc/passwd; echo x > /root/new && stat -c %u:%g /root/new'];
  const own = nestbox(['run', throwAway(t, 'run-own'), ...look]).stdout;
  const [, shift] = /^NoNewPrivs:\t1\n +0 +(\d+) +65536\n0:0\n0:0\n$/.exec(own) ?? assert.fail(own);
  assert.ok(Number(shift) >= 0x80000, shift);
  assert.equal(nestbox(['run', throwAway(t, 'run-own'), ...look]).stdout, own, 'the same ids each time');
  assert.match(nestbox(['run', throwAway(t, 'run-host', 'network = "none"\nusers = "host"'), ...look]).stdout, /^NoNewPrivs:\t1\n +0 +0 +4294967295\n0:0\n0:0\n$/);
});

test('a machine keeps what it has changed, an ephemeral one forgets it', (t) => {
  const kept = machineFile(t, `name = "run-keeps"\nnetwork = "none"\n${root}`);
  t.after(() => nestbox(['rm', 'run-keeps']));
  const write = ['--', 'sh', '-c', 'cat /root/note /usr/note; rm /etc/motd; echo kept | tee /root/note /usr/note; ls /etc/motd'];
  assert.equal(nestbox(['run', kept, ...write]).stdout, 'kept\n');
  assert.equal(nestbox(['run', kept, ...write]).stdout, 'kept\nkept\nkept\n');
  const forgets = throwAway(t, 'run-forgets');
  for (const _ of [1, 2]) assert.equal(nestbox(['run', forgets, '--', 'sh', '-c', 'ls /etc/motd; cat /root/note; echo kept | tee /root/note']).stdout, '/etc/motd\nkept\n');
});

test('a second run of a machine that runs is refused, with the process that runs it', async (t) => {
  const file = throwAway(t, 'run-twice');
  const run = running(t, ['run', file, '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  const second = nestbox(['run', file, '--', 'true']);
  assert.deepEqual([second.status, second.stderr.split('\n')[0]], [1, `nestbox: the machine 'run-twice' is running (process ${run.child.pid})`]);
  await run.end();
  assert.equal(nestbox(['run', file, '--', 'true']).status, 0);
});

test('create, list, status, run by name and rm', async (t) => {
  const file = machineFile(t, `name = "run-named"\nnetwork = "none"\nrun = "cat /etc/debian_version"\n${root}`);
  t.after(() => nestbox(['rm', 'run-named']));
  const rows = () => (JSON.parse(nestbox(['list', '--json']).stdout) as { name: string; state: string }[]).filter(({ name }) => name === 'run-named').map(({ state }) => state);
  assert.equal(nestbox(['create', file]).status, 0);
  assert.deepEqual([rows(), nestbox(['status', 'run-named']).status], [['ready'], 3]);
  assert.match(nestbox(['create', file]).stderr, /there is a machine 'run-named' already/);
  assert.match(nestbox(['run', 'run-named']).stdout, /^12\.\d+\n$/);
  const run = running(t, ['run', 'run-named', '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  assert.deepEqual([rows(), nestbox(['status', 'run-named']).status], [['running'], 0]);
  assert.match(nestbox(['status', 'run-named']).stdout, /run-named: running, process \d+[^]*runs: sh -c 'echo ready/);
  assert.match(nestbox(['rm', 'run-named']).stderr, /is running/);
  await run.end();
  assert.equal(nestbox(['rm', 'run-named']).status, 0);
  assert.deepEqual([rows(), existsSync('/etc/nestbox/run-named.toml'), existsSync('/var/lib/nestbox/machines/run-named')], [[], false, false]);
  assert.match(nestbox(['run', 'run-named']).stderr, /there is no machine 'run-named'/);
});

test('rm refuses while anything is mounted below the machine, names it, and has removed nothing', (t) => {
  const file = machineFile(t, `name = "run-mounted"\nnetwork = "none"\n${root}`);
  assert.equal(nestbox(['run', file, '--', 'sh', '-c', 'mkdir /srv/music; echo precious > /root/note']).status, 0);
  const point = '/var/lib/nestbox/machines/run-mounted/top/upper/srv/music';
  const source = `${file}.folder`;
  mkdirSync(source);
  const umount = () => spawnSync('umount', [point]);
  t.after(() => { umount(); nestbox(['rm', 'run-mounted']); });
  assert.equal(spawnSync('mount', ['--bind', source, point]).status, 0);
  const refused = nestbox(['rm', 'run-mounted']);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, new RegExp(`not removed: ${point} is mounted there\n +umount ${point}`));
  assert.equal(readFileSync('/var/lib/nestbox/machines/run-mounted/top/upper/root/note', 'utf8'), 'precious\n');
  umount();
  assert.equal(nestbox(['rm', 'run-mounted']).status, 0);
  assert.equal(existsSync('/var/lib/nestbox/machines/run-mounted'), false);
});

test('limits hold: so many processes, and so much memory', (t) => {
  const file = throwAway(t, 'run-limits', 'network = "none"\n[limits]\ntasks = 20\nmemory = "64M"\ncpu = 0.5');
  const counts = nestbox(['run', file, '--', 'sh', '-c', 'i=0; while [ $i -lt 60 ]; do sleep 300 & i=$((i+1)); done; echo all']);
  assert.match(counts.stderr, /[Cc]annot fork/);
  assert.doesNotMatch(counts.stdout, /all/);
  for (const [bytes, printed] of [[10e6, '10000000'], [200e6, '']] as const) {
    const { stdout, stderr } = nestbox(['run', file, '--', 'perl', '-e', `$x = "x" x ${bytes}; print length $x`]);
    assert.equal(stdout, printed, stderr);
  }
  assert.match(nestbox(['run', throwAway(t, 'run-unlimited'), '--', 'perl', '-e', '$x = "x" x 200e6; print length $x']).stdout, /^200000000$/);
});

test('root inside with the host\'s ids cannot raise its own limits', (t) => {
  if (!existsSync('/sys/fs/cgroup/pids')) return t.skip("there is no 'pids' controller of version 1");
  const { stdout, stderr } = nestbox(['run', throwAway(t, 'run-raise', 'network = "none"\nusers = "host"\n[limits]\ntasks = 20'), '--', 'sh', '-c',
    'mkdir /tmp/groups; mount -t cgroup -o pids none /tmp/groups && echo max > /tmp/groups/pids.max && echo raised; i=0; while [ $i -lt 60 ]; do sleep 300 & i=$((i+1)); done; echo all']);
  assert.equal(stdout, 'raised\n');
  assert.match(stderr, /[Cc]annot fork/);
});

test('nestbox itself stays below 60 MB while a machine runs', async (t) => {
  const run = running(t, ['run', throwAway(t, 'run-small', 'display = "headless"\nnetwork = "none"'), '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${run.child.pid}/status`, 'utf8'))!;
  t.diagnostic(`${Math.round(Number(kilobytes) / 1024)} MB`);
  assert.match(readlinkSync(`/proc/${run.child.pid}/exe`), /node/);
  assert.ok(Number(kilobytes) < 60 * 1024, `${kilobytes} kB`);
});
