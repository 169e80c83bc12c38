import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { manualPages } from '../../scripts/pages.ts';
import { folder, nestbox } from '../nestbox.ts';
import { create, inside, says, succeeds } from '../roots.ts';

const source = new URL('../../', import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(`${source}package.json`, 'utf8')) as { version: string };
const made = mkdtempSync('/var/tmp/nestbox-test.');
const deb = `${made}/nestbox.deb`;

before(() => { execFileSync(process.execPath, ['--import', 'tsx', 'scripts/package.ts', deb], { cwd: source, stdio: ['ignore', 'ignore', 'inherit'] }); });
after(() => rmSync(made, { recursive: true, force: true }));

const has = (program: string): boolean => ['/usr/bin', '/bin'].some((at) => existsSync(`${at}/${program}`));

test('manual pages are set without a warning, by groff, by man and by mandoc', { skip: !has('mandoc') && 'mandoc is not installed' }, (t) => {
  const at = folder(t);
  for (const [path, text] of Object.entries(manualPages(readFileSync(`${source}packaging/changelog`, 'utf8')))) {
    mkdirSync(`${at}/${path.split('/')[0]}`, { recursive: true });
    writeFileSync(`${at}/${path}`, text);
  }
  for (const path of ['man1', 'man5'].flatMap((name) => readdirSync(`${at}/${name}`).map((file) => `${name}/${file}`))) {
    const isReference = readFileSync(`${at}/${path}`, 'utf8').startsWith('.so ');
    if (isReference && !path.endsWith('/nestbox-run.1')) continue; // one of them stands for all: they are made alike
    for (const argv of [['man', '--warnings', '--local-file', path], ...(isReference ? [] : [['groff', '-man', '-ww', '-Tutf8', path], ['mandoc', '-T', 'lint', '-W', 'warning', path]])]) {
      const { status, stdout, stderr } = spawnSync(argv[0]!, argv.slice(1), { cwd: at, encoding: 'utf8', env: { ...process.env, MANWIDTH: '100', LC_ALL: 'C.UTF-8' } });
      assert.deepEqual([status, stderr, argv[0] === 'mandoc' ? stdout : ''], [0, '', ''], argv.join(' '));
      if (argv[0] === 'man') assert.match(stdout, /^NAME$/m, path);
    }
  }
});

test('the package has nothing that lintian complains of, and is the same each time', { skip: !has('lintian') && 'lintian is not installed' }, () => {
  const { status, stdout } = spawnSync('lintian', ['--allow-root', '--fail-on', 'error,warning', '--tag-display-limit', '0', deb], { encoding: 'utf8' });
  assert.deepEqual([status, stdout], [0, '']);
  execFileSync(process.execPath, ['--import', 'tsx', 'scripts/package.ts', `${made}/again.deb`], { cwd: source, stdio: 'ignore' });
  assert.ok(readFileSync(deb).equals(readFileSync(`${made}/again.deb`)));
});

/** All files of the machine's root, but for what dpkg and man keep for themselves. */
const files = (name: string): string[] => inside(name, 'find', '/', '-xdev', '(', '-path', '/var/lib/dpkg', '-o', '-path', '/var/log', '-o', '-path', '/var/cache', '-o', '-path', '/run', '-o', '-path', '/tmp', '-o', '-path', '/dev', '-o', '-path', '/proc', '-o', '-path', '/sys', ')', '-prune', '-o', '-printf', '%p %m %u:%g %l\n').split('\n').sort();

