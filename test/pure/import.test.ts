import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { imported, readArguments, readForeign, type Source } from '../../src/import.ts';
import { readSpec } from '../../src/spec.ts';
import { splitWords } from '../../src/words.ts';
import { hostOf, render } from './again.ts';
import { here } from './hosts.ts';

/**
 * import/NAME.txt: texts as people have them, each below a line `>>> PATH`, or a command line behind `$`; below `<<<` the machine file that comes
 * of it. UPDATE_GOLDEN=1 writes that anew: read the difference.
 */

const folder = here('import/');
const names = readdirSync(folder).filter((name) => name.endsWith('.txt')).sort();

interface Case {
  sources: Source[];
  command: string[] | null;
  given: string;
  expected: string;
}

function readCase(name: string): Case {
  const [given = '', expected = ''] = readFileSync(new URL(name, folder), 'utf8').split(/^<<<\n/m);
  const parts = given.split(/^>>> (.*)\n/m).slice(1);
  const sources = parts.flatMap((file, i) => (i % 2 === 0 ? [{ file, text: parts[i + 1]! }] : []));
  return { sources, command: given.startsWith('$ ') ? splitWords(given.slice(2)) : null, given, expected };
}

const circumstances = { folder: '/home/carol', name: null };

const machinesOf = ({ sources, command }: Case): string[] =>
  command ? [imported(readArguments(command), ['a command line'], circumstances).text] : readForeign(sources).map((foreign) => imported(foreign, sources.map(({ file }) => file), circumstances).text);

test('what people have becomes the machine file that is expected', () => {
  const differing: string[] = [];
  for (const name of names) {
    const one = readCase(name);
    const found = machinesOf(one).join('');
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(new URL(name, folder), `${one.given}<<<\n${found}`);
    else if (found !== one.expected) differing.push(`${name}: line ${found.split('\n').findIndex((line, i) => line !== one.expected.split('\n')[i]) + 1} of the machine file`);
  }
  assert.deepEqual(differing, [], 'UPDATE_GOLDEN=1 writes them anew');
  assert.ok(names.length >= 40, `${names.length} texts`);
});

test('each of them is a machine file that nestbox takes', () => {
  for (const name of names) for (const text of machinesOf(readCase(name))) assert.ok(readSpec(text, name).name, name);
});

/** The settings of files of systemd, read in a plain way: a list of words is the same in one line or in several. */
function plainSettings(text: string): { key: string; values: string[]; line: number }[] {
  const lists = ['Capability', 'SystemCallFilter', 'DeviceAllow'];
  return text.split('\n').flatMap((line, i) => {
    const [, key, value] = /^(\w+)=(.+)$/.exec(line) ?? [];
    return key ? [{ key, values: lists.includes(key) ? value!.split(' ') : [value!], line: i + 1 }] : [];
  });
}

/** What a machine has by itself, or says in another way. */
const same: Record<string, (value: string) => string[]> = {
  Port: (value) => [/^(tcp|udp):/.test(value) ? value : `tcp:${value}`].map((port) => (port.split(':').length === 3 ? port : `${port}:${port.split(':')[1]}`)),
  Boot: (value) => [/^(yes|true|1|on)$/.test(value) ? 'yes' : 'no'],
  MemoryMax: (value) => [`${Number.parseInt(value, 10) * 2 ** 30}`],
};
same.Private = same.Boot!;
same.VirtualEthernet = same.Boot!;

