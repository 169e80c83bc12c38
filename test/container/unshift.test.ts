import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, nestbox, running } from '../nestbox.ts';
import { create, left, listing, machine, says, succeeds, tinyRoot } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';

/** Roots whose files have other owners on the disk, as systemd-nspawn --private-users-chown gave them. */

const base = 1331822592;
const native = new URL('../../dist/nestbox-native', import.meta.url).pathname;

/** A root with all that a file can have, in all ids that a machine can have and some that it cannot. */
function mixedRoot(path: string): string {
  tinyRoot(path);
  symlinkSync('usr/lib', `${path}/lib`);
  const at = (name: string) => `${path}/srv/${name}`;
  mkdirSync(at('folder'), { recursive: true });
  mkdirSync(at('shared'));
  mkdirSync(at('listed'));
  for (const name of ['plain', 'setuid', 'setgid', 'both', 'capable', 'capable-setuid', 'acl', 'folder/linked', 'folder/linked-setuid', 'edge', 'attributes', 'with a\nbreak', 'listed/inherits']) writeFileSync(at(name), name.repeat(50));
  linkSync(at('folder/linked'), at('linked'));
  linkSync(at('folder/linked-setuid'), at('linked-setuid'));
  writeFileSync(at('sparse'), 'begins');
  truncateSync(at('sparse'), 2 ** 22);
  // They lead out of the root, and no further than this test's own folder: whoever breaks the job must not lose their host by it.
  writeFileSync(`${path}/../outside`, '');
  for (const [name, to] of [['dangling', 'nowhere'], ['leads-out', `${path}/../outside`], ['up', '../..'], ['to-a-folder', 'folder']]) symlinkSync(to!, at(name!));
  says('mknod', at('null'), 'c', '1', '3');
  says('mkfifo', at('pipe'));
  execFileSync(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(at('socket'))}, () => process.exit())`]);
  if (!existsSync(at('socket'))) execFileSync('python3', ['-c', `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(at('socket'))})`]);
  const owners = { plain: '1000:1000', setuid: '0:0', setgid: '5:6', both: '7:8', capable: '0:0', 'capable-setuid': '9:10', acl: '11:12', linked: '13:14', 'linked-setuid': '0:15', edge: '65535:65534', attributes: '33:33', sparse: '34:34', dangling: '5:6', null: '0:44', pipe: '1:2', socket: '1:2', shared: '0:100', listed: '20:21' };
  for (const [name, owner] of Object.entries(owners)) says('chown', '--no-dereference', owner, at(name));
  for (const [name, mode] of Object.entries({ setuid: '4755', setgid: '2755', both: '6711', 'capable-setuid': '4711', 'linked-setuid': '4750', plain: '0600', edge: '0444', shared: '2775', folder: '1777', pipe: '0620', null: '0660' })) says('chmod', mode, at(name));
  says('setcap', 'cap_net_raw,cap_net_admin+ep', at('capable'));
  says('setcap', 'cap_dac_override+i', at('capable-setuid'));
  says('setfacl', '-m', 'u:77:r,g:78:rwx,u:65533:rw', at('acl'));
  says('setfacl', '-m', 'u:5:rwx,d:u:79:rx,d:g:80:rwx,d:u:0:r', at('listed'));
  says('setfattr', '-n', 'user.note', '-v', 'kept', at('attributes'));
  says('setfattr', '-n', 'trusted.note', '-v', 'kept', at('attributes'));
  says('sh', '-c', `find "${path}" -exec touch --no-dereference --date=2011-11-11T11:11:11.123456789 {} +`);
  return path;
}

/** Files with ids that no machine has. */
function addForeign(path: string): void {
  for (const [name, owner] of [['foreign', '200000:200001'], ['half-foreign', '4000000000:0']] as const) {
    writeFileSync(`${path}/srv/${name}`, name);
    says('chown', owner, `${path}/srv/${name}`);
  }
  says('chmod', '4755', `${path}/srv/foreign`);
  says('setfacl', '-m', 'u:300000:r', `${path}/srv/acl`);
}

/** All that there is of the files, and what is in them. Times of access first: with relatime, what is read after a change of owner gets a new one; a folder is read by looking. */
function record(path: string): string[] {
  const accessed = says('find', path, '-not', '-type', 'd', '-printf', 'accessed %P %A@ %b\\0').split('\0');
  const contents = says('sh', '-c', `cd "${path}" && find . -type f -print0 | sort -z | xargs -0 sha256sum -z`).split('\0');
  return [...accessed.sort(), ...listing(path), ...contents];
}

/** The same for who has read them since. */
const untimed = (lines: string[]): string[] => lines.filter((line) => !line.startsWith('accessed '));

/** The first reading gives all files their time of access. */
function recordFirst(path: string): string[] {
  record(path);
  return record(path);
}

const owners = (path: string): string[] => says('find', path, '-printf', '%P %U:%G\\0').split('\0').filter(Boolean).sort();
const withIds = (lines: string[], change: (id: number) => number) => lines.map((line) => line.replace(/(\d+):(\d+)$/, (_, uid: string, gid: string) => `${change(Number(uid))}:${change(Number(gid))}`));

/** Where systemd does not run, systemd-nspawn makes its groups in that of whoever starts it, and leaves them. */
const groups = ['systemd', 'unified'].map((name) => `/sys/fs/cgroup/${name}`).filter((path) => existsSync(path)).map((path) => `${path}/nestbox-test-unshift`);
const processesIn = (): number[] => groups.flatMap((group) => ['', '/payload', '/supervisor'].flatMap((below) => (existsSync(`${group}${below}`) ? readFileSync(`${group}${below}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number) : [])));

