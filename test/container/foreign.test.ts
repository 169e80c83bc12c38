import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { boot } from '../booted.ts';
import { folder, machineFile, nestbox, program, running } from '../nestbox.ts';
import { says, succeeds, tinyRoot } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** Roots for other processors. Small ones are a static busybox of that architecture; the Debian for arm64 is built once, and kept among the templates. */

const kernel = '/proc/sys/fs/binfmt_misc';
const cache = '/var/cache/nestbox/foreign';
const others = { armhf: 'armv7l', s390x: 's390x', ppc64el: 'ppc64le', mips64el: 'mips64' } as const;

/** A busybox of that architecture, fetched once. */
function busybox(architecture: string): string {
  const kept = `${cache}/busybox-${architecture}`;
  if (existsSync(kept)) return kept;
  mkdirSync(cache, { recursive: true });
  rmSync(`${kept}.root`, { recursive: true, force: true });
  says('mmdebstrap', '--quiet', '--variant=extract', `--architectures=${architecture}`, '--skip=check/qemu', '--include=busybox-static', 'bookworm', `${kept}.root`, 'deb http://deb.debian.org/debian bookworm main');
  renameSync(['bin', 'usr/bin'].map((path) => `${kept}.root/${path}/busybox`).find(existsSync)!, kept);
  rmSync(`${kept}.root`, { recursive: true });
  return kept;
}

/** A machine with such a root that throws its changes away; returns its file. */
function small(t: TestContext, architecture: string, name: string): string {
  const root = tinyRoot(folder(t));
  copyFileSync(busybox(architecture), `${root}/usr/bin/busybox`);
  return machineFile(t, `name = "${name}"\nephemeral = true\nnetwork = "none"\n[root]\ndirectory = "${root}"\n`);
}

/** Where systemd has registered the emulators of a package, nestbox has no entry to make. */
const skip = existsSync(`${kernel}/qemu-s390x`) && 'this host has an entry of its own for every processor';

const entries = (): string[] => (existsSync(`${kernel}/register`) ? readdirSync(kernel).filter((name) => name.startsWith('nestbox-s390x')) : []); // others may be somebody else's

let mounted = false;
before(() => {
  if (existsSync(`${kernel}/register`)) return;
  says('mount', '-t', 'binfmt_misc', 'binfmt_misc', kernel);
  mounted = true;
});
after(() => {
  if (mounted && readdirSync(kernel).length === 2) says('umount', kernel);
});

/** An entry of somebody else's for s390x, for the length of a test. */
function stranger(t: TestContext, interpreter: string, flags: string): string {
  const name = `test-s390x-${process.pid}`;
  writeFileSync(`${kernel}/register`, `:${name}:M::\\x7fELF\\x02\\x02\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x16:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfc\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff:${interpreter}:${flags}`);
  t.after(() => writeFileSync(`${kernel}/${name}`, '-1'));
  return name;
}

test('programs for other processors run, by an emulator that is there for the run alone', { skip }, (t) => {
  for (const [architecture, machine] of Object.entries(others)) {
    const file = small(t, architecture, `foreign-${architecture}`);
    const host = snapshot();
    const { stdout, stderr } = succeeds(nestbox(['run', file, '--', 'sh', '-c', 'uname -m; echo $0']));
    assert.equal(stdout, `${machine}\nsh\n`, architecture);
    assert.doesNotMatch(stderr, /^nestbox:/m);
    assert.deepEqual(differences(host), [], architecture);
    const { passing } = JSON.parse(succeeds(nestbox(['plan', '--json', file])).stdout) as { passing: { kind: string; entry?: string }[] };
    assert.deepEqual([passing[0]?.kind, passing[0]?.entry], ['emulator', `nestbox-${architecture}`]);
  }
});

test('32-bit programs of the same processor need no emulator, and take the computer for one of theirs', { skip: process.arch !== 'x64' && 'i386 is nothing to this processor' }, (t) => {
  const file = small(t, 'i386', 'foreign-i386');
  const host = snapshot();
  assert.equal(succeeds(nestbox(['run', file, '--', 'uname', '-m'])).stdout, 'i686\n');
  assert.doesNotMatch(succeeds(nestbox(['plan', file])).stdout, /binfmt/);
  assert.deepEqual(differences(host), []);
});

