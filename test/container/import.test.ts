import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readShell } from '../../src/import/shell.ts';
import { nestbox } from '../nestbox.ts';
import { comparedExamples, difference, hostOf } from '../pure/again.ts';
import { exampleText, hostNames } from '../pure/hosts.ts';
import { chance, machineText } from '../pure/machines.ts';

/** The command as people use it, and more machines than ring 1 has the time for. */

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'nestbox-import-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('each example is the same on each host when it is rendered, imported and rendered again', () => {
  for (const name of hostNames) {
    const host = hostOf(name);
    for (const example of comparedExamples) assert.equal(difference(exampleText(example), host) ?? '', '', `${example} on ${name}`);
  }
});

test('a thousand machines that nobody has thought of are the same after it', () => {
  let compared = 0;
  const hosts = ['laptop', 'debian12', 'raspberry-pi', 'rolling'].map(hostOf);
  for (let seed = 1; compared < 1000; seed++) {
    const found = difference(machineText(seed), hosts[seed % hosts.length]!);
    if (found === null) continue;
    compared++;
    assert.equal(found, '', `machine ${seed}: ${found}`);
    assert.ok(seed < 5000, 'most of the machines are refused');
  }
});

test('the command reads files, its input and a command line, and writes no file over another', (t) => {
  const folder = scratch(t);
  const script = join(folder, 'old.sh');
  const witness = join(folder, 'was-run');
  writeFileSync(script, `#!/bin/sh\ntouch ${witness}\nX=$(touch ${witness})\n\`touch ${witness}\`\nsystemd-nspawn -D /srv/$(touch ${witness}) -b -M old --bind=/srv\n`, { mode: 0o755 });
  const read = nestbox(['import', script]);
  assert.equal(read.status, 0, read.stderr);
  assert.match(read.stdout, /^name += "old"$/m);
  assert.match(read.stdout, /old\.sh:5: -D \/srv\/\$\(touch .*\n# +what \$\(touch .* is cannot be known without running it/);
  assert.equal(existsSync(witness), false, 'a command of the script was run');

  assert.match(nestbox(['import', '-'], { input: '[Exec]\nBoot=yes\nPrivateUsers=no\n' }).stdout, /^users += "host"$/m);
  assert.match(nestbox(['import', '--', 'sudo', 'systemd-nspawn', '-D', '/srv/x', '-b', '--bind', '/srv']).stdout, /^files += \[\{ path = "\/srv", write = true \}\]$/m);
  assert.match(nestbox(['import', 'systemd-nspawn -D /srv/x -b # as I have noted it']).stdout, /^directory = "\/srv\/x"$/m);

  const out = join(folder, 'old.toml');
  assert.equal(nestbox(['import', script, '--output', out]).status, 0);
  assert.match(nestbox(['plan', out]).stderr + nestbox(['plan', out]).stdout, /\/var\/lib\/machines\/old/); // it is a machine file, whose root is not there
  const again = nestbox(['import', script, '-o', out]);
  assert.deepEqual([again.status, again.stderr], [1, `nestbox: cannot write ${out}: it is there already\n  name another file, or move that one away\n`]);
});

test('a file with several machines becomes as many files, or the one that is named', (t) => {
  const folder = scratch(t);
  const boxes = join(folder, 'distrobox.ini');
  writeFileSync(boxes, '[one]\nimage=debian:12\n[two]\nimage=archlinux\n');
  const both = nestbox(['import', boxes]);
  assert.equal(both.status, 1);
  assert.match(both.stderr, /there are 2 machines in .*distrobox\.ini, and a machine file is for one\n {2}--name one, two; or --output FOLDER/);
  assert.match(nestbox(['import', boxes, '--name', 'two']).stdout, /^arch = true$/m);
  mkdirSync(join(folder, 'out'));
  assert.equal(nestbox(['import', boxes, '-o', join(folder, 'out')]).status, 0);
  assert.deepEqual(readdirSync(join(folder, 'out')).sort(), ['one.toml', 'two.toml']);
  const facts = JSON.parse(nestbox(['import', boxes, '--name', 'one', '--json']).stdout) as { way: string; network: { value: { kind: string } } }[];
  assert.deepEqual(facts.map(({ way, network }) => [way, network.value.kind]), [['distrobox', 'host']]);
});

test('what is no such file is told', (t) => {
  const folder = scratch(t);
  const file = join(folder, 'notes');
  writeFileSync(file, 'nothing of that\n');
  assert.match(nestbox(['import', file]).stderr, /notes: this is nothing that nestbox import knows\n {2}it reads a \.nspawn file, a unit, /);
  assert.match(nestbox(['import', join(folder, 'absent.nspawn')]).stderr, /cannot read .*absent\.nspawn: it does not exist/);
  assert.match(nestbox(['import', '/dev/zero']).stderr, /\/dev\/zero is (too large to be a configuration|no text)/);
  assert.match(nestbox(['import', folder]).stderr, /is a folder\n {2}name the files in it/);
  assert.match(nestbox(['import']).stderr, /what is to be read\?/);
  assert.match(nestbox(['import', file, '--as', 'tar']).stderr, /'tar' is nothing that nestbox import knows\n {2}--as nspawn, unit, shell, lxc, distrobox/);
});

test('a script has the words that a shell makes of it', () => {
  const pieces = ['a', '"b c"', "'d  e'", '\\ ', '$A.', '"$A"', '${A}', '${B:-x y}', '"${B:-x  y}"', "${C:+z}", '${C:-no}', '"${A:-no}"', '\\$A', '"\\$A \\\\ \\" \\a"', "it\\'s", 'x=1', 'n#o', '""', "''", '"$A"b', '${E}', '"${E-unset} ${E:-empty}"', '\\\n  ', "'\n'", '{}', ',', '%'];
  const next = chance(7);
  const one = () => pieces[Math.floor(next() * pieces.length)]!;
  const lines = Array.from({ length: 1500 }, () => Array.from({ length: 1 + Math.floor(next() * 4) }, () => Array.from({ length: 1 + Math.floor(next() * 4) }, one).join('')).join(' '));
  const head = 'A="1  2"\nC=ok\nE=\n';
  const sh = spawnSync('/bin/sh', ['-s'], { input: `set -f\n${head}${lines.map((line) => `printf '%s\\0' P ${line}; printf '\\001'\n`).join('')}`, encoding: 'utf8' });
  const wanted = sh.stdout.split('\u0001').slice(0, -1).map((words) => words.split('\0').slice(0, -1));
  assert.equal(wanted.length, lines.length, sh.stderr);
  for (const [i, line] of lines.entries()) {
    const { settings } = readShell(`${head}systemd-nspawn -D /srv -- P ${line}\n`, 'words.sh');
    const words = settings.find((setting) => setting.what === 'words');
    assert.deepEqual(words?.words, wanted[i], line);
  }
});
