import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, machineFile, nestbox, root, running } from '../nestbox.ts';
import { listing, says, tinyRoot } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** Devices that a file in /etc/cdi describes, on this host: a library that is made here, and nodes that do no harm. */

/** A file in /etc/cdi, for the length of the test. */
function describe(t: TestContext, name: string, spec: object): string {
  const isNew = !existsSync('/etc/cdi');
  if (isNew) mkdirSync('/etc/cdi');
  const path = `/etc/cdi/${name}`;
  t.after(() => {
    rmSync(path, { force: true });
    if (isNew) rmdirSync('/etc/cdi');
  });
  writeFileSync(path, JSON.stringify(spec));
  return path;
}

/** libnbtest.so.1.2.3 with the name libnbtest.so.1, and a program that asks for that. */
function makeLibrary(t: TestContext): { library: string; program: string } {
  const at = folder(t);
  chmodSync(at, 0o755);
  writeFileSync(`${at}/library.c`, 'int nbtest(void) { return 42; }\n');
  writeFileSync(`${at}/program.c`, '#include <stdio.h>\n#include <dlfcn.h>\nint nbtest(void);\nint main(void) { printf("%d %s\\n", nbtest(), dlopen("libnbtest.so", RTLD_NOW) ? "opened" : dlerror()); return 0; }\n');
  says('gcc', '-shared', '-fPIC', '-Wl,-soname,libnbtest.so.1', '-o', `${at}/libnbtest.so.1.2.3`, `${at}/library.c`);
  says('gcc', '-o', `${at}/program`, `${at}/program.c`, `${at}/libnbtest.so.1.2.3`);
  return { library: `${at}/libnbtest.so.1.2.3`, program: `${at}/program` };
}

const hook = (...args: string[]) => ({ hookName: 'createContainer', path: '/usr/bin/nvidia-cdi-hook', args: ['nvidia-cdi-hook', ...args] });
const shell = (...lines: string[]) => ['--', 'sh', '-c', lines.join('; ')];

/** Character device 10:237, loop-control: its driver opens without any effect. */
const spec = (library: string, program: string, inside: string, more: object = {}) => ({
  cdiVersion: '1.1.0', kind: 'nestbox.test/device',
  containerEdits: { env: ['NBTEST_ALL=for all'] },
  devices: [{
    name: 'one', containerEdits: {
      env: ['NBTEST_ONE=1'], additionalGids: [4242],
      deviceNodes: [{ path: '/dev/nbtest/control', type: 'c', major: 10, minor: 237, fileMode: 0o640, gid: 4242, permissions: 'r' }, { path: '/dev/nbtest/barred', type: 'c', major: 10, minor: 229, fileMode: 0o666, permissions: 'none' }],
      mounts: [{ hostPath: library, containerPath: `${inside}/libnbtest.so.1.2.3`, options: ['ro', 'nosuid', 'nodev', 'rbind'] }, { hostPath: program, containerPath: '/usr/bin/nbtest', options: ['ro', 'rbind'] }],
      hooks: [hook('create-symlinks', '--link', `libnbtest.so.1::${inside}/libnbtest.so`, '--link', '../control::/dev/nbtest/by-path/pci-0', '--link', '/usr/bin/nbtest::/opt/nbtest/bin/run'), hook('update-ldcache', '--folder', inside), hook('disable-device-node-modification')],
      ...more,
    },
  }, { name: 'two', containerEdits: {} }],
});

const machine = (t: TestContext, name: string, more: string) => machineFile(t, `name = "${name}"\nnetwork = "none"\n${more}\n${root}`);
const open = (path: string, how: string) => `perl -e 'print open(my $f, "${how}", "${path}") ? "opened" : $!+0, " "'`;