test('an entry stays while another machine has it, and is withdrawn after the last', { skip }, async (t) => {
  const host = snapshot();
  const files = ['one', 'two'].map((name) => small(t, 's390x', `foreign-${name}`));
  const [one, two] = files.map((file) => running(t, ['run', file, '--', 'sh', '-c', 'echo up; exec sleep 1000']));
  await one!.says(/up/);
  await two!.says(/up/);
  assert.deepEqual(entries(), ['nestbox-s390x']);
  await one!.end();
  assert.deepEqual(entries(), ['nestbox-s390x']);
  assert.equal(succeeds(nestbox(['exec', 'foreign-two', '--', 'uname', '-m'])).stdout, 's390x\n');
  await two!.end();
  assert.deepEqual(entries(), []);
  assert.deepEqual(differences(host), []);
});

test('after kill -9 nestbox clean withdraws the entry, unless another machine has it', { skip }, async (t) => {
  const host = snapshot();
  const files = ['killed', 'other'].map((name) => small(t, 's390x', `foreign-${name}`));
  const [killed, other] = files.map((file) => running(t, ['run', file, '--', 'sh', '-c', 'echo up; exec sleep 1000']));
  await killed!.says(/up/);
  await other!.says(/up/);
  await killed!.end('SIGKILL');
  assert.deepEqual(entries(), ['nestbox-s390x']);
  succeeds(nestbox(['clean', 'foreign-killed']));
  assert.deepEqual(entries(), ['nestbox-s390x']);
  await other!.end('SIGKILL');
  assert.deepEqual(entries(), ['nestbox-s390x'], 'nobody has withdrawn it yet');
  succeeds(nestbox(['clean', 'foreign-other']));
  assert.deepEqual(differences(host), []);
});

const found = readdirSync('/usr/bin').includes('qemu-s390x-static') ? '/usr/bin/qemu-s390x-static' : '/usr/bin/qemu-s390x';

test('an entry of somebody else that works is used as it is, and left alone', (t) => {
  const file = small(t, 's390x', 'foreign-used');
  stranger(t, found, 'F');
  const host = snapshot();
  const { stdout, stderr } = succeeds(nestbox(['run', file, '--', 'uname', '-m']));
  assert.deepEqual([stdout, /^nestbox:/m.test(stderr)], ['s390x\n', false]);
  assert.doesNotMatch(succeeds(nestbox(['plan', file])).stdout, /binfmt_misc/);
  assert.deepEqual(differences(host), []);
});

test('an entry that does not work is named with what would mend it, and worked around', { skip }, (t) => {
  const own = folder(t);
  says('chmod', '0755', own);
  const [isStatic, isDynamic] = [`${own}/static`, `${own}/dynamic`];
  copyFileSync(found, isStatic);
  copyFileSync('/bin/ls', isDynamic);
  for (const path of [isStatic, isDynamic]) says('chmod', '0755', path);
  const cases: { title: string; interpreter: string; flags: string; off?: true; says: RegExp; how: RegExp }[] = [
    { title: 'no F', interpreter: isStatic, flags: '', says: /has no flag F/, how: new RegExp(`--bind-ro=${isStatic}:${isStatic}`) },
    { title: 'dynamic', interpreter: isDynamic, flags: '', says: /linked with libraries/, how: new RegExp(`--bind-ro=\\S+:${isDynamic}`) },
    { title: 'broken', interpreter: '/opt/no-such-emulator', flags: '', says: /names \/opt\/no-such-emulator, which does not exist/, how: /--bind-ro=\S+:\/opt\/no-such-emulator/ },
    { title: 'dynamic, with F', interpreter: isDynamic, flags: 'F', says: /linked with libraries/, how: /entry nestbox-s390x/ },
    { title: 'off', interpreter: isStatic, flags: 'F', off: true, says: /is switched off; echo 1 > /, how: /entry nestbox-s390x/ },
  ];
  const file = small(t, 's390x', 'foreign-broken');
  for (const { title, interpreter, flags, off, says: words, how } of cases) {
    const name = `test-s390x-${process.pid}`;
    stranger({ after: () => {} } as never, interpreter, flags);
    try {
      if (off) writeFileSync(`${kernel}/${name}`, '0');
      const [entry, host] = [readFileSync(`${kernel}/${name}`, 'utf8'), snapshot()];
      const plan = succeeds(nestbox(['plan', file]));
      assert.match(plan.stdout + plan.stderr, how, title);
      const { stdout, stderr } = succeeds(nestbox(['run', file, '--', 'uname', '-m']));
      assert.equal(stdout, 's390x\n', title);
      assert.match(stderr, words, title);
      assert.match(stderr, new RegExp(`'${name}'.*, going on$`, 'm'), title);
      assert.equal(readFileSync(`${kernel}/${name}`, 'utf8'), entry, `${title}: it is left as it was`);
      assert.deepEqual(differences(host), [], title);
    } finally {
      writeFileSync(`${kernel}/${name}`, '-1');
    }
  }
});

