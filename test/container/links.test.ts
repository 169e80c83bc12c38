import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { addAccounts, removeAccounts } from '../../src/accounts.ts';
import { Complaint } from '../../src/errors.ts';
import type { Host } from '../../src/host.ts';
import { files, overwrite } from '../../src/host/files.ts';
import { openHeld } from '../../src/host/held.ts';
import { makeLinkInside, makeMountPoint, removeEmpty, removeLinkInside } from '../../src/layers.ts';
import { folder, nestbox, stoppedAt } from '../nestbox.ts';
import { create, listing, machine, says, succeeds, tinyRoot } from '../roots.ts';

/**
 * What root does in folders that somebody else can change, while they do so: links, pipes, other names of files, and two files that change places all the time.
 * Nothing outside of these folders is changed, and nothing waits.
 */

const person = 1000;
const env = { SUDO_UID: `${person}`, SUDO_GID: `${person}` };
const native = new URL('../../dist/nestbox-native', import.meta.url).pathname;

/** Files of root's that nothing may be done to; at the end of the test they must be as they were. */
function canary(t: TestContext): string {
  const top = says('mktemp', '-d', '/var/tmp/nestbox-test.XXXXXX').trim();
  const at = `${top}/canary`;
  for (const name of ['etc', 'home/tester', 'folder', 'empty']) mkdirSync(`${at}/${name}`, { recursive: true });
  for (const name of ['etc/passwd', 'etc/group', 'etc/shadow', 'folder/file', 'secret']) writeFileSync(`${at}/${name}`, `root:x:0:\n${name}\n`, { mode: 0o600 });
  const before = listing(at);
  t.after(() => {
    const after = listing(at);
    rmSync(top, { recursive: true });
    assert.deepEqual(after, before);
  });
  return at;
}

/** A folder of the person's. */
function theirs(t: TestContext): string {
  const at = `${folder(t)}/theirs`;
  mkdirSync(at);
  chmodSync(`${at}/..`, 0o755);
  chownSync(at, person, person);
  return at;
}

let exchange = '';
function built(): string {
  if (exchange) return exchange;
  const at = says('mktemp', '-d', '/var/tmp/nestbox-test.XXXXXX').trim();
  process.on('exit', () => rmSync(at, { recursive: true, force: true }));
  chmodSync(at, 0o755);
  execFileSync('cc', ['-O1', '-o', `${at}/exchange`, new URL('../exchange.c', import.meta.url).pathname]);
  exchange = `${at}/exchange`;
  return exchange;
}

