import assert from 'node:assert/strict';
import test from 'node:test';
import { power } from './computer.ts';

/** The computer is off at each step of a growth and of a shrinkage: one image for each step, at which it stands when the power goes. What is written in between is looked at in the second ring. */

const MiB = 2 ** 20;
const start = 9 * MiB;
const at = '/srv/work';

/** A file system on /dev/vdc, with the images and with what nestbox keeps of them; it is written to the disk as late as can be. */
const prepare = `
  echo 0 > /proc/sys/vm/dirty_writeback_centisecs
  mkfs.ext4 -q /dev/vdc 1G; mkdir -p ${at} /var/lib/nestbox; mount -o commit=600 /dev/vdc ${at}; mkdir ${at}/store; mount --bind ${at}/store /var/lib/nestbox
  mkdir -p /root/tree/data; for i in $(seq 20); do head -c 200000 /dev/urandom > /root/tree/data/$i; done
  cd ${at}
  for label in dos gpt; do
    truncate -s 48M $label; printf 'label: %s\\nstart=2048,size=16384,type=linux\\nstart=${start / 512},size=%s,type=linux\\n' $label $((38 * 2048)) | sfdisk --quiet $label
    mke2fs -q -t ext4 -b 1024 -d /root/tree -E offset=${start} $label 38M
  done
  sync`;

/** Begins a change of a copy again and again, each time up to the next step: it stands still there. The last one is not stopped. Says how many there are. */
const change = (from: string, words: string, size: string) => `cd ${at}
  n=0; while n=$((n + 1)); do
    cp --sparse=always ${from} ${words}-$n.img; sync ${words}-$n.img . # as what somebody has had for a while
    KILL_AT=step:$n KILL_WITH=SIGSTOP node --require /root/kill-at.cjs /usr/lib/nestbox/dist/nestbox.cjs image ${words} --verbose ${at}/${words}-$n.img ${size} > /dev/null 2> /root/${words}-$n & child=$!
    while grep -qs '^State:.[RSD]' /proc/$child/status; do sleep 0.05; done
    grep -qs '^State:.T' /proc/$child/status || break
  done; wait $child; echo $n`;

const digests = (option: string) => `for image in ${at}/*-*.img; do mount -o "ro,loop,offset=${start}${option}" $image /mnt; (cd /mnt; find . -type f -exec sha256sum {} + | sort | sha256sum); umount /mnt; done | sort | uniq -c`;

test('the power goes at each step of a growth and a shrinkage: all images are whole, and are cleaned up to one of two ends', async (t) => {
  const computer = await power(t, 'trixie');
  await computer.put(new URL('../container/kill-at.cjs', import.meta.url).pathname, '/root/kill-at.cjs');
  await computer.does('sh', '-ec', prepare);
  const digest = await computer.does('sh', '-c', 'cd /root/tree; find . -type f -exec sha256sum {} + | sort | sha256sum');
  const outcomes = await Promise.all((['grow dos 64M', 'shrink gpt 46M'] as const).map((one) => {
    const [words, from, size] = one.split(' ') as [string, string, string];
    return computer.runWith({ seconds: 900 }, 'sh', '-c', change(from, words, size));
  }));
  const [grown, shrunk] = outcomes.map(({ stdout, stderr }) => {
    assert.match(stdout, /^\d+$/m, stderr);
    return Number(stdout);
  }) as [number, number];
  assert.ok(grown > 4 && shrunk > 5, `${grown} and ${shrunk} steps`);
  await computer.does('sync', '--file-system', '/');
  await computer.cut();

  await computer.does('sh', '-ec', `mount /dev/vdc ${at}; mkdir -p /var/lib/nestbox; mount --bind ${at}/store /var/lib/nestbox`);
  const whole = `${grown + shrunk} ${digest}`;
  assert.equal((await computer.does('sh', '-ec', digests(',noload'))).trimStart(), whole);
  const { status, stderr } = await computer.run('nestbox', 'clean');
  assert.equal(status, 0, stderr);
  assert.match(stderr, /finishing it/);
  assert.match(stderr, /taking it back/);
  assert.equal((await computer.does('sh', '-ec', digests(''))).trimStart(), whole);
  const sizes = await computer.does('sh', '-ec', `cd ${at}; for image in *-*.img; do sfdisk --quiet --verify $image >&2; e2fsck -f -n "$image?offset=${start}" >&2; stat -c '%n %s' $image | sed 's/-[0-9]*.img//'; done | sort | uniq -c`);
  const ends = new Map(sizes.trim().split('\n').map((line) => line.trim().split(' ')).map(([count, words, size]) => [`${words} ${Number(size) / MiB}`, Number(count)]));
  t.diagnostic([...ends].map(([end, count]) => `${end} MiB: ${count}`).join(', '));
  assert.deepEqual([...ends.keys()].sort(), ['grow 48', 'grow 64', 'shrink 46', 'shrink 48']);
  assert.equal(await computer.does('sh', '-c', `cd ${at}; ls | grep -vE '^(dos|gpt|store|lost.found|(grow|shrink)-[0-9]*.img)$'; ls store/journal 2> /dev/null; losetup --list --noheadings; true`), '');
});