test('what a .nspawn file and its drop-in say is in the files of the machine, or the machine file tells why not', () => {
  const host = hostOf('laptop');
  const nodes = ['/dev/tty8', '/dev/tty7', '/dev/fb0', '/dev/kvm', '/dev/dri/renderD128', '/dev/loop-control', '/dev/sdb'];
  const known = { ...host, networkd: true, nodes: { ...host.nodes, ...Object.fromEntries(nodes.map((path) => [path, { type: 'c' as const, major: 240, minor: nodes.indexOf(path), uid: 0, gid: 0, mode: 0o660 }])) }, deviceClasses: [...host.deviceClasses, { type: 'b' as const, major: 7, name: 'loop' }] };
  let checked = 0;
  for (const name of names.filter((one) => /^nspawn-(boot|old|new|work|bound|escapes|continued|network|bridge|zone|mistakes|sockets)|^unit-device/.test(one))) {
    const one = readCase(name);
    const [machine] = machinesOf(one);
    const files = render(machine!, known);
    const ours = plainSettings(files.filter(({ path }) => /\.nspawn$|nestbox\.conf$/.test(path)).map(({ text }) => text).join('\n'));
    const all = (key: string) => ours.filter((setting) => setting.key === key).flatMap(({ values }) => values);
    for (const { file, text } of one.sources)
      for (const { key, values, line } of plainSettings(text.replace(/ \\\n(?:[#;].*\n)*\s*/g, ' ').replace(/^Environment=A=1\nEnvironment=$/m, ''))) {
        // By its text: in a continued line the number is that of the first.
        if (machine!.includes(`${file}:${line}: ${key}=`) || machine!.includes(`: ${key}=${values.join(' ')}`)) continue;
        checked++;
        if (key === 'Bind' || key === 'BindReadOnly') {
          const to = values[0]!.replace(/\\:/g, '\u0000').split(':').slice(0, 2).at(-1)!.replaceAll('\u0000', '\\:');
          const seen = [...all('Bind'), ...(key === 'BindReadOnly' ? all('BindReadOnly') : [])];
          assert.ok(seen.some((bind) => bind.endsWith(`:${to}`) || (to.startsWith('/dev/') && bind.includes(`:${to}/`))) || (to.startsWith('/dev/') && all('DeviceAllow').some((rule) => rule.startsWith('char-'))), `${name}: ${key}=${values[0]}`);
        } else if (key === 'PrivateUsers') assert.equal(all(key)[0] === 'no', values[0] === 'no', name);
        else if (key === 'PrivateUsersChown') assert.deepEqual(all('PrivateUsersOwnership'), ['off'], name);
        else if (key === 'PrivateUsersOwnership') assert.deepEqual(all(key), ['map'], name);
        else if (key === 'Environment' && values[0]!.startsWith('SYSTEMD_')) assert.ok(all(key).includes(values[0]!), name);
        else if (key === 'Environment') for (const word of values[0]!.match(/"[^"]*"|\S+/g)!) assert.ok(all(key).includes(word), `${name}: ${word}`);
        else if (key === 'Volatile') assert.ok(/^ephemeral = true$|^ephemeral +=/m.test(machine!), name);
        else if (key === 'DeviceAllow') assert.ok(all(key).includes(values[0]!), `${name}: ${values[0]}`);
        else for (const value of values.flatMap((word) => same[key]?.(word) ?? [word])) assert.ok(all(key).includes(value), `${name}: ${key}=${value}, and not ${all(key)}`);
      }
  }
  assert.ok(checked > 40, `${checked} settings were looked for`);
});

test('the example of the manual is one of them', () => {
  const indented = (text: string) => text.trimEnd().replace(/^(?=.)/gm, '    ');
  const manual = readFileSync(new URL('../../../docs/import.md', folder), 'utf8');
  const { sources, expected } = readCase('docs-example.txt');
  assert.ok(manual.includes(indented(sources[0]!.text)) && manual.includes(indented(expected)));
});

test('the machine file of the manual for those who come from a chroot is one', () => {
  const [, block] = /## From a chroot\n\n((?: {4}.*\n|\n)+)/.exec(readFileSync(new URL('../../../docs/coming-from.md', folder), 'utf8')) ?? [];
  assert.equal(readSpec(block!.replace(/^ {4}/gm, ''), 'old.toml').name, 'old');
});

test('a line that is told of thousands of times takes no memory each time', () => {
  const text = `[Exec]\nSystemCallFilter=${'é rer=~@swap '.repeat(4000)}\n`;
  const before = process.resourceUsage().maxRSS;
  const [foreign] = readForeign([{ file: 'a.nspawn', text }], null);
  assert.match(imported(foreign!, ['a.nspawn'], { folder: '/', name: null }).text, /~@swap: it is allowed and refused|expected the name of a system call/);
  assert.ok(process.resourceUsage().maxRSS - before < 200_000, `${process.resourceUsage().maxRSS - before} KiB more`);
});

test('the tag of an image is a word of the table, and no property that every table has', () => {
  const [foreign] = readForeign([{ file: 'distrobox.ini', text: '[box]\nimage=debian:__proto__\n' }], null);
  assert.match(imported(foreign!, ['distrobox.ini'], { folder: '/', name: null }).text, /__proto__/);
});