test('an entry that somebody makes later and that does not work comes before nestbox\'s until its next start', { skip }, async (t) => {
  const host = snapshot();
  const [first, second] = ['first', 'second'].map((name) => small(t, 's390x', `foreign-${name}`));
  const started = running(t, ['run', first!, '--', 'sh', '-c', 'echo up; exec sleep 1000']);
  await started.says(/up/);
  const own = folder(t);
  says('chmod', '0755', own);
  says('cp', '--preserve=mode', '/bin/ls', `${own}/dynamic`);
  stranger(t, `${own}/dynamic`, 'F');
  const { stdout, stderr } = succeeds(nestbox(['run', second!, '--', 'uname', '-m']));
  assert.equal(stdout, 's390x\n');
  assert.match(stderr, /linked with libraries.*, going on$/m);
  assert.deepEqual(entries(), ['nestbox-s390x']);
  assert.equal(succeeds(nestbox(['exec', 'foreign-first', '--', 'uname', '-m'])).stdout, 's390x\n');
  await started.end();
  assert.deepEqual(differences(host), []);
});

test('a root for a processor that nothing here can run is refused, and its programs are not tried', (t) => {
  const root = tinyRoot(folder(t));
  const bytes = readFileSync('/bin/busybox');
  bytes.writeUInt16LE(50, 18); // EM_IA_64
  writeFileSync(`${root}/usr/bin/busybox`, bytes);
  const file = machineFile(t, `name = "foreign-none"\nephemeral = true\nnetwork = "none"\n[root]\ndirectory = "${root}"\n`);
  const { status, stderr } = nestbox(['run', file, '--', 'true']);
  assert.equal(status, 1);
  assert.match(stderr, /root: this root is for ia64, and this host \(\w+\) cannot run it: QEMU has no emulator for its programs$/m);
});

test('links of a root lead nowhere outside of it when its programs are looked at, and what is no plain file is not read', { skip }, (t) => {
  const root = tinyRoot(folder(t));
  copyFileSync(busybox('armhf'), `${root}/usr/bin/busybox`);
  says('ln', '-sf', '/usr/bin/busybox', `${root}/usr/bin/sh`); // absolute: inside it is an ARM program, outside the host's
  mkdirSync(`${root}/usr/lib/systemd`);
  says('mkfifo', `${root}/usr/lib/systemd/systemd`); // whoever reads it waits for ever
  const file = machineFile(t, `name = "foreign-links"\nephemeral = true\nnetwork = "none"\n[root]\ndirectory = "${root}"\n`);
  assert.match(succeeds(nestbox(['plan', file], { timeout: 60_000 })).stdout, /programs for armhf/);
  assert.equal(succeeds(nestbox(['run', file, '--', 'uname', '-m'])).stdout, 'armv7l\n');
});

test('doctor says what this host can run, by what, and what would help', () => {
  const { architectures } = JSON.parse(succeeds(nestbox(['doctor', '--json'])).stdout) as { architectures: { name: string; runs: string; by: string; remedy: string | null }[] };
  const of = (name: string) => architectures.find((one) => one.name === name)!;
  assert.deepEqual([of('amd64').runs, of('s390x').runs, of('ia64').runs], [process.arch === 'x64' ? 'natively' : 'emulated', 'emulated', 'no']);
  assert.match(of('s390x').by, /qemu-s390x|s390x-binfmt-P/);
  assert.ok(of('ia64').remedy);
});

/** Debian 12 for arm64: built once, as it takes minutes. */
const debian = (t: TestContext): string => machineFile(t, 'name = "foreign-debian"\nboot = true\nephemeral = true\nnetwork = "none"\n[root]\ndebian = "bookworm"\narchitecture = "arm64"\n');

