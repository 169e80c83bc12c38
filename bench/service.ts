// scripts/bench service [--rounds N] [--json] [trixie|bookworm]
// `nestbox start M` until the machine's default target is reached, beside `systemctl start` of the same written by hand, in the lab's computer.
import { type Computer, type Host, power } from '../test/lab/computer.ts';
import { type Measured, options, report } from './measure.ts';

const { rounds = 10, json, words } = options();
const host = (words[0] ?? 'trixie') as Host;

const machine = `name = "measured"
boot = true
network = "none"
audio = "alsa"
[root]
directory = "/srv/roots/debian"
`;

/** What somebody writes who wants the same: mapped ids, the nodes of the sound card with an owner inside, their device rights, and a start that means ready. */
const byHand: Record<string, string> = {
  '/etc/systemd/nspawn/byhand.nspawn': `[Exec]
Boot=yes
PrivateUsers=1073741824:65536
NotifyReady=yes
Hostname=byhand
LinkJournal=no
Timezone=off
ResolvConf=off
[Files]
PrivateUsersOwnership=map
@BINDS@
[Network]
Private=yes
VirtualEthernet=no
`,
  '/etc/systemd/system/systemd-nspawn@byhand.service.d/devices.conf': `[Unit]
Requires=byhand-nodes.service
After=byhand-nodes.service
[Service]
@ALLOWED@
`,
  '/etc/systemd/system/byhand-nodes.service': `[Unit]
StopWhenUnneeded=yes
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'mkdir -p /run/byhand; mount -t tmpfs -o mode=755 byhand /run/byhand; mkdir /run/byhand/snd; cp -a @NODES@ /run/byhand/snd/; chown 1073741824:1073741853 /run/byhand/snd/*; chmod 0660 /run/byhand/snd/*'
ExecStop=/bin/umount /run/byhand
`,
};

async function install(computer: Computer): Promise<void> {
  await computer.write('/root/measured.toml', machine);
  await computer.does('nestbox', 'create', '/root/measured.toml');
  await computer.does('nestbox', 'enable', 'measured');
  const nodes = (await computer.does('sh', '-c', 'ls /dev/snd/*C0* /dev/snd/seq /dev/snd/timer | grep -v pcm.*c$')).trim().split('\n');
  const filled = (text: string) => text.replace('@NODES@', nodes.join(' ')).replace('@ALLOWED@', nodes.map((node) => `DeviceAllow=${node} rw`).join('\n'))
    .replace('@BINDS@', nodes.map((node) => `Bind=/run/byhand/snd/${node.split('/').at(-1)}:${node}`).join('\n'));
  for (const [path, text] of Object.entries(byHand)) {
    await computer.does('mkdir', '-p', path.slice(0, path.lastIndexOf('/')));
    await computer.write(path, filled(text));
  }
  await computer.does('mkdir', '-p', '/var/lib/machines');
  await computer.does('ln', '-s', '/srv/roots/debian', '/var/lib/machines/byhand');
  await computer.does('systemctl', 'daemon-reload');
}

/** Milliseconds of a command by the computer's own clock. */
async function timed(computer: Computer, command: string): Promise<number> {
  const said = await computer.does('sh', '-ec', `a=$(date +%s%N); ${command}; b=$(date +%s%N); echo $(((b - a) / 1000))`);
  return Number(said.trim().split('\n').at(-1)) / 1000;
}

const after: (() => unknown)[] = [];
const computer = await power({ after: (end: () => unknown) => void after.push(end) } as never, host);
try {
  await install(computer);
  const variants = [{ name: 'systemctl, by hand', unit: 'byhand', start: 'systemctl start systemd-nspawn@byhand.service' }, { name: 'nestbox start', unit: 'measured', start: 'nestbox start measured' }];
  const measured: Measured[] = variants.map(({ name }) => ({ name, times: [] }));
  let left = '';
  for (let round = -1; round < rounds; round++)
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const { unit, start } = variants[i]!;
      const time = await timed(computer, start);
      const target = await computer.does('systemd-run', '--quiet', '--wait', '--pipe', `--machine=${unit}`, 'systemctl', 'is-active', 'default.target');
      if (target.trim() !== 'active') throw new Error(`${unit}: its default target is ${target.trim()}`);
      if (unit === 'measured') left = (await computer.run('pgrep', '--list-full', '--full', 'nestbox')).stdout.trim();
      await computer.does('sh', '-c', `systemctl stop systemd-nspawn@${unit}.service; until ! systemctl is-active --quiet 'nestbox-*' byhand-nodes.service; do sleep 0.1; done`);
      if (round >= 0) measured[i]!.times.push(time);
    }
  report(`Start of a machine until its default target is reached, Debian ${host} under QEMU without KVM`, measured, [{ name: 'nestbox start', to: 'systemctl, by hand', goal: 1.05 }], { 'processes of nestbox while it runs': left || 'none' }, json);
} finally {
  for (const end of after.reverse()) await end();
}
