import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { decodePng } from '../../src/png.ts';
import { fuse, loopControl, makeNode, open, perl } from '../device-nodes.ts';
import { folder, machineFile, nestbox, program, root, running } from '../nestbox.ts';
import { machine, succeeds } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';
import { assertTone, readWav } from '../sound.ts';
import { tone } from '../sound-server.ts';

/** Machines on LXC: what is seen, heard and opened is to be the same as with systemd-nspawn. */

const installed = (t: TestContext): boolean => {
  if (spawnSync('lxc-start', ['--version']).status === 0) return true;
  t.skip('LXC is not installed');
  return false;
};

const lxc = (t: TestContext, name: string, more: string, engine = 'lxc') => machineFile(t, `name = "${name}"\nengine = "${engine}"\nephemeral = true\n${/^network/m.test(more) ? '' : 'network = "none"\n'}${more}\n${root}`);

/** Control groups that LXC has made, which end with the machine's own. */
const groups = () => execFileSync('find', ['/sys/fs/cgroup', '-name', 'lxc.*'], { encoding: 'utf8' });

test('a machine shows and plays on LXC what it does with systemd-nspawn, and leaves nothing', async (t) => {
  if (!installed(t)) return;
  const before = snapshot();
  const seen: Buffer[] = [];
  for (const engine of ['nspawn', 'lxc']) {
    const wav = `${folder(t)}/out.wav`;
    const picture = `${folder(t)}/picture.png`;
    const run = running(t, ['run', lxc(t, 'lxc-demo', 'user = "someone"\naudio = "playback"\n[display.headless]\nsize = "500x300"', engine), '--record-audio', wav, '--', 'sh', '-c', `xlogo -geometry 200x100+50+40 -bg '#ffcc00' -fg '#336699' & until xwininfo -name xlogo 2>/dev/null | grep -q IsViewable; do sleep 0.05; done; ${tone(440)}; echo drawn; exec sleep 1000`]);
    await run.says(/drawn/);
    // What is on the screen does not change any more, or is what is to be: the logo is drawn after its window is there.
    let [last, shown] = [Buffer.alloc(0), Buffer.alloc(0)];
    const isDone = () => {
      succeeds(nestbox(['screenshot', 'lxc-demo', picture]));
      [last, shown] = [shown, Buffer.from(decodePng(readFileSync(picture)).rgb)];
      return new Set(shown).size > 3 && shown.equals(seen[0] ?? last);
    };
    for (const limit = Date.now() + 60_000; !isDone() && Date.now() < limit;);
    await run.end();
    assertTone(readWav(wav), 440);
    seen.push(shown);
  }
  assert.ok(new Set(seen[0]).size > 3, 'something is on the screen');
  assert.ok(seen[0]!.equals(seen[1]!), 'the same screen, to the pixel');
  assert.deepEqual(differences(before), []);
  assert.equal(groups(), '');
});

test('exit status, words and what is piped go through, in the machine and into one that runs', async (t) => {
  if (!installed(t)) return;
  const file = lxc(t, 'lxc-words', 'user = "someone"\nenvironment = { SHOWN = " \'a\' \\"b\\"  " }');
  const words = ['', ' b  c', '$HOME', "it's", '"', `'"`, '\\x41', '*', 'ü\n2', '# x', '%'];
  for (const status of [0, 7, 200]) assert.equal(nestbox(['run', file, '--', 'sh', '-c', `exit ${status}`]).status, status);
  assert.equal(nestbox(['run', file, '--', 'sh', '-c', 'kill -KILL $$']).status, 137);
  assert.equal(nestbox(['run', file, '--', '/usr/bin/no-such-program']).status, 127);
  assert.equal(nestbox(['run', file, '--', 'printf', '[%s]', ...words]).stdout, words.map((word) => `[${word}]`).join(''));
  assert.deepEqual(nestbox(['run', file, '--', 'sh', '-c', 'tr a-z A-Z; echo complaint >&2'], { input: 'first\n' }), { status: 0, stdout: 'FIRST\n', stderr: 'complaint\n' });
  assert.equal(nestbox(['run', file, '--', 'printenv', 'SHOWN']).stdout, ' \'a\' "b"  \n');

  const look = `grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status; cat /proc/self/cgroup | sed 's/.*://' | sort -u; for n in ipc mnt net pid user uts cgroup; do readlink /proc/self/ns/$n; done
    pwd; echo "$HOME $USER $LOGNAME $PATH $XDG_RUNTIME_DIR $SHOWN $LANG $container"; umask; echo ready; exec sleep 1000`;
  const run = running(t, ['run', file, '--', 'sh', '-c', look]);
  await run.says(/ready/);
  assert.equal(nestbox(['exec', 'lxc-words', 'sh', '-c', look.replace('exec sleep 1000', 'true')]).stdout, run.stdout());
  assert.match(run.stdout(), /^NoNewPrivs:\s1$/m);
  assert.match(run.stdout(), /^Seccomp:\s2$/m);
  assert.equal(nestbox(['exec', '--root', 'lxc-words', 'sh', '-c', 'id -u; keyctl 2>/dev/null; perl -e "print syscall(250, 0, -3, 0), qq(\\n)"']).stdout, '0\n-1\n', 'keyrings are the host\'s (keyctl(2) is 250)');
  assert.equal((await run.end()).status, 143);
});

