import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { type TestContext, test } from 'node:test';
import { decodePng } from '../../src/png.ts';
import type { Picture } from '../../src/x11.ts';
import { fuse, loopControl, makeNode, open, perl } from '../device-nodes.ts';
import { folder, machineFile, nestbox, program, root, running } from '../nestbox.ts';
import { tinyRoot } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';
import { assertTone, readWav } from '../sound.ts';

/** The engine chroot: the same machine files, in a root directory of the host. */

const accepted = '[chroot]\naccept = ["no-user-namespace", "no-network-isolation"]\n';
const machine = (t: TestContext, name: string, more: string, tables = '') => machineFile(t, `name = "${name}"\nengine = "chroot"\nephemeral = true\n${more}\n${accepted}${tables}${root}`);

async function up(t: TestContext, name: string, more = '', what = 'echo ready; exec sleep 1000') {
  const run = running(t, ['run', machine(t, name, more), '--', 'sh', '-c', what]);
  await run.says(/ready/);
  return run;
}

/** Tries until windows have been drawn; nobody tells when. */
async function pictureOf(t: TestContext, name: string, isThere: (picture: Picture) => boolean): Promise<Picture> {
  const path = `${folder(t)}/picture.png`;
  for (const limit = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const { status, stderr } = nestbox(['screenshot', name, path]);
    const picture = status === 0 ? decodePng(readFileSync(path)) : null;
    if (picture && isThere(picture)) return picture;
    assert.ok(Date.now() < limit, `it did not come within 60 seconds: ${stderr}`);
  }
}

const colourAt = ({ width, rgb }: Picture, x: number, y: number): string => rgb.subarray(3 * (y * width + x), 3 * (y * width + x) + 3).toString('hex');

test('the demo machine shows and sounds in a chroot as it does with systemd-nspawn, and nothing of it is left', async (t) => {
  const before = snapshot();
  const demo = readFileSync(new URL('../../examples/demo.toml', import.meta.url), 'utf8');
  const pictures: Buffer[] = [];
  for (const engine of ['nspawn', 'chroot']) {
    const file = machineFile(t, demo.replace('name      = "demo"', `name = "chroot-demo-${engine}"\nengine = "${engine}"`).replace(/\[root\][^]*/, `${accepted}${root}`).replace('| pacat', '| tee /tmp/tone | pacat').replace(/xclock[^\\]*\\\n/, '\\\n'));
    const wav = `${file}.wav`;
    const run = running(t, ['run', file, '--record-audio', wav]);
    let last: Buffer = Buffer.alloc(0);
    // The logo is drawn when it is: the first picture is one that does not change any more, and the second is to become the same.
    const picture = await pictureOf(t, `chroot-demo-${engine}`, (found) => {
      const isDone = colourAt(found, 190, 50) === 'ffcc00' && found.rgb.includes(Buffer.from('336699', 'hex')) && found.rgb.equals(pictures[0] ?? last);
      last = found.rgb;
      return isDone;
    });
    assert.deepEqual([picture.width, picture.height], [740, 380]);
    pictures.push(picture.rgb);
    const { status, stderr } = await run.end(null);
    assert.equal(status, 0, stderr);
    assertTone(readWav(wav), 440, null);
  }
  assert.ok(pictures[0]!.equals(pictures[1]!), 'the two pictures are the same to the pixel');
  assert.deepEqual(differences(before), []);
});

test('what a chroot cannot enforce is refused by name, and each word accepts its own', (t) => {
  const text = (accept: string) => `name = "chroot-refused"\nengine = "chroot"\nephemeral = true\nsyscalls = ["~mount"]\nrun = "true"\n[chroot]\naccept = [${accept}]\n${root}`;
  const run = (accept: string) => nestbox(['run', machineFile(t, text(accept))]);
  const none = run('');
  assert.equal(none.status, 1);
  assert.match(none.stderr, /machine\.toml:1:1: users: a chroot has no ids of its own: root inside is root of the host\n +say users = "host", or say accept = \["no-user-namespace"\] in \[chroot\]/);
  assert.match(none.stderr, /network\.private: a chroot shares the network of the host.*\n +say network = "host", or say accept = \["no-network-isolation"\]/);
  assert.match(none.stderr, /machine\.toml:4:1: syscalls: a chroot has no filter of system calls/);
  const some = run('"no-user-namespace", "no-call-filter"');
  assert.match(some.stderr, /no-network-isolation/);
  assert.doesNotMatch(some.stderr, /no-user-namespace|no-call-filter/);
  const all = run('"no-user-namespace", "no-call-filter", "no-network-isolation"');
  assert.deepEqual([all.status, all.stdout], [0, '']);
  assert.match(all.stderr, /shares the network of the host, and has none of its own.*going on/);
});