test('a program finds a library that a CDI file brings, its links, its nodes, variables and groups; and nothing of it stays', (t) => {
  const { library, program } = makeLibrary(t);
  for (const [users, ephemeral, inside] of [['own', false, '/usr/lib64/vendor'], ['host', true, '/lib/x86_64-linux-gnu'], ['own', true, '/opt/vendor/lib']] as const) {
    describe(t, 'nestbox-test.json', spec(library, program, inside));
    const file = machine(t, 'cdi-library', `users = "${users}"\nuser = "someone"\nephemeral = ${ephemeral}\ndevices = ["nestbox.test/device=one"]`);
    if (!ephemeral) {
      nestbox(['run', machine(t, 'cdi-library', `users = "${users}"\nuser = "someone"`), ...shell('true')]);
      t.after(() => nestbox(['rm', 'cdi-library']));
    }
    const before = snapshot();
    const { stdout, stderr, status } = nestbox(['run', file, ...shell('nbtest', '/opt/nbtest/bin/run', `readlink ${inside}/libnbtest.so ${inside}/libnbtest.so.1`, 'echo $NBTEST_ALL $NBTEST_ONE', 'id -G', 'stat -c "%a %u:%g %t:%T" /dev/nbtest/control',
      open('/dev/nbtest/control', '<'), open('/dev/nbtest/by-path/pci-0', '<'), open('/dev/nbtest/control', '+<'), open('/dev/nbtest/barred', '<'), open('/dev/loop-control', '<'), 'echo', 'sh -c "echo the rest still runs"', `(echo x > ${inside}/libnbtest.so.1.2.3) 2>/dev/null || echo kept`)]);
    assert.equal(stdout, `42 opened\n42 opened\nlibnbtest.so.1\nlibnbtest.so.1.2.3\nfor all 1\n1000 4242\n640 0:4242 a:ed\nopened opened 13 1 2 \nthe rest still runs\nkept\n`, `users = ${users}, ${inside}: ${stderr}`);
    assert.equal(status, 0);
    assert.deepEqual(differences(before), []);
    if (!ephemeral) {
      const after = nestbox(['run', machine(t, 'cdi-library', `users = "${users}"\nuser = "someone"`), ...shell(`ls -d /usr/bin/nbtest ${inside} /opt/nbtest 2>&1 | wc -l`, 'ls -d /usr/bin/nbtest 2>/dev/null')]);
      assert.equal(after.stdout, '3\n', 'neither the program nor the folders are there without the device');
    }
  }
});

test("a directory of the person's is the same to the byte after a run, also where a link of its own stood in the way and after a kill", async (t) => {
  const { library, program } = makeLibrary(t);
  const at = `${folder(t)}/root`;
  tinyRoot(at);
  mkdirSync(`${at}/usr/lib/vendor`, { recursive: true });
  says('ln', '-s', 'of-another-version.so', `${at}/usr/lib/vendor/libnbtest.so.1`);
  describe(t, 'nestbox-test.json', spec(library, program, '/usr/lib/vendor'));
  const file = machineFile(t, `name = "cdi-directory"\nnetwork = "none"\ndevices = ["nestbox.test/device=one"]\n[root]\ndirectory = "${at}"\n`);
  t.after(() => nestbox(['rm', 'cdi-directory']));
  nestbox(['run', machineFile(t, `name = "cdi-directory"\nnetwork = "none"\n[root]\ndirectory = "${at}"\n`), '--', 'true']);
  const before = listing(at);
  const { stdout, stderr } = nestbox(['run', file, ...shell('readlink /usr/lib/vendor/libnbtest.so.1', 'readlink /usr/lib/vendor/libnbtest.so', 'ls -l /usr/lib/vendor/libnbtest.so.1.2.3 | cut -c1-10')]);
  assert.equal(stdout, 'libnbtest.so.1.2.3\nlibnbtest.so.1\n-rwxr-xr-x\n', stderr);
  assert.deepEqual(timeless(listing(at)), timeless(before));
  const run = running(t, ['run', file, ...shell('echo ready', 'exec sleep 1000')]);
  await run.says(/ready/);
  await run.end('SIGKILL');
  assert.equal(spawnSync('readlink', [`${at}/usr/lib/vendor/libnbtest.so.1`], { encoding: 'utf8' }).stdout, 'libnbtest.so.1.2.3\n', 'a link of the run is there until it is taken back');
  assert.equal(nestbox(['clean', 'cdi-directory']).status, 0);
  assert.deepEqual(timeless(listing(at)), timeless(before));
});

/** Without the times of folders, which something was made in and removed from. */
const timeless = (lines: string[]): string[] => lines.map((line) => line.replace(/\|\d+\.\d+\|/, '|'));

