import assert from 'node:assert/strict';
import test from 'node:test';
import { power } from './computer.ts';
import { differencesOf } from './verified.ts';

/** `nestbox verify` of a machine that systemd has booted, where device rights, units and a sound card are real: as it is, and with one layer broken at a time. */

const machine = `name = "steady"
boot = true
user = "listener"
display = "headless"
audio = ["alsa", "playback"]
network = "none"
files = ["/srv/given"]
limits = { memory = "512M", tasks = 400 }
[root]
directory = "/srv/roots/debian"
`;

const unit = 'systemd-nspawn@steady.service';
const run = '/run/nestbox-services/steady';
const etc = '/etc/systemd/system';
const dropIn = `${etc}/${unit}.d/nestbox.conf`;
const sound = `${etc}/nestbox-steady.pulseaudio.service`;

/** What is broken, by which line of sh, how it is mended, the layers in which it is found, and a row that tells it. `$leader` is its first process. */
const sabotages: [name: string, breaks: string, mends: string, layers: string[], what: RegExp][] = [
  ['the drop-in of its unit is gone', `mv ${dropIn} /root/kept`, `mv /root/kept ${dropIn}`, ['unit-file', 'reload'], /nestbox\.conf$/],
  ['a device more, by systemctl', `systemctl set-property --runtime ${unit} 'DeviceAllow=/dev/kmsg rw'`, `rm -rf /run/systemd/system.control/${unit}.d; systemctl daemon-reload`, ['list', 'drop-in', 'reload'], /device list/],
  ['more memory, by systemctl', `systemctl set-property --runtime ${unit} MemoryMax=900M`, `systemctl set-property --runtime ${unit} MemoryMax=512M; rm -rf /run/systemd/system.control/${unit}.d; systemctl daemon-reload`, ['limit', 'drop-in', 'reload'], /limit of memory/],
  ['a drop-in of somebody else', `mkdir -p ${sound}.d; printf '[Service]\\nNice=5\\n' > ${sound}.d/more.conf; systemctl daemon-reload`, `rm -r ${sound}.d; systemctl daemon-reload`, ['drop-in'], /drop-ins of nestbox-steady\.pulseaudio/],
  ['its .nspawn file has been edited', "cp /etc/systemd/nspawn/steady.nspawn /root/kept; sed -i 's/^Hostname=.*/Hostname=other/; $a # edited' /etc/systemd/nspawn/steady.nspawn", 'mv /root/kept /etc/systemd/nspawn/steady.nspawn', ['unit-file'], /steady\.nspawn/],
  ["the unit of its sound server is another's", `cp ${sound} /root/kept; sed -i 's/ *--disallow-module-loading//' ${sound}; systemctl daemon-reload`, `mv /root/kept ${sound}; systemctl daemon-reload`, ['unit-file'], /pulseaudio\.service$/],
  ['another cookie', `cp -p ${run}/display/client /root/kept; perl -e 'open my $f, "+<", "${run}/display/client"; seek $f, -16, 2; print $f "not the same key"'`, `cat /root/kept > ${run}/display/client`, ['cookie'], /draw/],
  ['a node more', 'cp -a /dev/kmsg /proc/$leader/root/dev/more', 'rm /proc/$leader/root/dev/more', ['node'], /device nodes/],
  ['another mode of a node', `chmod 600 ${run}/nodes/dev/snd/controlC0`, `chmod 660 ${run}/nodes/dev/snd/controlC0`, ['owner'], /open \/dev\/snd\/controlC0/],
  ['a folder that can be written', `perl -e '$^F = 9; my $from = "/srv/given\\0"; my $tree = syscall(428, -100, $from, 1); exec "nsenter", "-m", "-t", $ARGV[0], "perl", "-e", q{my ($none, $to) = ("", "/srv/given\\0"); syscall(429, $ARGV[0] + 0, $none, -100, $to, 4) == 0 or die $!}, $tree' $leader`, `nsenter -t $leader -m perl -e 'my $at = "/srv/given\\0"; syscall(166, $at, 0) == 0 or die $!'`, ['mount'], /write \/srv\/given/],
  ['the gate before its sound server is open', `systemctl kill --signal=KILL nestbox-steady.gate; until systemctl show --property=ActiveState --value nestbox-steady.gate | grep -qx failed; do sleep 0.1; done; native=$(sed -n 's/^ExecStart=\\([^ ]*\\).*/\\1/p' ${etc}/nestbox-steady.gate.service); systemd-run --quiet --unit=open-gate $native launch --user $(stat -c %u:%g ${run}/sound/gate) -- $native pulse-gate --open ${run}/sound/gate/native ${run}/sound/server/native; until perl -MIO::Socket::UNIX -e 'exit !IO::Socket::UNIX->new($ARGV[0])' ${run}/sound/gate/native; do sleep 0.1; done`, `systemctl stop open-gate`, ['sound-gate', 'service'], /record/],
];

test('trixie: a booted service is as its file says; with one layer broken at a time each is found', async (t) => {
  const computer = await power(t, 'trixie');
  await computer.does('mkdir', '/srv/given');
  await computer.write('/root/steady.toml', machine);
  await computer.does('nestbox', 'start', '/root/steady.toml');
  const leader = (await computer.does('machinectl', 'show', '--property=Leader', '--value', 'steady')).trim();
  const verify = () => differencesOf(computer, 'steady');
  const first = await verify();
  assert.deepEqual([first.status, first.said], [0, '']);
  const wrong: string[] = [];
  for (const [name, breaks, mends, layers, what] of sabotages)
    try {
      try {
        await computer.does('sh', '-ec', `leader=${leader}; ${breaks}`);
        const { status, bad, said } = await verify();
        assert.equal(status, 3, name);
        assert.ok(bad.some((row) => what.test(row.what)), said);
        assert.deepEqual([...new Set(bad.map(({ layer }) => layer as string))].filter((one) => !layers.includes(one)), [], said);
      } finally {
        await computer.does('sh', '-ec', `leader=${leader}; ${mends}`);
      }
    } catch (error) {
      wrong.push(`${name}: ${(error as Error).message}`);
    }
  assert.deepEqual(wrong, []);
  // What does not come back by itself: the programs that serve it.
  await computer.does('systemctl', 'kill', '--signal=KILL', 'nestbox-steady.xvfb');
  await computer.until('sh', '-c', '! systemctl is-active --quiet nestbox-steady.xvfb');
  assert.match((await verify()).said, /x-server: draw on display/);
});
