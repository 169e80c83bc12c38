import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commands } from '../src/cli.ts';
import { bash } from '../src/completion/bash.ts';
import { fish } from '../src/completion/fish.ts';
import { zsh } from '../src/completion/zsh.ts';
import { packages } from '../src/errors.ts';
import { manualPages, release } from './pages.ts';

/** Makes dist/nestbox_VERSION_ARCHITECTURE.deb of what scripts/build has built; or with a path, that file. Needs no root. */

const source = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(`${source}${path}`, 'utf8');
const say = (program: string, ...words: string[]): string => execFileSync(program, words, { encoding: 'utf8' }).trim();

const changelog = read('packaging/changelog');
const { version, stamp } = release(changelog);
const maintainer = /^ -- (.*>) {2}/m.exec(changelog)![1]!;
const architecture = say('dpkg', '--print-architecture');

/** What every machine needs, what most of them do; and all other packages with a program that nestbox may run. */
const depends = ['libc6 (>= 2.28)', 'nodejs (>= 18)', 'systemd-container', 'iproute2', 'mount', 'nftables'];
const recommends = ['mmdebstrap', 'xserver-xephyr', 'xvfb', 'zstd'];
const essential = ['coreutils', 'findutils', 'gzip', 'systemd', 'tar', 'util-linux', 'nestbox'];
const named = [...depends, ...recommends].map((word) => word.split(' ')[0]!);
const suggests = [...new Set(Object.values(packages).flatMap((words) => words.split(' ')))].filter((name) => ![...essential, ...named].includes(name)).sort();

/** Libraries whose text is in the program. */
const bundled = { 'smol-toml': 'BSD-3-Clause', valibot: 'MIT', yaml: 'ISC' };

const root = mkdtempSync(`${tmpdir()}/nestbox-package.`);
const folder = (path: string) => mkdirSync(`${root}/${path}`, { recursive: true });

function write(path: string, text: string, mode = 0o644): void {
  folder(dirname(path));
  writeFileSync(`${root}/${path}`, text);
  chmodSync(`${root}/${path}`, mode);
}

function copy(from: string, to: string, mode = 0o644): void {
  folder(dirname(to));
  copyFileSync(`${source}${from}`, `${root}/${to}`);
  chmodSync(`${root}/${to}`, mode);
}

function link(path: string, to: string): void {
  folder(dirname(path));
  symlinkSync(to, `${root}/${path}`);
}

/** As gzip -9n does it: without a name or a time, so that the same text is the same file. */
const packed = (path: string) => say('gzip', '-9n', `${root}/${path}`);

function program(): void {
  for (const name of ['nestbox.cjs', 'nestbox-native']) copy(`dist/${name}`, `usr/lib/nestbox/dist/${name}`, 0o755);
  copy('dist/become.node', 'usr/lib/nestbox/dist/become.node');
  say('strip', '--strip-all', '--remove-section=.comment', '--remove-section=.note', `${root}/usr/lib/nestbox/dist/nestbox-native`);
  say('strip', '--strip-unneeded', '--remove-section=.comment', '--remove-section=.note', `${root}/usr/lib/nestbox/dist/become.node`);
  copy('dist/program.cjs', 'usr/lib/nestbox/dist/program.cjs');
  copy('scripts/cache.cjs', 'usr/lib/nestbox/scripts/cache.cjs');
  link('usr/lib/nestbox/dist/nestbox', 'nestbox-native');
  link('usr/bin/nestbox', '../lib/nestbox/dist/nestbox');
}

