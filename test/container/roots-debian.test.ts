import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path/posix';
import { type TestContext, test } from 'node:test';
import { bring } from '../../src/host/fetched.ts';
import { folder, nestbox, program, start } from '../nestbox.ts';
import { inside, left, machine, processesOf, says, succeeds, templateOf, templates } from '../roots.ts';

const source = '[root]\ndebian = "bookworm"\nvariant = "apt"\ncomponents = ["main", "contrib"]\npackages = ["hello"]\nmirror = "http://deb.debian.org/debian"\n';

const fetched = '/var/cache/nestbox/packages';

const timed = <T>(work: () => T): [T, number] => {
  const begin = performance.now();
  return [work(), performance.now() - begin];
};

test('a Debian root is built as asked, is neutral, and is the template of the next machine', (t) => {
  const first = machine(t, 'roots-deb-1', source);
  // Left by a run of this test that was cut off: then its key is below the overlay, and there is nothing to build.
  const there = /templates\/(debian-bookworm-[0-9a-f-]+)\/root on /.exec(succeeds(nestbox(['plan', first])).stdout)?.[1];
  if (there && templates().some(({ key }) => key === there)) succeeds(nestbox(['templates', '--prune', there]));
  nestbox(['rm', 'roots-deb-1']); // it, and its template, of a test that was cut off
  const { passing } = JSON.parse(succeeds(nestbox(['plan', '--json', first])).stdout) as { passing: { kind: string; lower?: string }[] };
  nestbox(['templates', '--prune', passing.find(({ kind }) => kind === 'overlay')!.lower!.split('/').at(-2)!]);
  const [made, long] = timed(() => succeeds(nestbox(['create', first])));
  assert.match(made.stderr, /^nestbox: make a Debian bookworm root\nnestbox: {3}I: /, 'it is built now, and says how far it is');
  assert.match(made.stderr, /installing/);
  assert.doesNotMatch(made.stderr, /\bW:|unsandboxed/, 'packages are fetched by the user whom apt has for that');
  const root = templateOf('roots-deb-1');
  const text = (path: string) => readFileSync(`${root}/etc/${path}`, 'utf8');

  assert.equal(inside('roots-deb-1', 'hello'), 'Hello, world!\n');
  assert.equal(text('apt/sources.list'), 'deb http://deb.debian.org/debian bookworm main contrib\n');
  assert.deepEqual(['apt/apt.conf.d/99mmdebstrap', 'dpkg/dpkg.cfg.d/99mmdebstrap', 'hostname'].filter((path) => existsSync(`${root}/etc/${path}`)), []);
  assert.equal(text('resolv.conf'), '');
  assert.match(text('hosts'), /^127\.0\.0\.1\tlocalhost$/m);
  assert.ok(!existsSync(`${root}/etc/machine-id`) || ['', 'uninitialized\n'].includes(text('machine-id')), 'each machine gets an id of its own');
  assert.equal(says('sh', '-c', `ls -A ${root}/proc ${root}/sys ${root}/tmp ${root}/var/cache/apt/archives/*.deb 2>/dev/null | grep -v : | tr -d '\\n'`), '');
  for (const server of readFileSync('/etc/resolv.conf', 'utf8').match(/^nameserver .*$/gm) ?? []) assert.equal(says('sh', '-c', `grep -rl '${server}' ${root}/etc || true`), '');

  // All that apt has fetched is kept beside, and not in the root.
  assert.ok(readdirSync(fetched).some((name) => /^hello_.*\.deb$/.test(name)) && readdirSync(`${fetched}/lists`).some((name) => name.endsWith('_Packages')));
  assert.equal(statSync(fetched).mode & 0o7777, 0o700);
  assert.deepEqual(readdirSync(`${root}/var/lib/apt/lists`).sort(), ['lock', 'partial']);
  assert.deepEqual(readdirSync(`${root}/var/cache/apt`), ['archives']);
  assert.deepEqual(readdirSync(`${root}/etc/apt/preferences.d`), []);
  // What is linked in / is so without Perl: perl-base is all that a small root needs.
  assert.equal(readlinkSync(`${root}/bin`), 'usr/bin');
  assert.equal(inside('roots-deb-1', 'sh', '-c', "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' usr-is-merged usrmerge perl-modules-5.36 2>/dev/null | grep ' installed'"), 'usr-is-merged installed\n');

  const second = machine(t, 'roots-deb-2', source);
  nestbox(['rm', 'roots-deb-2']); // of a test that was cut off
  const [again, short] = timed(() => succeeds(nestbox(['create', second])));
  t.diagnostic(`built in ${Math.round(long)} ms, made again in ${Math.round(short)} ms`);
  assert.doesNotMatch(again.stderr, /make a Debian/);
  assert.ok(short < Math.max(1000, long / 4), `the second machine is ready after ${short} ms, the first after ${long} ms`); // some fiftieth where nothing else runs
  assert.equal(templateOf('roots-deb-2'), root);
  assert.equal(inside('roots-deb-2', 'hello'), 'Hello, world!\n');
  for (const name of ['roots-deb-1', 'roots-deb-2']) {
    const own = Number(says('du', '-s', '-B1', `/var/lib/nestbox/machines/${name}`).split('\t')[0]);
    assert.ok(own < 200_000, `${own} bytes of its own`);
  }
  assert.ok(Number(says('du', '-s', '-B1', root).split('\t')[0]) > 50_000_000);

  // Inside, the package manager works, and what it changes is the machine's own.
  assert.match(inside('roots-deb-1', 'apt-get', '--version'), /^apt 2\./);
  assert.equal(inside('roots-deb-1', 'dpkg', '--audit'), '');
  assert.equal(inside('roots-deb-1', 'sh', '-c', 'apt-get check 2>&1 && apt-cache policy >/dev/null && stat -c "%U %a" /var/lib/apt/lists/partial').split('\n').at(-2), '_apt 700');
  assert.match(inside('roots-deb-1', 'sh', '-c', 'dpkg --purge hello 2>&1; hash -r; hello || echo gone'), /gone\n$/);
  assert.equal(inside('roots-deb-2', 'hello'), 'Hello, world!\n');
  assert.ok(statSync(`${root}/usr/bin/hello`).isFile());
});

