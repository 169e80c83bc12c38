import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { folder } from '../nestbox.ts';
import { type Computer, newest, power } from './computer.ts';

/** What test/container/filters.test.ts shows of this computer's systemd-nspawn, of a newer one, whose container is in a scope of systemd's. */

const calls = '/srv/roots/debian/usr/bin/calls';

/** The answer to each system call, whether systemd-nspawn was told to make no filters, and those that the kernel has of the program and of process 1. */
async function look(computer: Computer): Promise<{ said: string[]; kept: boolean; filters: string }> {
  const job = computer.start('nestbox', 'run', '/root/calls.toml', '--', 'sh', '-c', 'calls 1000; exec calls --hold x');
  await job.says(/^there$/m);
  const [kept, ...filters] = (await computer.does('sh', '-ec', `
    program=$(pgrep --full --exact 'calls --hold x'); first=$(ps -o ppid= -p $program | tr -d ' ')
    tr '\\0' '\\n' < /proc/$first/environ | grep -c '^SYSTEMD_SECCOMP=0$' || true
    ${calls} --filters $program; ${calls} --filters $first; kill -KILL $program`)).trimEnd().split('\n');
  const half = filters.length / 2;
  assert.deepEqual(filters.slice(0, half), filters.slice(half), 'the first process has other filters than the program');
  return { said: (await job.ended).stdout.split('\n'), kept: kept === '1', filters: filters.slice(0, half).join('\n') };
}

for (const host of newest)
  test(`${host}: with the filters that are kept the kernel has what systemd-nspawn would give it, and every system call has the same answer`, async (t) => {
    const local = `${folder(t)}/calls`;
    execFileSync('cc', ['-O1', '-static', '-o', local, new URL('../calls.c', import.meta.url).pathname]);
    const computer = await power(t, host);
    await computer.put(local, calls);
    await computer.write('/root/calls.toml', 'name = "calls"\nnetwork = "none"\n[root]\ndirectory = "/srv/roots/debian"\n');
    // Nobody believes a file in a folder of everybody's.
    await computer.does('install', '-d', '-m', '0777', '/var/cache/nestbox/filters');
    const theirs = await look(computer);
    await computer.does('chmod', '0700', '/var/cache/nestbox/filters');
    const made = await look(computer);
    const ours = await look(computer);
    assert.deepEqual([theirs.kept, made.kept, ours.kept], [false, true, true], await computer.does('sh', '-c', 'grep -a -h ^unfit /var/cache/nestbox/filters/*; ls -l /var/cache/nestbox/filters'));
    assert.equal(ours.filters, theirs.filters);
    assert.match(ours.filters, /^0 0020:.*\n.*\n/);
    assert.deepEqual(ours.said.filter((line, i) => line !== theirs.said[i]), []);
    assert.equal(ours.said.length, theirs.said.length);
    assert.ok(ours.said.length > 1800, ours.said.join('\n'));
    assert.equal(await computer.does('sh', '-c', 'ls /var/cache/nestbox/filters | wc -l'), '1\n');
  });
