import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { folder, nestbox, program } from '../nestbox.ts';
import { left, tinyRoot } from '../roots.ts';

/** What an ordinary user sees who types this, on a host with this program for sudo, or whose sudo lets everybody. */
function asUser(at: string, words: string[], sudo: string | null, env: NodeJS.ProcessEnv = {}, nestbox: string[] = [process.execPath, program]): { status: number | null; stdout: string; stderr: string } {
  writeFileSync(`${at}/sudoers`, 'Defaults !lecture\nALL ALL=(ALL) NOPASSWD: ALL\n', { mode: 0o440 });
  // In a mount namespace of its own: nobody else sees any of it.
  const script = `${sudo === null ? 'mount --bind "$1/sudoers" /etc/sudoers' : 'mount -t tmpfs tmpfs /usr/local/sbin; cp "$1/sudo" /usr/local/sbin/sudo'}; cd "$1"; shift; exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"`;
  if (sudo !== null) writeFileSync(`${at}/sudo`, sudo, { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-ec', script, 'sh', at, ...nestbox, ...words], { encoding: 'utf8', timeout: 300_000, input: '', env: { PATH: process.env.PATH, ...env } });
  return { status, stdout, stderr };
}

test('an ordinary user runs a machine through sudo: from the folder where they are, with the status of the program', { skip: !existsSync('/usr/bin/sudo') && 'sudo is not installed' }, (t) => {
  const at = folder(t);
  chmodSync(at, 0o755);
  tinyRoot(`${at}/root`);
  writeFileSync(`${at}/mine.toml`, `name = "elevation-mine"\nephemeral = true\nnetwork = "none"\n[root]\ndirectory = "${at}/root"\n`);
  const { status, stdout, stderr } = asUser(at, ['run', 'mine.toml', '--', 'sh', '-c', 'id -u; exit 7'], null, { DISPLAY: ':99' });
  assert.deepEqual([status, stdout], [7, '0\n'], stderr);
  assert.deepEqual(left('elevation-mine'), []);
});

test('root is told of the session what it needs, once; and nobody is asked where nobody is there', (t) => {
  const at = folder(t);
  chmodSync(at, 0o755);
  const shows = '#!/bin/sh\nprintf "<%s>" "$@"; echo; exec "$@"\n'; // it makes nobody root
  const env = { DISPLAY: ':99', WAYLAND_DISPLAY: 'wayland-0', XDG_RUNTIME_DIR: '/run/user/1000', LD_LIBRARY_PATH: '/evil', HOME: '/evil' };
  const asked = asUser(at, ['clean'], shows, env);
  assert.equal(asked.stdout.split('\n').length, 2, asked.stdout);
  assert.ok(asked.stdout.endsWith(`<--keep><PWD=${at}><--keep><DISPLAY=:99><--keep><WAYLAND_DISPLAY=wayland-0><--keep><XDG_RUNTIME_DIR=/run/user/1000><clean>\n`), asked.stdout);
  assert.deepEqual([asked.status, asked.stderr], [1, 'nestbox: only root can take back what root has done\n  sudo nestbox clean\n']);
  assert.deepEqual(asUser(at, ['clean'], shows), { status: 1, stdout: '', stderr: asked.stderr });
});

test('whoever starts what is exported is asked for root without Node, with the same words', { skip: !existsSync('/usr/bin/sudo') && 'sudo is not installed' }, (t) => {
  const at = folder(t);
  chmodSync(at, 0o755);
  tinyRoot(`${at}/root`);
  writeFileSync(`${at}/mine.toml`, `name = "elevation-fast"\nnetwork = "none"\nrun = "echo its own"\n[root]\ndirectory = "${at}/root"\n`);
  assert.equal(nestbox(['create', `${at}/mine.toml`]).status, 0);
  t.after(() => nestbox(['rm', 'elevation-fast']));
  const front = program.replace('nestbox.cjs', 'nestbox');
  const shows = '#!/bin/sh\nprintf "<%s>" "$@"; echo\n';
  const env = { DISPLAY: ':99', XDG_RUNTIME_DIR: '/run/user/1000', LD_LIBRARY_PATH: '/evil', PATH: `${at}:/usr/sbin:/usr/bin:/sbin:/bin` };
  writeFileSync(`${at}/node`, '#!/bin/sh\nexit 77\n', { mode: 0o755 });
  const words = ['exec', '--start', 'elevation-fast', '--', 'sh', '-c', 'echo "$0"; exit 7', 'a b'];
  const asked = asUser(at, words, shows, env, [front]);
  assert.deepEqual([asked.status, asked.stderr], [0, '']);
  assert.ok(asked.stdout.endsWith(`/nestbox><--keep><PWD=${at}><--keep><DISPLAY=:99><--keep><XDG_RUNTIME_DIR=/run/user/1000>${words.map((word) => `<${word}>`).join('')}\n`), asked.stdout);
  const ran = asUser(at, words, null, { ...env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, [front]);
  assert.deepEqual([ran.status, ran.stdout], [7, 'a b\n'], ran.stderr);
});
