import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { encodePng } from '../../src/png.ts';
import { folder, nestbox } from '../nestbox.ts';
import { create, inside, left, says, succeeds, templateOf, tinyRoot } from '../roots.ts';

const entry = (keys: string): string => `[Desktop Entry]\nType=Application\n${keys}\n`;
const png = (size: number) => encodePng({ width: size, height: size, rgb: Buffer.alloc(size * size * 3) });

/** A root with programs for a menu, and with things that are none. */
function root(t: TestContext): string {
  const at = tinyRoot(`${folder(t)}/root`);
  const write = (path: string, data: string | Uint8Array) => {
    mkdirSync(`${at}${path.slice(0, path.lastIndexOf('/'))}`, { recursive: true });
    writeFileSync(`${at}${path}`, data);
  };
  write('/usr/share/applications/hello.desktop', entry('Name=Hello\nName[de]=Hallo\nComment=says it\nIcon=hello\nExec=/usr/bin/say "hello you" 100%% %c %U\nMimeType=text/html;\nCategories=Utility;'));
  write('/usr/bin/say', '#!/bin/sh\nfor word; do echo "<$word>"; done\n');
  chmodSync(`${at}/usr/bin/say`, 0o755);
  write('/usr/share/icons/hicolor/48x48/apps/hello.png', png(48));
  write('/opt/real.desktop', entry('Name=Linked\nExec=true'));
  mkdirSync(`${at}/usr/local/share/applications`, { recursive: true });
  symlinkSync('/opt/real.desktop', `${at}/usr/share/applications/org.linked.Program.desktop`); // as programs inside would follow it
  symlinkSync('/etc/passwd', `${at}/usr/local/share/applications/stolen.desktop`);
  const host = folder(t);
  writeFileSync(`${host}/host.desktop`, entry('Name=Of the host\nExec=true'));
  symlinkSync(`${host}/host.desktop`, `${at}/usr/local/share/applications/absolute.desktop`);
  symlinkSync(`../../../../../../../../../..${host}/host.desktop`, `${at}/usr/local/share/applications/climbing.desktop`);
  says('mkfifo', `${at}/usr/local/share/applications/pipe.desktop`);
  write('/usr/share/applications/hidden.desktop', entry('Name=Hidden\nExec=true\nNoDisplay=true'));
  write('/usr/share/applications/gone.desktop', entry('Name=Gone\nExec=true'));
  return at;
}

const person = 54321;
const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

test('what a machine offers is listed, starts from the menu of the person, and goes from there', (t) => {
  const at = root(t);
  says('tar', '--create', '--file', `${at}.tar`, '--directory', at, '.');
  create(t, 'export-menu', `[root]\ntar = "${at}.tar"\n`);
  inside('export-menu', 'rm', '/usr/share/applications/gone.desktop');
  const home = folder(t);
  says('chown', `${person}:${person}`, home);
  const env = { SUDO_UID: `${person}`, SUDO_GID: `${person}`, HOME: home };
  const run = (...words: string[]) => nestbox(['export', 'export-menu', ...words], { env });

  // Nothing of the host is seen through a link, and what was deleted in the machine is gone.
  assert.match(succeeds(run()).stdout, /^PROGRAM +IN THE MENU +NAME\nhello +- +Hello\norg\.linked\.Program +- +Linked\n$/);
  assert.match(run('helo').stderr, /offers no program 'helo'\n {2}did you mean 'hello'/);
  const files = succeeds(run('hello', 'org.linked.Program')).stdout.trim().split('\n');
  assert.deepEqual(files.map((path) => path.slice(home.length)), [
    '/.local/bin/export-menu-hello', '/.local/share/icons/hicolor/48x48/apps/nestbox.export-menu.hello.png', '/.local/share/applications/nestbox.export-menu.hello.desktop',
    '/.local/bin/export-menu-program', '/.local/share/applications/nestbox.export-menu.org.linked.Program.desktop',
  ]);
  for (const path of files) assert.equal(lstatSync(path).uid, person, path);
  const text = readFileSync(files[2]!, 'utf8');
  assert.match(text, /^Name=Hello \(export-menu\)\nName\[de\]=Hallo \(export-menu\)$/m);
  assert.match(text, /^Exec=\S+ exec --start export-menu -- \/usr\/bin\/say "hello you" 100%% Hello$/m);
  assert.doesNotMatch(text, /MimeType|%U/);
  if (existsSync('/usr/bin/desktop-file-validate')) says('desktop-file-validate', files[2]!, files[4]!);
  assert.ok(readFileSync(files[1]!).equals(Buffer.from(png(48))));
  assert.equal(JSON.parse(succeeds(run('--json')).stdout)[0].exported, true);
  // The launcher, as a person would type it; the machine does not run yet.
  assert.equal(execFileSync(files[0]!, ['more', "it's"], { encoding: 'utf8', cwd: '/', stdio: ['ignore', 'pipe', 'ignore'] }), "<hello you>\n<100%>\n<Hello>\n<more>\n<it's>\n");

  writeFileSync(`${home}/.local/bin/export-menu-other`, 'mine');
  succeeds(run('--remove', 'hello'));
  assert.deepEqual(files.map(exists), [false, false, false, true, true]);
  succeeds(run('--remove'));
  assert.deepEqual([readdirSync(`${home}/.local/share/applications`), readdirSync(`${home}/.local/bin`)], [[], ['export-menu-other']]);

  // Folders of the person lead elsewhere: it is the person who writes there, not root.
  const elsewhere = folder(t);
  rmSync(`${home}/.local/share/applications`, { recursive: true });
  symlinkSync(elsewhere, `${home}/.local/share/applications`);
  chmodSync(elsewhere, 0o755);
  const refused = run('hello');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /permission denied/);
  assert.deepEqual(readdirSync(elsewhere), []);

  rmSync(`${home}/.local/share/applications`);
  succeeds(run('hello'));
  const template = templateOf('export-menu').split('/').at(-2)!;
  assert.match(succeeds(nestbox(['rm', 'export-menu'], { env })).stderr, /in your menu still: nestbox export export-menu --remove/);
  succeeds(nestbox(['templates', '--prune', template]));
  succeeds(run('--remove'));
  assert.deepEqual([readdirSync(`${home}/.local/share/applications`), readdirSync(`${home}/.local/bin`)], [[], ['export-menu-other']], 'also when the machine is gone');
});