interface ByHand {
  child: ChildProcess;
  /** Kills it and all that runs in it, and takes away what it leaves. */
  end(): Promise<void>;
}

/** systemd-nspawn with the options that give a whole root to a machine, run by hand. */
function nspawn(t: TestContext, root: string, ...words: string[]): ByHand {
  const made = ['/run/systemd', '/run/systemd/nspawn', '/run/systemd/nspawn/propagate'].filter((path) => !existsSync(path));
  for (const path of [...made, ...groups.filter((group) => !existsSync(group))]) mkdirSync(path);
  const argv = ['/usr/bin/systemd-nspawn', '--quiet', '--settings=no', '--register=no', '--keep-unit', '--machine=unshift-by-hand', `--directory=${root}`, `--private-users=${base}:65536`, '--private-users-ownership=chown', '--private-network', '--link-journal=no', '--timezone=off', '--resolv-conf=off', '--as-pid2', '--', ...words];
  const child = spawn(native, ['launch', ...groups.flatMap((group) => ['--cgroup', group]), '--', ...argv], { env: { ...process.env, SYSTEMD_NSPAWN_LOCK: '0' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const end = async () => {
    child.kill('SIGKILL');
    await exited;
    for (let all = processesIn(); all.length > 0; all = processesIn()) {
      for (const pid of all) try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has ended
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const path of groups.flatMap((group) => [`${group}/payload`, `${group}/supervisor`, group])) if (existsSync(path)) rmdirSync(path);
    for (const path of ['propagate', 'unix-export'].map((name) => `/run/systemd/nspawn/${name}/unshift-by-hand`)) rmSync(path, { recursive: true, force: true });
    for (const path of made.reverse()) rmSync(path, { recursive: true, force: true });
    made.length = 0;
  };
  t.after(end);
  return { child, end };
}

/** The same change by nestbox's own job, without nestbox. */
const shift = (root: string, from: number, to: number, notes: string) => execFileSync(native, ['owners', 'change', root, `${from}`, `${to}`, notes], { stdio: 'pipe' });

test('what systemd-nspawn has given other owners is refused as it is, and given back exactly', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  const before = recordFirst(root);
  const ids = owners(root);
  const byHand = nspawn(t, root, 'true');
  assert.deepEqual(await once(byHand.child, 'exit'), [0, null]);
  await byHand.end();
  assert.deepEqual(owners(root), withIds(ids, (id) => base + id), 'systemd-nspawn gives all files other owners');
  // It drops the capabilities; whoever gives them anew inside gives them to root of the machine.
  assert.equal(says('getcap', `${root}/srv/capable`), '');
  says('setcap', '-n', `${base}`, 'cap_net_raw,cap_net_admin+ep', `${root}/srv/capable`);
  says('setcap', '-n', `${base}`, 'cap_dac_override+i', `${root}/srv/capable-setuid`);
  assert.match(says('getcap', '-n', `${root}/srv/capable`), new RegExp(`rootid=${base}`));

  for (const users of ['own', 'host']) {
    const refused = nestbox(['run', machine(t, `unshift-${users}`, `users = "${users}"\n[root]\ndirectory = "${root}"\n`), '--', 'true']);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, new RegExp(`the files of ${root} have ids from ${base} on, from an older systemd-nspawn.*\\n  nestbox unshift ${root} gives them back, or say users = "shift"`));
    assert.deepEqual(left(`unshift-${users}`), []);
  }
  const shifted = recordFirst(root);
  const preview = succeeds(nestbox(['unshift', '--dry-run', root])).stdout;
  assert.equal(preview.split('\n')[0], `${root}/: ${ids.length - 2} of ${ids.length - 2} files get their owners back, ids from ${base} become those from 0`, 'files with two names count once');
  assert.match(preview, /with their rights: 5 set-user-id or set-group-id programs, 2 with capabilities, 2 with access lists/);
  assert.deepEqual(record(root), shifted, 'a preview changes nothing');
  const counted = JSON.parse(succeeds(nestbox(['unshift', '--dry-run', '--json', root])).stdout) as { pending: number; from: number };
  assert.deepEqual([counted.pending, counted.from], [ids.length - 2, base]);

  const host = snapshot();
  const done = succeeds(nestbox(['unshift', root]));
  assert.match(done.stdout, /files got their owners back/);
  assert.deepEqual(untimed(record(root)), untimed(before));
  assert.deepEqual(differencesOf(host, root), []);
  assert.match(succeeds(nestbox(['unshift', root])).stdout, /none of \d+ files has an owner to be given back/);
  assert.deepEqual(untimed(record(root)), untimed(before));
  assert.equal(succeeds(nestbox(['run', machine(t, 'unshift-after', `[root]\ndirectory = "${root}"\n`), '--', 'sh', '-c', 'stat -c %u:%g /srv/both'])).stdout, '7:8\n');
});

test('files with ids that no machine has are told, and are not touched', (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  addForeign(root);
  const before = recordFirst(root);
  const foldersRead = () => says('find', root, '-type', 'd', '-printf', '%P %A@\n').split('\n').sort();
  const read = foldersRead();
  shift(root, 0, base, `${folder(t)}/notes`);
  const preview = succeeds(nestbox(['unshift', '--dry-run', root])).stdout;
  assert.match(preview, /\n {2}2 stay as they are, with ids of their own:\n( {2}(200000:200001 srv\/foreign|4000000000:\d+ srv\/half-foreign)\n){2}$/);
  succeeds(nestbox(['unshift', root]));
  assert.deepEqual(foldersRead(), read, 'also a folder does not show that it was read');
  assert.deepEqual(record(root), before);
});

test('users = "shift" is as exact: rights, capabilities and access lists are the machine\'s, and rm leads back', (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  addForeign(root);
  const before = recordFirst(root);
  const ids = owners(root);
  create(t, 'unshift-made', `users = "shift"\n[root]\ndirectory = "${root}"\n`);
  const { shift: first } = JSON.parse(readFileSync('/var/lib/nestbox/machines/unshift-made/machine.json', 'utf8')) as { shift: number };
  assert.deepEqual(owners(root), withIds(ids, (id) => (id < 0x10000 ? first + id : id)));
  assert.match(says('getcap', '-n', `${root}/srv/capable`), new RegExp(`cap_net_admin,cap_net_raw=ep \\[rootid=${first}\\]`));
  assert.match(says('getfacl', '-cnpE', `${root}/srv/acl`), new RegExp(`user:${first + 77}:r--\nuser:${first + 65533}:rw-\nuser:300000:r--`.split('\n').sort().join('|')));
  assert.equal(lstatSync(`${root}/srv/both`).mode & 0o7777, 0o6711);
  const refused = nestbox(['unshift', 'unshift-made']);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /have the ids that 'unshift-made' was given them for \(users = "shift"\)\n {2}nestbox rm unshift-made gives them back/);
  succeeds(nestbox(['rm', 'unshift-made']));
  assert.deepEqual(record(root), before);
  assert.deepEqual(left('unshift-made'), []);
});

