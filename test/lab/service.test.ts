import assert from 'node:assert/strict';
import test from 'node:test';
import { assertSomeTone } from '../sound.ts';
import { sharedPicture } from '../x11-client.ts';
import { type Computer, newest, power } from './computer.ts';
import { differencesOf } from './verified.ts';

/** Machines that systemd runs, on computers where systemd is PID 1 and device rights are real. */

const jukebox = (more = '') => `name = "jukebox"
boot = true
user = "listener"
network = "none"
${more}
[root]
directory = "/srv/roots/debian"
`;

/** All that a machine that systemd runs could leave behind. */
const traces = (computer: Computer): Promise<string> => computer.does('sh', '-c', `
  systemctl list-units --all --plain --no-legend 'nestbox*' 'systemd-nspawn@*' 'machine-*' | cut -d' ' -f1
  systemctl list-unit-files --plain --no-legend 'nestbox*'
  machinectl list --no-legend; machinectl list-images --no-legend
  find /etc/systemd /run/systemd/system /run/systemd/system.control /run/systemd/nspawn /run/systemd/machines /run/nestbox /run/nestbox-services /var/lib/machines /var/lib/nestbox /etc/nestbox 2>/dev/null | sort
  grep nestbox /proc/self/mountinfo; nft list tables; cat /proc/sys/net/ipv4/ip_forward; ip -br link | cut -d' ' -f1`);

const inside = (computer: Computer, ...argv: string[]) => computer.run('nestbox', 'exec', 'jukebox', '--', ...argv);
const tone = ['speaker-test', '-D', 'hw:0', '-t', 'sine', '-f', '440', '-l', '1', '-c', '2', '-b', '200000'];

