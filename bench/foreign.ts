// scripts/bench foreign [--rounds N] [--json] [compilers] [python] [trees]
// compilers, python: apt-get install in a Debian for arm64, from a folder of packages: [foreign] native = false beside true.
// trees: what both have written, compared file by file.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { nativeName } from '../src/foreign/binfmt.ts';
import { differing, hasTimes, treeOf } from '../test/trees.ts';
import { inFolder, machineFile, nestbox, planned, remove } from './machines.ts';
import { type Measured, measure, must, options, report, type Variant } from './measure.ts';

const { rounds, json, words } = options();
const sets: Record<string, string[]> = {
  /** Many bytes, few scripts. */
  compilers: ['build-essential', 'git'],
  /** A third of the time is Python's, which compiles its modules, and is emulated either way. */
  python: ['python3', 'less', 'file'],
};
const parts = words.length > 0 ? words : [...Object.keys(sets), 'trees'];
const architecture = 'arm64';
if (nativeName({ architecture: must(['uname', '-m']).stdout.trim() }) === architecture) throw new Error(`this computer is for ${architecture} itself: nothing would be emulated`);

const inside = (...argv: string[]): string[] => ['env', 'DEBIAN_FRONTEND=noninteractive', ...argv];
/** The disk is the same for both, and on a busy computer takes longer than all else: dpkg does not wait for it, as when nestbox builds a root. */
const install = (packages: string[], ...more: string[]): string[] => inside('apt-get', 'install', '-y', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-unsafe-io', ...more, ...packages);

/** Runs its arguments, and writes down the nanoseconds that they took, and their processor time as sh has it: times of POSIX, "0m1.234s" each, of the shell and of what it has run. */
const timed = 'began=$(date +%s%N); "$@"; ended=$(date +%s%N); { echo $((ended - began)); times; } > /srv/times/times';

/** Milliseconds of both. */
function timesIn(text: string): [clock: number, processor: number] {
  const [clock, , children] = text.split('\n');
  const used = [...children!.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
  return [Number(clock) / 1e6, used * 1e3];
}

await inFolder((folder) => {
  const debian = machineFile(folder, 'nestbox-bench-arm64', `[root]\ndebian = "bookworm"\narchitecture = "${architecture}"\n`);
  must(nestbox('create', debian));
  const { lower } = planned('overlay', debian)[0]!;
  try {
    for (const [name, packages] of Object.entries(sets)) if (parts.includes(name) || (name === 'compilers' && parts.includes('trees'))) one(folder, name, packages, lower);
  } finally {
    must(nestbox('rm', 'nestbox-bench-arm64'));
  }
});

function one(folder: string, name: string, packages: string[], lower: string): void {
  const root = `${folder}/${name}`;
  must(['cp', '-a', lower, root]);
  const from = fetched(folder, name, packages, root);
  const out = `${folder}/${name}-times`;
  mkdirSync(out);
  const files = `files = [{ path = "${from}", to = "/srv/packages" }, { path = "${out}", to = "/srv/times", write = true }]\n`;
  // Above [root]: the network is "none" in machineFile().
  const machine = (title: string, of: string, native: boolean, ephemeral: boolean): string => {
    const file = machineFile(folder, title, `[root]\ndirectory = "${of}"\n[foreign]\nnative = ${native}\n`);
    writeFileSync(file, `${files}ephemeral = ${ephemeral}\n${readFileSync(file, 'utf8')}`);
    return file;
  };
  writeFileSync(`${root}/etc/apt/sources.list`, 'deb [trusted=yes] file:/srv/packages ./\n');
  must(nestbox('run', machine('nestbox-bench-lists', root, false, false), '--', 'apt-get', 'update'));
  must(nestbox('rm', 'nestbox-bench-lists'));
  if (parts.includes(name)) {
    const processor: Measured[] = [];
    const variants = [false, true].map((native): Variant => {
      const title = native ? 'native = true' : 'native = false';
      const spent: Measured = { name: title, times: [] };
      processor.push(spent);
      return {
        name: title, argv: nestbox('run', machine(`nestbox-bench-${native ? 'native' : 'plain'}`, root, native, true), '--', 'sh', '-ec', timed, 'sh', ...install(packages)),
        took() {
          const [clock, used] = timesIn(readFileSync(`${out}/times`, 'utf8'));
          spent.times.push(used);
          return clock;
        },
      };
    });
    const count = readdirSync(from).filter((file) => file.endsWith('.deb')).length;
    const bytes = readdirSync(from).reduce((sum, file) => sum + statSync(`${from}/${file}`).size, 0);
    const goals = [{ name: 'native = true', to: 'native = false', goal: name === 'python' ? null : 0.333 }];
    const title = `apt-get install ${packages.join(' ')} for ${architecture}`;
    report(title, measure(variants, { rounds: rounds ?? 5, warmups: 0 }), goals, { packages: `${count}, ${(bytes / 1e6).toFixed(0)} MB` }, json);
    report(`\n${title}, processor time`, processor, goals.map((goal) => ({ ...goal, goal: null })), {}, json);
  }
  if (name === 'compilers' && parts.includes('trees')) trees(folder, root, packages, machine);
}

function trees(folder: string, root: string, packages: string[], machine: (title: string, of: string, native: boolean, ephemeral: boolean) => string): void {
  const both = [false, true].map((native) => {
    const tree = `${folder}/tree-${native}`;
    must(['cp', '-a', root, tree]);
    const name = `nestbox-bench-tree-${native}`;
    must(nestbox('run', machine(name, tree, native, false), '--', ...install(packages)));
    must(nestbox('rm', name));
    return tree;
  });
  const found = differing(both[0]!, both[1]!);
  console.log(`\n${treeOf(both[0]!).size} files, folders and links; ${found.filter((line) => !hasTimes(line)).length} differ, and ${found.filter(hasTimes).length} that have times in them`);
  for (const line of found.filter((line) => !hasTimes(line))) console.log(line);
}

/** A folder with the packages and a list of them, as a mirror has it; fetched once and kept, so that the set stays the same. */
function fetched(folder: string, name: string, packages: string[], root: string): string {
  const kept = `/var/cache/nestbox/bench-${architecture}-${name}`;
  if (existsSync(`${kept}/Packages`)) return kept;
  const partial = `${kept}.partial`;
  remove(partial);
  mkdirSync(`${partial}/partial`, { recursive: true });
  const file = `${folder}/nestbox-bench-fetch.toml`;
  writeFileSync(file, `name = "nestbox-bench-fetch"\nephemeral = true\nnetwork = "host"\nfiles = [{ path = "${partial}", to = "/srv/packages", write = true }]\n[root]\ndirectory = "${root}"\n`);
  must(nestbox('run', file, '--', 'sh', '-c', `apt-get update && exec apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives=/srv/packages/ -o APT::Sandbox::User=root ${packages.join(' ')}`));
  remove(`${partial}/partial`);
  remove(`${partial}/lock`);
  const sum = (kind: string, bytes: Buffer) => createHash(kind).update(bytes).digest('hex');
  // The sums that Debian's own lists have.
  const list = readdirSync(partial).map((deb) => {
    const bytes = readFileSync(`${partial}/${deb}`);
    return `${must(['dpkg-deb', '--field', `${partial}/${deb}`]).stdout}Filename: ./${deb}\nSize: ${bytes.length}\nMD5sum: ${sum('md5', bytes)}\nSHA256: ${sum('sha256', bytes)}\n`;
  });
  writeFileSync(`${partial}/Packages`, list.join('\n'));
  renameSync(partial, kept);
  return kept;
}