test('users = "shift" takes a root over from systemd-nspawn, and rm gives it the ids that it had', (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  shift(root, 0, base, `${folder(t)}/notes`);
  const before = recordFirst(root);
  create(t, 'unshift-over', `users = "shift"\n[root]\ndirectory = "${root}"\n`);
  assert.equal(succeeds(nestbox(['run', 'unshift-over', '--', 'sh', '-c', 'stat -c %u:%g /srv/both; cat /proc/self/uid_map | wc -l'])).stdout, '7:8\n1\n');
  succeeds(nestbox(['rm', 'unshift-over']));
  assert.deepEqual(untimed(record(root)), untimed(before));
});

test('a machine is called by its name, and set-user-id programs that everybody can reach are told', (t) => {
  const own = folder(t);
  const root = mixedRoot(`${own}/root`);
  create(t, 'unshift-named', `[root]\ndirectory = "${root}"\n`);
  const before = listing(root);
  shift(root, 0, base, `${folder(t)}/notes`);
  const refused = nestbox(['run', 'unshift-named', '--', 'true']);
  assert.match(refused.stderr, /\n {2}nestbox unshift unshift-named gives them back\n$/);
  says('chmod', '0755', own);
  assert.match(succeeds(nestbox(['unshift', 'unshift-named'])).stderr, new RegExp(`everybody on this host can reach the set-user-id programs in ${root}/.*chmod 0700 ${own} keeps them out, going on`));
  assert.deepEqual(listing(root), before);
  shift(root, 0, base, `${folder(t)}/notes`);
  says('chmod', '0700', own);
  assert.doesNotMatch(succeeds(nestbox(['unshift', root])).stderr, /everybody/);
  assert.equal(succeeds(nestbox(['run', 'unshift-named', '--', 'stat', '-c', '%u:%g', '/srv/both'])).stdout, '7:8\n');
  assert.match(nestbox(['unshift', 'unshift-nobody']).stderr, /there is no machine 'unshift-nobody'/);
});

