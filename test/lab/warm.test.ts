import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { power } from './computer.ts';

/** Runs without Node where systemd is PID 1: their containers are in scopes of its own. */

/** A machine that is made, on a computer with a `node` that notes in /root/asked that it was asked for; and what is to be left of its runs. */
async function made(t: TestContext, name: string, more: string) {
  const computer = await power(t, 'trixie');
  await computer.write('/root/fake/node', '#!/bin/sh\necho >> /root/asked\nexec /usr/bin/node "$@"\n', 0o755);
  await computer.write(`/root/${name}.toml`, `name = "${name}"\n${more}\n[root]\ndirectory = "/srv/roots/debian"\n`);
  await computer.does('nestbox', 'create', `/root/${name}.toml`);
  const left = async () => {
    await computer.until('sh', '-c', '! systemctl list-units --plain --no-legend --all "machine-*" | grep .'); // systemd forgets a scope a moment after its end
    return await computer.does('sh', '-c', 'cat /proc/mounts; systemctl list-units --plain --no-legend --all "*warm*"; ls -A /run /run/systemd/system /var/lib/nestbox/journal');
  };
  return { computer, left, before: await left() };
}

test('trixie: a second run of a machine goes without Node, in a scope with its device list and limits, and leaves nothing', async (t) => {
  const { computer, left, before } = await made(t, 'warm', 'network = "none"\nuser = "listener"\ndevices = ["/dev/snd/controlC0"]\n[limits]\ntasks = 40');
  const run = (script: string) => computer.run('sh', '-c', `rm -f /root/asked; PATH=/root/fake:$PATH nestbox run warm -- sh -c '${script}'; status=$?; [ -e /root/asked ] && echo with Node; exit $status`);
  const look = 'id -un; cat /proc/self/cgroup; dd if=/dev/snd/controlC0 of=/dev/null count=0 2>/dev/null && echo opened; exit 7';
  const first = await run(look);
  const second = await run(look);
  assert.deepEqual([first.status, first.stdout], [7, 'listener\n0::/\nopened\nwith Node\n'], first.stderr);
  assert.deepEqual([second.status, second.stdout], [7, 'listener\n0::/\nopened\n'], second.stderr);
  assert.equal(await left(), before);

  const running = computer.start('nestbox', 'run', 'warm', '--', 'sleep', '1000');
  await computer.does('sh', '-c', 'for i in $(seq 600); do nestbox exec warm true 2>/dev/null && exit 0; sleep 0.2; done; exit 1');
  assert.match(await computer.does('systemctl', 'show', '--property=TasksMax,DevicePolicy', 'machine-warm.scope'), /TasksMax=40[\s\S]*DevicePolicy=closed|DevicePolicy=closed[\s\S]*TasksMax=40/);
  // Nobody is left to take it back.
  await computer.does('sh', '-c', 'kill -KILL $(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/" /run/nestbox/warm/state.json)');
  await running.ended;
  await computer.does('nestbox', 'clean', 'warm');
  assert.equal(await left(), before);
});

test('trixie: a machine that boots comes up without Node the second time, in its scope and with the filters that are kept, and leaves nothing', async (t) => {
  const { computer, left, before } = await made(t, 'warm-boots', 'boot = true\nnetwork = "private"\n[limits]\ntasks = 90');
  const seen: { node: boolean; in: string }[] = [];
  for (let i = 0; i < 2; i++) {
    await computer.does('rm', '-f', '/root/asked');
    const running = computer.start('sh', '-c', 'PATH=/root/fake:$PATH exec nestbox run warm-boots');
    await computer.until('sh', '-c', 'nestbox exec --root warm-boots -- ip -4 -brief address show host0 | grep UP && nestbox exec --root warm-boots -- systemctl is-active multi-user.target');
    const look = 'systemctl show --property=ActiveState,TasksMax machine-warm\\\\x2dboots.scope machine-warm-boots.scope; tr "\\0" "\\n" < /proc/$(pgrep -f "systemd-nspawn .*--machine=warm-boots" | head -1)/environ | grep SECCOMP';
    seen.push({ node: (await computer.run('ls', '/root/asked')).status === 0, in: (await computer.run('sh', '-c', look)).stdout });
    await computer.does('sh', '-c', 'kill -TERM $(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/" /run/nestbox/warm-boots/state.json)');
    assert.equal((await running.ended).status, 0);
    assert.equal(await left(), before);
  }
  assert.deepEqual(seen.map(({ node }) => node), [true, false]);
  assert.match(seen[1]!.in, /TasksMax=90[\s\S]*^SYSTEMD_SECCOMP=0$/m);
  assert.equal(seen[1]!.in, seen[0]!.in);
});