for (const host of newest) {
  test(`${host}: a booted machine plays on the sound card, an ordinary machine to systemd, and nothing of it is left`, async (t) => {
    const computer = await power(t, host);
    await computer.does('nestbox', 'clean'); // the store's own folders
    const before = await traces(computer);
    await computer.write('/root/jukebox.toml', jukebox('audio = "alsa"'));

    await computer.does('nestbox', 'start', '/root/jukebox.toml');
    assert.match(await computer.does('machinectl', 'list', '--no-legend'), /^jukebox\s+container\s+systemd-nspawn/);
    assert.equal((await computer.does('systemctl', 'is-active', 'systemd-nspawn@jukebox.service')).trim(), 'active');
    assert.equal((await inside(computer, 'systemctl', 'is-system-running')).stdout.trim(), 'running'); // ready, and nothing failed
    await computer.tells(/Startup finished|Reached target/, 'journalctl', '--machine=jukebox', '--no-pager', '--lines=50');
    await computer.tells(/Startup finished|Reached target/, 'nestbox', 'logs', '--lines=50', 'jukebox');
    assert.match(await computer.does('nestbox', 'list'), /jukebox\s+running\s+systemd/);
    assert.equal((await computer.run('pgrep', '--full', 'nestbox.cjs')).status, 1, 'no process of nestbox stays');

    const played = await inside(computer, ...tone);
    assert.equal(played.status, 0, played.stderr);
    assertSomeTone(computer.sound(), 440);

    assert.equal((await inside(computer, 'sh', '-c', 'exit 7')).status, 7);
    assert.equal((await inside(computer, 'not-there')).status, 127);
    // script(1) is the terminal that a person has.
    const shell = computer.start('script', '--quiet', '--return', '--command', 'nestbox shell jukebox', '/dev/null');
    await shell.says(/[$#] /); // its prompt
    shell.send('echo "$(id -un) $(tty) $XDG_RUNTIME_DIR"; loginctl --no-pager --no-legend list-sessions\n');
    await shell.says(/listener \/dev\/pts\/\d+ \/run\/user\/1000/);
    await shell.says(/\d+ +1000 listener/); // of logind
    shell.send('exit 5\n');
    assert.equal((await shell.ended).status, host === 'trixie' ? 5 : 0); // machinectl(1), which older hosts need for it, does not tell
    assert.equal((await computer.run('nestbox', 'rm', 'jukebox')).status, 1); // it runs

    await computer.does('nestbox', 'stop', 'jukebox');
    await computer.does('nestbox', 'rm', 'jukebox');
    await computer.does('nestbox', 'clean'); // the folders of the store itself
    assert.equal(await traces(computer), before);
  });

  test(`${host}: without the grant there is no node, and a node that gets in all the same cannot be opened`, async (t) => {
    const computer = await power(t, host);
    await computer.write('/root/jukebox.toml', jukebox());
    await computer.does('nestbox', 'start', '/root/jukebox.toml');
    const [absent, node] = [await inside(computer, ...tone), '/dev/snd/pcmC0D0p'];
    assert.notEqual(absent.status, 0);
    assert.match(absent.stdout + absent.stderr, /No such file or directory/);

    const leader = (await computer.does('machinectl', 'show', '--property=Leader', '--value', 'jukebox')).trim();
    await computer.does('sh', '-c', `mkdir -p /proc/${leader}/root/dev/snd; cp -a ${node} /proc/${leader}/root${node}; chmod 666 /proc/${leader}/root${node}`);
    const denied = await inside(computer, 'dd', 'if=/dev/null', `of=${node}`, 'count=0');
    assert.match(denied.stderr, /Operation not permitted/);
  });

  test(`${host}: an enabled machine comes up with the computer, survives its own reboot, and is gone when disabled`, async (t) => {
    const computer = await power(t, host);
    await computer.write('/root/jukebox.toml', jukebox('audio = "alsa"'));
    await computer.does('nestbox', 'clean');
    const before = await traces(computer);
    await computer.does('nestbox', 'create', '/root/jukebox.toml');
    await computer.does('nestbox', 'enable', 'jukebox');
    const verified = await computer.run('sh', '-c', 'systemd-analyze verify --man=no /etc/systemd/system/nestbox-* systemd-nspawn@jukebox.service');
    assert.deepEqual([verified.status, verified.stderr.split('\n').filter((line) => line.includes('nestbox'))], [0, []]);

    await computer.reboot();
    const state = await computer.run('systemctl', 'is-system-running', '--wait');
    assert.equal(state.stdout.trim(), 'running', await computer.does('systemctl', '--failed', '--no-legend'));
    assert.equal((await computer.run('pgrep', '--full', 'nestbox')).status, 1, 'nestbox has no part in it');
    assert.equal((await inside(computer, 'aplay', '--list-devices')).status, 0);

    const leader = () => computer.does('machinectl', 'show', '--property=Leader', '--value', 'jukebox');
    const first = await leader();
    await computer.run('nestbox', 'exec', '--root', 'jukebox', '--', 'systemctl', 'reboot');
    // For a moment its unit is still active, and there is no machine any more.
    await computer.until('sh', '-c', `leader=$(machinectl show --property=Leader --value jukebox 2>/dev/null) && [ "$leader" != "${first.trim()}" ] && systemctl is-active --quiet systemd-nspawn@jukebox`);
    assert.equal((await inside(computer, 'aplay', '--list-devices')).status, 0);

    await computer.does('nestbox', 'disable', '--now', 'jukebox');
    await computer.does('nestbox', 'rm', 'jukebox');
    await computer.does('nestbox', 'clean'); // the folders of the store itself
    assert.equal(await traces(computer), before);
  });

  test(`${host}: what nestbox did not write is not written over, and a start that fails leaves nothing`, async (t) => {
    const computer = await power(t, host);
    await computer.does('nestbox', 'clean');
    const before = await traces(computer);
    await computer.does('mkdir', '/srv/shared');
    await computer.write('/root/jukebox.toml', jukebox('audio = "alsa"\nfiles = ["/srv/shared"]'));
    await computer.does('mkdir', '/etc/systemd/nspawn');
    await computer.write('/etc/systemd/nspawn/jukebox.nspawn', '[Exec]\nBoot=yes\n');
    const refused = await computer.run('nestbox', 'start', '/root/jukebox.toml');
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /\/etc\/systemd\/nspawn\/jukebox\.nspawn is there already, and nestbox did not write it/);
    assert.equal(await computer.get('/etc/systemd/nspawn/jukebox.nspawn'), '[Exec]\nBoot=yes\n');
    await computer.does('rm', '-r', '/etc/systemd/nspawn');

    // A unit that it needs fails: what is to be shown inside is gone when it comes up.
    await computer.does('nestbox', 'enable', '/root/jukebox.toml');
    await computer.does('rmdir', '/srv/shared');
    const failed = await computer.run('systemctl', 'start', 'systemd-nspawn@jukebox.service');
    assert.notEqual(failed.status, 0);
    await computer.until('sh', '-c', 'systemctl show --property=ActiveState --value nestbox-jukebox.service | grep -qxE "failed|inactive"'); // it has taken everything back then
    assert.equal(await computer.does('sh', '-c', 'ls /run/nestbox-services 2>/dev/null; grep nestbox-services /proc/self/mountinfo; true'), '');
    await computer.does('nestbox', 'rm', 'jukebox');
    await computer.does('nestbox', 'clean'); // the folders of the store itself
    assert.equal(await traces(computer), before);
  });

  test(`${host}: a program as a service has its screen and its sound, and its output in the journal`, async (t) => {
    const computer = await power(t, host);
    await computer.write('/root/player.toml', `name = "player"\nuser = "listener"\nnetwork = "private"\naudio = "playback"\ndisplay = "headless"\nrun = ["sh", "-c", "ip -br address show host0; echo on $DISPLAY as $(id -un); exec sleep infinity"]\n[root]\ndirectory = "/srv/roots/debian"\n`);
    await computer.does('nestbox', 'start', '/root/player.toml');
    await computer.tells(/^(?:.*\bhost0@\S+ +UP +10\.213\.\d+\.\d+\/30.*\n).*on :\d+ as listener/m, 'nestbox', 'logs', 'player'); // it waits for its network
    assert.match(await computer.does('systemctl', 'list-units', '--plain', '--no-legend', 'nestbox-player*'), /gate[\s\S]*network[\s\S]*pulseaudio[\s\S]*xvfb/);
    const address = /10\.213\.\d+\.\d+/.exec(await computer.does('nestbox', 'exec', 'player', '--', 'ip', '-br', 'address', 'show', 'host0'));
    assert.ok(address);
    await computer.does('ping', '-c', '1', '-W', '5', address[0]);
    assert.match(await computer.does('nestbox', 'exec', 'player', '--', 'perl', '-e', sharedPicture), /^the same$/m);
    assert.deepEqual((await differencesOf(computer, 'player')).bad, []);
    await computer.does('nestbox', 'attach', 'player', '/dev/snd/controlC0');
    await computer.does('nestbox', 'exec', 'player', '--', 'dd', 'if=/dev/snd/controlC0', 'of=/dev/null', 'count=0');
    await computer.does('nestbox', 'detach', 'player', '/dev/snd/controlC0');
    assert.equal(await computer.does('sh', '-c', 'tail -n +2 /proc/sysvipc/shm'), '', 'nothing of it is on the host');
    await computer.does('nestbox', 'stop', 'player');
    await computer.does('nestbox', 'start', '/root/player.toml');
    await computer.does('systemctl', 'restart', 'systemd-nspawn@player.service');
    await computer.tells(/ UP +10\.213\./, 'nestbox', 'exec', 'player', '--', 'ip', '-br', 'address', 'show', 'host0');
    await computer.does('nestbox', 'stop', 'player');
    // Without its network it does not begin, and that is said, also by a start that needs no Node.
    await computer.does('nestbox', 'enable', '/root/player.toml');
    await computer.does('nestbox', 'start', 'player');
    await computer.does('nestbox', 'stop', 'player');
    await computer.does('sh', '-ec', "mkdir /run/systemd/system/nestbox-player.network.service.d; printf '[Service]\nExecStartPre=false\n' > /run/systemd/system/nestbox-player.network.service.d/fails.conf; systemctl daemon-reload");
    for (let i = 0; i < 2; i++) {
      const refused = await computer.run('nestbox', 'start', 'player');
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /nestbox-player\.network\.service/);
      await computer.until('sh', '-c', '! systemctl is-active --quiet systemd-nspawn@player.service');
    }
    await computer.does('sh', '-ec', 'rm -r /run/systemd/system/nestbox-player.network.service.d; systemctl daemon-reload');
    await computer.tells(/the network of this machine could not be set up/, 'journalctl', '--quiet', '--no-pager', '--unit=systemd-nspawn@player.service');
    await computer.does('nestbox', 'rm', 'player');
    assert.match(await computer.does('nestbox', 'run', '/root/player.toml', '--', 'perl', '-e', sharedPicture), /^the same$/m);
    assert.equal(await computer.does('sh', '-c', "systemctl list-units --all --plain --no-legend 'nestbox-player*'; pgrep Xvfb; pgrep pulseaudio; true"), '');
    // With a screen of the computer's, by the gate that hands over memory.
    await computer.does('systemd-run', '--quiet', 'Xvfb', ':50', '-nolisten', 'tcp');
    await computer.until('test', '-S', '/tmp/.X11-unix/X50');
    await computer.write('/root/shown.toml', 'name = "shown"\nuser = "listener"\nnetwork = "none"\nrun = ["sleep", "infinity"]\n[display.x11]\nshared-memory = true\n[root]\ndirectory = "/srv/roots/debian"\n');
    await computer.does('env', 'DISPLAY=:50', 'nestbox', 'start', '/root/shown.toml');
    assert.match(await computer.does('nestbox', 'exec', 'shown', '--', 'perl', '-e', sharedPicture), /^the same$/m);
    await computer.does('nestbox', 'stop', 'shown');
    await computer.does('nestbox', 'rm', 'shown');
    assert.equal(await computer.does('sh', '-c', "systemctl list-units --all --plain --no-legend 'nestbox-shown*'; pgrep nestbox; true"), '');
  });
}
