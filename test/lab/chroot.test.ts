import assert from 'node:assert/strict';
import test from 'node:test';
import { assertSomeTone } from '../sound.ts';
import { power } from './computer.ts';

/** The engine chroot on a computer with systemd and version 2 of control groups. */

const machine = (more: string) => `name = "old"
engine = "chroot"
user = "listener"
${more}
[chroot]
accept = ["no-user-namespace", "no-network-isolation"]
[limits]
tasks = 40
[root]
directory = "/srv/roots/debian"
`;

test('trixie: a chroot plays to the card that it was given, opens no other device, and leaves nothing', async (t) => {
  const computer = await power(t, 'trixie');
  const before = await computer.does('sh', '-c', 'cat /proc/mounts; systemctl list-units --plain --no-legend --all "*old*"; ls -A /run');
  await computer.write('/root/old.toml', machine('audio = "alsa"\nrun = ["sh", "-c", "speaker-test -D hw:0 -t sine -f 660 -l 1 -c 2 -b 200000 && id -un"]'));
  assert.match((await computer.run('nestbox', 'start', '/root/old.toml')).stderr, /systemd is given units of systemd-nspawn, and a chroot is none of these/);
  assert.match(await computer.does('nestbox', 'run', '/root/old.toml'), /listener\s*$/);
  assertSomeTone(computer.sound(), 660);

  const running = computer.start('nestbox', 'run', '/root/old.toml', '--', 'sh', '-c', 'echo ready; exec sleep 1000');
  await computer.does('sh', '-c', 'for i in $(seq 600); do nestbox exec old true 2>/dev/null && exit 0; sleep 0.2; done; exit 1');
  const inside = (script: string) => computer.run('nestbox', 'exec', '--root', 'old', '--', 'sh', '-c', script);
  // Root inside is root of the host: what keeps it from the disk is the list that systemd has put on its scope.
  assert.match((await inside('ls /dev; mknod /dev/disk b 254 0; mknod /root/disk b 254 0')).stderr, /mknod: \/dev\/disk: Operation not permitted\nmknod: \/root\/disk: Operation not permitted/);
  assert.equal((await inside('dd if=/dev/snd/controlC0 of=/dev/null count=0 && echo opened')).stdout, 'opened\n');
  assert.equal((await inside('cat /proc/self/cgroup')).stdout, '0::/\n');
  assert.match(await computer.does('systemctl', 'show', '--property=TasksMax,DevicePolicy', 'machine-old.scope'), /TasksMax=40/);
  await computer.does('nestbox', 'stop', 'old');
  await running.ended;
  await computer.does('nestbox', 'rm', 'old');
  await computer.until('sh', '-c', '! systemctl list-units --plain --no-legend --all "machine-old*" | grep .'); // systemd forgets a scope a moment after its end
  assert.equal(await computer.does('sh', '-c', 'cat /proc/mounts; systemctl list-units --plain --no-legend --all "*old*"; ls -A /run'), before);
});
