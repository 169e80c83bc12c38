import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, openSync, promises, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { folder, nestbox, program, root } from '../nestbox.ts';
import { differences, snapshot } from '../snapshot.ts';
import { startXvfb, writeXauthorityFile } from '../x11-client.ts';

const hook = new URL('./kill-at.cjs', import.meta.url).pathname;

/** Runs nestbox to the point where it kills itself; false: it came to its end before. */
function killed(at: string, args: string[], env: NodeJS.ProcessEnv): { killed: boolean; stderr: string; status: number | null } {
  const { signal, stderr, status } = spawnSync(process.execPath, ['--require', hook, program, ...args], { encoding: 'utf8', env: { ...process.env, ...env, KILL_AT: at }, timeout: 300_000 });
  return { killed: signal === 'SIGKILL', stderr, status };
}

/** Kills at each point in turn until a run comes to its end; after each, `nestbox clean` must bring the host back. */
function killEverywhere(t: TestContext, point: 'step' | 'journal', args: string[], env: NodeJS.ProcessEnv, atLeast: number): void {
  const before = snapshot();
  let n = 1;
  for (; n < 200; n++) {
    const run = killed(`${point}:${n}`, args, env);
    if (!run.killed) {
      assert.equal(run.status, 0, run.stderr);
      assert.deepEqual(differences(before), [], 'after a run that came to its end');
      break;
    }
    const last = run.stderr.trim().split('\n').at(-1);
    const cleaned = nestbox(['clean'], { env });
    assert.equal(cleaned.status, 0, `${point} ${n} (${last}): ${cleaned.stderr}`);
    assert.deepEqual(differences(before), [], `${point} ${n}, killed at: ${last}`);
  }
  t.diagnostic(`killed at ${n - 1} points`);
  assert.ok(n > atLeast, `only ${n - 1} points`);
}

/** A machine with every kind of grant that stands beside the others, on an outer display. */
async function everything(t: TestContext): Promise<{ args: string[]; env: NodeJS.ProcessEnv } | null> {
  const x = await startXvfb(t);
  if (!x) return null;
  const own = folder(t);
  writeXauthorityFile(`${own}/xauthority`, x.key);
  mkdirSync(`${own}/games`);
  writeFileSync(`${own}/notes`, 'x');
  execFileSync('mknod', [`/dev/nestbox-test-kill`, 'c', '1', '3']);
  t.after(() => execFileSync('rm', ['-f', '/dev/nestbox-test-kill']));
  writeFileSync(`${own}/machine.toml`, `
name = "kill-everything"
user = "tester"
ephemeral = true
display = "nested"
network = "private"
devices = ["/dev/nestbox-test-kill"]
files = [{ path = "${own}/games", to = "/mnt/games", write = true }, "${own}/notes"]
environment = { GREETING = "hello" }
limits = { memory = "1G", tasks = 200 }
run = "true"
[audio.playback]
record = "${own}/out.wav"
${root}`);
  nestbox(['run', `${own}/machine.toml`], { env: { DISPLAY: `:${x.display}`, XAUTHORITY: `${own}/xauthority` } }); // the template is there from now on
  return { args: ['run', '--verbose', `${own}/machine.toml`], env: { DISPLAY: `:${x.display}`, XAUTHORITY: `${own}/xauthority` } };
}

for (const point of ['step', 'journal'] as const)
  test(`killed at each ${point} of a machine with every grant, 'clean' leaves nothing behind`, async (t) => {
    const machine = await everything(t);
    if (machine) killEverywhere(t, point, machine.args, machine.env, 30);
  });

test("killed at each step, on the host's display and with a root of its own, 'clean' leaves nothing behind", async (t) => {
  const x = await startXvfb(t);
  if (!x) return;
  const own = folder(t);
  writeXauthorityFile(`${own}/xauthority`, x.key);
  nestbox(['rm', 'kill-x11']); // of a test that was cut off
  for (const access of ['access = "trusted"\nshared-memory = true', 'access = "xhost"']) {
    writeFileSync(`${own}/machine.toml`, `name = "kill-x11"\nnetwork = "none"\naccept = ["xhost"]\nrun = "true"\n${root}\n[display.x11]\n${access}\n`);
    const env = { DISPLAY: `:${x.display}`, XAUTHORITY: `${own}/xauthority` };
    nestbox(['run', `${own}/machine.toml`], { env });
    killEverywhere(t, 'step', ['run', '--verbose', `${own}/machine.toml`], env, 5);
    nestbox(['rm', 'kill-x11']);
  }
});

test("killed at each step of making a machine, 'clean' leaves nothing half made under its name", (t) => {
  const own = folder(t);
  mkdirSync(`${own}/tree/etc`, { recursive: true });
  writeFileSync(`${own}/tree/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\n');
  execFileSync('tar', ['-C', `${own}/tree`, '-cJf', `${own}/root.tar.xz`, '.']);
  writeFileSync(`${own}/machine.toml`, `name = "kill-create"\nuser = "tester"\n[root]\ntar = "${own}/root.tar.xz"\n`);
  nestbox(['rm', 'kill-create']); // of a test that was cut off
  // A template that was whole when the kill came is kept for the next machine; others' are not this test's.
  const forget = () => execFileSync('sh', ['-c', 'rm -rf /var/lib/nestbox/templates/tar-root-*']);
  forget();
  const before = snapshot();
  let n = 1;
  for (; n < 100; n++) {
    const run = killed(`step:${n}`, ['create', '--verbose', `${own}/machine.toml`], {});
    assert.equal(nestbox(['clean']).status, 0);
    forget();
    if (!run.killed) break;
    const left = differences(before);
    const made = left.some((line) => line.includes('/machines/kill-create/machine.json'));
    if (made) assert.equal(nestbox(['rm', 'kill-create']).status, 0); // killed after the last step: then it is whole, and can be removed
    else assert.deepEqual(left, [], `step ${n}: ${run.stderr.trim().split('\n').at(-1)}`);
  }
  t.diagnostic(`killed at ${n - 1} points`);
  assert.ok(n > 10);
  assert.equal(nestbox(['rm', 'kill-create']).status, 0);
  forget();
  assert.deepEqual(differences(before), []);
});

test('a program of the host that it waits for dies with it', async (t) => {
  const pipe = `${folder(t)}/pipe`;
  execFileSync('mkfifo', [pipe]);
  const programs = JSON.stringify({ 'nestbox-native': `${dirname(program)}/nestbox-native`, tar: '/usr/bin/tar' });
  const script = `import('${new URL('../../src/host/processes.ts', import.meta.url)}').then(({ processes }) => processes(${programs}, () => {}, null).run(['tar', '-tf', '${pipe}']));`;
  const runs = spawn(process.execPath, ['--import', 'tsx', '--eval', script], { stdio: ['ignore', 'ignore', 'inherit'] });
  const over = once(runs, 'exit').then(() => closeSync(openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK))); // else we would wait for a reader that does not come
  const writer = await promises.open(pipe, 'w'); // tar has opened it
  t.after(() => writer.close());
  runs.kill('SIGKILL');
  await over;
  const write = async () => {
    for (let i = 0; i < 1000; i++) await writer.write('x').then(() => pause(5));
  };
  await assert.rejects(write, { code: 'EPIPE' });
});