test('a Debian for another processor is built from its packages, and its programs run', (t) => {
  const file = debian(t);
  succeeds(nestbox(['run', file, '--', 'true'], { timeout: 1_200_000 }));
  const host = snapshot();
  const { stdout } = succeeds(nestbox(['run', file, '--', 'sh', '-c', 'uname -m; dpkg --print-architecture; dpkg --audit; perl -e "print 6 * 7"']));
  assert.equal(stdout, 'aarch64\narm64\n42');
  assert.deepEqual(differences(host), []);
});

for (const setuid of [false, true]) test(`a Debian 12 for another processor boots, no unit of it fails, and it ends in order${setuid ? '; its set-user-id programs work where that is accepted' : ''}`, async (t) => {
  const shared = folder(t);
  const file = debian(t);
  writeFileSync(file, readFileSync(file, 'utf8').replace('network', `${setuid ? 'accept = ["emulated-setuid"]\n' : ''}files = [{ path = "${shared}", write = true }, { path = "${shared}/says.service", to = "/etc/systemd/system/says.service" }]\nparameters = ["systemd.wants=says.service"]\nnetwork`));
  writeFileSync(`${shared}/says.service`, `[Unit]
After=basic.target systemd-tmpfiles-setup.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c "(uname -m; busctl list > /dev/null; systemctl --failed --no-legend --plain; cp /usr/bin/id /usr/local/bin/id; chmod u+s /usr/local/bin/id; setpriv --reuid=1000 --clear-groups /usr/local/bin/id -u; systemctl is-active systemd-journald dbus systemd-tmpfiles-setup) > ${shared}/seen 2>&1; echo up > ${shared}/up"
`);
  const host = snapshot();
  const started = running(t, ['run', file]);
  let [status, stderr]: [number | null, string] = [null, ''];
  try {
    for (const limit = Date.now() + 600_000; !existsSync(`${shared}/up`); await new Promise((resolve) => setTimeout(resolve, 100))) assert.ok(started.child.exitCode === null && Date.now() < limit, `it does not come up: ${started.stdout()}${started.stderr()}`);
    assert.equal(readFileSync(`${shared}/seen`, 'utf8'), `aarch64\n${setuid ? 0 : 1000}\nactive\nactive\nactive\n`);
  } finally {
    ({ status, stderr } = await started.end('SIGTERM'));
  }
  assert.equal(status, 0, stderr);
  assert.deepEqual(differences(host), []);
});

test('where systemd is PID 1, the units of a machine have the emulator, and it is gone with them', { skip }, async (t) => {
  const host = await boot(t);
  t.after(() => spawnSync(`${dirname(program)}/nestbox-native`, ['binfmt', 'withdraw', 'nestbox-s390x', 'foreign-served'])); // the kernel is this one's
  mkdirSync(`${host.folder}/s390x`);
  copyFileSync(busybox('s390x'), `${tinyRoot(`${host.folder}/s390x`)}/usr/bin/busybox`);
  copyFileSync(found, `${host.folder}/emulator`);
  writeFileSync(`${host.folder}/machine.toml`, 'name = "foreign-served"\nnetwork = "none"\nrun = ["sh", "-c", "uname -m > /root/says; mv /root/says /root/seen; exec sleep 600"]\n[root]\ndirectory = "/mnt/s390x"\n');
  const prepared = host.run(`mount -o remount,rw /proc/sys; install -m 0755 /mnt/emulator /usr/bin/qemu-s390x-static; ls ${kernel}`);
  assert.equal(prepared.status, 0, prepared.output);
  const seen = host.run(`set -e; nestbox() { node /opt/nestbox/nestbox.cjs "$@"; }
    nestbox start /mnt/machine.toml; ls ${kernel} | grep nestbox-s390x; for i in $(seq 600); do [ -e /mnt/s390x/root/seen ] && break; sleep 0.1; done; cat /mnt/s390x/root/seen; nestbox stop foreign-served; echo stopped; ls ${kernel} | grep nestbox-s390x || echo gone; ls /run/nestbox-binfmt || true`);
  assert.match(seen.output, /^nestbox-s390x\ns390x\n/m, seen.output);
  assert.match(seen.output, /^stopped\ngone\n/m, seen.output);
  assert.match(seen.output, /cannot access '\/run\/nestbox-binfmt'/);
});
