// scripts/bench create [--rounds N] [--json] [--short] [second] [first]
// second: a machine from a template that is there, beside `cp -a` of the same root.
// first: a machine whose template is still to be built, beside `debootstrap` of the same suite and packages: all of it fetched, and with what was fetched before.
import { mkdirSync } from 'node:fs';
import { root as shared } from '../test/nestbox.ts';
import { debian, front, inFolder, machineFile, nestbox, planned } from './machines.ts';
import { type Measured, measure, must, options, report, type Variant } from './measure.ts';

const { rounds, json, short, words } = options();
const parts = words.length > 0 ? words : ['second', 'first'];
/** Named, so that both take from it and from nothing else: mmdebstrap adds the security updates when none is named. */
const mirror = 'http://deb.debian.org/debian';
const root = short ? shared : debian(`mirror = "${mirror}"\n`);

await inFolder((folder) => {
  // A tree is made under a new name each time and nothing is deleted before the end: ext4 keeps away from inodes
  // that were deleted in the last minutes, and looking for others makes the next tree take up to twice as long.
  let count = 0;
  const place = () => `${folder}/${++count}`;

  const mounted = new Set<string>();
  /** An empty folder over the real one: this is a mount namespace of our own, and what others have is left alone. */
  function fresh(at: string): void {
    if (mounted.has(at)) must(['umount', at]);
    const empty = place();
    for (const path of [at, empty]) mkdirSync(path, { recursive: true });
    must(['mount', '--bind', empty, at]);
    mounted.add(at);
  }
  const freshStore = () => fresh('/var/lib/nestbox');
  const nothingFetched = () => fresh('/var/cache/nestbox');

  try {
    if (!short) freshStore(); // else with the template that the tests have built
    if (parts.includes('second')) second(seconds(folder, place));
    if (parts.includes('first')) first(firsts(folder, place, freshStore, nothingFetched));
  } finally {
    for (const at of mounted) must(['umount', at]);
  }
});

function seconds(folder: string, place: () => string): Measured[] {
  must(nestbox('create', machineFile(folder, 'nestbox-bench-first', root)));
  const file = machineFile(folder, 'nestbox-bench-second', root);
  const { lower } = planned('overlay', file)[0]!;
  // cp is at its best with no other writing under way: that of the round before is waited for.
  const before = () => void must(['sync']);
  const after = () => void must(nestbox('rm', 'nestbox-bench-second'));
  const variants: Variant[] = [
    { name: 'cp -a', argv: () => ['cp', '-a', lower, place()], before },
    { name: 'nestbox create', argv: [front, 'create', file], before, after },
    { name: 'nestbox create, with Node', argv: nestbox('create', file), before, after },
    ...(short ? [] : [{ name: 'nestbox run, new machine', argv: nestbox('run', file, '--', 'true'), before, after }]),
  ];
  try {
    return measure(variants, { rounds: rounds ?? 11, warmups: 1 });
  } finally {
    must(nestbox('rm', 'nestbox-bench-first'));
  }
}

function second(measured: Measured[]): void {
  report('A second machine from one template', measured, [
    { name: 'nestbox create', to: 'cp -a', goal: 0.05, margin: 3 },
    { name: 'nestbox create, with Node', to: 'cp -a', goal: null },
    ...(short ? [] : [{ name: 'nestbox run, new machine', to: 'cp -a', goal: null }]),
  ], {}, json);
}

function firsts(folder: string, place: () => string, freshStore: () => void, nothingFetched: () => void): Measured[] {
  const file = machineFile(folder, 'nestbox-bench-built', root);
  const after = () => void must(nestbox('rm', 'nestbox-bench-built'));
  const fetchAll = () => {
    nothingFetched();
    freshStore();
  };
  const fetched = () => {
    fetchAll();
    must(nestbox('create', file));
    after();
    freshStore();
  };
  return measure([
    { name: 'debootstrap', argv: () => ['debootstrap', '--variant=minbase', 'bookworm', place(), mirror] },
    // With the one option that makes it quicker and is safe for a root that is not there yet.
    { name: 'mmdebstrap', argv: () => ['mmdebstrap', '--mode=root', '--format=directory', '--variant=minbase', '--dpkgopt=force-unsafe-io', 'bookworm', place(), mirror] },
    { name: 'nestbox create', argv: nestbox('create', file), before: fetchAll, after },
    { name: 'nestbox create, fetched before', argv: nestbox('create', file), before: fetched, after },
  ], { rounds: rounds ?? 3, warmups: 0 });
}

function first(measured: Measured[]): void {
  report('A first machine, its Debian root (minbase) made from packages', measured, [
    { name: 'nestbox create', to: 'debootstrap', goal: 0.35 }, { name: 'nestbox create, fetched before', to: 'debootstrap', goal: 0.25 },
    { name: 'mmdebstrap', to: 'debootstrap', goal: null }, { name: 'nestbox create', to: 'mmdebstrap', goal: null },
  ], {}, json);
}
