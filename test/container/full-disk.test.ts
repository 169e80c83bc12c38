import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { folder, nestbox, program, root } from '../nestbox.ts';
import { differences, snapshot } from '../snapshot.ts';

const hook = new URL('./kill-at.cjs', import.meta.url).pathname;

/** Of a machine with a screen, sound, a user, files and a layer of its own that is thrown away. */
function machine(t: TestContext): string {
  const own = folder(t);
  mkdirSync(`${own}/games`);
  writeFileSync(`${own}/machine.toml`, `
name = "kill-full"
user = "tester"
ephemeral = true
display = "headless"
audio = "playback"
network = "none"
files = [{ path = "${own}/games", to = "/mnt/games", write = true }]
run = "true"
${root}`);
  assert.equal(nestbox(['run', `${own}/machine.toml`]).status, 0, 'on a disk with room'); // the template is there from now on
  return `${own}/machine.toml`;
}

/**
 * Runs a shell text where /run and /var/lib/nestbox are file systems of their own with the given room, the templates in
 * the latter being those of the host. It must end with `listed`, and what stands in these file systems comes out of it.
 */
function inSmallSpace(room: string, text: string, env: NodeJS.ProcessEnv = {}): { before: string; after: string; status: string; output: string } {
  const script = `
set -e
mkdir -p /run/space.templates
mount --bind /var/lib/nestbox/templates /run/space.templates
mount -t tmpfs -o mode=755,size=16M,nr_inodes=20 space /mnt
mkdir /mnt/templates; mount --move /run/space.templates /mnt/templates 2>/dev/null || mount --bind /var/lib/nestbox/templates /mnt/templates
umount -l /run/space.templates 2>/dev/null || true; rmdir /run/space.templates 2>/dev/null || true
mount -t tmpfs -o mode=755,${room} space /run
mount -t tmpfs -o mode=711,${room} space /var/lib/nestbox
mkdir -m 700 /var/lib/nestbox/templates; mount --bind /mnt/templates /var/lib/nestbox/templates
list() { find /run /var/lib/nestbox -xdev | sort; }
list > /dev/shm/nestbox-test.before
set +e
${text}
echo "status $?"
nestbox() { "$NODE" "$PROGRAM" "$@"; }
nestbox clean; echo "cleaned $?"
echo; echo BEFORE; cat /dev/shm/nestbox-test.before; echo AFTER; list; rm /dev/shm/nestbox-test.before`;
  const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8', env: { ...process.env, ...env, NODE: process.execPath, PROGRAM: program }, timeout: 300_000 });
  const [, output = '', status = '', before = '', after = ''] = /^([^]*?)status (\d+)\n[^]*BEFORE\n([^]*)AFTER\n([^]*)$/.exec(stdout) ?? [];
  assert.ok(after !== '', `${stdout}${stderr}`);
  assert.match(stdout, /cleaned 0/, stderr);
  return { before, after, status, output: output + stderr };
}

for (const [what, unit] of [['names', (n: number) => `size=16M,nr_inodes=${n + 2}`], ['bytes', (n: number) => `size=${n * 4}k`]] as const)
  test(`a disk that is full of ${what} sooner or later: each time a clear end, and nothing left`, (t) => {
    const file = machine(t);
    const before = snapshot();
    let refused = 0;
    for (let n = 1; n < 120; n += n < 60 ? 1 : 10) {
      const run = inSmallSpace(unit(n), `"$NODE" "$PROGRAM" run ${file}`);
      assert.equal(run.after, run.before, `room for ${n}: ${run.output}`);
      assert.deepEqual(differences(before), [], `room for ${n}: ${run.output}`);
      if (run.status === '0') break;
      refused++;
      assert.doesNotMatch(run.output, /should not have happened/, `room for ${n}: ${run.output}`);
      assert.match(run.output, /no space|ended with exit status|failed/i, `room for ${n}: ${run.output}`);
    }
    t.diagnostic(`${refused} sizes were too small`);
    assert.ok(refused > 2, `only ${refused}`);
  });

test("killed at each step, and the disk full before 'clean': nothing is left behind", (t) => {
  const file = machine(t);
  const before = snapshot();
  let n = 1;
  for (; n < 100; n++) {
    const fill = 'for at in /run /var/lib/nestbox; do cat /dev/zero > $at/filler 2>/dev/null; done';
    const run = inSmallSpace('size=4M', `KILL_AT=step:${n} "$NODE" --require ${hook} "$PROGRAM" run -v ${file}; status=$?; ${fill}; (exit $status)`);
    assert.equal(run.after.replaceAll(/.*\/filler\n/g, ''), run.before, `step ${n}: ${run.output}`);
    assert.deepEqual(differences(before), [], `step ${n}: ${run.output}`);
    if (run.status === '0') break;
  }
  t.diagnostic(`killed at ${n - 1} points`);
  assert.ok(n > 20);
});

test("killed at each step of a machine whose root is on a read-only file system, 'clean' leaves nothing behind", (t) => {
  const file = machine(t); // for its template
  let mounted = '';
  t.after(() => mounted && execFileSync('umount', [mounted])); // before the folder is removed
  const own = folder(t);
  const [template] = JSON.parse(nestbox(['plan', '--json', file]).stdout).passing.flatMap((step: { kind: string; lower?: string }) => (step.kind === 'overlay' ? [step.lower] : []));
  mkdirSync(`${own}/root`);
  execFileSync('mount', ['--bind', template, `${own}/root`]);
  mounted = `${own}/root`;
  execFileSync('mount', ['-o', 'remount,bind,ro', `${own}/root`]);

  writeFileSync(`${own}/lasting.toml`, `name = "kill-read-only"\nuser = "tester"\nnetwork = "none"\nrun = "true"\n[root]\ndirectory = "${own}/root"\n`);
  const before = snapshot();
  const refused = nestbox(['run', `${own}/lasting.toml`]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /read-only/);
  assert.deepEqual(differences(before), []);

  writeFileSync(`${own}/machine.toml`, `name = "kill-read-only"\nuser = "tester"\nephemeral = true\ndisplay = "headless"\nnetwork = "none"\nrun = "true"\n[root]\ndirectory = "${own}/root"\n`);
  let n = 1;
  for (; n < 100; n++) {
    const { signal, stderr, status } = spawnSync(process.execPath, ['--require', hook, program, 'run', '-v', `${own}/machine.toml`], { encoding: 'utf8', env: { ...process.env, KILL_AT: `step:${n}` } });
    if (signal !== 'SIGKILL') assert.equal(status, 0, stderr);
    const cleaned = nestbox(['clean']);
    assert.equal(cleaned.status, 0, cleaned.stderr);
    assert.deepEqual(differences(before), [], `step ${n}: ${stderr.trim().split('\n').at(-1)}`);
    if (signal !== 'SIGKILL') break;
  }
  t.diagnostic(`killed at ${n - 1} points`);
  assert.ok(n > 15);
});
