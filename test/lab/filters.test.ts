import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { folder } from '../nestbox.ts';
import { type Computer, newest, power } from './computer.ts';

/** What test/container/filters.test.ts shows of this computer's systemd-nspawn, of a newer one, whose container is in a scope of systemd's. */

const calls = '/srv/roots/debian/usr/bin/calls';

/** Whether systemd-nspawn was told to make no filters, and those that the kernel has of a program and of process 1. */
async function look(computer: Computer): Promise<{ kept: boolean; filters: string }> {
  const job = computer.start('nestbox', 'run', '/root/calls.toml');
  await job.says(/^there$/m);
  const [kept, ...filters] = (await computer.does('sh', '-ec', `
    for folder in /proc/[0-9]*; do case $(readlink $folder/exe) in */usr/bin/calls) program=\${folder#/proc/};; esac; done
    first=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$program/status)
    tr '\\0' '\\n' < /proc/$first/environ | grep -c '^SYSTEMD_SECCOMP=0$' || true
    ${calls} --filters $program; ${calls} --filters $first; kill -KILL $program`)).trimEnd().split('\n');
  const half = filters.length / 2;
  assert.deepEqual(filters.slice(0, half), filters.slice(half), 'the first process has other filters than the program');
  await job.ended;
  return { kept: kept === '1', filters: filters.slice(0, half).join('\n') };
}

for (const host of newest)
  test(`${host}: with the filters that are kept the kernel has what systemd-nspawn would give it`, async (t) => {
    const local = `${folder(t)}/calls`;
    execFileSync('cc', ['-O1', '-static', '-o', local, new URL('../calls.c', import.meta.url).pathname]);
    const computer = await power(t, host);
    await computer.put(local, calls);
    await computer.write('/root/calls.toml', 'name = "calls"\nnetwork = "none"\nrun = ["calls", "--hold", "x"]\n[root]\ndirectory = "/srv/roots/debian"\n');
    // Nobody believes a file in a folder of everybody's.
    await computer.does('sh', '-c', 'mkdir -p /var/cache/nestbox/filters; chmod 0777 /var/cache/nestbox/filters');
    await computer.does('nestbox', 'run', '/root/calls.toml', '--', 'true'); // makes the machine
    const theirs = await look(computer);
    await computer.does('chmod', '0700', '/var/cache/nestbox/filters');
    await computer.does('nestbox', 'run', '/root/calls.toml', '--', 'true'); // makes the file
    const ours = await look(computer);
    assert.deepEqual([theirs.kept, ours.kept], [false, true], await computer.does('sh', '-c', 'grep -a -h ^unfit /var/cache/nestbox/filters/*; ls -l /var/cache/nestbox/filters'));
    assert.equal(ours.filters, theirs.filters);
    assert.match(ours.filters, /^0 0020:.*\n.*\n/);
    assert.equal(await computer.does('sh', '-c', 'ls /var/cache/nestbox/filters | wc -l'), '1\n');
  });
