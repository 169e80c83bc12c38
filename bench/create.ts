// scripts/bench create [--rounds N] [--json] [second] [first]
// second: a machine from a template that is there, beside `cp -a` of the same root.
// first: a machine whose template is still to be built, beside `debootstrap` of the same suite and packages.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { debian, inFolder, machineFile, nestbox, planned, remove } from './machines.ts';
import { type Measured, measure, must, options, report, type Variant } from './measure.ts';

const { rounds, json, words } = options();
const parts = words.length > 0 ? words : ['second', 'first'];
/** Named, so that both take from it and from nothing else: mmdebstrap adds the security updates when none is named. */
const mirror = 'http://deb.debian.org/debian';
const root = debian(`mirror = "${mirror}"\n`);

await inFolder((folder) => {
  // A store of our own over the real one: this is a mount namespace of our own, and templates of others are left alone.
  const store = '/var/lib/nestbox';
  for (const path of [`${folder}/store`, store]) mkdirSync(path, { recursive: true });
  must(['mount', '--bind', `${folder}/store`, store]);
  try {
    if (parts.includes('second')) second(seconds(folder));
    if (parts.includes('first')) first(firsts(folder));
  } finally {
    must(['umount', store]);
  }
});

function seconds(folder: string): Measured[] {
  must(nestbox('create', machineFile(folder, 'nestbox-bench-first', root)));
  const file = machineFile(folder, 'nestbox-bench-second', root);
  const { lower } = planned('overlay', file)[0]!;
  const copy = `${folder}/copy`;
  // cp is at its best with no other writing under way: that of the round before is waited for.
  const before = () => void must(['sync']);
  const gone = { before, after: () => void must(nestbox('rm', 'nestbox-bench-second')) };
  const variants: Variant[] = [
    { name: 'cp -a', argv: ['cp', '-a', lower, copy], before, after: () => remove(copy) },
    { name: 'nestbox create', argv: nestbox('create', file), ...gone },
    { name: 'nestbox run, new machine', argv: nestbox('run', file, '--', 'true'), ...gone },
  ];
  try {
    return measure(variants, { rounds: rounds ?? 11, warmups: 1 });
  } finally {
    must(nestbox('rm', 'nestbox-bench-first'));
  }
}

function second(measured: Measured[]): void {
  report('A second machine from one template', measured, [
    { name: 'nestbox create', to: 'cp -a', goal: 0.1 },
    { name: 'nestbox run, new machine', to: 'cp -a', goal: null },
  ], {}, json);
}

function firsts(folder: string): Measured[] {
  const file = machineFile(folder, 'nestbox-bench-built', root);
  const target = `${folder}/debootstrap`;
  return measure([
    { name: 'debootstrap', argv: ['debootstrap', '--variant=minbase', 'bookworm', target, mirror], after: () => remove(target) },
    {
      name: 'nestbox create', argv: nestbox('create', file),
      after() {
        const { lower } = planned('overlay', file)[0]!;
        must(nestbox('rm', 'nestbox-bench-built'));
        remove(dirname(lower));
      },
    },
  ], { rounds: rounds ?? 3, warmups: 0 });
}

function first(measured: Measured[]): void {
  report('A first machine, its Debian root (minbase) made from packages', measured, [{ name: 'nestbox create', to: 'debootstrap', goal: 0.6 }], {}, json);
}