test('it is installed on a Debian 12 that has never seen it, works there with the Node of Debian 12, and is removed without a trace', (t) => {
  const at = folder(t);
  copyFileSync(deb, `${at}/nestbox.deb`);
  const name = 'package-debian';
  create(t, name, `files = ["${at}"]\n[root]\ndebian = "bookworm"\npackages = ["bash-completion", "iproute2", "man-db", "nftables", "nodejs", "systemd-container"]\n`);
  const shell = (script: string): string => inside(name, 'sh', '-ec', script);
  const bare = files(name);

  shell(`dpkg --install ${at}/nestbox.deb`);
  assert.equal(shell('nestbox --version; node --version').replace(/\.\d+\.\d+\n$/, ''), `nestbox ${version}\nv18`);
  assert.equal(shell('dpkg --verify nestbox; ls /usr/lib/nestbox/dist'), 'become.node\nnestbox\nnestbox-native\nnestbox.cjs\nprogram.cache\nprogram.cjs\n');
  assert.match(shell('cd /; man --warnings nestbox-run 2>&1; man --where nestbox.toml'), /\/usr\/share\/man\/man5\/nestbox\.toml\.5\.gz\n$/);
  assert.equal(inside(name, 'bash', '-c', 'source /usr/share/bash-completion/bash_completion; _completion_loader nestbox; complete -p nestbox'), 'complete -F _nestbox nestbox\n');
  // What the Node of Debian 12 does not know would be told here.
  assert.doesNotMatch(shell('for file in /usr/share/nestbox/examples/*.toml; do nestbox plan "$file" 2>&1 || true; done; nestbox image info /usr/bin/nestbox 2>&1 || true; nestbox list; nestbox templates; nestbox help root.debian; nestbox doctor --json'), /should not have happened/);

  const removed = succeeds(nestbox(['run', name, '--', 'sh', '-ec', 'mkdir /etc/nestbox; echo "name = 1" > /etc/nestbox/mine.toml; dpkg --remove nestbox; dpkg --purge nestbox']));
  assert.match(removed.stderr, /machines stay in \/var\/lib\/nestbox and \/etc\/nestbox/);
  assert.equal(shell('cat /etc/nestbox/mine.toml; rm -r /etc/nestbox; dpkg-query -W nestbox 2>&1 || true'), 'name = 1\ndpkg-query: no packages found matching nestbox\n');
  assert.deepEqual(files(name), bare, 'nothing of it is left, and nothing else is gone');
});

test('on a bare Debian 13 apt finds what it needs, and takes it away again with the roots that no machine uses', (t) => {
  const at = folder(t);
  copyFileSync(deb, `${at}/nestbox.deb`);
  const name = 'package-newest';
  create(t, name, `network = "private"\nfiles = ["${at}"]\n[root]\ndebian = "trixie"\n`);
  const shell = (script: string): string => inside(name, 'sh', '-ec', script);
  shell(`apt-get update; apt-get install --yes --no-install-recommends ${at}/nestbox.deb`);
  assert.match(shell('nestbox --version; node --version'), new RegExp(`^nestbox ${version}\nv20\\.`));
  assert.equal(shell('nestbox templates; dpkg --verify nestbox; nestbox completion bash | bash -n; test -e /usr/share/man/man1/nestbox-run.1.gz'), '');
  assert.match(shell('nestbox audit /usr/share/nestbox/examples/steam.toml'), /^steam: contained, /);

  shell('mkdir -p /var/lib/nestbox/templates/debian-trixie-0/root /var/lib/nestbox/machines /var/lib/nestbox/journal /var/lib/nestbox/services /etc/nestbox');
  const purge = succeeds(nestbox(['run', name, '--', 'apt-get', 'purge', '--yes', '--auto-remove', 'nestbox']));
  assert.doesNotMatch(purge.stdout + purge.stderr, /machines stay/);
  assert.equal(shell('find / -xdev -name "*nestbox*" -not -path "/run/*" -not -path "/var/tmp/*" -not -path "/var/lib/apt/*" -not -path "/var/log/*"; dpkg-query --list nodejs 2>&1 | grep ^ii || true'), '');
});

test('npm installs it for all users, with its manual, and removes it', { skip: !has('npm') && !existsSync('/usr/local/bin/npm') && 'npm is not installed' }, (t) => {
  const at = folder(t);
  const npm = (...words: string[]): string => says('npm', '--offline', '--no-audit', '--no-fund', '--cache', `${at}/cache`, '--prefix', `${at}/prefix`, ...words);
  execFileSync('npm', ['--cache', `${at}/cache`, 'pack', '--silent', '--pack-destination', at], { cwd: source, stdio: ['ignore', 'ignore', 'inherit'] });
  npm('install', '--global', `${at}/nestbox-${version}.tgz`);
  assert.equal(says(`${at}/prefix/bin/nestbox`, '--version'), `nestbox ${version}\n`);
  assert.match(says(`${at}/prefix/bin/nestbox`, 'help', 'display.nested'), /^display = "nested"/);
  assert.match(readFileSync(`${at}/prefix/share/man/man1/nestbox.1`, 'utf8'), /^\.TH NESTBOX 1/m);
  npm('uninstall', '--global', 'nestbox');
  assert.deepEqual(['bin', 'share/man/man1', 'lib/node_modules'].flatMap((path) => (existsSync(`${at}/prefix/${path}`) ? readdirSync(`${at}/prefix/${path}`).filter((name) => name !== '.package-lock.json') : [])), []);
});
