import assert from 'node:assert/strict';
import test from 'node:test';
import { assertSomeTone } from '../sound.ts';
import { type Computer, newest, power } from './computer.ts';

/** Device rights where they are real: systemd, version 2 of control groups, a sound card. */

const machine = `name = "jukebox"
boot = true
user = "listener"
network = "none"
[root]
directory = "/srv/roots/debian"
`;

const inside = (computer: Computer, ...argv: string[]) => computer.run('nestbox', 'exec', 'jukebox', '--', ...argv);
const play = (computer: Computer) => inside(computer, 'speaker-test', '-D', 'hw:0', '-t', 'sine', '-f', '660', '-l', '1', '-c', '2', '-b', '200000');
const nodes = ['/dev/snd/controlC0', '/dev/snd/pcmC0D0p'];

for (const host of newest)
  test(`${host}: a device that is attached while the machine runs plays at once, and not after it is detached`, async (t) => {
    const computer = await power(t, host);
    await computer.write('/root/jukebox.toml', machine);
    await computer.does('nestbox', 'start', '/root/jukebox.toml');
    assert.notEqual((await play(computer)).status, 0);
    const why = async (path: string) => JSON.parse((await computer.run('nestbox', 'why', '--json', 'jukebox', path)).stdout) as { opens: boolean; layer: string | null; because: string; mend: string | null; tried: object | null };
    const absent = await why('/dev/snd/pcmC0D0p');
    assert.deepEqual([absent.opens, absent.layer], [false, 'node']);
    assert.match(`${absent.mend}`, /audio = "alsa"/);
    assert.ok(absent.tried, 'it was tried inside');

    for (const node of nodes) await computer.does('nestbox', 'attach', 'jukebox', node);
    const played = await play(computer);
    assert.equal(played.status, 0, played.stdout + played.stderr);
    assertSomeTone(computer.sound(), 660);
    const [, node = ''] = nodes;
    const number = (await computer.does('stat', '--format=%Hr:%Lr', node)).trim();
    assert.equal((await inside(computer, 'cat', `/run/udev/data/c${number}`)).stdout, await computer.get(`/run/udev/data/c${number}`), 'what udev knows of it is told inside');
    assert.equal((await why('/dev/snd/pcmC0D0p')).opens, true);
    assert.match(await computer.does('nestbox', 'status', 'jukebox'), /attached until it ends: .*pcmC0D0p/);
    // systemd's own command for this would freeze the whole list.
    assert.equal((await computer.run('ls', '/run/systemd/system.control')).status, 2);
    // Units that are read anew take nothing back, and give nothing.
    await computer.does('systemctl', 'daemon-reload');
    assert.equal((await inside(computer, 'dd', 'if=/dev/null', `of=${node}`, 'count=0')).status, 0);

    await computer.does('nestbox', 'detach', 'jukebox', node);
    assert.match((await inside(computer, 'dd', 'if=/dev/null', `of=${node}`, 'count=0', 'conv=nocreat')).stderr, /No such file/);
    // Also by a node that somebody has kept: the right itself is gone.
    const leader = (await computer.does('machinectl', 'show', '--property=Leader', '--value', 'jukebox')).trim();
    await computer.does('sh', '-c', `cp -a ${node} /proc/${leader}/root/dev/kept; chmod 666 /proc/${leader}/root/dev/kept`);
    assert.match((await inside(computer, 'dd', 'if=/dev/null', 'of=/dev/kept', 'count=0')).stderr, /Operation not permitted/);
    assert.notEqual((await play(computer)).status, 0);
    await computer.does('sh', '-c', `cp -a ${node} /proc/${leader}/root${node}; chmod 666 /proc/${leader}/root${node}`);
    assert.equal((await why(node)).layer, 'group', 'a node without the right');
    await computer.does('rm', `/proc/${leader}/root${node}`);

    // For always: it is there after the machine has been stopped and started, and in what systemd would start it with.
    await computer.does('nestbox', 'attach', 'jukebox', node, '--always', '--now');
    assert.match(await computer.get('/etc/systemd/nspawn/jukebox.nspawn'), /pcmC0D0p/);
    await computer.does('nestbox', 'stop', 'jukebox');
    assert.equal(await computer.does('sh', '-c', 'find /run/systemd/system -name "nestbox-attached-*"'), '');
    await computer.does('nestbox', 'start', 'jukebox');
    assert.equal((await inside(computer, 'dd', 'if=/dev/null', `of=${node}`, 'count=0')).status, 0);
    assert.match((await inside(computer, 'ls', '/dev/snd/controlC0')).stderr, /No such file/, 'what was attached for now has ended with the machine');
    await computer.does('nestbox', 'detach', 'jukebox', node, '--always');
    await computer.does('nestbox', 'stop', 'jukebox');
    assert.equal(await computer.does('sh', '-c', 'find /etc/systemd /run/systemd/system -name "*jukebox*"'), '');
  });

for (const host of newest)
  test(`${host}: a network interface that a CDI file names is moved into the machine under its other name, and comes back`, async (t) => {
    const computer = await power(t, host);
    await computer.write('/etc/cdi/lab.json', JSON.stringify({ cdiVersion: '1.1.0', kind: 'nestbox.test/device', devices: [{ name: 'one', containerEdits: { netDevices: [{ hostInterfaceName: 'nbtest0', name: 'wire0' }] } }] }));
    await computer.write('/root/wired.toml', `${machine.replace('jukebox', 'wired').replace('boot = true\n', '')}`.replace('[root]', 'devices = ["nestbox.test/device=one"]\n[root]'));
    await computer.does('ip', 'link', 'add', 'nbtest0', 'type', 'veth', 'peer', 'name', 'nbtest1');
    const { stdout, stderr } = await computer.run('nestbox', 'run', '/root/wired.toml', '--', 'ls', '/sys/class/net');
    assert.equal(stdout, 'lo\nwire0\n', stderr);
    await computer.until('test', '-e', '/sys/class/net/nbtest0');
    assert.match(await computer.does('ip', '-br', 'link', 'show', 'type', 'veth'), /^nbtest1@nbtest0 /m);
  });
