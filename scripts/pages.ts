import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, commands } from '../src/cli.ts';
import { kept } from '../src/elevation.ts';
import { type Group, groups } from '../src/groups.ts';
import { roots } from '../src/roots/index.ts';
import { topics, values } from '../src/grants/index.ts';
import { introduction, type Key, sections } from './manual.ts';
import { entry, examples, page, paragraph, plain, section, sentence, subsection, synopsis } from './roff.ts';

/** Writes the manual pages below dist/man: one for the command, one for the machine file, one for each group of commands, and a reference to that for each command. */

const here = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** The newest entry of packaging/changelog: the package, the manual pages and the program have the same version. */
export function release(changelog: string): { version: string; date: string; stamp: string } {
  const version = /^nestbox \(([^)]+)\)/.exec(changelog)?.[1];
  const stamp = /^ -- .*> {2}(.*)$/m.exec(changelog)?.[1];
  if (!version || !stamp) throw new Error('packaging/changelog does not begin with an entry: deb-changelog(5)');
  return { version, date: new Date(stamp).toISOString().slice(0, 10), stamp };
}

const capital = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}.`;

const usage = (name: string, { takes, options }: Command): string => `\\fBnestbox ${plain(name)}\\fR${Object.keys(options).length > 0 ? ' [\\fIOPTION\\fR]...' : ''}${takes === '' ? '' : ` ${synopsis(takes)}`}`;

function ofCommand(name: string, command: Command, lines: readonly (readonly [string, string])[]): string {
  const options = Object.entries(command.options).map(([option, { short, takes, does }]) =>
    entry(`${short ? `\\fB\\-${short}\\fR, ` : ''}\\fB\\-\\-${plain(option)}\\fR${takes ? ` \\fI${plain(takes)}\\fR` : ''}`, capital(does)));
  return [subsection(name), `.PP\n${usage(name, command)}`, paragraph(capital(command.does)), ...options, ...(lines.length > 0 ? ['.PP\nFor example:', '.RS', examples(lines), '.RE'] : [])].join('\n');
}

const others = (but: string): string => [...(but === '' ? [] : ['nestbox(1)']), ...groups.filter(({ name }) => name !== but).map(({ name }) => `nestbox\\-${name}(1)`), 'nestbox.toml(5)', 'systemd\\-nspawn(1)', 'machinectl(1)'].map((name) => name.replace(/^(.*)(\(\d\))$/, '\\fB$1\\fR$2')).join(',\n');

const groupPage = ({ name, title, about, commands: own }: Group, date: string, version: string): string => page(
  `nestbox-${name}`, 1, date, version,
  section('name'), `${[`nestbox-${name}`, ...Object.keys(own).map((command) => `nestbox-${command}`)].map(plain).join(', ')} \\- ${sentence(title)}`,
  section('synopsis'), Object.keys(own).map((command) => usage(command, commands[command]!)).join('\n.br\n'),
  section('description'), sentence(about),
  section('commands'), ...Object.entries(own).map(([command, lines]) => ofCommand(command, commands[command]!, lines)),
  section('see also'), others(name),
);

const commandPage = (date: string, version: string): string => page(
  'nestbox', 1, date, version,
  section('name'), 'nestbox \\- graphical and sounding programs, desktops and foreign systems in containers',
  section('synopsis'), '\\fBnestbox\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]...',
  section('description'), sentence('One file describes a machine: where its root file system comes from, what it may see, hear and touch on this computer, and what runs in it. nestbox turns that file into a running container, and takes everything back when it ends.'),
  paragraph('What is not said in the file is not given to the machine. `nestbox plan` prints what would be done, and nestbox.toml(5) has every word of the file.'),
  ...groups.flatMap(({ name, title, commands: own }) => [
    section(title),
    paragraph(`These are told of in full in nestbox-${name}(1).`),
    ...Object.keys(own).map((command) => entry(`\\fB${plain(command)}\\fR${commands[command]!.takes === '' ? '' : ` ${synopsis(commands[command]!.takes)}`}`, capital(commands[command]!.does))),
  ]),
  section('options'), entry('\\fB\\-\\-help\\fR, \\fB\\-h\\fR', 'The commands; after a command: its options, and examples.'), entry('\\fB\\-\\-version\\fR', 'The version.'), entry('\\fB\\-\\-stack\\fR', 'Before the command: show where in the program an error came from.'),
  entry('\\fB\\-\\-keep\\fR \\fINAME\\fR=\\fIVALUE\\fR', `Before the command: what nestbox tells itself of the session when it asks for root by \`pkexec\` or \`sudo\`: ${kept.map((name) => `\`${name}\``).join(', ')}, and \`PWD\`. Others are left out.`),
  section('exit status'), sentence('That of the program where one is run (`run`, `exec`); otherwise 0, or 1 after a complaint. `status` ends with 3 where the machine does not run.'),
  section('files'), entry('\\fB/etc/nestbox/\\fR\\fINAME\\fR\\fB.toml\\fR', 'Machine files that commands take by name.'), entry('\\fB/var/lib/nestbox\\fR', 'Roots, and the ways back of what machines have changed.'), entry('\\fB/run/nestbox\\fR', 'What machines have for a run.'),
  section('examples'), examples(groups.flatMap(({ commands: own }) => Object.values(own).map((lines) => lines[0]!)).slice(0, 8)),
  section('see also'), others(''),
);

