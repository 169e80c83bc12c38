import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { nestbox } from '../nestbox.ts';
import { left, machine, says, succeeds } from '../roots.ts';

/** Puts a file, or a folder with one in it, on the host for the length of the test. */
function plant(t: TestContext, path: string, mode: string, kind: 'file' | 'folder' = 'file'): string {
  const folders = says('sh', '-c', 'p=$(dirname "$1"); while [ ! -e "$p" ]; do echo "$p"; p=$(dirname "$p"); done', 'sh', path).trim().split('\n').filter(Boolean);
  t.after(() => says('rm', '-rf', '--', path, ...folders));
  if (kind === 'folder') mkdirSync(path, { recursive: true });
  else for (const folder of [...folders].reverse()) mkdirSync(folder);
  writeFileSync(kind === 'folder' ? `${path}/file` : path, 'planted');
  says('chmod', mode, path);
  return path;
}

const inSnapshot = (file: string, ...argv: string[]): string => succeeds(nestbox(['run', file, '--', ...argv])).stdout;

test('programs and settings of the host are there, can be changed, and are as before at the next run and on the host', (t) => {
  const file = machine(t, 'roots-host', '[root]\nhost = true\n');
  assert.equal(inSnapshot(file, 'sh', '-c', '. /etc/os-release; echo $ID; perl -e "print 6 * 7"; id -u'), `${says('sh', '-c', '. /etc/os-release; echo $ID').trim()}\n420\n`);
  assert.match(inSnapshot(file, 'cat', '/proc/self/uid_map'), /^\s*0\s+[1-9]\d{5,}\s+65536\s*$/, 'root inside is not root');
  const watched = ['/etc/os-release', '/etc/passwd', '/usr/bin/perl', '/usr/bin', '/etc'];
  const before = says('stat', '--format=%n %i %s %y %z', ...watched);
  const change = 'set -e; echo changed > /etc/os-release; echo "x:x:0:0::/:" >> /etc/passwd; rm /usr/bin/perl; touch /usr/bin/roots-new /etc/roots-new /roots-new /var/lib/roots-new; mv /usr/bin/sort /usr/bin/sorted; cat /etc/os-release';
  assert.equal(inSnapshot(file, 'sh', '-c', change), 'changed\n');
  assert.equal(says('stat', '--format=%n %i %s %y %z', ...watched), before);
  assert.deepEqual(['/usr/bin/roots-new', '/etc/roots-new', '/roots-new', '/var/lib/roots-new', '/usr/bin/sorted'].filter((path) => existsSync(path)), []);
  assert.equal(inSnapshot(file, 'sh', '-c', 'test -x /usr/bin/perl && test -x /usr/bin/sort && ls /usr/bin/roots-new /etc/roots-new /roots-new /var/lib/roots-new 2>/dev/null; tail -n 1 /etc/passwd'), says('tail', '-n', '1', '/etc/passwd'));
  assert.deepEqual(left('roots-host'), []);
});

test('it runs as a user of the host, or as one who is only made inside', (t) => {
  assert.equal(inSnapshot(machine(t, 'roots-host-user', 'user = "daemon"\n[root]\nhost = true\n'), 'sh', '-c', 'id -un; id -u; perl -e "print 42"'), 'daemon\n1\n42');
  const accounts = () => says('stat', '--format=%n %i %z', '/etc/passwd', '/etc/group', '/etc/shadow');
  const before = accounts();
  const file = machine(t, 'roots-host-guest', 'user = "roots-guest"\n[root]\nhost = true\n');
  assert.equal(inSnapshot(file, 'sh', '-c', 'id -un; pwd; echo mine > ~/file && cat ~/file; grep -c roots-guest /etc/passwd; test -e /etc/shadow || echo no shadow'), 'roots-guest\n/home/roots-guest\nmine\n1\nno shadow\n');
  assert.equal(accounts(), before);
  assert.ok(!existsSync('/home/roots-guest'));
});

test('no home, no data and no secret of the host can be seen, by root inside either', (t) => {
  const hidden = [
    plant(t, '/etc/roots-secret', '0600'), plant(t, '/etc/roots-group', '0640'), plant(t, '/etc/roots-none', '0000'), plant(t, '/etc/roots-deep/below/secret', '0600'), plant(t, '/etc/ssh/ssh_host_roots_key', '0600'),
    plant(t, '/usr/local/etc/roots-secret', '0600'), plant(t, '/etc/roots two\nlines', '0600'),
    plant(t, '/home/roots-person', '0755', 'folder'), plant(t, '/root/roots-file', '0644'), plant(t, '/var/lib/roots-data', '0755', 'folder'), plant(t, '/var/log/roots-log', '0644'), plant(t, '/srv/roots-data', '0644'), plant(t, '/opt/roots-data', '0644'),
    '/etc/shadow', '/etc/gshadow',
  ];
  const closed = ['0700', '0750', '0711', '0754'].map((mode) => plant(t, `/etc/roots-${mode}`, mode, 'folder'));
  const shown = [plant(t, '/etc/roots-public', '0644'), `${plant(t, '/etc/roots-folder', '0755', 'folder')}/file`, plant(t, '/usr/local/etc/roots-public', '0644'), plant(t, '/etc/roots-deep/below/public', '0444')];
  for (const path of [...hidden, ...closed, ...shown]) assert.ok(existsSync(path), `${path} is on the host`);
  for (const users of ['own', 'host']) {
    const file = machine(t, `roots-host-${users}`, `users = "${users}"\n[root]\nhost = true\n`);
    const look = (paths: string[]) => inSnapshot(file, 'sh', '-c', 'for p; do test -e "$p" && echo "$p"; done; true', 'sh', ...paths).trim();
    assert.equal(look([...hidden, ...closed, ...closed.map((path) => `${path}/file`)]), '', users);
    assert.equal(look(shown), shown.join('\n'));
    assert.equal(inSnapshot(file, 'sh', '-c', 'cat "$@"', 'sh', ...shown), 'planted'.repeat(shown.length));
    assert.equal(inSnapshot(file, 'sh', '-c', 'ls -A /home /root /srv /opt /mnt /var/lib /var/log /var/cache | grep -v : | tr -d "\\n"'), '');
    // A new file under the same name is a new one: what is below does not come through.
    assert.equal(inSnapshot(file, 'sh', '-c', 'echo new > /etc/roots-secret; mkdir /etc/roots-0700; ls -A /etc/roots-0700; cat /etc/roots-secret'), 'new\n');
    const places = inSnapshot(file, 'sh', '-c', 'find / -xdev -name "roots-*" 2>/dev/null; find /etc -name "roots*"; find /usr/local -name "roots-*"').split('\n').filter((path) => path && !path.startsWith('/etc/nestbox/') && !shown.some((known) => known.startsWith(path)));
    assert.deepEqual(places, [], users);
  }
  assert.equal(readFileSync('/etc/roots-secret', 'utf8'), 'planted');
});

test('folders of the host are shown where they are asked for, beside the snapshot', (t) => {
  const games = plant(t, '/srv/roots-games', '0755', 'folder');
  const file = machine(t, 'roots-host-files', `user = "daemon"\nfiles = ["${games}", { path = "${games}", to = "/usr/share/roots/games" }]\n[root]\nhost = true\n`);
  assert.equal(inSnapshot(file, 'cat', `${games}/file`, '/usr/share/roots/games/file'), 'plantedplanted');
  assert.ok(!existsSync('/usr/share/roots'));
});