/** Ends the job by SIGKILL as it begins the Nth of these system calls; false: it came to its end before. */
function killedAt(call: string, n: number, words: string[]): boolean {
  const { status, signal, stderr } = spawnSync('strace', ['-qq', '-f', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${n}`, native, ...words], { encoding: 'utf8' });
  if (status === 0) return false;
  assert.ok(signal === 'SIGKILL' || status === 137, stderr);
  return true;
}

test('killed at each single thing that is done to a file, another try, or the way back, leads to the exact end', (t) => {
  if (spawnSync('strace', ['true']).status !== 0) return t.skip('strace cannot trace here');
  const own = folder(t);
  const root = mixedRoot(`${own}/root`);
  addForeign(root);
  const plain = untimed(recordFirst(root));
  const now = () => untimed(record(root));
  const notes = `${own}/notes`;
  shift(root, 0, base, notes);
  const shifted = now();
  let points = 0;
  // What was cut off goes on, or is taken back: by users = "shift", which is undone by the same job.
  for (const [from, to, end, goes] of [[base, 0, plain, 'on'], [0, base, plain, 'back']] as const)
    for (const call of ['setxattr', 'chmod', 'fdatasync', 'syncfs', 'unlink', 'fchownat'])
      for (let n = 1; n < 1000; n += call === 'fchownat' ? 13 : 1) {
        if (!killedAt(call, n, ['owners', 'change', root, `${from}`, `${to}`, notes])) {
          assert.deepEqual(now(), to === 0 ? plain : shifted, 'it came to its end');
          shift(root, to, from, notes);
          break;
        }
        points++;
        if (goes === 'on') {
          // A second kill while it goes on changes nothing.
          if (n % 3 === 0) killedAt('fchownat', 5, ['owners', 'change', root, `${from}`, `${to}`, notes]);
          shift(root, from, to, notes);
        } else shift(root, to, from, notes);
        assert.deepEqual(now(), end, `${call} ${n}, ${from} to ${to}`);
        assert.equal(existsSync(notes), false);
        if (goes === 'on') shift(root, to, from, notes);
      }
  t.diagnostic(`killed at ${points} points`);
  assert.ok(points > 60, `${points} points`);
});

/** Files of every kind in such numbers that the change takes a while. */
function manyFiles(root: string): void {
  says('sh', '-c', `cd "${root}/srv" && for a in $(seq 40); do mkdir many$a && (cd many$a && touch $(seq 400)); done
    for a in 3 11 19 27 35; do chmod 4755 many$a/*; chown 5:6 many$a; done
    for a in 5 13 21; do cp --preserve=all capable many$a/model && for b in $(seq 60); do cp --preserve=all many$a/model many$a/capable$b; done; done
    for a in 7 23 37; do setfacl -m u:5:r,g:6:rw many$a/*; done`);
}

/** Others may do things of their own while this takes its time: only what is of this root, or of this command, counts. */
function differencesOf(before: ReturnType<typeof snapshot>, root: string): string[] {
  const jobs = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`owners\0change\0${root}\0`);
    } catch {
      return false;
    }
  });
  return [...differences(before).filter((line) => line.includes(root) || /unshift/.test(line)).filter((line) => !line.startsWith('still running')), ...jobs];
}