test('boot, services of systemd and ports are refused with the reason', (t) => {
  const file = (more: string, tables: string) => machineFile(t, `name = "chroot-not"\nengine = "chroot"\n${more}\n${accepted}${tables}${root}`);
  assert.match(nestbox(['run', file('boot = true', '')]).stderr, /boot: an init cannot be started in a chroot/);
  assert.match(nestbox(['run', file('', '[network.private]\nports = ["18080:80"]\n')]).stderr, /network\.private\.ports: .*no port can lead to another one inside/);
  for (const command of ['start', 'render']) assert.match(nestbox([command, file('', '')]).stderr, /systemd is given units of systemd-nspawn, and a chroot is none of these/, command);
});

test('a program inside has the mounts of a root, a process tree of its own, and no more than root of a container may', (t) => {
  const look = 'id -un; hostname; echo $$ $(ls -d /proc/[0-9]* | wc -l); for p in / /proc /proc/sys /sys /dev /dev/pts /dev/shm /run /tmp; do grep -m1 " $p " /proc/mounts | cut -d" " -f2,3,4 | cut -d, -f1; done; '
    + 'ls /dev | tr "\\n" " "; echo; grep -E "^(CapBnd|CapEff|NoNewPrivs)" /proc/self/status | tr "\\n" " "; echo; true > /proc/sys/kernel/hostname; echo 1 > /sys/kernel/profiling; chmod 777 /sys/power; stat -c %a /tmp /dev/shm /run/user/0; readlink /dev/fd /dev/ptmx; wc -c < /proc/kallsyms; grep -c hostname= /proc/1/cmdline; ls /proc/self/fd | wc -l; [ "$(readlink /proc/self/ns/net)" = NET ] && echo "the host\'s network"';
  const net = spawnSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }).stdout.trim();
  const { stdout, stderr } = nestbox(['run', machine(t, 'chroot-look', 'hostname = "inner"'), '--', 'sh', '-c', look.replace('NET', net)]);
  const lines = stdout.split('\n');
  assert.deepEqual(lines.slice(0, 2), ['root', 'inner'], stderr);
  assert.match(lines[2]!, /^2 [345]$/); // the first process, the program, and what lists them
  assert.deepEqual(lines.slice(3, 12), ['/ overlay rw', '/proc proc rw', '/proc/sys proc ro', '/sys sysfs ro', '/dev tmpfs rw', '/dev/pts devpts rw', '/dev/shm tmpfs rw', '/run tmpfs rw', '/tmp tmpfs rw']);
  assert.equal(lines[12], 'fd full net null ptmx pts random shm stderr stdin stdout tty urandom zero ');
  // CAP_NET_ADMIN is not among them: the network is the host's. Nor CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME.
  const [, bounding, effective] = /CapEff:\s(\w+) CapBnd:\s(\w+) NoNewPrivs:\s1 /.exec(lines[13]!) ?? assert.fail(lines[13]);
  assert.equal(bounding, effective);
  for (const number of [12, 16, 17, 25]) assert.equal((BigInt(`0x${bounding}`) >> BigInt(number)) & 1n, 0n, `capability ${number}`);
  assert.equal(stderr.match(/Read-only file system/g)?.length, 3, stderr);
  assert.deepEqual(lines.slice(14, 23), ['1777', '1777', '700', '/proc/self/fd', 'pts/ptmx', '0', '0', '4', "the host's network"]);
});

