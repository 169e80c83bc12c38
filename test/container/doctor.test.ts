import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Told } from '../../src/doctor.ts';
import { folder, machineFile, nestbox, program, type Result, running } from '../nestbox.ts';
import { left, succeeds, tinyRoot } from '../roots.ts';
import { startXvfb, writeXauthorityFile } from '../x11-client.ts';

/** What doctor says of this host, after something has really been broken on it: in namespaces where that would be everybody's. */

const node = process.execPath;

/** doctor after a script, in namespaces of these kinds; the script sees it as "$@". */
function within(kinds: string[], script: string, ...options: string[]): Result {
  const { status, stdout, stderr } = spawnSync('unshare', [...kinds, 'sh', '-ec', script, 'sh', node, program, 'doctor', ...options], { encoding: 'utf8', timeout: 120_000 });
  return { status, stdout, stderr };
}

const findingsIn = (said: string): Told[] => (JSON.parse(said) as { findings: Told[] }).findings;
const findings = (): Told[] => findingsIn(succeeds(nestbox(['doctor', '--json'])).stdout);
const of = (check: string, all: Told[]): Told[] => all.filter((one) => one.check === check);

/** A file in /etc/cdi, for the length of the test. */
function describe(t: TestContext, name: string): string {
  const isNew = !existsSync('/etc/cdi');
  if (isNew) mkdirSync('/etc/cdi');
  t.after(() => {
    rmSync(`/etc/cdi/${name}`, { force: true });
    if (isNew && readdirSync('/etc/cdi').length === 0) rmdirSync('/etc/cdi');
  });
  return `/etc/cdi/${name}`;
}

test('what a killed run has left is found, and clean takes it back', async (t) => {
  const file = machineFile(t, `name = "doctor-left"\nephemeral = true\nnetwork = "none"\nrun = "sh -c 'echo up; sleep 60'"\n[root]\ndirectory = "${tinyRoot(folder(t))}"\n`);
  t.after(() => nestbox(['clean', 'doctor-left']));
  const told = () => succeeds(nestbox(['doctor'])).stdout;
  const run = running(t, ['run', file]);
  await run.says(/up/);
  assert.doesNotMatch(told(), /doctor-left/, 'it runs: nothing is left');
  await run.end('SIGKILL');
  assert.match(told(), /limited {3}'doctor-left': a run was cut off, and what it has changed is still to be taken back\n {12}nestbox clean doctor-left\n/);
  const { stdout } = succeeds(nestbox(['doctor', '--json']));
  assert.match(of('leftovers', findingsIn(stdout)).map(({ what }) => what).join('\n'), /^'machine\d+': a run was cut off/m);
  assert.doesNotMatch(stdout, /doctor-left/);
  succeeds(nestbox(['clean', 'doctor-left']));
  assert.doesNotMatch(told(), /doctor-left/);
  assert.deepEqual(left('doctor-left'), []); // of all else kill.test.ts asks
});

test('what the host has mounted for a machine in which nestbox runs is no machine, and nothing left', () => {
  const script = `mkdir -p /run/nestbox; mount -t tmpfs tmpfs /run/nestbox; mount -t tmpfs tmpfs /var/lib; cd /run/nestbox; mkdir pulse mine tools tools/bin; mkfifo gate; touch native pulse/native mine/state.json tools/loader tools/bin/tar
    mount --bind pulse pulse; for one in native tools/loader tools/bin/tar; do mount --bind "$1" $one; done; "$@"; "$1" "$2" list; "$1" "$2" clean
    mkdir -p mine /var/lib/nestbox/journal; touch /var/lib/nestbox/journal/mine; flock mine "$1" "$2" list; "$1" "$2" list`;
  const { status, stdout, stderr } = within(['--mount'], script);
  succeeds(nestbox(['clean'])); // /run/nestbox was made for it on the host as well, and is gone before somebody compares that
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.match(/'.*': a run was cut off/g), ["'mine': a run was cut off"]);
  // While somebody has its session, it is not one that was cut off.
  assert.deepEqual(stdout.match(/^(gate|mine|native|pulse|tools) +(not made|changing|cut off)/gm)?.map((row) => row.replace(/ +/, ': ')), ['mine: not made', 'mine: changing', 'mine: cut off']);
});

