import assert from 'node:assert/strict';
import test from 'node:test';
import { assertSomeTone, wav } from '../sound.ts';
import { sharedPicture } from '../x11-client.ts';
import { type Computer, newest, power } from './computer.ts';

/** Machines on LXC where systemd is PID 1: they are LXC's own units, come up with the computer, and have real device rights. */

/** All that a machine could leave behind. */
const traces = (computer: Computer): Promise<string> => computer.does('sh', '-c', `
  systemctl list-units --all --plain --no-legend 'nestbox*' 'lxc@*' 'machine-*' | cut -d' ' -f1; systemctl list-unit-files --plain --no-legend 'nestbox*'
  find /etc/systemd /run/systemd/system /run/systemd/system.control /run/nestbox /run/nestbox-services /var/lib/nestbox /var/lib/lxc /etc/nestbox /run/lxc 2>/dev/null | grep -v '/run/lxc/lock/var\\|/var/lib/lxc$\\|/run/lxc$\\|/run/lxc/lock$' | sort
  find /sys/fs/cgroup -name 'lxc.*' -o -name 'nestbox*'; grep nestbox /proc/self/mountinfo; nft list tables; ip -br link | cut -d' ' -f1 | sort`);

const unit = '[Unit]\nStartLimitIntervalSec=0\n[Service]\nUser=listener\nExecStart=/usr/bin/aplay -q -D plughw:0 /srv/music/tone.wav\nRestart=always\nRestartSec=100ms\n[Install]\nWantedBy=multi-user.target\n';

