import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { folder } from '../nestbox.ts';
import { assertSomeTone } from '../sound.ts';
import { newest, power } from './computer.ts';

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

for (const host of newest) {
  test(`${host}: a computer with systemd, where programs run and files come and go`, async (t) => {
    const computer = await power(t, host);
    assert.match(await computer.does('systemctl', '--version'), new RegExp(`^systemd ${versions[host]} `));
    assert.match(await computer.does('stat', '--file-system', '--format=%T', '/sys/fs/cgroup'), /cgroup2fs/);
    assert.equal((await computer.does('systemctl', 'is-system-running')).trim(), 'running');
    assert.match(await computer.does('nestbox', '--version'), /^nestbox \d/);

    assert.deepEqual(await computer.runWith({ input: 'said' }, 'sh', '-c', 'cat; echo told >&2; exit 3'), { status: 3, stdout: 'said', stderr: 'told\n' });
    assert.equal((await computer.run('printf', '%s|', "a 'b' $c", '', 'two\nlines')).stdout, "a 'b' $c||two\nlines|");
    assert.equal((await computer.run('not-there')).status, 127);
    assert.equal((await computer.run('sh', '-c', 'sleep 100 & echo started')).stdout, 'started\n'); // what it leaves running is not waited for
    await assert.rejects(computer.runWith({ seconds: 5 }, 'sh', '-c', 'echo begun; sleep 654'), /not ended after 5 s:\nbegun/);
    await computer.until('sh', '-c', '! pgrep --full --exact "sleep 654"');

    const job = computer.start('sh', '-c', 'read word; echo "I hear $word"; exec sleep infinity');
    job.send('you\n');
    assert.equal((await job.says(/I hear (.*)/))[1], 'you');
    job.kill('TERM');
    assert.equal((await job.ended).status, 128 + 15);

    const local = folder(t);
    mkdirSync(`${local}/sub`);
    writeFileSync(`${local}/sub/script`, Buffer.alloc(1_000_000, 'x'), { mode: 0o755 });
    await computer.put(local, '/root/copied');
    await computer.put(`${local}/sub/script`, '/root/new/script', 0o640);
    assert.equal(await computer.does('stat', '--format=%a %s', '/root/copied/sub/script', '/root/new/script'), '755 1000000\n640 1000000\n');
    await computer.write('/etc/greeting', 'hello');
    assert.equal(await computer.get('/etc/greeting'), 'hello');
  });

  test(`${host}: its screen, sound card and keyboards are seen, heard and pressed`, async (t) => {
    const computer = await power(t, host);
    await computer.write('/root/tone.wav', wav(440));
    await computer.does('aplay', '--quiet', '--device=plughw:0', '/root/tone.wav');
    assertSomeTone(computer.sound(), 440);

    await computer.press('ctrl-alt-f2');
    await computer.until('grep', '-q', 'lab login:', '/dev/vcs2');
    await computer.press('ctrl-alt-f1');
    await computer.until('grep', '-q', 'tty1', '/sys/class/tty/tty0/active');
    await computer.type("It's (1 + 1) = {2}: ok?\n");
    await computer.until('grep', '-q', "lab login: It's (1 + 1) = {2}: ok?", '/dev/vcs1');

    // The framebuffer itself, beside what stands there as text.
    const { width, height } = await computer.screen();
    const rows = Array.from({ length: height }, (_, y) => Buffer.from(Uint32Array.from({ length: width }, (_, x) => (y < height / 2 ? 0xcc3311 : x < width / 2 ? 0x11aa44 : 0x2255ee)).buffer));
    await computer.write('/root/picture', Buffer.concat(rows));
    await computer.does('cp', '/root/picture', '/dev/fb0');
    await computer.shows(({ rgb }) => {
      const at = (x: number, y: number) => rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3).toString('hex');
      return at(width - 9, 9) === 'cc3311' && at(9, height - 90) === '11aa44' && at(width - 9, height - 90) === '2255ee';
    });
  });

  test(`${host}: USB keyboards come and go`, async (t) => {
    const computer = await power(t, host);
    const names = async () => [...(await computer.get('/proc/bus/input/devices')).matchAll(/^N: Name="(.*)"$/gm)].map(([, name]) => name);
    const before = await names();
    const [one, other] = [await computer.plug('one'), await computer.plug('other')];
    assert.equal((await names()).length, before.length + 2);
    const listening = computer.start('evtest', other);
    await listening.says(/Testing \.\.\./);
    await computer.press('a'); // on the one that came last
    await listening.says(/\(KEY_A\), value 1/);
    await computer.unplug('one');
    await computer.unplug('other');
    assert.deepEqual(await names(), before);
    assert.notEqual((await computer.run('test', '-e', one)).status, 0);
  });

  // Three boots: a minute and more.
  test(`${host}: after a reboot it is another boot with the same disk, and after a power cut also`, async (t) => {
    const computer = await power(t, host);
    const boot = () => computer.get('/proc/sys/kernel/random/boot_id');
    const first = await boot();
    await computer.write('/root/kept', 'kept');
    await computer.reboot();
    const second = await boot();
    assert.notEqual(second, first);
    assert.equal((await computer.does('systemctl', 'is-system-running')).trim(), 'running');
    assert.equal(await computer.get('/root/kept'), 'kept');

    await computer.write('/root/lost', 'lost'); // in memory only
    await computer.cut();
    assert.notEqual(await boot(), second);
    assert.equal(await computer.get('/root/kept'), 'kept');
    assert.notEqual((await computer.run('test', '-s', '/root/lost')).status, 0);
  });
}
