import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { copySparse } from '../disk-images.ts';
import { folder, program } from '../nestbox.ts';
import { says } from '../roots.ts';

/**
 * The power fails at each point of a growth and of a shrinkage. The image, and what nestbox keeps, are on a file system of their own, on a loop device: what a power cut would leave is what is
 * in the file below that, as the kernel has the rest in its memory. That file is copied at each point; each copy is mounted, as after a boot, and looked at. (In the lab the computer itself is off.)
 */

const MiB = 2 ** 20;
const start = 9 * MiB;
const hook = new URL('./kill-at.cjs', import.meta.url).pathname;

/** In mounts of its own: the disk, and in place of all that outlasts a boot what is on it. */
const booted = (disk: string, at: string) => `set -e; mount -o loop ${disk} ${at}; mount --bind ${at}/lib /var/lib; mount -t tmpfs none /run; cd ${at}`;

/** Is the data of the image whole, and is it in order when nestbox has cleaned up? Prints both digests, the size, and what is left. */
const look = (at: string) => `data() { mount -o "ro,loop,offset=${start}$1" ${at}/pi.img /mnt; (cd /mnt; find . -type f -exec sha256sum {} + | sort | sha256sum); umount /mnt; }
  data ,noload
  ${process.execPath} ${program} clean --verbose >&2
  sfdisk --quiet --verify pi.img >&2
  e2fsck -f -n "pi.img?offset=${start}" >&2
  data ''
  stat -c %s pi.img
  echo $(ls | grep -vxE 'pi.img|lib|lost.found') $(ls lib/nestbox/journal 2> /dev/null)`;

const inMounts = (script: string, more: Record<string, string> = {}): ChildProcess => spawn('unshare', ['--mount', 'sh', '-c', script], { env: { ...process.env, ...more }, stdio: ['pipe', 'pipe', 'pipe'] });

for (const [label, words, from, to] of [['dos', 'grow', 48, 64], ['gpt', 'grow', 48, 64], ['gpt', 'shrink', 64, 46]] as const)
  test(`${label}: the power fails at each point of a ${words}; the image is whole, and is cleaned up to one of two ends`, async (t) => {
    const own = folder(t);
    const [disk, at, tree] = [`${own}/disk`, `${own}/at`, `${own}/tree`];
    mkdirSync(at);
    mkdirSync(tree);
    for (let i = 0; i < 20; i++) writeFileSync(`${tree}/${i}`, Buffer.alloc(150_000, `${i} of ${label} `));
    const digest = says('sh', '-c', `cd ${tree}; find . -type f -exec sha256sum {} + | sort | sha256sum`).trim();
    writeFileSync(disk, '');
    truncateSync(disk, 256 * MiB);
    says('mke2fs', '-q', '-t', 'ext4', '-E', 'lazy_itable_init=0,lazy_journal_init=0', disk);
    const size = from - 10;
    const made = inMounts(`${booted(disk, '$AT').replaceAll('mount --bind', 'mkdir -p $AT/lib; mount --bind')}
      truncate -s ${from}M pi.img; printf 'label: ${label}\nstart=2048,size=16384,type=linux\nstart=${start / 512},size=${size * 2048},type=linux\n' | sfdisk --quiet pi.img
      mke2fs -q -t ext4 -b 1024 -d ${tree} -E offset=${start} pi.img ${size}M; sync`, { AT: at });
    const [failed] = (await once(made, 'exit')) as [number];
    assert.equal(failed, 0);

    const states: string[] = [];
    let copied = 0;
    /** Again, where the kernel has written to it in the meantime: no power cut leaves both. */
    const copy = (what: string) => {
      for (;;) {
        const { mtimeMs } = statSync(disk);
        if (mtimeMs === copied) return;
        copySparse(disk, `${own}/${states.length}`);
        if (statSync(disk).mtimeMs !== mtimeMs) continue;
        copied = mtimeMs;
        states.push(what);
        return;
      }
    };
    const child = inMounts(`${booted(disk, at)}; exec ${process.execPath} --require ${hook} ${program} image ${words} --verbose ${at}/pi.img ${to}M`, { KILL_AT: 'wait' });
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
    const over = once(child, 'close') as Promise<[number | null]>;
    for await (const line of createInterface({ input: child.stdout! })) {
      const what = /^at (\d+ .*)$/.exec(line)?.[1];
      if (!what) continue;
      copy(what);
      child.stdin!.write('\n');
      // While the file system changes its size.
      if (/ step: .* (larger|smaller): /.test(what)) for (let i = 0; i < 4; i++) {
        await new Promise((resolve) => setTimeout(resolve, 4));
        copy(`${what}, a little later`);
      }
    }
    assert.equal((await over)[0], 0, stderr);
    copy('at its end');

    const reached = new Map<string, number>();
    for (const [i, what] of states.entries()) {
      const { status, stdout, stderr: said } = spawnSync('unshare', ['--mount', 'sh', '-c', `${booted(`${own}/${i}`, at)}\n${look(at)}`], { encoding: 'utf8' });
      assert.equal(status, 0, `${what}: ${stdout}${said}`);
      const [before, after, bytes, left] = stdout.split('\n');
      assert.deepEqual([before?.trim(), after?.trim(), left], [digest, digest, ''], `${what}: ${stdout}${said}`);
      assert.ok(([from, to] as number[]).includes(Number(bytes) / MiB), `${what}: ${bytes} bytes\n${said}`);
      const end = `${Number(bytes) / MiB} MiB`;
      reached.set(end, (reached.get(end) ?? 0) + 1);
    }
    t.diagnostic(`${states.length} states of the disk: ${[...reached].map(([end, count]) => `${end} ${count} times`).join(', ')}`);
    assert.equal(reached.size, 2, 'both ends');
  });