test('a link in a hostile root leads no link and no file out of it', (t) => {
  const { library, program } = makeLibrary(t);
  const at = `${folder(t)}/root`;
  const outside = folder(t);
  tinyRoot(at);
  says('ln', '-s', outside, `${at}/opt`);
  for (const inside of ['/opt/vendor', '/opt']) {
    describe(t, 'nestbox-test.json', spec(library, program, inside));
    const { status, stderr } = nestbox(['run', machineFile(t, `name = "cdi-hostile"\nnetwork = "none"\ndevices = ["nestbox.test/device=one"]\n[root]\ndirectory = "${at}"\n`), '--', 'true']);
    nestbox(['rm', 'cdi-hostile']);
    assert.equal(status, 1);
    assert.match(stderr, /in the machine's root leads outside of it/);
    assert.equal(says('ls', '-A', outside), '');
  }
});

test('a file of the root that stands where a link belongs is left alone, and told', (t) => {
  const { library, program } = makeLibrary(t);
  const at = `${folder(t)}/root`;
  tinyRoot(at);
  mkdirSync(`${at}/usr/lib/vendor`, { recursive: true });
  writeFileSync(`${at}/usr/lib/vendor/libnbtest.so.1`, 'mine');
  describe(t, 'nestbox-test.json', spec(library, program, '/usr/lib/vendor'));
  const { status, stderr } = nestbox(['run', machineFile(t, `name = "cdi-file"\nnetwork = "none"\ndevices = ["nestbox.test/device=one"]\n[root]\ndirectory = "${at}"\n`), '--', 'true']);
  nestbox(['rm', 'cdi-file']);
  assert.equal(status, 1);
  assert.match(stderr, /\/usr\/lib\/vendor\/libnbtest\.so\.1 in the machine's root is a file, and a link to libnbtest\.so\.1\.2\.3 belongs there/);
  assert.equal(readFileSync(`${at}/usr/lib/vendor/libnbtest.so.1`, 'utf8'), 'mine');
  assert.equal(existsSync(`${at}/usr/lib/vendor/libnbtest.so`), false);
});

test('a network interface is moved into the machine and comes back', (t) => {
  if (!existsSync('/run/udev/control')) return t.skip('systemd-nspawn asks udev about a network interface, which does not run here');
  if (spawnSync('ip', ['link', 'add', 'nbtest0', 'type', 'veth', 'peer', 'name', 'nbtest1']).status !== 0) return t.skip('no network interface can be made here');
  t.after(() => void spawnSync('ip', ['link', 'delete', 'nbtest0']));
  const { library, program } = makeLibrary(t);
  describe(t, 'nestbox-test.json', spec(library, program, '/opt/vendor', { netDevices: [{ hostInterfaceName: 'nbtest0', name: 'nbtest0' }] }));
  const { stdout, stderr } = nestbox(['run', machine(t, 'cdi-net', 'ephemeral = true\ndevices = ["nestbox.test/device=one"]'), ...shell('ls /sys/class/net')]);
  assert.match(stdout, /^nbtest0$/m, stderr);
  assert.equal(existsSync('/sys/class/net/nbtest0'), true);
});

test('a malformed file is told to the line, and nothing of it is bound or run', (t) => {
  const at = folder(t);
  const { status, stderr } = (() => {
    const path = describe(t, 'nestbox-test.yaml', {});
    writeFileSync(path, `cdiVersion: 0.6.0\nkind: nestbox.test/device\ndevices:\n  - name: one\n    containerEdits:\n      hooks:\n        - hookName: createRuntime\n          path: /bin/touch\n          args: [touch, ${at}/ran]\n      mounts:\n        - hostPath: /root\n          containerPath: /\n`);
    return nestbox(['run', machine(t, 'cdi-malformed', 'ephemeral = true\ndevices = ["nestbox.test/device=one"]'), '--', 'true']);
  })();
  assert.equal(status, 1);
  assert.match(stderr, /devices\.0: the file that describes 'nestbox\.test\/device' cannot be used\nnestbox: \/etc\/cdi\/nestbox-test\.yaml:12:11: devices\.0\.containerEdits\.mounts\.0\.containerPath: this place cannot be covered inside/);
  assert.equal(existsSync(`${at}/ran`), false);
});

test('a hook that is not known is not run, also where the person accepts to go on without it', (t) => {
  const at = folder(t);
  const { library, program } = makeLibrary(t);
  describe(t, 'nestbox-test.json', spec(library, program, '/opt/vendor', { hooks: [{ hookName: 'createRuntime', path: '/bin/touch', args: ['touch', `${at}/ran`] }] }));
  const refused = nestbox(['run', machine(t, 'cdi-hook', 'ephemeral = true\ndevices = ["nestbox.test/device=one"]'), '--', 'true']);
  assert.match(refused.stderr, new RegExp(`has a hook that is not run: /bin/touch ${at}/ran[^]*accept = \\["no-hooks"\\]`));
  const accepted = nestbox(['run', machine(t, 'cdi-hook', 'ephemeral = true\naccept = ["no-hooks"]\ndevices = ["nestbox.test/device=one"]'), '--', 'echo', 'ran without']);
  assert.equal(accepted.stdout, 'ran without\n', accepted.stderr);
  assert.match(accepted.stderr, /the device may not work without it, going on/);
  assert.equal(existsSync(`${at}/ran`), false);
});