const scratch = '/var/lib/nestbox/scratch';
const notesOf = (): string[] => (existsSync(scratch) ? readdirSync(scratch).filter((name) => /^unshift\..*\.owners$/.test(name)) : []);

test('killed at any moment, both nestbox unshift and nestbox clean finish it exactly', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  manyFiles(root);
  const now = () => listing(root);
  const before = now();
  const host = snapshot();
  let half = 0;
  for (let i = 0; i < 20; i++) {
    shift(root, 0, base, `${folder(t)}/notes`);
    // Some of the kills come before the change has begun, or when it is over.
    const wait = i % 5 === 4 ? Math.random() * 200 : null;
    const run = running(t, ['unshift', root]);
    if (wait !== null) await new Promise((resolve) => setTimeout(resolve, wait));
    else {
      while (run.child.exitCode === null && notesOf().length === 0) await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 250));
    }
    await run.end('SIGKILL');
    const all = owners(root);
    const ids = all.filter((line) => Number(/ (\d+):\d+$/.exec(line)![1]) >= base).length;
    if (ids > 0 && ids < all.length && notesOf().length > 0) half++;
    if (i % 4 === 0) {
      const again = running(t, ['unshift', root]);
      await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 200));
      await again.end('SIGKILL');
    }
    const finished = nestbox(i % 2 === 0 ? ['unshift', root] : ['clean']);
    assert.equal(finished.status, 0, finished.stderr);
    if (ids > 0 && !/was cut off: finishing it/.test(finished.stderr) && i % 2 === 1) succeeds(nestbox(['unshift', root])); // killed before it began
    assert.deepEqual(now(), before, `kill ${i}`);
    assert.deepEqual(differencesOf(host, root), []);
  }
  t.diagnostic(`${half} of 20 were half done`);
  assert.ok(half >= 1, `${half} of 20 were half done`); // how many depends on the computer
});

test('a nestbox rm that was cut off is finished by another one, and the machine does not run in between', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  manyFiles(root);
  const before = listing(root);
  const file = create(t, 'unshift-rm', `users = "shift"\n[root]\ndirectory = "${root}"\n`);
  const notes = `${scratch}/unshift-rm.owners`;
  for (let i = 0; i < 10; i++) {
    const run = running(t, ['rm', 'unshift-rm']);
    while (run.child.exitCode === null && !(existsSync(notes) && lstatSync(`${root}/srv/many1/1`).uid * lstatSync(`${root}/srv/many40/400`).uid === 0)) await new Promise((resolve) => setImmediate(resolve));
    await run.end('SIGKILL');
    if (lstatSync(root).uid !== 0) break;
    // It was over before the kill, or nearly: once more.
    nestbox(['clean', 'unshift-rm']);
    nestbox(['rm', 'unshift-rm']);
    succeeds(nestbox(['create', file]));
  }
  assert.notEqual(lstatSync(root).uid, 0, 'it was cut off');
  assert.match(nestbox(['run', 'unshift-rm', '--', 'true']).stderr, /nestbox rm unshift-rm was cut off.*\n {2}nestbox rm unshift-rm finishes it/);
  succeeds(nestbox(['rm', 'unshift-rm']));
  assert.deepEqual(listing(root), before);
  assert.deepEqual([...left('unshift-rm'), existsSync(notes)], [false]);
});