test('what was fetched is not fetched again, and nothing that was changed is taken', (t) => {
  const root = `${folder(t)}/root`;
  const deb = (name: string) => `${fetched}/${readdirSync(fetched).find((file) => file.startsWith(`${name}_`))!}`;
  const list = `${fetched}/lists/${readdirSync(`${fetched}/lists`).find((file) => file.includes('bookworm_main') && file.endsWith('_Packages'))!}`;
  chmodSync(dirname(root), 0o755);
  for (const path of ['etc/apt/apt.conf.d', 'etc/apt/preferences.d', 'var/lib/dpkg', 'var/lib/apt/lists/partial']) mkdirSync(`${root}/${path}`, { recursive: true });
  for (const path of ['etc/apt/apt.conf', 'var/lib/dpkg/status']) writeFileSync(`${root}/${path}`, '');
  writeFileSync(`${root}/etc/apt/sources.list`, 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n');
  // The lock is no business of this.
  const apt = (...words: string[]) => says('sh', '-c', 'exec "$@" 2>&1', 'sh', 'apt-get', '-o', `Dir=${root}`, '-o', `Dir::State::status=${root}/var/lib/dpkg/status`, '-o', 'Debug::Acquire::http=true', '-o', 'Acquire::Languages=none', '-o', 'Debug::NoLocking=true', '-o', 'Dir::Bin::methods=/usr/lib/apt/methods', '--yes', ...words);
  const asked = (text: string) => (text.match(/^GET \S+/gm) ?? []).map((line) => line.split('/').at(-1)!.replace(/[_%].*/, '').replace(/^[0-9a-f]{64}$/, 'by its sum'));

  for (const name of ['gcc-12-base', 'hello']) assert.ok(existsSync(deb(name)));
  const [good, bytes] = [readFileSync(deb('hello')), readFileSync(deb('hello'))];
  bytes[bytes.length >> 1]! ^= 1; // the same length: apt would take it, were it among those that it has whole
  writeFileSync(deb('hello'), bytes);
  try {
    bring({ kind: 'fetched-in', root, suite: 'bookworm', architecture: says('dpkg', '--print-architecture').trim() });
    assert.deepEqual(asked(apt('update')), ['InRelease'], 'the list is there');
    assert.deepEqual(asked(apt('install', '--download-only', 'hello')), ['hello'], 'the library and what it needs are there');
    assert.deepEqual(readFileSync(`${root}/var/cache/apt/archives/${deb('hello').split('/').at(-1)!}`), good);
  } finally {
    writeFileSync(deb('hello'), good);
  }
  // A list that is another than the signed release file says is not brought.
  const text = readFileSync(list);
  appendFileSync(list, '\n');
  try {
    bring({ kind: 'fetched-in', root: `${root}/other`, suite: 'bookworm', architecture: says('dpkg', '--print-architecture').trim() });
    assert.deepEqual(readdirSync(`${root}/other/var/lib/apt/lists`).filter((name) => name.includes('bookworm_main')), []);
  } finally {
    writeFileSync(list, text);
  }
});

const native = program.replace(/[^/]*$/, 'nestbox-native');

test('of the lists of packages apt reads what can get into the root, and all where it could decide otherwise', (t) => {
  const lists = folder(t);
  const [main, more] = [`${lists}/mirror_main_binary-amd64_Packages`, `${lists}/mirror_more_binary-amd64_Packages`];
  const narrowed = (wanted: string[], ...packages: string[][]) => {
    const whole = packages.map((stanza) => `${stanza.join('\n')}\nDescription: words\n Depends: nothing\n\n`);
    writeFileSync(main, whole.slice(1).join(''));
    writeFileSync(more, whole[0]!);
    rmSync(`${main}.whole`, { force: true });
    says(native, 'narrow', lists, ...wanted);
    if (existsSync(`${main}.whole`)) assert.equal(readFileSync(`${main}.whole`, 'utf8'), whole.slice(1).join(''));
    return [more, main].flatMap((list) => readFileSync(list, 'utf8').match(/(?<=^Package: ).*/gm) ?? []).join(' ');
  };
  const some = [
    ['Package: newer', 'Provides: virtual (= 2), other'], ['Package: base', 'Essential: yes', 'Pre-Depends: a (>= 1) | b:any, c'], ['Package: a'], ['Package: b', 'Depends: virtual'], ['Package: c', 'Conflicts: d'],
    ['Package: d', 'Recommends: e'], ['Package: e'], ['Package: f', 'Priority: standard'], ['Package: asked', 'Recommends: e', 'Depends: g'], ['Package: g', 'Priority: optional'],
  ];
  assert.equal(narrowed(['asked'], ...some), 'newer base a b c f asked g');
  assert.equal(narrowed(['asked:amd64', 'other'], ...some, ['Package: older', 'Priority: optional', 'Provides: virtual'], ['Package: virtual']), 'newer base a b c f asked g older virtual');
  const all = (...packages: string[][]) => packages.map(([first]) => first!.slice(9)).join(' ');
  const tied = [...some, ['Package: older', 'Provides: virtual']];
  assert.equal(narrowed(['asked'], ...tied), all(...tied), 'two that are as good: the order of all packages decides');
  assert.equal(narrowed(['a-'], ...some), all(...some), 'what apt takes for something else than a name');
  assert.equal(narrowed(['asked'], ...some, ['Package: h', 'Depends: a,', ' b']), all(...some, ['Package: h']), 'what no archive writes');
});

test('packages are unpacked ahead, each as it is when dpkg asks for it', (t) => {
  const root = folder(t);
  const archives = `${root}/var/cache/apt/archives`;
  const [one, other] = ['hello', 'gcc-12-base'].map((name) => `${fetched}/${readdirSync(fetched).find((file) => file.startsWith(`${name}_`))!}`) as [string, string];
  mkdirSync(archives, { recursive: true });
  const sum = (path: string) => says('sh', '-c', 'dpkg-deb --fsys-tarfile "$1" | sha256sum', 'sh', path);
  // Only what a worker has unpacked is there before anybody asks; a package that has come into the other's place is another.
  const script = `set -e; cp ${one} a.part; mv a.part a.deb; n=0; until [ -s ../ahead/*.tar ] || [ $n = 500 ]; do sleep 0.02; n=$((n+1)); done; ls ../ahead/*.tar | wc -l
    command -v dpkg-deb; for i in 1 2; do dpkg-deb --fsys-tarfile $PWD/a.deb | sha256sum; done; cp ${other} b.deb; mv b.deb a.deb; dpkg-deb --fsys-tarfile $PWD/a.deb | sha256sum; dpkg-deb --field $PWD/a.deb Package`;
  const only = says('nproc').trim() === '1'; // then there is nobody else who could do it
  const said = execFileSync('unshare', ['--mount', '--pid', '--fork', '--kill-child', '--', native, 'ahead', root, '--', '/bin/sh', '-c', script], { cwd: archives, encoding: 'utf8' });
  assert.equal(said, `${only ? 0 : 1}\n${root}/var/cache/apt/ahead/dpkg-deb\n${sum(one)}${sum(one)}${sum(other)}gcc-12-base\n`);
  assert.deepEqual(processesOf(root), [], 'who does it ends with what is built');
});

test('with the mmdebstrap and the apt of Debian 13 the same root comes out', (t) => {
  const machines = { 'roots-deb-host': 'debian = "trixie"\npackages = ["mmdebstrap", "nodejs", "systemd-container"]', 'roots-deb-made': 'debian = "bookworm"' };
  const [host, made] = Object.entries(machines).map(([name, root]) => {
    const file = machine(t, name, `network = "none"\n[root]\n${root}\nmirror = "http://deb.debian.org/debian"\n`);
    nestbox(['rm', name]); // of a test that was cut off
    succeeds(nestbox(['create', file]));
    return { file, root: templateOf(name) };
  }) as [{ file: string; root: string }, { file: string; root: string }];
  const own = folder(t);
  // A chroot is host enough: a root is built without an init, a bus and control groups.
  const script = `set -e; mount -t tmpfs none ${own}; cd ${own}; mkdir upper work host; mount -t overlay -o lowerdir=${host.root},upperdir=upper,workdir=work none host; cd host
    mount --rbind /proc proc; mount --rbind /dev dev; mount -t tmpfs none run; mkdir -p opt/nestbox var/cache/nestbox/packages var/lib/nestbox; mount --bind ${dirname(program)} opt/nestbox; mount --bind ${fetched} var/cache/nestbox/packages; mount -t tmpfs none var/lib/nestbox
    cp /etc/resolv.conf /etc/hosts etc; cp ${made.file} root/made.toml; chroot . node /opt/nestbox/nestbox.cjs create /root/made.toml >&2
    listed() { cd $1; find . -printf '%p %y %m %U:%G %l\\n' | sort; find . -type f ! -path './var/log/*' -print0 | sort -z | xargs -0 sha256sum; }
    (listed ${made.root}) > here; (listed var/lib/nestbox/templates/*/root) > there; diff here there; wc -l < there`;
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  assert.equal(status, 0, stdout.slice(0, 4000) + stderr);
  assert.match(stderr, /make a Debian bookworm root/);
  assert.ok(Number(stdout) > 10_000, stdout);
});

test('a suite or a package that there is not: the last words of mmdebstrap, and nothing is left', (t) => {
  for (const [name, text, words] of [
    ['roots-deb-suite', '[root]\ndebian = "bookwurm"\nmirror = "http://deb.debian.org/debian"\n', /E: The repository 'http:\/\/deb\.debian\.org\/debian bookwurm Release' does not have a Release file/],
    ['roots-deb-package', '[root]\ndebian = "bookworm"\nvariant = "essential"\npackages = ["no-such-package-at-all"]\n', /E: Unable to locate package no-such-package-at-all/],
  ] as const) {
    const { status, stderr } = nestbox(['create', machine(t, name, text)]);
    assert.equal(status, 1);
    const complaint = /^nestbox: make a Debian \w+ root: this failed with exit status \d+: mmdebstrap .*\n(?<last>( {2}.*\n)+)$/m.exec(stderr);
    assert.match(complaint?.groups?.last ?? stderr, words);
    assert.doesNotMatch(stderr, /should not have happened/);
    assert.deepEqual(left(name), []);
  }
});

/** Starts a build and waits until it says so; what it says later is thrown away. */
async function begun(t: TestContext, name: string, words: RegExp) {
  const child = start(['create', machine(t, name, source.replace('"hello"', '"hello", "netbase"'))]);
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (words.test(said)) resolve();
    });
    child.once('close', () => reject(new Error(said)));
  });
  return { child, said: () => said };
}