function papers(): void {
  for (const [path, text] of Object.entries(manualPages(changelog))) {
    const at = `usr/share/man/${path}`;
    const to = /^\.so man\d\/(.*)\n$/.exec(text)?.[1];
    if (to) link(`${at}.gz`, `${to}.gz`);
    else {
      write(at, text);
      packed(at);
    }
  }
  write('usr/share/bash-completion/completions/nestbox', bash(commands));
  write('usr/share/zsh/vendor-completions/_nestbox', zsh(commands));
  write('usr/share/fish/vendor_completions.d/nestbox.fish', fish(commands));
  for (const name of ['examples', 'schema']) for (const file of readdirSync(`${source}${name}`)) copy(`${name}/${file}`, `usr/share/nestbox/${name}/${file}`);
  const doc = 'usr/share/doc/nestbox';
  for (const file of readdirSync(`${source}docs`).filter((name) => name.endsWith('.md'))) copy(`docs/${file}`, `${doc}/docs/${file}`);
  for (const file of readdirSync(`${source}docs/pictures`)) copy(`docs/pictures/${file}`, `${doc}/docs/pictures/${file}`);
  copy('README.md', `${doc}/README.md`);
  link(`${doc}/examples`, '../../nestbox/examples');
  write(`${doc}/changelog`, changelog);
  packed(`${doc}/changelog`);
  const indented = (text: string) => text.trim().split('\n').map((line) => ` ${line.trim() || '.'}`).join('\n');
  const licence = (name: string) => read(`node_modules/${name}/${readdirSync(`${source}node_modules/${name}`).find((file) => /^LICEN[CS]E/.test(file))!}`);
  const holder = (text: string) => (/^\s*copyright\b.*$/im.exec(text)![0]).trim().replace(/^copyright (\(c\) )?/i, '');
  write(`${doc}/copyright`, `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: ${holder(read('LICENSE'))}
License: MIT-nestbox
${indented(read('LICENSE'))}
${Object.entries(bundled).map(([name, kind]) => `
Files: usr/lib/nestbox/dist/program.cjs
Comment: ${name} is a part of it.
Copyright: ${holder(licence(name))}
License: ${kind}-${name}
${indented(licence(name))}
`).join('')}`);
  write('usr/share/lintian/overrides/nestbox', read('packaging/lintian-overrides'));
}

/** Paths of all files, sorted. */
const filesBelow = (at = ''): string[] => readdirSync(`${root}/${at}`).sort().flatMap((name) => {
  const path = at ? `${at}/${name}` : name;
  const stat = lstatSync(`${root}/${path}`);
  return stat.isDirectory() ? filesBelow(path) : stat.isFile() ? [path] : [];
});

function control(): void {
  const files = filesBelow();
  const size = files.reduce((sum, path) => sum + Math.ceil(statSync(`${root}/${path}`).size / 1024), 0);
  const sums = files.map((path) => `${createHash('md5').update(readFileSync(`${root}/${path}`)).digest('hex')}  ${path}\n`).join('');
  for (const name of ['postinst', 'prerm', 'postrm']) copy(`packaging/${name}`, `DEBIAN/${name}`, 0o755);
  copy('packaging/triggers', 'DEBIAN/triggers');
  write('DEBIAN/md5sums', sums);
  write('DEBIAN/control', `Package: nestbox
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${size}
Depends: ${depends.join(', ')}
Recommends: ${recommends.join(', ')}
Suggests: ${suggests.join(', ')}
Built-Using: glibc (= ${say('dpkg-query', '-W', '-f', '${source:Version}', 'libc6-dev')})
Section: admin
Priority: optional
Description: graphical programs and whole systems in containers, from one file
 One file describes a machine: where its root file system comes from, what
 it may see, hear and touch on this computer, and what runs in it. nestbox
 turns that file into a running container of systemd-nspawn, and takes
 everything back when it ends.
 .
 It runs programs that are not trusted with a display and sound of their
 own, desktops on virtual terminals of their own, and images of systems for
 other processors.
`);
}

/** Builds it. */
function build(to: string): void {
  chmodSync(root, 0o755);
  program();
  papers();
  control();
  execFileSync('find', [root, '-type', 'd', '-exec', 'chmod', '0755', '{}', '+']);
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', root, to], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, SOURCE_DATE_EPOCH: `${Date.parse(stamp) / 1000}` } });
  console.log(to);
}

try {
  build(process.argv[2] ?? `${source}dist/nestbox_${version}_${architecture}.deb`);
} finally {
  rmSync(root, { recursive: true, force: true });
}