/** The person, who lets the two change places until the end of `during`. */
async function whileExchanged(a: string, b: string, during: () => Promise<void>): Promise<void> {
  const child = spawn(built(), [`${person}`, a, b], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  try {
    await during();
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** Tries until it has been done at least so often, and refused as well: else nobody was in the way. */
async function again(doing: () => Promise<unknown>, between: () => void = () => {}): Promise<void> {
  let [done, refused] = [0, 0];
  // What takes several steps is seldom done to its end: it is the trying that counts.
  for (const limit = Date.now() + 8000; done < 60 || refused < 5;) {
    if (Date.now() > limit && done > 0 && refused > 0) break;
    assert.ok(Date.now() < limit + 60_000, `done ${done} times, refused ${refused} times`);
    try {
      await doing();
      done++;
    } catch (error) {
      assert.ok(error instanceof Complaint || (error as NodeJS.ErrnoException).code, `${error}`);
      refused++;
    }
    between();
  }
}

const host = files as unknown as Host; // all that these ask for

test('the folder of a root that changes places with a link to the host takes nothing there: accounts, places for binds, links', async (t) => {
  const outside = canary(t);
  const root = theirs(t);
  mkdirSync(`${root}/etc`);
  for (const name of ['passwd', 'group']) writeFileSync(`${root}/etc/${name}`, 'root:x:0:0::/root:/bin/sh\n');
  symlinkSync(`${outside}/etc`, `${root}/evil`);
  says('chown', '-hR', `${person}:${person}`, root);
  const add = { users: [{ name: 'tester', uid: 1000, gid: 1000, home: '/etc/home', shell: '/bin/sh' }], groups: [], members: [] };
  await whileExchanged(`${root}/etc`, `${root}/evil`, async () => {
    await again(() => addAccounts(host, [root], add));
    await again(() => makeMountPoint(host, [root], '/etc/resolv.conf', 'file'));
    await again(() => makeLinkInside(host, [root], '/etc/link', '/dev/null'));
    await again(async () => {
      await removeEmpty(host, root, '/etc/passwd');
      await removeLinkInside(host, root, '/etc/link', '/dev/null');
      await removeAccounts(host, [root], add);
      await makeMountPoint(host, [root], '/etc/more', 'directory');
    });
  });
});

test('a link to the host, a pipe and another name of a file in the place of /etc/passwd of a root are neither written nor waited for', async (t) => {
  const outside = canary(t);
  const add = { users: [{ name: 'tester', uid: 1000, gid: 1000, home: '/home/tester', shell: '/bin/sh' }], groups: [], members: [] };
  // What is no file is written anew under its name.
  const kinds: [put: (path: string) => void, refused: boolean][] = [[(path) => symlinkSync(`${outside}/etc/passwd`, path), true], [(path) => says('mkfifo', path), false], [(path) => linkSync(`${outside}/etc/passwd`, path), false]];
  for (const [put, refused] of kinds) {
    const root = theirs(t);
    mkdirSync(`${root}/etc`);
    put(`${root}/etc/passwd`);
    await (refused ? assert.rejects(addAccounts(host, [root], add), Complaint) : addAccounts(host, [root], add));
    rmSync(`${root}/etc/passwd`); // else its other name is counted
  }
});

test('a folder that root makes for somebody in a folder of theirs is given away, and nothing in its place', async (t) => {
  const outside = canary(t);
  const at = theirs(t);
  const [made, evil] = [`${at}/made`, `${at}/evil`];
  const anew = () => {
    for (const path of [made, evil]) rmSync(path, { recursive: true, force: true });
    symlinkSync(`${outside}/secret`, evil);
  };
  anew();
  await whileExchanged(made, evil, async () => {
    await again(() => files.mkdir(made, 0o777, { uid: person, gid: person }), () => {
      try {
        anew();
      } catch {
        // it has been changed meanwhile: the next time
      }
    });
  });
});

test('a file that is given to somebody, written over, removed, renamed or read is never one that a link leads to', async (t) => {
  const outside = canary(t);
  const at = theirs(t);
  for (const name of ['file', 'in/file']) {
    const top = `${at}/${name.split('/')[0]}`;
    if (name.includes('/')) mkdirSync(top);
    writeFileSync(`${at}/${name}`, 'theirs\n');
    symlinkSync(name.includes('/') ? `${outside}/folder` : `${outside}/secret`, `${top}.evil`);
  }
  says('chown', '-hR', `${person}:${person}`, at);
  const bytes = Buffer.from('new\n');
  for (const name of ['file', 'in'])
    await whileExchanged(`${at}/${name}`, `${at}/${name}.evil`, async () => {
      const path = name === 'in' ? `${at}/in/file` : `${at}/file`;
      await again(() => overwrite(path, bytes));
      await again(() => files.own(path, 0o666, { uid: person, gid: person }));
      await again(async () => assert.doesNotMatch(readFileSync(openHeld(path, 0), 'utf8'), /root/));
      if (name === 'file') return;
      await again(() => files.write(path, 'more\n', 0o666, { uid: person, gid: person }));
      let [from, to] = [path, `${at}/in/other`];
      await again(async () => {
        await files.rename(from, to);
        [from, to] = [to, from]; // there and back, one at a time: it is not lost where only the way there was possible
      });
      await again(() => files.removeLeftover(from));
    });
});

test('root writes into no pipe, no other name of a file and nothing behind a link, and a link of root\'s own is one way more', async (t) => {
  const outside = canary(t);
  const at = theirs(t);
  says('mkfifo', `${at}/pipe`);
  linkSync(`${outside}/secret`, `${at}/name`);
  symlinkSync(`${outside}/secret`, `${at}/link`);
  symlinkSync(`${outside}/folder`, `${at}/folder`);
  symlinkSync(outside, `${at}/linked-by-root`);
  for (const name of ['link', 'folder']) says('chown', '-h', `${person}:${person}`, `${at}/${name}`);
  const places: [name: string, why: RegExp][] = [
    ['pipe', /cannot write|not a file with this one name/], ['name', /is not a file with this one name/], ['link', /cannot write/], ['folder/file', /is a link that others than root can change.*\n?/], ['folder/new', /is a link that others than root can change/], ['linked-by-root/new', /is a link that others than root can change/],
  ];
  for (const [name, why] of places) {
    await assert.rejects(overwrite(`${at}/${name}`, Buffer.from('x')), why, name);
    // What a service's output goes to is opened by the other program that does such things.
    const { status, stderr } = spawnSync(native, ['launch', '--output', `${at}/${name}`, `${person}`, `${person}`, '--', '/bin/echo', 'x'], { encoding: 'utf8', timeout: 300_000 });
    assert.equal(status, 1, `${name}: ${stderr}`);
    if (!name.includes('/')) continue;
    const { status: imported, stderr: said } = nestbox(['import', '--output', `${at}/${name}.toml`, '--', 'systemd-nspawn', '-D', '/srv/x']);
    assert.equal(imported, 1, said);
    assert.match(said, /is a link that others than root can change/);
  }
  rmSync(`${at}/name`);
  // In a folder that is root's alone it is the host's own doing, as /var/run is.
  const ours = folder(t);
  mkdirSync(`${ours}/real`);
  symlinkSync('real', `${ours}/link`);
  await overwrite(`${ours}/link/file`, Buffer.from('x'));
  succeeds({ ...spawnSync(native, ['launch', '--output', `${ours}/link/said`, '0', '0', '--', '/bin/echo', 'x'], { encoding: 'utf8' }) });
  assert.deepEqual(readdirSync(`${ours}/real`), ['file', 'said']);
});

test('a folder that is bound while it changes places with a link is never what the link leads to', async (t) => {
  const outside = canary(t);
  const at = theirs(t);
  mkdirSync(`${at}/games`);
  writeFileSync(`${at}/games/theirs`, '');
  symlinkSync(outside, `${at}/evil`);
  says('chown', '-hR', `${person}:${person}`, at);
  const target = `${folder(t)}/target`;
  mkdirSync(target);
  const unmount = () => spawnSync(native, ['unmount', target]);
  t.after(unmount);
  let [bound, refused] = [0, 0];
  await whileExchanged(`${at}/games`, `${at}/evil`, async () => {
    for (const limit = Date.now() + 60_000; (bound < 10 || refused < 5) && Date.now() < limit;) {
      const { status, stderr } = spawnSync(native, ['bind', `${at}/games`, target, ...(bound % 2 ? [] : [`${person} 0 1`, `${person} 0 1`])], { encoding: 'utf8', timeout: 300_000 });
      if (status === 0) assert.deepEqual([bound++, readdirSync(target)], [bound - 1, ['theirs']]);
      else assert.match(stderr, /is a link that others than root can change|No such file/, `${refused++}`);
      unmount();
    }
  });
  assert.ok(bound >= 10 && refused >= 5, `bound ${bound} times, refused ${refused} times`);
});

test('an archive that is packed into a folder of somebody else goes into no file that they put in its place', async (t) => {
  const outside = canary(t);
  const at = theirs(t);
  create(t, 'links-packed', `[root]\ndirectory = "${tinyRoot(`${folder(t)}/root`)}"\n`);
  symlinkSync(`${outside}/secret`, `${at}/evil`);
  says('chown', '-h', `${person}:${person}`, `${at}/evil`);
  // It waits for them when its own file is there, and the program that writes into it is not.
  const run = await stoppedAt(t, 'step:1', ['export', 'links-packed', '--archive', `${at}/x.tar.zst`], env);
  const child = spawn(built(), [`${person}`, `${at}/x.tar.zst.nestbox-partial`, `${at}/evil`, 'once'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  assert.deepEqual((await once(child, 'exit'))[0], 0, 'they were not exchanged');
  const { status, stderr } = await run.end('SIGCONT');
  assert.notEqual(status, 0);
  assert.match(stderr, /Too many levels of symbolic links/);
});

test('a hostile root, with links to the host wherever a container has something, changes nothing there', (t) => {
  const outside = canary(t);
  const places = ['dev', 'run', 'tmp', 'var', 'tmp/.X11-unix', 'etc/resolv.conf', 'home root opt srv mnt usr/share'];
  for (const [i, name] of places.entries()) {
    const root = tinyRootOf(t);
    for (const one of name.split(' ')) {
      rmSync(`${root}/${one}`, { recursive: true, force: true });
      symlinkSync(one === 'etc/resolv.conf' ? `${outside}/secret` : outside, `${root}/${one}`);
    }
    const file = machine(t, `links-hostile-${i}`, `user = "tester"\nfiles = [{ path = "${outside}/etc", to = "/opt/here" }, { path = "${outside}/etc", to = "/var/here" }]\n[root]\ndirectory = "${root}"\n`);
    const { status, stderr } = nestbox(['run', file, '--', 'sh', '-c', 'for a in /dev /run /tmp /var /opt; do echo x > $a/secret; echo x > $a/new; done; true'], { timeout: 300_000 });
    assert.ok(status === 0 || status === 1, `${name}: ${status ?? 'it was waited for'} ${stderr}`);
    assert.doesNotMatch(stderr, /should not have happened/);
  }
});

test('what is no longer there, nor the folder that it was in, needs no removing', async (t) => {
  await files.removeLeftover(`${folder(t)}/gone/name`);
});

test('a pipe in the place of a file that is read is not waited for', (t) => {
  const at = theirs(t);
  says('mkfifo', `${at}/pipe`);
  // In a process of its own: who waits for a pipe hears nothing else.
  const script = `
    const { files } = await import('${source('host/files.ts')}');
    const { displays } = await import('${source('host/displays.ts')}');
    const told = [await files.read('${at}/pipe'), await files.within('${at}').read('/pipe')];
    await files.removeLeftover('${at}/pipe');
    told.push(await files.kind('${at}/pipe'));
    console.log(JSON.stringify(told));
    (await import('node:child_process')).execFileSync('mkfifo', ['${at}/pipe']);
    await displays.copyKey({ kind: 'copy-cookie', number: 0, authority: '${at}/pipe', path: '${at}/key', owner: { uid: 0, gid: 0 } }).catch(({ message }) => console.log(message));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], { encoding: 'utf8', timeout: 120_000, cwd: new URL('../..', import.meta.url).pathname });
  assert.equal(status, 0, stderr);
  assert.equal(stdout, `[null,null,null]\n${at}/pipe is no file with keys of displays\n`);
});

const source = (path: string): string => new URL(`../../src/${path}`, import.meta.url).href;

let copies = 0;
let first = '';
/** Like tinyRoot(), which starts hundreds of programs, but once. */
function tinyRootOf(t: TestContext): string {
  if (!first || !existsSync(first)) first = tinyRoot(`${folder(t)}/root`);
  const copy = `${folder(t)}/${copies++}`;
  says('cp', '-a', first, copy);
  return copy;
}

test('an archive with a link to the host and files behind it is unpacked into its own root alone', (t) => {
  const outside = canary(t);
  const [root, more] = [tinyRootOf(t), folder(t)];
  const archive = `${folder(t)}/root.tar`;
  symlinkSync(outside, `${root}/evil`);
  mkdirSync(`${more}/evil/etc`, { recursive: true });
  for (const name of ['evil/secret', 'evil/new', 'evil/etc/passwd']) writeFileSync(`${more}/${name}`, 'hostile\n');
  says('tar', '--create', '--file', archive, '--directory', root, '.');
  says('tar', '--append', '--file', archive, '--directory', more, './evil/secret', './evil/new', './evil/etc/passwd');
  const { status, stderr } = nestbox(['create', machine(t, 'links-tar', `[root]\ntar = "${archive}"\n`)]);
  assert.ok(status === 0 || status === 1, stderr);
});
