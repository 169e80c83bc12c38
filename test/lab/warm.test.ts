import assert from 'node:assert/strict';
import test from 'node:test';
import { power } from './computer.ts';

/** Runs without Node where systemd is PID 1: their containers are in scopes of its own. */

test('trixie: a second run of a machine goes without Node, in a scope with its device list and limits, and leaves nothing', async (t) => {
  const computer = await power(t, 'trixie');
  await computer.write('/root/fake/node', '#!/bin/sh\necho >> /root/asked\nexec /usr/bin/node "$@"\n', 0o755);
  await computer.write('/root/warm.toml', 'name = "warm"\nnetwork = "none"\nuser = "listener"\ndevices = ["/dev/snd/controlC0"]\n[limits]\ntasks = 40\n[root]\ndirectory = "/srv/roots/debian"\n');
  await computer.does('nestbox', 'create', '/root/warm.toml');
  const left = () => computer.does('sh', '-c', 'cat /proc/mounts; systemctl list-units --plain --no-legend --all "*warm*"; ls -A /run /run/systemd/system /var/lib/nestbox/journal');
  const before = await left();
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