test('a CDI file that names what is not there, or cannot be read, is stale', (t) => {
  const path = describe(t, 'nestbox-doctor.json');
  const spec = (library: string) => JSON.stringify({ cdiVersion: '0.6.0', kind: 'nestbox.test/doctor', devices: [{ name: 'one', containerEdits: { deviceNodes: [{ path: '/dev/null' }] } }], containerEdits: { mounts: [{ hostPath: library, containerPath: '/opt/library' }] } });
  const mine = () => of('cdi', findings()).filter(({ what }) => what.startsWith(path));
  const looked = (text: string) => {
    writeFileSync(path, text);
    return mine().map(({ state, what }) => `${state} ${what}`);
  };
  assert.deepEqual(looked(spec('/usr/lib/libdriver.so.565.77')), [`limited ${path} is stale\n/usr/lib/libdriver.so.565.77 does not exist on this host, and ${path} gives it`]);
  assert.deepEqual(looked(spec('/etc/os-release')), [`works ${path}: 1 device of nestbox.test/doctor`]);
  assert.match(looked('{ "kind": ')[0]!, /^missing .* cannot be used\n.*nestbox-doctor\.json:1:/);
  assert.match(mine()[0]!.mend!, /remove it/);
});

test('the display is tried with its key, and with another one', async (t) => {
  const x = await startXvfb(t);
  if (!x) return;
  const own = folder(t);
  writeXauthorityFile(`${own}/right`, x.key);
  writeXauthorityFile(`${own}/wrong`, Buffer.from('another test key'));
  const said = (authority: string, display = x.display) => succeeds(nestbox(['doctor'], { env: { DISPLAY: `:${display}`, XAUTHORITY: `${own}/${authority}` } })).stdout;
  assert.match(said('right'), new RegExp(`works {5}the X display ':${x.display}', with the key in ${own}/right\n`));
  assert.match(said('wrong'), new RegExp(`missing {3}the X display ':${x.display}' cannot be entered with the key in ${own}/wrong\n {12}the X server at .* refused the connection: .*Invalid`));
  assert.match(said('right', 9999), /no X server listens at \/tmp\/\.X11-unix\/X9999/);
});

test('a sound server that has ended is told from one that listens, also from a command that sudo runs', () => {
  const script = `mkdir -p /run/user/1717; mount -t tmpfs tmpfs /run/user/1717; mkdir /run/user/1717/pulse; "$1" -e 'require("net").createServer().listen("/run/user/1717/pulse/native")' & server=$!; until [ -S /run/user/1717/pulse/native ]; do :; done
    chown 1717 /run/user/1717/pulse/native; export SUDO_UID=1717 SUDO_GID=1717; "$@"; kill -9 $server; wait $server 2>/dev/null || "$@"`;
  const { stdout, stderr } = within(['--mount'], script);
  rmSync('/run/user/1717', { recursive: true, force: true });
  assert.deepEqual(stdout.match(/^ {2}\w+ +.*pulse\/native.*$/gm), ['  works     the sound server of 1717: /run/user/1717/pulse/native, also from sudo', '  missing   nobody listens at /run/user/1717/pulse/native, which is there'], stderr);
});

test('where user namespaces are switched off, it says so, and what does without', () => {
  const { status, stdout, stderr } = within(['--user', '--map-root-user'], 'echo 0 > /proc/sys/user/max_user_namespaces; ! unshare --user true 2>/dev/null; "$@"', '--json');
  assert.equal(status, 0, stderr);
  const found = of('kernel', findingsIn(stdout)).filter(({ what }) => what.startsWith('user namespaces'));
  assert.deepEqual(found.map(({ state, mend }) => `${state}: ${mend}`), ['missing: sysctl user.max_user_namespaces=15000; users = "host" does without']);
  assert.deepEqual(of('kernel', findings()).filter(({ what }) => what.startsWith('user namespaces')).map(({ state }) => state), ['works']);
});