const keyEntry = ({ key, value, absent, does }: Key): string => `.TP\n\\fB${plain(key)}\\fR (${sentence(value)}${absent === '' ? '' : absent === 'must be there' ? '; must be there' : `; ${sentence(absent)} if absent`})\n${sentence(does)}`;

const filePage = (date: string, version: string): string => page(
  'nestbox.toml', 5, date, version,
  section('name'), 'nestbox.toml \\- what a machine of nestbox is',
  section('synopsis'), '\\fB/etc/nestbox/\\fR\\fINAME\\fR\\fB.toml\\fR',
  section('description'), sentence(introduction.join('\n')),
  paragraph(`Topics: ${Object.keys(topics).map((topic) => `\`${topic}\``).join(', ')}; lists and tables: ${Object.keys(values).map((name) => `\`${name}\``).join(', ')}; sources of roots: ${Object.keys(roots).map((root) => `\`${root}\``).join(', ')}. \`nestbox help\` tells of each, as in \`nestbox help display.nested\`.`),
  '.PP\n.EX\nname    = \\(dqsteam\\(dq\ndisplay = \\(dqnested\\(dq\naudio   = \\(dqplayback\\(dq\nrun     = \\(dqsteam\\(dq\n\n[root]\ndebian   = \\(dqbookworm\\(dq\npackages = [\\(dqsteam\\-installer\\(dq]\n.EE',
  ...sections().flatMap(({ level, title, before, keys, after }) => [level === 2 ? section(title.replaceAll('`', '').replace(/:.*/, '')) : subsection(title), ...(level === 2 && title.includes(': ') ? [paragraph(capital(title.replace(/^.*?: /, '')))] : []), ...before.map(paragraph), ...keys.map(keyEntry), ...after.map(paragraph)]),
  section('see also'), '\\fBnestbox\\fR(1)',
);

/** Paths below a folder of manuals, and what is there. */
export function manualPages(changelog: string): Record<string, string> {
  const { version, date } = release(changelog);
  return {
    'man1/nestbox.1': commandPage(date, version), 'man5/nestbox.toml.5': filePage(date, version),
    ...Object.fromEntries(groups.flatMap((group) => [
      [`man1/nestbox-${group.name}.1`, groupPage(group, date, version)] as const,
      ...Object.keys(group.commands).filter((command) => command !== group.name).map((command) => [`man1/nestbox-${command}.1`, `.so man1/nestbox-${group.name}.1\n`] as const),
    ])),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  rmSync(here('dist/man'), { recursive: true, force: true });
  for (const [path, text] of Object.entries(manualPages(readFileSync(here('packaging/changelog'), 'utf8')))) {
    mkdirSync(dirname(here(`dist/man/${path}`)), { recursive: true });
    writeFileSync(here(`dist/man/${path}`), text);
  }
}