test('a machine is packed into one file, and is the same on another computer: owners, capabilities, attributes, access lists, what was deleted', (t) => {
  const at = root(t);
  says('cp', '/bin/busybox', `${at}/usr/bin/capable`);
  says('setcap', 'cap_net_raw=ep', `${at}/usr/bin/capable`);
  says('cp', '/bin/busybox', `${at}/usr/bin/setuid`);
  says('chown', '12:34', `${at}/usr/bin/setuid`);
  says('chmod', '6755', `${at}/usr/bin/setuid`);
  writeFileSync(`${at}/srv-file`, 'x');
  says('setfattr', '-n', 'user.note', '-v', 'kept', `${at}/srv-file`);
  says('setfacl', '-m', 'u:4321:rw', `${at}/srv-file`);
  says('tar', '--create', '--file', `${at}.tar`, '--xattrs', '--xattrs-include=*', '--acls', '--directory', at, '.');
  const name = 'export-packed';
  const file = create(t, name, `# kept\nhostname = "packed"\n\n[root]\ntar = "${at}.tar"\n\n[limits]\ntasks = 50\n`);
  inside(name, 'sh', '-ec', 'rm /usr/share/applications/gone.desktop; rm -r /opt; mkdir /opt; echo new > /opt/new; chown 5:6 /opt/new; mknod /opt/pipe p');
  const list = () => inside(name, 'sh', '-c', "find /usr /etc /opt /srv-file | sort | xargs stat -c '%n %f %u:%g %Y'");
  const before = list();
  const to = `${folder(t)}/packed.tar.zst`;
  assert.match(nestbox(['export', name, '--archive', '/tmp/x.tar']).stderr, /does not end in \.tar\.zst/);
  succeeds(nestbox(['export', name, '--archive', to]));
  assert.equal(lstatSync(to).mode & 0o777, 0o600);
  assert.match(nestbox(['export', name, '--archive', to]).stderr, /is there already/);
  assert.deepEqual(readdirSync(to.slice(0, to.lastIndexOf('/'))), ['packed.tar.zst'], 'nothing beside it');
  assert.deepEqual(list(), before);

  succeeds(nestbox(['rm', name]));
  assert.deepEqual(left(name), []);
  rmSync(file);
  succeeds(nestbox(['create', to]));
  assert.equal(readFileSync(`/etc/nestbox/${name}.toml`, 'utf8'), `name = "${name}"\nnetwork = "none"\n# kept\nhostname = "packed"\n\n[limits]\ntasks = 50\n\n[root]\ntar = "${to}"\n`);
  assert.equal(list(), before);
  assert.equal(inside(name, 'hostname'), 'packed\n');
  const made = templateOf(name);
  assert.match(says('getcap', `${made}/usr/bin/capable`), /cap_net_raw=ep/);
  assert.equal(says('getfattr', '--absolute-names', '-n', 'user.note', '--only-values', `${made}/srv-file`), 'kept');
  assert.match(says('getfacl', '-cnpE', `${made}/srv-file`), /^user:4321:rw-$/m);
  assert.equal(says('stat', '-c', '%u:%g %a', `${made}/usr/bin/setuid`).trim(), '12:34 6755');
  assert.match(nestbox(['create', `${at}.tar`]).stderr, /is no archive that nestbox export has made/);
  assert.equal(spawnSync('tar', ['--list', '--file', to], { encoding: 'utf8' }).stdout.split('\n')[0], 'nestbox-machine.toml');
});
