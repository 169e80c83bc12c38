import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import test, { type TestContext } from 'node:test';
import { decodePng } from '../../src/png.ts';
import { nestbox, program, root } from '../nestbox.ts';

/**
 * A host on which systemd is PID 1: a Debian that is booted in a container of its own and has nestbox in it. What it
 * cannot show is the device policy: a container may not change the control groups of devices. That is the lab's.
 */
interface BootedHost {
  /** Runs a shell text in it, as root. */
  run(text: string): { status: number | null; output: string };
  folder: string;
}

async function boot(t: TestContext): Promise<BootedHost> {
  const own = mkdtempSync('/var/tmp/nestbox-test.');
  const host = '[root]\ndebian = "bookworm"\npackages = ["systemd-sysv", "dbus", "systemd-container", "xvfb", "pulseaudio", "pulseaudio-utils", "iproute2", "nftables", "procps", "libstdc++6"]\n';
  const shared = (text: string, name: string) => {
    writeFileSync(`${own}/${name}.toml`, `name = "${name}"\nephemeral = true\nnetwork = "none"\n${text}`);
    const made = nestbox(['run', `${own}/${name}.toml`, '--', 'true'], { timeout: 600_000 });
    assert.equal(made.status, 0, made.stderr);
    const plan = JSON.parse(nestbox(['plan', '--json', `${own}/${name}.toml`]).stdout) as { passing: { kind: string; lower?: string }[] };
    return plan.passing.find(({ kind }) => kind === 'overlay')!.lower!;
  };
  const template = shared(host, 'systemd-host');
  const inner = shared(root, 'systemd-inner');
  for (const path of ['top/upper', 'top/work', 'root', 'store/templates']) mkdirSync(`${own}/${path}`, { recursive: true });
  execFileSync(`${dirname(program)}/nestbox-native`, ['overlay', `${own}/root`, `${own}/top`, 'upper', 'work', template]);
  // In groups of its own: a booted system makes more below, and leaves them where it is killed.
  const groups = ['systemd', 'unified'].map((tree) => `/sys/fs/cgroup/${tree}`).filter((tree) => existsSync(tree)).map((tree) => `${tree}/booted-test`);
  for (const group of groups) mkdirSync(group);
  const nspawn = spawn(`${dirname(program)}/nestbox-native`, [
    'launch', ...groups.flatMap((group) => ['--cgroup', group]), '--', '/usr/bin/systemd-nspawn', '--quiet', '--register=no', '--keep-unit', '--boot', `--directory=${own}/root`, '--machine=nestbox-test-systemd', '--capability=all', '--private-users=no', '--link-journal=no',
    '--bind=/dev/fuse', `--bind-ro=${process.execPath}:/usr/bin/node`, `--bind-ro=${dirname(program)}:/opt/nestbox`, `--bind=${own}:/mnt`, `--bind=${own}/store:/var/lib/nestbox`,
    `--bind=${dirname(dirname(inner))}:/var/lib/nestbox/templates`,
  ], { stdio: 'ignore' });
  t.after(async () => {
    const first = leader();
    const over = new Promise((resolve) => nspawn.once('exit', resolve));
    nspawn.kill('SIGKILL');
    await over;
    if (first !== '') execFileSync('kill', ['-KILL', first]); // a booted system outlives its nspawn
    // What a container that was killed leaves: not nestbox's, but this test's.
    for (const group of groups) execFileSync('sh', ['-c', `n=0; until [ ! -d ${group} ] || [ $n -gt 50 ]; do find ${group} -depth -type d -exec rmdir {} + 2>/dev/null; n=$((n + 1)); sleep 0.1; done`]);
    execFileSync('sh', ['-c', `umount ${own}/root; rmdir /run/systemd/nspawn/propagate/nestbox-test-systemd 2>/dev/null; true`]);
    rmSync(own, { recursive: true });
  });
  const leader = () => spawnSync('pgrep', ['--parent', `${nspawn.pid}`], { encoding: 'utf8' }).stdout.trim();
  const run: BootedHost['run'] = (text) => {
    const { status, stdout, stderr } = spawnSync('nsenter', ['--all', '--target', leader(), '/usr/bin/env', '-i', 'HOME=/root', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=dumb', 'timeout', '-k', '1', '90', 'sh', '-c', text], { encoding: 'utf8' });
    return { status, output: stdout + stderr };
  };
  for (const limit = Date.now() + 60_000; ; ) {
    if (leader() !== '' && /running|degraded/.test(run('timeout 5 systemctl is-system-running').output)) break;
    if (Date.now() > limit) assert.fail(`the host does not boot: ${run('systemctl --failed').output}`);
    await new Promise((resolve) => setTimeout(resolve, 100)); // its bus is not there yet
  }
  return { run, folder: own };
}

test('where systemd is PID 1, a machine is a scope and its host programs are units, and nothing of them is left', async (t) => {
  const host = await boot(t);
  writeFileSync(`${host.folder}/machine.toml`, `name = "a-b"\nuser = "tester"\nephemeral = true\nnetwork = "none"\naudio = "playback"\ndisplay = "headless"\nlimits = { tasks = 150 }\ndevices = ["/dev/fuse"]
run = ["sh", "-c", "xlogo -geometry 200x200+50+50 -bg '#ff8800' -fg '#ff8800' & exec 3<>/dev/fuse && echo opened; sleep 1; cat /proc/self/cgroup; sleep 60"]\n${root}`);
  const units = "systemctl list-units --all --no-legend --plain 'nestbox-*' 'machine-*.scope' | cut -d' ' -f1 | sort | tr '\\n' ' '";
  const files = 'find /run/nestbox /run/systemd/nspawn /var/lib/nestbox /tmp/.X11-unix -xdev 2>/dev/null | grep -v /templates/ | sort; grep nestbox/ /proc/self/mountinfo | grep -v templates';
  host.run('node /opt/nestbox/nestbox.cjs clean'); // the store's own folders
  const before = host.run(files).output;

  const seen = host.run(`node /opt/nestbox/nestbox.cjs run /mnt/machine.toml > /mnt/out 2>&1 &
    n=0; until node /opt/nestbox/nestbox.cjs screenshot a-b /mnt/shot.png 2>/dev/null && [ $n -gt 2 ]; do n=$((n + 1)); sleep 0.5; [ $n -lt 60 ] || break; done
    ${units}; echo; machinectl list --no-legend; systemctl show -P TasksMax -P DevicePolicy 'machine-a\\x2db.scope'
    kill -KILL $!; wait $!; echo "killed"; ${units}; echo; node /opt/nestbox/nestbox.cjs clean; echo "cleaned $?"; ${units}`);
  const out = readFileSync(`${host.folder}/out`, 'utf8');
  assert.match(seen.output, /machine-a\\x2db\.scope nestbox-a-b-gate\.service nestbox-a-b-pulseaudio\.service nestbox-a-b-xvfb\.service/, out);
  assert.match(seen.output, /a-b\s+container\s+systemd-nspawn/);
  assert.match(seen.output, /150/);
  assert.match(seen.output, /closed/);
  assert.match(seen.output, /cleaned 0\n(Killed\n)?(nestbox: .*\n)?$/, seen.output);
  assert.match(out, /opened/);
  const { width, rgb } = decodePng(readFileSync(`${host.folder}/shot.png`));
  const at = (x: number, y: number) => rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3).toString('hex');
  assert.equal(at(150, 150), 'ff8800');
  assert.equal(at(400, 400), '000000');
  assert.equal(host.run(files).output, before);
});
