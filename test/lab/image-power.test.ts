import assert from 'node:assert/strict';
import test from 'node:test';
import { folder } from '../nestbox.ts';
import { type Computer, power } from './computer.ts';

/**
 * The power fails at each point of a growth and of a shrinkage. What is on the disk then is copied from outside, while the computer stands still: what is only in its memory
 * is not in there. Each copy is looked at as after a boot, and once the power does fail.
 */

const MiB = 2 ** 20;
const start = 9 * MiB;
const at = '/srv/work';

/** A small file system on /dev/vdc, with the images and with all that nestbox keeps. */
const prepare = `
  mkfs.ext4 -q /dev/vdc 320M; mkdir -p ${at} /var/lib/nestbox; mount /dev/vdc ${at}; mkdir ${at}/store; mount --bind ${at}/store /var/lib/nestbox
  mkdir -p /root/tree/data; for i in $(seq 30); do head -c 200000 /dev/urandom > /root/tree/data/$i; done
  cd ${at}
  for label in dos gpt; do
    truncate -s 48M $label.img; printf 'label: %s\\nstart=2048,size=16384,type=linux\\nstart=${start / 512},size=%s,type=linux\\n' $label $((38 * 2048)) | sfdisk --quiet $label.img
    mke2fs -q -t ext4 -b 1024 -d /root/tree -E offset=${start} $label.img 38M
  done
  sync`;

/** Looks at a disk with an image as after a boot: is its data whole, and is it in order when nestbox has cleaned up? Prints both digests, the size, and what is left. In mounts of its own. */
const look = `set -eu
  mkdir -p ${at} /run/nestbox /var/lib/nestbox
  mount "$1" ${at}; mount -t tmpfs none /run/nestbox; mount --bind ${at}/store /var/lib/nestbox
  data() { mount -o "ro,loop,offset=${start}$2" "$1" /mnt; (cd /mnt; find . -type f -exec sha256sum {} + | sort | sha256sum); umount /mnt; }
  cd ${at}
  data "$2" ,noload
  nestbox clean 1>&2
  sfdisk --quiet --verify "$2" 1>&2
  e2fsck -f -n "$2?offset=${start}" 1>&2
  data "$2" ''
  stat -c %s "$2"
  echo $(ls -A . store store/journal 2> /dev/null | grep -vxE '(dos|gpt).img|lost.found|store|templates|machines|services|scratch|journal|.*:|')`;

interface State {
  what: string;
  image: string;
  /** Sizes of the image that are in order. */
  ends: number[];
}

async function mustBeInOrder(computer: Computer, device: string, { what, image, ends }: State, digest: string): Promise<number> {
  const { status, stdout, stderr } = await computer.run('unshare', '--mount', 'sh', '-c', look, 'sh', device, image);
  assert.equal(status, 0, `${what}: ${stdout}${stderr}`);
  const [before, after, size, left] = stdout.split('\n');
  assert.deepEqual([before, after, left], [digest, digest, ''], `${what}: ${stdout}${stderr}`);
  assert.ok(ends.includes(Number(size)), `${what}: ${size} bytes\n${stderr}`);
  return Number(size);
}

test('the power fails at each point of a growth and a shrinkage: the image is whole, and is cleaned up to one of two ends', async (t) => {
  const computer = await power(t, 'trixie');
  await computer.put(new URL('../container/kill-at.cjs', import.meta.url).pathname, '/root/kill-at.cjs');
  await computer.does('sh', '-ec', prepare);
  const digest = (await computer.does('sh', '-c', 'cd /root/tree; find . -type f -exec sha256sum {} + | sort | sha256sum')).trimEnd();
  const own = folder(t);
  const states: State[] = [];
  const begin = (...words: string[]) => computer.start('env', 'KILL_AT=wait', 'node', '--require', '/root/kill-at.cjs', '/usr/lib/nestbox/dist/nestbox.cjs', 'image', ...words);
  const copy = async (state: State) => void ((await computer.copyDisk(`${own}/${states.length}`)) && states.push(state));

  for (const [image, words, ends] of [['dos.img', ['grow', '--verbose', `${at}/dos.img`, '64M'], [48, 64]], ['gpt.img', ['grow', '--verbose', `${at}/gpt.img`, '64M'], [48, 64]], ['gpt.img', ['shrink', '--verbose', `${at}/gpt.img`, '40M'], [64, 40]]] as const) {
    const job = begin(...words);
    const over = job.ended.then(() => null);
    for (let n = 1; ; n++) {
      const point = await Promise.race([job.says(new RegExp(`^at ${n} (.*)$`, 'm')).catch(() => null), over]);
      if (!point) break;
      const state = { what: `${words[0]} ${image}, ${point[1]}`, image, ends: ends.map((size) => size * MiB) };
      await copy(state);
      job.send('\n');
      // While the file system changes its size.
      if (/step: .* (larger|smaller): /.test(point[1]!)) for (let i = 0; i < 3; i++) await copy(state);
    }
    const { status, stderr } = await job.ended;
    assert.equal(status, 0, stderr);
  }
  assert.ok(states.length > 12, `${states.length}`);

  // Not in a copy: it is off, and boots.
  const growth = begin('grow', '--verbose', `${at}/dos.img`, '80M');
  for (let n = 1; ; n++) {
    const [, point] = await growth.says(new RegExp(`^at ${n} (.*)$`, 'm'));
    if (/step: .* larger: /.test(point!)) break;
    growth.send('\n');
  }
  await computer.does('sync', '--file-system', '/');
  await computer.cut();
  assert.equal(await mustBeInOrder(computer, '/dev/vdc', { what: 'cut off', image: 'dos.img', ends: [80 * MiB] }, digest), 80 * MiB);

  const reached = new Map<string, number>();
  for (const [i, state] of states.entries()) {
    const size = await mustBeInOrder(computer, await computer.insert(`${own}/${i}`), state, digest);
    await computer.eject();
    const end = `${state.what.split(',')[0]}: ${size / MiB} MiB`;
    reached.set(end, (reached.get(end) ?? 0) + 1);
  }
  t.diagnostic([...reached].map(([end, count]) => `${end} ${count} times`).join(', '));
  assert.equal(reached.size, 6, 'both ends of each');
});