/** The kernel ends them one after the other: it is asked until they are gone, half a minute at most. */
async function gone(name: string): Promise<void> {
  for (const limit = Date.now() + 30_000; Date.now() < limit && processesOf(name).length > 0; ) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(processesOf(name), []);
}

test('killed in the middle of a build, its builder dies with it, and nestbox clean takes back the rest', async (t) => {
  for (const words of [/downloading packages/, /extracting archives/, /installing essential packages/]) {
    const name = 'roots-deb-killed';
    const { child } = await begun(t, name, words);
    assert.ok(processesOf(name).some(({ command }) => command.includes('mmdebstrap')), 'the builder runs');
    child.kill('SIGKILL');
    await once(child, 'exit');
    if (words.source.startsWith('ext')) await gone(name); // the others: at once
    assert.notDeepEqual(left(name), [], 'something is left to be taken back');
    succeeds(nestbox(['clean', name]));
    await gone(name);
    assert.deepEqual(left(name), [], `${words}`);
  }
});

test('interrupted in the middle of a build, nestbox takes back all by itself', async (t) => {
  for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143]] as const) {
    const name = 'roots-deb-interrupted';
    const { child, said } = await begun(t, name, /installing essential packages/);
    child.kill(signal);
    assert.deepEqual((await once(child, 'exit'))[0], status);
    assert.doesNotMatch(said(), /installing remaining|success/, 'the builder was ended, not waited for');
    assert.deepEqual(left(name), []);
  }
});

test('while a root is built nothing waits for the disk', { skip: !{ x64: true, arm64: true }[process.arch as string] && 'the number of fsync is not known' }, () => {
  // A file that is not open: only who does not look at it says yes.
  const fsync = { x64: 74, arm64: 82 }[process.arch as string];
  const script = `print syscall(${fsync}, 999), " ", system("perl", "-e", "exit(syscall(${fsync}, 999) == 0 ? 5 : 6)") >> 8`;
  assert.equal(says(native, 'launch', '--', '/usr/bin/perl', '-e', script), '-1 6');
  assert.equal(says(native, 'launch', '--no-sync', '--', '/usr/bin/perl', '-e', script), '0 5');
});