test('of a terminal of its own a program is the master, and what ends nestbox ends the machine', async (t) => {
  if (!installed(t)) return;
  const before = snapshot();
  const file = lxc(t, 'lxc-terminal', '');
  const quoted = [process.execPath, program, 'run', file, '--', 'sh', '-c', 'tty; : < /dev/tty && echo master; exit 3'].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const { status, stdout } = spawnSync('script', ['-qec', quoted, '/dev/null'], { encoding: 'utf8', input: '', timeout: 120_000 });
  assert.match(stdout, /\/dev\/pts\/0\s+master\s/);
  assert.equal(status, 3);

  const stubborn = running(t, ['run', file, '--', 'sh', '-c', 'trap "echo no" TERM; echo ready; while :; do sleep 0.1; done']);
  await stubborn.says(/ready/);
  stubborn.child.kill('SIGTERM');
  await stubborn.says(/no/);
  assert.notEqual((await stubborn.end('SIGTERM')).status, 0, 'the second time it is killed');
  const lost = running(t, ['run', file, '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await lost.says(/ready/);
  await lost.end('SIGKILL');
  succeeds(nestbox(['clean', 'lxc-terminal']));
  assert.deepEqual(differences(before), []);
  assert.equal(groups(), '');
});

test('a device opens that is given, no other does, and attach and detach change that while it runs', async (t) => {
  const given = '/dev/nestbox-lxc/given';
  const withheld = '/dev/nestbox-lxc/withheld';
  t.after(() => rmSync('/dev/nestbox-lxc', { recursive: true, force: true }));
  mkdirSync('/dev/nestbox-lxc', { recursive: true });
  if (!installed(t) || !makeNode(t, given, fuse, 4321) || !makeNode(t, withheld, loopControl, 4322)) return;
  for (const users of ['own', 'host']) {
    const run = running(t, ['run', lxc(t, 'lxc-devices', `users = "${users}"\nuser = "someone"\ndevices = ["${given}"]`), '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
    await run.says(/ready/);
    const tryIn = (path: string, ...as: string[]) => nestbox(['exec', ...as, 'lxc-devices', ...perl(open(path))]).stdout;
    assert.equal(tryIn(given), 'opened\n', users);
    assert.equal(tryIn(withheld), '2 No such file or directory\n', users);
    // Made by itself, where it can be, it opens no more than in any machine.
    assert.match(nestbox(['exec', '--root', 'lxc-devices', 'perl', '-e', `system("mknod /dev/own c 10 237 2>/dev/null") ; ${open('/dev/own')}`]).stdout, /^2 No such/, users);
    assert.match(nestbox(['why', 'lxc-devices', withheld]).stdout, /does not open/);
    assert.deepEqual(nestbox(['attach', 'lxc-devices', withheld]), { status: 0, stdout: '', stderr: '' }, users);
    assert.equal(tryIn(withheld), 'opened\n', users);
    succeeds(nestbox(['detach', 'lxc-devices', withheld]));
    assert.equal(tryIn(withheld), '2 No such file or directory\n', users);
    await run.end();
  }
});

test('files, network and limits hold as they are given', (t) => {
  if (!installed(t)) return;
  const before = snapshot();
  const shared = folder(t);
  mkdirSync(`${shared}/a b`);
  writeFileSync(`${shared}/a b/file`, 'words\n');
  const look = 'cat "/mnt/a b/file"; echo no > "/mnt/a b/file" || true; echo yes > /var/run/open/new; stat -c %u /mnt/"a b"; ip -br address show host0; ip route; cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || true';
  const { stdout } = succeeds(nestbox(['run', lxc(t, 'lxc-shares', `user = "someone"\nnetwork = "private"\nlimits = { tasks = 77, memory = "512M" }\nfiles = [{ path = "${shared}/a b", to = "/mnt/a b" }, { path = "${shared}", to = "/var/run/open", write = true }]`), '--', 'sh', '-c', look]));
  assert.match(stdout, /^words\n1000\nhost0\S* +UP +10\.213\.\d+\.\d+\/30.*\ndefault via 10\.213\./);
  assert.deepEqual([readFileSync(`${shared}/a b/file`, 'utf8'), readFileSync(`${shared}/new`, 'utf8')], ['words\n', 'yes\n']);
  assert.match(nestbox(['run', lxc(t, 'lxc-shares', 'network = "host"'), '--', 'sh', '-c', 'ls /sys/class/net']).stdout, /^lo$/m);
  assert.deepEqual(differences(before), []);
});

test('a system boots, with its network and variables, and is shut down in order', async (t) => {
  if (!installed(t)) return;
  const shared = folder(t);
  const before = snapshot();
  const file = machine(t, 'lxc-boots', `engine = "lxc"\nboot = true\nnetwork = "private"\nenvironment = { SHOWN = "a b" }\nfiles = [{ path = "${shared}", write = true }]\n[root]\ndebian = "bookworm"\npackages = ["iproute2"]\n`);
  const unit = `[Unit]\nAfter=network.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c "(systemctl show-environment; ip -br address show host0) > ${shared}/seen; echo up > ${shared}/up"\nExecStop=/bin/sh -c "echo down > ${shared}/down"\n[Install]\nWantedBy=multi-user.target\n`;
  succeeds(nestbox(['run', file, '--', 'sh', '-c', 'cat > /etc/systemd/system/says.service; systemctl enable says.service'], { timeout: 400_000, input: unit }));
  const started = running(t, ['run', file]);
  for (const limit = Date.now() + 240_000; !existsSync(`${shared}/up`); await new Promise((resolve) => setTimeout(resolve, 50))) assert.ok(Date.now() < limit, `it does not come up: ${started.stderr()}`);
  assert.match(readFileSync(`${shared}/seen`, 'utf8'), /SHOWN=.*a b[^]*^host0\S* +UP +10\.213\.\d+\.\d+\/30/m);
  assert.equal(nestbox(['exec', 'lxc-boots', '--', 'systemctl', 'is-system-running', '--wait']).stdout, 'running\n');
  const { status, stderr } = await started.end('SIGTERM');
  assert.equal(status, 0, stderr);
  assert.equal(readFileSync(`${shared}/down`, 'utf8'), 'down\n'); // its units were stopped, not killed
  succeeds(nestbox(['rm', 'lxc-boots']));
  assert.deepEqual(differences(before), []);
});

test("killed at each step, 'clean' leaves nothing behind", (t) => {
  if (!installed(t)) return;
  const hook = new URL('./kill-at.cjs', import.meta.url).pathname;
  const file = lxc(t, 'lxc-kill', 'user = "someone"\nnetwork = "private"\naudio = "playback"\ndisplay = "headless"\nlimits = { tasks = 200 }\nrun = "true"');
  succeeds(nestbox(['run', file]));
  const before = snapshot();
  let n = 1;
  for (; n < 200; n++) {
    const { signal, stderr, status } = spawnSync(process.execPath, ['--require', hook, program, 'run', '--verbose', file], { encoding: 'utf8', env: { ...process.env, KILL_AT: `step:${n}` }, timeout: 300_000 });
    if (signal === 'SIGKILL') succeeds(nestbox(['clean']));
    assert.deepEqual(differences(before), [], `step ${n}, killed at: ${stderr.trim().split('\n').at(-1)}`);
    assert.equal(groups(), '');
    if (signal === 'SIGKILL') continue;
    assert.equal(status, 0, stderr);
    break;
  }
  assert.ok(n > 20, `only ${n} steps`);
});