test('the environment is that of a login: /etc/profile is read, what the file grants counts more, and no text of it is a command', (t) => {
  const tree = tinyRoot(`${folder(t)}/root`);
  writeFileSync(`${tree}/etc/profile`, 'export FROM_PROFILE=read GREETING=profile\nPATH=/opt/bin:$PATH\ncd /\n');
  const file = (more: string) => machineFile(t, `name = "chroot-login"\nengine = "chroot"\nephemeral = true\n${more}\n[environment]\nGREETING = "$(touch /tmp/x) 'a' \\"b\\""\n[root]\ndirectory = "${tree}"\n`);
  const host = 'users = "host"\nnetwork = "host"\n';
  const look = ['--', 'sh', '-c', 'echo "$FROM_PROFILE|$GREETING|$PATH|$HOME|$USER|$1"; ls /tmp', 'sh', '$(id)'];
  const read = nestbox(['run', file(host), ...look], { env: { SECRET: 'told' } });
  assert.equal(read.stdout, `read|$(touch /tmp/x) 'a' "b"|/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|/root|root|$(id)\n`, read.stderr);
  const without = nestbox(['run', machineFile(t, readFileSync(file(host), 'utf8').replace('[environment]', '[chroot]\nlogin = false\n[environment]')), ...look]);
  assert.match(without.stdout, /^\|\$\(touch/);
});

test('the user is made inside, opens what it was given, and nothing else; exit status and input go through', (t) => {
  const node = '/dev/nestbox-test-chroot';
  const beside = '/dev/nestbox-test-chroot-beside';
  if (!makeNode(t, node, fuse, 4321) || !makeNode(t, beside, loopControl, 4322)) return;
  const shared = folder(t);
  if (!makeNode(t, `${shared}/withheld`, loopControl, 1000)) return;
  chownSync(shared, 1000, 1000); // ids are the host's
  const file = machine(t, 'chroot-devices', `user = "someone"\ndevices = ["${node}"]\nfiles = [{ path = "${shared}", to = "/mnt/shared", write = true }]`);
  const seen = nestbox(['run', file, ...perl('print `id -un`', 'print `id -G`', `print \`stat -c "%a %u:%g" ${node}\``, open(node), open(beside), open('/mnt/shared/withheld'), 'print `touch /mnt/shared/new; stat -c %U /mnt/shared/new`')]);
  assert.equal(seen.stdout, 'someone\n1000 4321\n660 0:4321\nopened\n2 No such file or directory\n1 Operation not permitted\nsomeone\n', seen.stderr);
  // Root inside is root of the host; the device list of the control group is what holds it.
  const make = (path: string) => `print \`mknod ${path} c ${loopControl.major} ${loopControl.minor} 2>&1\``;
  const rooted = nestbox(['run', machine(t, 'chroot-devices', `devices = ["${node}"]`), ...perl(open(node), make('/tmp/n'), make('/root/n'), open('/root/n'))]);
  assert.equal(rooted.stdout, 'opened\nmknod: /tmp/n: Operation not permitted\nmknod: /root/n: Operation not permitted\n2 No such file or directory\n', rooted.stderr);
  const piped = nestbox(['run', file, '--', 'sh', '-c', 'tr a-z A-Z; exit 7'], { input: 'first\n' });
  assert.deepEqual([piped.status, piped.stdout], [7, 'FIRST\n']);
  assert.equal(nestbox(['run', file, '--', '/usr/bin/no-such-program']).status, 127);
});

test('exec, shell, list, status, attach, why, detach and stop work on it as on any other', async (t) => {
  const node = '/dev/nestbox-test-chroot';
  if (!makeNode(t, node, fuse, 4321)) return;
  const before = snapshot();
  const run = await up(t, 'chroot-commands', 'user = "someone"\n[limits]\ntasks = 50\n');
  const state = (JSON.parse(nestbox(['list', '--json']).stdout) as { name: string; state: string }[]).find(({ name }) => name === 'chroot-commands')?.state;
  assert.deepEqual([state, nestbox(['status', 'chroot-commands']).status], ['running', 0]);
  const same = 'grep -E "^(Uid|Gid|Cap|NoNewPrivs|Seccomp)" /proc/self/status; for n in ipc mnt net pid uts cgroup; do readlink /proc/self/ns/$n; done; cut -d: -f3 /proc/self/cgroup | sort -u; echo "$HOME $USER $LANG"';
  const inside = nestbox(['exec', 'chroot-commands', 'sh', '-c', same]);
  const first = nestbox(['run', machine(t, 'chroot-same', 'user = "someone"\n[limits]\ntasks = 50\n'), '--', 'sh', '-c', same]);
  const withoutNamespaces = (text: string) => text.replace(/^\w+:\[\d+\]\n/gm, '');
  assert.equal(withoutNamespaces(inside.stdout), withoutNamespaces(first.stdout), inside.stderr);
  assert.match(nestbox(['shell', 'chroot-commands', 'root'], { input: 'id -un; tty\n' }).stdout, /^root$/m);
  assert.equal(nestbox(['why', 'chroot-commands', node]).status, 3);
  assert.equal(nestbox(['attach', 'chroot-commands', node]).status, 0);
  assert.equal(nestbox(['exec', 'chroot-commands', ...perl(open(node)).slice(1)]).stdout, 'opened\n');
  assert.equal(nestbox(['why', 'chroot-commands', node]).status, 0);
  assert.equal(nestbox(['detach', 'chroot-commands', node]).status, 0);
  assert.equal(nestbox(['exec', 'chroot-commands', ...perl(open(node)).slice(1)]).stdout, '2 No such file or directory\n');
  assert.equal(nestbox(['stop', 'chroot-commands']).status, 0);
  await run.end(null);
  assert.deepEqual(differences(before), []);
});

test('a terminal is one of its own, belongs to the user, and Ctrl-C ends what runs in it; signals reach the program', async (t) => {
  const file = machine(t, 'chroot-terminal', 'user = "someone"');
  const { stdout } = spawnSync('script', ['-qec', `stty rows 31 cols 97; '${process.execPath}' '${program}' run '${file}' -- sh -c 'tty; stty size; stat -c %U $(tty); echo to-tty > /dev/tty; exit 9'`, '/dev/null'], { encoding: 'utf8', input: '', timeout: 120_000 });
  assert.match(stdout.replaceAll('\r', ''), /\/dev\/pts\/0\n31 97\nsomeone\nto-tty\n/);
  const run = running(t, ['run', file, '--', 'sh', '-c', 'trap "echo one" USR1; trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done']);
  await run.says(/ready/);
  run.child.kill('SIGUSR1');
  await run.says(/one/);
  assert.equal((await run.end('SIGTERM')).status, 9);
  const deaf = running(t, ['run', file, '--', 'sh', '-c', 'trap "echo heard" INT; echo ready; while :; do sleep 0.05; done']);
  await deaf.says(/ready/);
  deaf.child.kill('SIGINT');
  await deaf.says(/heard/);
  await deaf.end('SIGINT');
});

test("kernel-sources: the host's modules and sources are at their places, read-only, and nothing of that stays in the root", (t) => {
  const modules = `/lib/modules/${release()}`;
  if (!existsSync(`${modules}/build/Makefile`)) {
    if (existsSync(modules)) return t.skip('this host has modules, and no sources');
    const sources = folder(t);
    const hadNone = !existsSync('/lib/modules');
    t.after(() => { rmSync(modules, { recursive: true, force: true }); if (hadNone) rmSync('/lib/modules', { recursive: true, force: true }); });
    mkdirSync(modules, { recursive: true });
    writeFileSync(`${sources}/Makefile`, 'VERSION = 6\n');
    writeFileSync(`${modules}/modules.dep`, '');
    symlinkSync(sources, `${modules}/build`);
  }
  const tree = tinyRoot(`${folder(t)}/root`);
  const file = machineFile(t, `name = "chroot-sources"\nengine = "chroot"\nusers = "host"\nnetwork = "host"\nkernel-sources = "host"\n[root]\ndirectory = "${tree}"\n`);
  t.after(() => nestbox(['rm', 'chroot-sources']));
  const { stdout, stderr } = nestbox(['run', file, '--', 'sh', '-c', 'm=/lib/modules/$(uname -r); head -c 7 $m/build/Makefile; echo; cmp $m/build/Makefile /usr/src/linux/Makefile && echo same; touch $m/x /usr/src/linux/x; ls $m/modules.dep']);
  assert.match(stdout, /^.{7}\nsame\n.*modules\.dep\n$/s, stderr);
  assert.equal(stderr.match(/Read-only file system/g)?.length, 2, stderr);
  assert.deepEqual([existsSync(`${tree}/usr/src`), existsSync(`${tree}/usr/lib/modules`)], [false, false]);
});

test('nestbox killed while it runs: its processes and mounts are gone at once, and clean takes back the rest', async (t) => {
  const before = snapshot();
  const shared = folder(t);
  mkdirSync(`${shared}/games`);
  const run = await up(t, 'chroot-killed', `user = "someone"\ndisplay = "headless"\nfiles = ["${shared}/games"]`, 'sleep 1000 & trap "" TERM INT HUP; echo ready; while :; do sleep 1; done');
  await run.end('SIGKILL');
  const alive = () => spawnSync('pgrep', ['-f', 'chroot /run/nestbox/chroot-killed/root'], { encoding: 'utf8' }).stdout;
  for (const limit = Date.now() + 60_000; alive() !== '' && Date.now() < limit; ) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(alive(), '');
  assert.equal(nestbox(['clean', 'chroot-killed']).status, 0);
  assert.deepEqual(differences(before), []);
});

/** A root in a folder of the test's own, used in place, as a rescue system has one mounted. */
function rescue(t: TestContext, name: string, more = ''): { file: string; tree: string } {
  let tree = '';
  // Before the folder is removed, which would be through what is mounted there.
  t.after(() => {
    nestbox(['stop', name]);
    nestbox(['rm', name]);
    for (const at of mountsIn(tree).reverse()) spawnSync('umount', [`${tree}${at}`]);
    assert.deepEqual(mountsIn(tree), []);
  });
  const own = folder(t);
  tree = tinyRoot(`${own}/root`);
  mkdirSync(`${own}/shared`);
  writeFileSync(`${own}/shared/precious`, 'precious');
  const file = machineFile(t, `name = "${name}"\nengine = "chroot"\nusers = "host"\nnetwork = "host"\nfiles = [{ path = "${own}/shared", to = "/mnt/shared", write = true }]\nrun = "true"\n${more}[chroot]\nkeep = true\n[root]\ndirectory = "${tree}"\n`);
  return { file, tree };
}

const mountsIn = (tree: string): string[] => readFileSync('/proc/self/mounts', 'utf8').split('\n').map((line) => line.split(' ')[1]!).filter((at) => at?.startsWith(`${tree}/`)).map((at) => at.slice(tree.length)).sort();

test('keep = true: the mounts stay on the host and are used again, stop takes them away, rm deletes through none', (t) => {
  const { file, tree } = rescue(t, 'chroot-keep');
  const created = nestbox(['create', file]);
  assert.equal(created.status, 0, created.stderr);
  const before = snapshot();
  // The person has mounted something there before: that is theirs.
  mkdirSync(`${tree}/boot`);
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', 'mine', `${tree}/boot`]).status, 0);
  const run = () => nestbox(['run', 'chroot-keep', '--', 'sh', '-c', 'echo $$; cat /mnt/shared/precious; echo; ls /dev/null; date > /tmp/later; exit 5']);
  const first = run();
  assert.deepEqual([first.status, first.stdout], [5, '2\nprecious\n/dev/null\n'], first.stderr);
  const mounted = ['/boot', '/dev', '/dev/pts', '/dev/shm', '/etc/resolv.conf', '/mnt/shared', '/proc', '/run', '/sys', '/tmp'];
  assert.deepEqual(mountsIn(tree).filter((at) => !at.startsWith('/proc/')), mounted);
  assert.match(spawnSync('chroot', [tree, 'sh', '-c', 'ls /proc/self/exe /mnt/shared; echo x > /dev/null && echo opened'], { encoding: 'utf8' }).stdout, /precious[^]*opened/);
  assert.match(nestbox(['status', 'chroot-keep']).stdout, /mounted; nestbox stop chroot-keep takes that back/);
  assert.equal((JSON.parse(nestbox(['list', '--json']).stdout) as { name: string; state: string }[]).find(({ name }) => name === 'chroot-keep')?.state, 'mounted');
  assert.equal(nestbox(['clean', 'chroot-keep']).status, 0); // it was not cut off
  const second = run();
  assert.equal(second.status, 5, second.stderr);
  assert.deepEqual(mountsIn(tree).filter((at) => !at.startsWith('/proc/')), mounted, 'the second time they are there');
  assert.equal(nestbox(['stop', 'chroot-keep']).status, 0);
  assert.deepEqual(mountsIn(tree), ['/boot']);
  assert.equal(spawnSync('umount', [`${tree}/boot`]).status, 0);
  assert.deepEqual(differences(before).filter((line) => line.includes('chroot-keep') || line.includes(tree)), []);
  // A way back that is gone once more, as after a start of the host, does not touch what somebody has mounted since.
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', 'mine', `${tree}/boot`]).status, 0);
  assert.equal(spawnSync('dist/nestbox-native', ['chroot-unmount', tree], { cwd: new URL('../..', import.meta.url).pathname }).status, 0);
  assert.deepEqual(mountsIn(tree), ['/boot']);
  assert.equal(spawnSync('umount', [`${tree}/boot`]).status, 0);
  // And from a run straight to rm.
  const third = run();
  assert.equal(third.status, 5, third.stderr);
  assert.equal(nestbox(['rm', 'chroot-keep']).status, 0);
  assert.deepEqual(mountsIn(tree), []);
  assert.equal(readFileSync(`${file.replace(/machine.toml$/, '')}../${tree.split('/').at(-2)}/shared/precious`, 'utf8'), 'precious');
});

test('keep = true is refused where something would have to live as long as the mounts', (t) => {
  const { file } = rescue(t, 'chroot-keep-not', 'display = "headless"\n');
  assert.match(nestbox(['run', file]).stderr, /display\.headless: keep = true leaves mounts on the host, and the program 'xvfb' that they lead to would end with the run/);
});

const hook = new URL('./kill-at.cjs', import.meta.url).pathname;

for (const keep of [false, true])
  test(`killed at each step, with keep = ${keep}, 'clean' and 'stop' leave nothing behind`, (t) => {
    const { file, tree } = rescue(t, 'chroot-kill', keep ? 'devices = ["/dev/full", "/dev/tty"]\n' : 'user = "someone"\ndisplay = "headless"\naudio = "playback"\nlimits = { tasks = 100 }\n');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, keep ? text : text.replace('keep = true', 'keep = false'));
    assert.equal(nestbox(['create', file]).status, 0);
    const before = snapshot();
    let n = 1;
    for (; n < 100; n++) {
      const { signal, status, stderr } = spawnSync(process.execPath, ['--require', hook, program, 'run', '--verbose', 'chroot-kill'], { encoding: 'utf8', env: { ...process.env, KILL_AT: `step:${n}` }, timeout: 300_000 });
      if (signal === 'SIGKILL') assert.equal(nestbox(['clean']).status, 0, stderr);
      else assert.equal(status, 0, stderr);
      if (keep && signal !== 'SIGKILL') assert.equal(nestbox(['stop', 'chroot-kill']).status, 0);
      assert.deepEqual(differences(before), [], `step ${n}: ${stderr.trim().split('\n').at(-1)}`);
      assert.deepEqual(mountsIn(tree), []);
      if (signal !== 'SIGKILL') break;
    }
    t.diagnostic(`killed at ${n - 1} points`);
    assert.ok(n > (keep ? 2 : 10), `only ${n - 1} points`);
  });

test("killed at each step of 'stop', the mounts of a kept root are taken away by the next one", (t) => {
  const { file, tree } = rescue(t, 'chroot-kill-stop');
  assert.equal(nestbox(['create', file]).status, 0);
  const before = snapshot();
  let n = 1;
  for (; n < 20; n++) {
    assert.equal(nestbox(['run', 'chroot-kill-stop']).status, 0);
    const { signal } = spawnSync(process.execPath, ['--require', hook, program, 'stop', '--verbose', 'chroot-kill-stop'], { encoding: 'utf8', env: { ...process.env, KILL_AT: `step:${n}` }, timeout: 300_000 });
    if (signal === 'SIGKILL') assert.equal(nestbox(['stop', 'chroot-kill-stop']).status, 0);
    assert.deepEqual(mountsIn(tree), []);
    assert.deepEqual(differences(before), [], `step ${n}`);
    if (signal !== 'SIGKILL') break;
  }
  assert.ok(n > 1);
});
