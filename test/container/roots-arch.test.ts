import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { folder, nestbox } from '../nestbox.ts';
import { create, inside, left, machine, processesOf, says, templateOf, tinyRoot } from '../roots.ts';

/** A package as makepkg makes it: alpm(7), PKGINFO(5). */
function pack(repository: string, name: string, content: string, depends: string[] = []): void {
  const file = `${name}-1-1-any.pkg.tar.zst`;
  const info = { pkgname: name, pkgbase: name, pkgver: '1-1', pkgdesc: 'tiny', url: 'http://example.org', builddate: '1700000000', packager: 'nobody', size: '1000', arch: 'any' };
  writeFileSync(`${content}/.PKGINFO`, [...Object.entries(info), ...depends.map((other) => ['depend', other] as const)].map(([key, value]) => `${key} = ${value}\n`).join(''));
  says('tar', '--create', '--zstd', '--file', `${repository}/${file}`, '--directory', content, '--owner=0', '--group=0', ...readdirSync(content));
  const archive = readFileSync(`${repository}/${file}`);
  const entry = `${repository}/entries/${name}-1-1`;
  mkdirSync(entry, { recursive: true });
  const fields = { FILENAME: file, NAME: name, VERSION: '1-1', CSIZE: `${archive.length}`, ISIZE: '1000', SHA256SUM: createHash('sha256').update(archive).digest('hex'), ARCH: 'any', ...(depends.length > 0 && { DEPENDS: depends.join('\n') }) };
  writeFileSync(`${entry}/desc`, Object.entries(fields).map(([key, value]) => `%${key}%\n${value}\n\n`).join(''));
}

/** A mirror of Arch Linux with three packages, and a pacman.conf that names it. */
function mirror(t: TestContext): string {
  const path = folder(t);
  mkdirSync(`${path}/repository`);
  const content = (name: string) => {
    mkdirSync(`${path}/${name}`);
    return `${path}/${name}`;
  };
  const filesystem = tinyRoot(content('filesystem'));
  says('ln', '-s', 'usr/lib', `${filesystem}/lib`);
  writeFileSync(`${filesystem}/etc/os-release`, 'ID=arch\n');
  // Those that are others while the packages are put in: they are mounts then.
  for (const name of ['proc', 'sys', 'dev', 'run', 'tmp']) says('rmdir', `${filesystem}/${name}`);
  pack(`${path}/repository`, 'filesystem', filesystem);
  pack(`${path}/repository`, 'base', content('base'), ['filesystem']);
  const greeter = content('greeter');
  mkdirSync(`${greeter}/usr/bin`, { recursive: true });
  writeFileSync(`${greeter}/usr/bin/greet`, '#!/bin/sh\necho hello from $(. /etc/os-release; echo $ID)\n', { mode: 0o755 });
  pack(`${path}/repository`, 'greeter', greeter, ['base']);
  says('tar', '--create', '--gzip', '--file', `${path}/repository/tiny.db`, '--directory', `${path}/repository/entries`, ...readdirSync(`${path}/repository/entries`));
  writeFileSync(`${path}/pacman.conf`, `[options]\nArchitecture = auto\nSigLevel = Never\nCheckSpace\n[tiny]\nServer = file://${path}/repository\n`);
  return `${path}/pacman.conf`;
}

const cache = () => (existsSync('/var/cache/pacman/pkg') ? readdirSync('/var/cache/pacman/pkg') : []);

test('pacstrap makes a root from base and the packages that are named, and a program of theirs runs in it', (t) => {
  const config = mirror(t);
  const before = cache();
  create(t, 'roots-arch', `user = "tester"\n[root]\narch = true\nconfig = "${config}"\npackages = ["greeter"]\n`);
  assert.equal(inside('roots-arch', 'greet'), 'hello from arch\n');
  assert.equal(inside('roots-arch', 'id', '-un'), 'tester\n');
  const root = templateOf('roots-arch');
  assert.deepEqual(readdirSync(`${root}/var/lib/pacman/local`).sort(), ['ALPM_DB_VERSION', 'base-1-1', 'filesystem-1-1', 'greeter-1-1']);
  assert.deepEqual(readdirSync(`${root}/var/cache/pacman/pkg`), [], 'the archives of the packages are not kept');
  assert.deepEqual(cache(), before, 'nor on the host');
  assert.ok(readdirSync(`${root}/etc/pacman.d/gnupg/private-keys-v1.d`).length > 0, 'it has a key of its own to sign with');
  assert.equal(statSync(`${root}/etc/pacman.d/gnupg`).mode & 0o777, 0o755);
  assert.ok(!existsSync(`${root}/etc/pacman.d/mirrorlist`));
  assert.deepEqual(['proc', 'sys', 'dev'].flatMap((name) => readdirSync(`${root}/${name}`)), []);
  assert.deepEqual(processesOf('roots-arch'), [], 'neither the agent of the keys nor a mount is left');
});

test('a package that no repository has is told in the words of pacman, and leaves nothing', (t) => {
  const config = mirror(t);
  const { status, stderr } = nestbox(['create', machine(t, 'roots-arch-wrong', `[root]\narch = true\nconfig = "${config}"\npackages = ["no-such-package"]\n`)]);
  assert.equal(status, 1);
  assert.match(stderr, /nestbox: make an Arch root: this failed with exit status 1: pacstrap -C [^\n]*no-such-package\n( {2}.*\n)* {2}error: target not found: no-such-package\n/);
  assert.deepEqual(left('roots-arch-wrong'), []);
});