test('Ctrl-C in the middle says how it goes on', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  manyFiles(root);
  const before = listing(root);
  shift(root, 0, base, `${folder(t)}/notes`);
  const run = running(t, ['unshift', root]);
  while (run.child.exitCode === null && notesOf().length === 0) await new Promise((resolve) => setImmediate(resolve));
  const { status, stderr } = await run.end('SIGINT');
  if (status === 0) return t.skip('it was over before the signal came');
  assert.equal(status, 130);
  assert.match(stderr, new RegExp(`some may not: nestbox unshift ${root} goes on where it was, and so does nestbox clean`));
  const refused = nestbox(['run', machine(t, 'unshift-half', `[root]\ndirectory = "${root}"\n`), '--', 'true']);
  assert.match(refused.stderr, /gives them back/);
  assert.match(succeeds(nestbox(['unshift', root])).stderr, /an earlier nestbox unshift was cut off: finishing it/);
  assert.deepEqual(listing(root), before);
});

test('a systemd-nspawn that was cut off in the middle is recognised, and its root becomes whole', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  for (const name of ['capable', 'capable-setuid', 'setuid', 'setgid', 'both', 'folder/linked-setuid', 'linked-setuid']) rmSync(`${root}/srv/${name}`);
  says('sh', '-c', `cd "${root}/srv" && for a in $(seq 60); do mkdir many$a && (cd many$a && touch $(seq 500)); done`);
  const stripTimes = (lines: string[]) => lines.map((line) => line.replace(/\|\d{9,}\.\d+\|/, '|'));
  const before = stripTimes(listing(root));
  const isOthers = (path: string) => lstatSync(`${root}/${path}`).uid >= base;
  for (let i = 0; i < 10; i++) {
    const { child, end } = nspawn(t, root, 'true');
    while (child.exitCode === null && !(lstatSync(root).uid >= 0xfffe0000 && (isOthers('srv/many1/1') || isOthers('srv/many60/500') || isOthers('srv/many30/7')))) await new Promise((resolve) => setImmediate(resolve));
    await end();
    if (lstatSync(root).uid === 0xfffe0000) break;
    shift(root, base, 0, `${folder(t)}/notes`); // it was over before the kill: once more
  }
  assert.equal(lstatSync(root).uid, 0xfffe0000, 'it was cut off');
  const refused = nestbox(['run', machine(t, 'unshift-cut', `[root]\ndirectory = "${root}"\n`), '--', 'true']);
  assert.match(refused.stderr, new RegExp(`an earlier systemd-nspawn was cut off while it gave the files of ${root} other owners.*\\n  nestbox unshift ${root} gives them back`));
  // Somebody's own ids among them: which are the machine's cannot be told.
  writeFileSync(`${root}/srv/foreign`, '');
  says('chown', '200000', `${root}/srv/foreign`);
  const asks = nestbox(['unshift', root]);
  assert.equal(asks.status, 1);
  assert.match(asks.stderr, new RegExp(`1 have ids from 196608 and \\d+ have ids from ${base}\\n  nestbox unshift --from 196608 ${root}\\n  nestbox unshift --from ${base} ${root}\\n`));
  rmSync(`${root}/srv/foreign`);
  succeeds(nestbox(['unshift', root]));
  assert.deepEqual(stripTimes(listing(root)), before);
});

