import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import test from 'node:test';
import { folder } from '../nestbox.ts';
import { assertTone } from '../sound.ts';
import { hosts, power } from './computer.ts';

/** The bench proves itself: what its computers are, show, play and hear. */

const versions = { trixie: 257, bookworm: 252 } as const;

/** A second of a sine wave, as a RIFF file of 16 bits, one channel. */
function wav(hertz: number, rate = 44100): Buffer {
  const samples = Buffer.alloc(2 * rate);
  for (let i = 0; i < rate; i++) samples.writeInt16LE(Math.round(16000 * Math.sin((2 * Math.PI * hertz * i) / rate)), 2 * i);
  const head = Buffer.alloc(44);
  head.write('RIFF');
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  for (const [at, value, bytes] of [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, rate, 4], [28, 2 * rate, 4], [32, 2, 2], [34, 16, 2]] as const) head.writeUIntLE(value, at, bytes);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

for (const host of hosts)
  test(`${host}: a computer with systemd, whose screen, sound card and keyboard can be seen, heard and pressed`, async (t) => {
    const computer = await power(t, host);
    assert.match(await computer.does('systemctl', '--version'), new RegExp(`^systemd ${versions[host]} `));
    assert.match(await computer.does('stat', '--file-system', '--format=%T', '/sys/fs/cgroup'), /cgroup2fs/);
    assert.equal((await computer.does('systemctl', 'is-system-running')).trim(), 'running');
    assert.match(await computer.does('nestbox', '--version'), /^nestbox \d/);
    assert.deepEqual(await computer.runWith({ input: 'said' }, 'sh', '-c', 'cat; echo told >&2; exit 3'), { status: 3, stdout: 'said', stderr: 'told\n' });

    const path = `${folder(t)}/tone.wav`;
    writeFileSync(path, wav(440));
    await computer.put(path, '/root/tone.wav');
    await computer.does('aplay', '--quiet', '-D', 'plughw:0', '/root/tone.wav');
    assertTone(computer.sound(), 440, null);

    await computer.does('chvt', '1');
    await computer.type('someone\n');
    await computer.does('sh', '-c', 'until grep -q someone /dev/vcs1; do sleep 0.1; done');
    await computer.does('sh', '-c', 'printf "\\033[44m\\033[2J\\033[H" > /dev/tty1'); // the whole screen in the blue of a console
    const { width, height, rgb } = await computer.screen();
    const at = (x: number, y: number) => [...rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
    for (const [x, y] of [[width >> 1, height >> 1], [width - 40, height - 40]] as const) assert.deepEqual(at(x, y), [0, 0, 170]);

    const keyboards = async () => (await computer.get('/proc/bus/input/devices')).match(/Name="QEMU QEMU USB Keyboard"/g)?.length ?? 0;
    await computer.plug('one');
    await computer.does('sh', '-c', 'until grep -q "USB Keyboard" /proc/bus/input/devices; do sleep 0.1; done');
    assert.equal(await keyboards(), 1);
    await computer.unplug('one');
    await computer.does('sh', '-c', 'while grep -q "USB Keyboard" /proc/bus/input/devices; do sleep 0.1; done');

    const boot = await computer.get('/proc/sys/kernel/random/boot_id');
    await computer.reboot();
    assert.notEqual(await computer.get('/proc/sys/kernel/random/boot_id'), boot);
  });
