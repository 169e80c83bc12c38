// scripts/bench boot [--rounds N] [--json] [bookworm] [trixie]
// A Debian root that boots under systemd-nspawn until the program starts that asks for a login: as nestbox makes it, beside the same with `unmasked = "all"`.
import { mkdirSync, readFileSync } from 'node:fs';
import { inFolder, machineFile, native, nestbox, planned } from './machines.ts';
import { measure, must, options, report, type Variant } from './measure.ts';

const { rounds = 11, json, words } = options();
/** systemd 256 and later ask for this where the host has version 1 of control groups. */
const oldGroups = ['SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1'];

await inFolder((folder) => {
  const took = `${folder}/took`;
  for (const suite of words.length > 0 ? words : ['bookworm']) {
    const groups: string[] = [];
    const mounted: string[] = [];
    const names: string[] = [];
    try {
      const variants = [['unchanged', 'unmasked = "all"\n'], ['nestbox', '']].map(([what = '', more = '']): Variant => {
        const name = `nestbox-bench-${suite}-${what}`;
        names.push(name);
        const file = machineFile(folder, name, `boot = true\n[root]\ndebian = "${suite}"\n${more}`);
        must(nestbox('create', file));
        const [root] = planned('overlay', file);
        const [container] = planned('container', file);
        // The same overlay by hand, with an upper folder of its own.
        const [top, at] = [`${folder}/${name}.top`, `${folder}/${name}.mounted`];
        for (const path of [top, `${top}/upper`, `${top}/work`, at]) mkdirSync(path);
        must([native, 'overlay', at, top, 'upper', 'work', root!.lower, `${root!.shift}`]);
        mounted.push(at);
        const own = planned('cgroup', file).flatMap(({ folders }) => folders).filter((group) => /\/(systemd|unified)\//.test(group));
        for (const group of own) mkdirSync(group);
        groups.push(...own);
        const [nspawn = '', ...rest] = container!.argv;
        return {
          name: `${suite}, ${what}`,
          argv: [process.execPath, new URL('until-login.cjs', import.meta.url).pathname, took, native, 'launch', ...own.flatMap((group) => ['--cgroup', group]), '--', nspawn.startsWith('/') ? nspawn : `/usr/bin/${nspawn}`, ...rest.map((word) => (word.startsWith('--directory=') ? `--directory=${at}` : word)), ...oldGroups],
          took: () => Number(readFileSync(took, 'utf8')),
        };
      });
      report('From start to a login', measure(variants, { rounds, warmups: 1 }), [{ name: `${suite}, nestbox`, to: `${suite}, unchanged`, goal: 0.5 }], {}, json);
    } finally {
      for (const at of mounted) must(['umount', at]);
      for (const group of groups) must(['find', group, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+']);
      for (const name of names) must(nestbox('rm', name));
    }
  }
});
