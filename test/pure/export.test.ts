import assert from 'node:assert/strict';
import test from 'node:test';
import { isArchiveName, packing, withArchive, withoutRoot } from '../../src/archives.ts';
import { entryOf, execWord, iconPaths, iconPlace, isId, isLauncherOf, launcherOf, readProgram } from '../../src/desktop.ts';
import { encodePng } from '../../src/png.ts';
import { splitWords } from '../../src/words.ts';

const program = (exec: string, more = '') => readProgram('id', `# a comment\n[Desktop Entry]\nType=Application\nName=A program\nExec=${exec}\n${more}\n[Desktop Action x]\nExec=evil\nName=Evil\n`);

test('the command line of a desktop entry is read as menus read it', () => {
  for (const [exec, argv] of [
    ['firefox %u', ['firefox']], ['"/opt/My App/run" --x', ['/opt/My App/run', '--x']], ['sh -c "echo \\\\$HOME \\\\"x\\\\" \\\\`y\\\\`"', ['sh', '-c', 'echo $HOME "x" `y`']],
    ['a 50%% %c --name=%c %k %F %d', ['a', '50%', 'A program', '--name=A program']], ['a %i', ['a']], ['env A=b c', ['env', 'A=b', 'c']], ['a\\sb', ['a', 'b']],
  ] as const) assert.deepEqual(program(exec)?.argv, argv, exec);
  assert.deepEqual(program('a %i', 'Icon=x')?.argv, ['a', '--icon', 'x']);
  for (const exec of ['', '"not closed', '%u', 'a "x\\ny"']) assert.equal(program(exec), null, exec);
});

test('what is no program, or is not to be shown, is none; nothing of a root becomes a line of its own', () => {
  for (const more of ['NoDisplay=true', 'Hidden=true', 'Type=Link']) assert.equal(program('a', more), null, more);
  assert.equal(readProgram('id', 'Name=x\nExec=a\n'), null);
  assert.equal(readProgram('../id', '[Desktop Entry]\nType=Application\nName=x\nExec=a\n'), null);
  assert.ok(!isId('-x') && !isId('a/b') && !isId('.hidden') && !isId('') && isId('org.gnome.Text_Editor-2'));
  const hostile = program('a', 'Comment=x\u0001\nName[de\nExec=evil\nName[x]=\u0085y\nKeywords=fine;\nX-Evil=1\nMimeType=text/html')!;
  const text = entryOf('steam', hostile, ['/usr/bin/nestbox'], false);
  assert.equal(text, '[Desktop Entry]\nType=Application\nName=A program (steam)\nKeywords=fine;\nExec=/usr/bin/nestbox exec --start steam -- evil\nX-Nestbox-Machine=steam\n');
});

test('what is quoted is read as it was: by a menu, and by a shell', () => {
  for (const word of ['a', 'two words', '"', "it's", '$HOME', '`id`', 'back\\slash', '\\', '100%', '%u', '', '*?#~&;|<>()', 'ä€', 'a=b']) {
    assert.deepEqual(program(`x ${execWord(word)}`)?.argv, ['x', word], word);
    const launcher = launcherOf('steam', { ...program('x')!, argv: ['x', word] }, ['/usr/bin/nestbox']);
    assert.deepEqual(splitWords(launcher.split('\n')[2]!), ['exec', '/usr/bin/nestbox', 'exec', '--start', 'steam', '--', 'x', word, '$@']);
    assert.ok(isLauncherOf('steam', launcher) && !isLauncherOf('stea', launcher));
  }
});

test('an icon is looked for where themes have it, and is told by its first bytes', () => {
  assert.deepEqual(iconPaths('/opt/x.png'), ['/opt/x.png']);
  assert.deepEqual(iconPaths('a/b'), []);
  assert.equal(iconPaths('x')[0], '/usr/share/icons/hicolor/scalable/apps/x.svg');
  assert.deepEqual([16, 50, 1000].map((size) => iconPlace(encodePng({ width: size, height: size, rgb: Buffer.alloc(size * size * 3) }))?.folder), ['16x16/apps', '48x48/apps', '512x512/apps']);
  assert.deepEqual(iconPlace(Buffer.from('<?xml version="1.0"?><svg/>')), { folder: 'scalable/apps', end: '.svg' });
  for (const other of ['/* XPM */', '', 'GIF89a', '#!/bin/sh']) assert.equal(iconPlace(Buffer.from(other)), null);
});

test('a machine file is cut off its root, and is given another', () => {
  const text = '# mine\nname = "a" # yes\n\n[root]\ndebian = "bookworm"\npackages = [\n  "x",\n]\n\n[display.nested]\nsize = "800x600"\n';
  assert.equal(withoutRoot(text, 'f'), '# mine\nname = "a" # yes\n\n[display.nested]\nsize = "800x600"\n');
  assert.equal(withArchive('name = "a"\n', '/a "b".tar.zst'), 'name = "a"\n\n[root]\ntar = "/a \\"b\\".tar.zst"\n');
  for (const odd of ['name = "a"\nroot = { debian = "x" }\n', 'name = "a"\nroot.debian = "x"\n', 'name = "a"\n[root]\npackages = [\n"x",\n[ "y" ],\n]\n', "name = '''\n[root]\n'''\n[root]\ndebian = 'x'\n"])
    assert.throws(() => withoutRoot(odd, 'f'), /f: its \[root\] cannot be told from the rest/, odd);
  assert.deepEqual(['a.tar.zst', 'a.tar', 'a.tgz', 'a.toml', 'a', 'a.img.xz'].map(isArchiveName), [true, true, true, false, false, false]);
  assert.deepEqual(packing('/root', '/beside').slice(-8), ['--anchored', '--exclude=./nestbox-machine.toml', '--directory', '/beside', 'nestbox-machine.toml', '--directory', '/root', '.']);
});
