import assert from 'node:assert/strict';
import test from 'node:test';
import { newest, power } from './computer.ts';

/** What the host's own udevd says of a keyboard that is really plugged in, as libudev and evdev in a container with users and a network of its own take it. */

const native = '/usr/lib/nestbox/dist/nestbox-native';
const uid = 655360;

for (const host of newest)
  test(`${host}: a keyboard that is plugged in types in a container that runs, and is gone when it is pulled out`, async (t) => {
    const computer = await power(t, host);
    await computer.does('sh', '-ec', 'mkdir -p /run/relay/nodes /run/relay/udev; mount -t tmpfs -o mode=755 none /run/relay/nodes; mount --bind / /mnt');
    const before = await computer.plug('before');
    computer.start(native, 'udev-relay', '--seat', 'seat0', '--machine', 'relayed', '/run/relay/nodes', '/run/relay/udev', `${uid}:${uid}`, '0660').pipe(process.stdout, process.stderr);
    await computer.until('test', '-s', '/run/relay/udev/ready');
    assert.equal(await computer.does('readlink', `/run/relay/nodes/${before.slice('/dev/input/'.length)}`), await computer.does('readlink', before));
    assert.equal(await computer.does('sh', '-c', 'cd /run/relay/nodes; ls event*'), await computer.does('sh', '-c', 'cd /dev/input; ls event*'));

    // Each line of its input is a program that is to be run in it.
    const container = computer.start('systemd-run', '--quiet', '--pipe', '--property=Delegate=yes', 'systemd-nspawn', '--quiet', '--keep-unit', '--directory=/mnt', '--read-only', '--machine=relayed', '--private-network', '--console=pipe',
      `--private-users=${uid}:65536`, '--private-users-ownership=map', '--bind=/run/relay/nodes:/dev/input', '--bind-ro=/run/relay/udev:/run/udev', 'sh', '-c',
      'stdbuf -oL udevadm monitor --udev --property & while read -r line; do sh -c "$line"; done');
    await container.says(/UDEV - the event which udev sends out/);
    const keyboard = await computer.plug('later');
    const event = (await computer.does('readlink', '-f', keyboard)).trim();
    const said = await container.says(new RegExp(`ACTION=add\n(?:.+\n)*DEVNAME=${event}\n(?:.+\n)*\n`)); // to the empty line at its end: it comes in parts
    assert.match(said[0], /^TAGS=.*:host-buttons:/m);
    assert.match(said[0], /^ID_INPUT_KEYBOARD=1$/m);

    container.send(`udevadm info --query=property ${event} | sed 's/^/known /'; stdbuf -oL timeout 200 evtest ${keyboard}\n`);
    await container.says(/known ID_INPUT_KEYBOARD=1/);
    await container.says(/Testing \.\.\./);
    await computer.press('k');
    await container.says(/KEY_K\), value 1/);

    await computer.unplug('later');
    await container.says(new RegExp(`ACTION=remove\n(?:.+\n)*DEVNAME=${event}\n`));
    assert.equal((await computer.run('ls', `/run/relay/nodes/${event.slice('/dev/input/'.length)}`)).status, 2);
    container.close();
    assert.doesNotMatch(container.stderr(), /Permission denied/);
  });