/** What doctor says of a firewall that a script has made in a network of its own, and the rules that there are afterwards. */
function firewall(script: string): { found: string[]; rules: string } {
  const { status, stdout, stderr } = within(['--net', '--mount'], `mount -t sysfs sysfs /sys\n${script}\n"$@"; nft list ruleset`);
  assert.equal(status, 0, stderr);
  return { found: /^Firewall:\n([^]*?)\n\n/m.exec(stdout)![1]!.split('\n').filter((line) => / (works|limited) |^ +\S*(nft|iptables)/.test(line)), rules: stdout.split('that only root can tell.').at(-1)! };
}

function hasFirewall(t: TestContext): boolean {
  if (existsSync('/usr/sbin/nft') && existsSync('/usr/sbin/iptables-nft')) return true;
  t.skip('nft and iptables are not installed');
  return false;
}

const docker = 'iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables-nft -A FORWARD -i docker0 -j ACCEPT';
const open = '  works     no firewall of the host drops all that machines send out';
/** The commands of a line that mends it. */
const mending = (line = ''): string => line.trim().replace(/; anew after.*/, '');

test('a firewall that drops what machines send out is found, whoever made it, and nothing is changed by looking', (t) => {
  if (!hasFirewall(t)) return;
  assert.deepEqual(firewall('').found, [open]);
  assert.doesNotMatch(firewall('').rules, /table/);
  const { found } = firewall(docker);
  assert.match(found[0]!, /limited {3}Docker's firewall drops what machines send out/);
  assert.deepEqual(firewall(`${docker}; ${mending(found[1])}`).found, [open], found[1]);
  const own = "nft 'add table inet walls; add chain inet walls routed { type filter hook forward priority 0; }; add rule inet walls routed ip protocol icmp accept; add rule inet walls routed reject with icmpx admin-prohibited'";
  const other = firewall(own).found;
  assert.match(other[0]!, /limited {3}the host's firewall drops what machines send out/);
  assert.deepEqual(firewall(`${own}; ${mending(other[1])}`).found, [open]);
});

test('a bridge that gives what it passes on to such a firewall is found, and one that does not is not', (t) => {
  if (!hasFirewall(t)) return;
  if (!existsSync('/proc/sys/net/bridge')) return t.skip('br_netfilter is not loaded');
  const out = `${docker}; ${mending(firewall(docker).found[1])}`;
  const bridge = (filtered: 0 | 1) => `echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables; ip link add br0 type bridge nf_call_iptables ${filtered}; ${out}`;
  assert.deepEqual(firewall(bridge(0)).found, [open]);
  const { found } = firewall(bridge(1));
  assert.equal(found[0], open);
  assert.match(found[1]!, /limited {3}Docker's firewall drops what machines on the bridge br0 send out/);
  assert.deepEqual(firewall(`${bridge(1)}; ${mending(found[2])}`).found, [open], found[2]);
});

test('an entry of binfmt_misc that leads nowhere, and one for the own processor, are found', (t) => {
  const entry = (name: string, machine: string, interpreter: string) => `printf '%s' ':${name}:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x${machine}\\x00:\\xff\\xff\\xff\\xff\\xff\\xfe\\xfe\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:${interpreter}:' > /proc/sys/fs/binfmt_misc/register`;
  const [own, other] = process.arch === 'x64' ? ['3e', 'f3'] : ['b7', 'f3'];
  const script = `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null || exit 77; ${entry('lost', other, '/opt/nowhere/qemu')}; "$@"`;
  const { status, stdout, stderr } = within(['--user', '--map-root-user', '--mount'], script, '--json');
  if (status === 77) return t.skip('user namespaces have no binfmt_misc of their own before Linux 6.7');
  assert.equal(status, 0, stderr);
  assert.match(of('foreign', findingsIn(stdout)).map(({ what, words, mend }) => `${what} ${words} ${mend}`).join('\n'), /the entry 'lost' of binfmt_misc names \/opt\/nowhere\/qemu, which does not exist architecture = "riscv64" echo -1 > \/proc\/sys\/fs\/binfmt_misc\/lost takes it away/);
  // It takes what is started from then on: so it is made by a shell that goes on in itself, and by a program that runs already.
  const late = `mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; exec "$1" -e 'require("node:fs").writeFileSync("/proc/sys/fs/binfmt_misc/register", ":mine:M::\\\\x7fELF\\\\x02\\\\x01\\\\x01\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x02\\\\x00\\\\x${own}\\\\x00:\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xfe\\\\xfe\\\\x00\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xfe\\\\xff\\\\xff\\\\xff:/opt/nowhere/qemu:"); process.argv.splice(1, 1); require(process.argv[1])' "$@"`;
  const mine = within(['--user', '--map-root-user', '--mount'], late, '--json');
  assert.match(of('foreign', findingsIn(mine.stdout)).map(({ what }) => what).join('\n'), /the entry 'mine' of binfmt_misc has \/opt\/nowhere\/qemu run programs for (amd64|arm64), which this processor runs by itself/, mine.stderr);
});

test('a host that lacks what every machine needs is told so by its exit status', () => {
  const { status, stdout } = within(['--mount'], 'mount --bind /dev/null "$(command -v flock)"; "$@"');
  assert.equal(status, 3, stdout);
  assert.match(stdout, /'flock' is not there; it is needed to keep two runs of one machine apart\n {12}\S+.* (sys-apps\/)?util-linux\n/);
  assert.match(stdout, /No machine can run on this host\./);
  const without = within(['--mount'], `mount --bind /dev/null ${dirname(program)}/nestbox-native; "$@"`);
  assert.deepEqual([without.status, without.stderr], [3, '']);
  assert.match(without.stdout, /'nestbox-native' is not there; it is needed to start programs\n {12}install nestbox again/);
  assert.equal(nestbox(['doctor']).status, 0);
});

test('it needs no root, and says what only root could tell', (t) => {
  const at = folder(t);
  cpSync(dirname(program), at, { recursive: true });
  chmodSync(at, 0o755);
  const { status, stdout, stderr } = spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', node, `${at}/nestbox.cjs`, 'doctor'], { encoding: 'utf8', env: {} });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /not told {2}whether crashed runs have left something: only root may look there\n {12}sudo nestbox doctor\n/);
  assert.equal(stderr, '');
});

test('JSON has the facts of this host, and not its name, its id, its addresses, nor the names of people', (t) => {
  const secret = 'nestbox-orchid';
  const env = `SUDO_UID=1717 SUDO_GID=1717 DISPLAY=:0 XAUTHORITY=/home/${secret}-person/.Xauthority`;
  const passwd = `${folder(t)}/passwd`;
  writeFileSync(passwd, `${readFileSync('/etc/passwd', 'utf8')}${secret}-person:x:1717:1717::/home/${secret}-person:/bin/sh\n`);
  const script = `hostname ${secret}-host; mount --bind ${passwd} /etc/passwd; mkdir -p /run/user/1717; mount -t tmpfs tmpfs /run/user/1717; mkdir /run/user/1717/${secret}-mount; mount -t tmpfs tmpfs /run/user/1717/${secret}-mount; ${env} "$@"`;
  t.after(() => rmSync('/run/user/1717', { recursive: true, force: true }));
  const plain = within(['--mount', '--uts'], script);
  const { status, stdout, stderr } = within(['--mount', '--uts'], script, '--json');
  assert.equal(status, 0, stderr);
  assert.match(plain.stdout, new RegExp(`nestbox runs as root for ${secret}-person, through sudo`), 'a person is told who they are');
  const addresses = readdirSync('/sys/class/net').map((name) => `/sys/class/net/${name}/address`).filter(existsSync).map((path) => readFileSync(path, 'utf8').trim()).filter((address) => /[1-9a-f]/.test(address));
  const id = existsSync('/etc/machine-id') ? readFileSync('/etc/machine-id', 'utf8').trim() : '';
  for (const word of [secret, id, ...addresses].filter(Boolean)) assert.ok(!stdout.includes(word), word);
  const facts = JSON.parse(stdout) as Record<string, unknown> & { person: { name: string; uid: number }; programs: object };
  assert.deepEqual(facts.person, { name: 'person', uid: 1717, gid: 1717, home: '/home/person' });
  assert.ok(Object.keys(facts.programs).length > 10);
  for (const key of ['architecture', 'distribution', 'kernel', 'cgroups', 'mounts', 'deviceClasses', 'groups', 'binfmt', 'condition', 'architectures', 'findings']) assert.ok(key in facts, key);
});