for (const host of newest) {
  test(`${host}: a system in LXC plays music, comes up with the computer, and is gone when disabled`, async (t) => {
    const computer = await power(t, host);
    const inside = (...argv: string[]) => computer.run('nestbox', 'exec', 'music', '--', ...argv);
    await computer.write('/root/music.toml', 'name = "music"\nengine = "lxc"\nboot = true\nuser = "listener"\nnetwork = "private"\naudio = "alsa"\nfiles = ["/srv/music"]\n[root]\ndirectory = "/srv/roots/debian"\n');
    await computer.write('/srv/music/tone.wav', wav(440, 1));
    await computer.write('/srv/roots/debian/etc/systemd/system/player.service', unit);
    await computer.does('ln', '-s', '../player.service', '/srv/roots/debian/etc/systemd/system/multi-user.target.wants/player.service');
    await computer.does('nestbox', 'clean'); // the folders of the store itself
    const before = await traces(computer);

    // Somebody else's container is left as it is.
    await computer.write('/var/lib/lxc/music/config', 'lxc.uts.name = theirs\n');
    const refused = await computer.run('nestbox', 'start', '/root/music.toml');
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /\/var\/lib\/lxc\/music\/config is there already, and nestbox did not write it/);
    assert.equal(await computer.get('/var/lib/lxc/music/config'), 'lxc.uts.name = theirs\n');
    await computer.does('rm', '-r', '/var/lib/lxc/music');

    await computer.does('nestbox', 'enable', '/root/music.toml');
    const verified = await computer.run('sh', '-c', 'systemd-analyze verify --man=no /etc/systemd/system/nestbox-* lxc@music.service');
    assert.deepEqual([verified.status, verified.stderr.split('\n').filter((line) => line.includes('nestbox'))], [0, []]);
    await computer.reboot();
    assert.equal((await computer.run('pgrep', '--full', 'nestbox.cjs')).status, 1, 'nestbox has no part in it');
    await computer.until('sh', '-c', 'nestbox exec music -- systemctl is-active player.service');
    assert.equal((await computer.does('systemctl', 'is-active', 'lxc@music.service')).trim(), 'active');
    assert.match(await computer.does('lxc-info', '--name=music'), /State:\s+RUNNING/);
    await computer.plays(440);

    assert.match(await computer.does('nestbox', 'list'), /music\s+running\s+systemd, enabled/);
    assert.match(await computer.does('nestbox', 'status', 'music'), /service: lxc@music\.service, running/);
    await computer.tells(/player\.service|Reached target/, 'nestbox', 'logs', '--lines=80', 'music');
    assert.equal((await inside('sh', '-c', 'systemctl is-system-running --wait; systemctl --failed --plain --no-legend')).stdout, 'running\n');
    assert.equal((await inside('sh', '-c', 'exit 7')).status, 7);
    assert.match((await inside('ip', '-br', 'address', 'show', 'host0')).stdout, /UP +10\.213\./);
    // The group decides, whatever node gets in.
    const pid = (await computer.does('lxc-info', '--name=music', '--pid', '--no-humanize')).trim();
    await computer.does('sh', '-c', `cp -a /dev/vda /proc/${pid}/root/dev/disk; chmod 666 /proc/${pid}/root/dev/disk`);
    assert.match((await computer.run('nestbox', 'exec', '--root', 'music', '--', 'dd', 'if=/dev/disk', 'of=/dev/null', 'count=1')).stderr, /Operation not permitted/);

    await computer.does('nestbox', 'disable', '--now', 'music');
    await computer.does('nestbox', 'rm', 'music');
    await computer.does('nestbox', 'clean');
    assert.equal(await traces(computer), before);
  });

  test(`${host}: a program in LXC as a service and in the foreground, with a device that comes and goes`, async (t) => {
    const computer = await power(t, host);
    const run = 'run = ["sh", "-c", "echo on $DISPLAY as $(id -un); exec sleep infinity"]\n';
    await computer.write('/root/player.toml', `name = "player"\nengine = "lxc"\nuser = "listener"\nnetwork = "private"\naudio = "playback"\ndisplay = "headless"\n${run}[root]\ndirectory = "/srv/roots/debian"\n`);
    await computer.does('nestbox', 'clean');
    const before = await traces(computer);
    const play = () => computer.run('nestbox', 'exec', 'player', '--', 'speaker-test', '-D', 'hw:0', '-t', 'sine', '-f', '660', '-l', '1', '-c', '2', '-b', '200000');
    const nodes = ['/dev/snd/controlC0', '/dev/snd/pcmC0D0p'];

    await computer.does('nestbox', 'start', '/root/player.toml');
    await computer.tells(/on :\d+ as listener/, 'nestbox', 'logs', 'player');
    const address = /10\.213\.\d+\.\d+/.exec(await computer.does('nestbox', 'exec', 'player', '--', 'ip', '-br', 'address', 'show', 'host0'));
    assert.ok(address);
    await computer.does('ping', '-c', '1', '-W', '5', address[0]);
    assert.notEqual((await play()).status, 0);
    for (const node of nodes) await computer.does('nestbox', 'attach', 'player', node);
    const played = await play();
    assert.equal(played.status, 0, played.stdout + played.stderr);
    assertSomeTone(computer.sound(), 660);
    await computer.does('nestbox', 'detach', 'player', '/dev/snd/pcmC0D0p');
    assert.notEqual((await play()).status, 0);
    assert.match(await computer.does('nestbox', 'exec', 'player', '--', 'perl', '-e', sharedPicture), /^the same$/m);
    await computer.does('nestbox', 'stop', 'player');

    const foreground = computer.start('nestbox', 'run', '/root/player.toml');
    await foreground.says(/on :\d+ as listener/);
    for (const node of nodes) await computer.does('nestbox', 'attach', 'player', node);
    const again = await play();
    assert.equal(again.status, 0, again.stdout + again.stderr);
    assert.match(await computer.does('nestbox', 'exec', 'player', '--', 'perl', '-e', sharedPicture), /^the same$/m);
    await computer.does('nestbox', 'stop', 'player');
    await foreground.ended;
    assert.equal((await computer.run('nestbox', 'run', '/root/player.toml', '--', 'sh', '-c', 'exit 9')).status, 9);
    await computer.does('nestbox', 'rm', 'player');
    await computer.does('nestbox', 'clean');
    assert.equal(await traces(computer), before);
  });
}