test('nothing is changed while anything uses the directory, or where something would stay behind', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  const { child, end } = nspawn(t, root, 'sleep', '1000');
  while (child.exitCode === null && lstatSync(root).uid !== base) await new Promise((resolve) => setTimeout(resolve, 20));
  const before = owners(root);
  const refuses = (why: RegExp, ...words: string[]) => {
    const { status, stderr } = nestbox(['unshift', ...words, root]);
    assert.equal(status, 1, stderr);
    assert.match(stderr, why);
    assert.deepEqual(notesOf(), []);
  };
  let asked = 0;
  while (!/is in use/.test(nestbox(['unshift', '--dry-run', root]).stderr) && asked++ < 50) await new Promise((resolve) => setTimeout(resolve, 100)); // until the container has its mounts
  refuses(/is in use: process \d+ \(.*\) has it at \//);
  await end();

  const at = folder(t);
  for (const [from, to, why] of [[at, `${root}/srv/folder`, /something is mounted at .*\/srv\/folder/], [`${root}/srv`, at, /it is also seen at /]] as const) {
    says('mount', '--bind', from, to);
    try {
      refuses(why);
      refuses(why, '--dry-run');
    } finally {
      says('umount', to);
    }
    assert.deepEqual(owners(root), before);
  }
  const inside = spawn('chroot', [root, '/bin/sleep', '100'], { stdio: 'ignore' });
  try {
    while (inside.exitCode === null && readFileSync(`/proc/${inside.pid}/cmdline`, 'utf8').startsWith('chroot')) await new Promise((resolve) => setTimeout(resolve, 20));
    refuses(/it is the root of process \d+ \(/);
  } finally {
    inside.kill('SIGKILL');
  }
  await once(inside, 'exit');
  if (spawnSync('chattr', ['+i', `${root}/srv/plain`]).status === 0) {
    refuses(new RegExp(`1 files of ${root}/ cannot be given another owner:\\n {2}${base + 1000}:${base + 1000} srv/plain\\n {2}chattr -i`));
    says('chattr', '-i', `${root}/srv/plain`);
  }
  refuses(/it is the first of 65536 ids/, '--from', '5');
  assert.deepEqual(owners(root), before);
  assert.match(nestbox(['unshift', folder(t)]).stderr, /holds no root file system/);
  assert.match(nestbox(['unshift', '/']).stderr, /holds no root file system of a machine/);
  assert.match(nestbox(['unshift', `${root}/etc/passwd`]).stderr, /is not a directory/);
  succeeds(nestbox(['unshift', root]));
});

test('a machine that runs on the directory keeps it from being changed, by each of its names', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  const file = machine(t, 'unshift-runs', `ephemeral = true\nrun = ["sh", "-c", "echo in; sleep 1000"]\n[root]\ndirectory = "${root}"\n`);
  const run = running(t, ['run', file]);
  await run.says(/in/);
  says('chown', `${base}:${base}`, root);
  for (const name of [root, file]) assert.match(nestbox(['unshift', name]).stderr, /the machine 'unshift-runs' is running/);
  await run.end();
  assert.match(succeeds(nestbox(['unshift', file])).stdout, /1 of \d+ files got their owners back/);
});

test('links to the host lead nowhere, also when they come into the place of a folder at that moment', async (t) => {
  const root = mixedRoot(`${folder(t)}/root`);
  const outside = folder(t);
  for (const name of ['folder/deep/deeper', 'folder/x']) mkdirSync(`${outside}/${name}`, { recursive: true });
  for (const name of ['folder/file', 'folder/deep/file', 'folder/deep/deeper/file']) writeFileSync(`${outside}/${name}`, 'mine');
  says('chown', '-R', `${base}:${base}`, outside);
  says('cp', '-a', `${outside}/folder`, `${root}/srv/turns`);
  symlinkSync(`${outside}/folder`, `${root}/srv/link`);
  const untouched = listing(outside);
  shift(root, 0, base, `${folder(t)}/notes`);
  const turning = spawn(process.execPath, ['-e', `
    const fs = require('fs'), at = process.argv[1], to = process.argv[2];
    for (;;) { fs.renameSync(at, at + '.real'); fs.symlinkSync(to, at); fs.unlinkSync(at); fs.renameSync(at + '.real', at); }`, `${root}/srv/turns`, `${outside}/folder`], { stdio: 'ignore' });
  try {
    for (let i = 0; i < 60; i++) {
      const [from, to] = i % 2 === 0 ? [base, 0] : [0, base];
      const { status, stderr } = spawnSync(native, ['owners', 'change', root, `${from}`, `${to}`, `${outside}/../notes.${process.pid}`], { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      assert.deepEqual(listing(outside), untouched, `run ${i}`);
    }
    assert.equal(turning.exitCode, null);
  } finally {
    turning.kill('SIGKILL');
  }
});
