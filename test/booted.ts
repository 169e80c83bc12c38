import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { TestContext } from 'node:test';
import { nestbox, program, root } from './nestbox.ts';

/**
 * A host on which systemd is PID 1: a Debian that is booted in a container of its own and has nestbox in it. What it
 * cannot show is the device policy: a container may not change the control groups of devices. That is the lab's.
 */
export interface BootedHost {
  /** Runs a shell text in it, as root. */
  run(text: string): { status: number | null; output: string };
  folder: string;
}

/** Boots it for the length of a test. */
export async function boot(t: Pick<TestContext, 'after'>): Promise<BootedHost> {
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
    for (const group of groups) execFileSync('sh', ['-c', `n=0; until [ ! -d ${group} ] || [ $n -gt 300 ]; do find ${group} -depth -type d -exec rmdir {} + 2>/dev/null; n=$((n + 1)); sleep 0.1; done`]);
    execFileSync('sh', ['-c', `umount ${own}/root; rmdir /run/systemd/nspawn/propagate/nestbox-test-systemd 2>/dev/null; true`]);
    rmSync(own, { recursive: true });
  });
  const leader = () => spawnSync('pgrep', ['--parent', `${nspawn.pid}`], { encoding: 'utf8' }).stdout.trim();
  const run: BootedHost['run'] = (text) => {
    const { status, stdout, stderr } = spawnSync('nsenter', ['--all', '--target', leader(), '/usr/bin/env', '-i', 'HOME=/root', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=dumb', 'timeout', '-k', '1', '400', 'sh', '-c', text], { encoding: 'utf8' });
    return { status, output: stdout + stderr };
  };
  for (const limit = Date.now() + 240_000; ; ) {
    if (leader() !== '' && /running|degraded/.test(run('timeout 30 systemctl is-system-running').output)) break;
    if (Date.now() > limit) assert.fail(`the host does not boot: ${run('systemctl --failed').output}`);
    await new Promise((resolve) => setTimeout(resolve, 100)); // its bus is not there yet
  }
  return { run, folder: own };
}
