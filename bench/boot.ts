// scripts/bench boot [--rounds N] [--json] [--short] [bookworm] [trixie]
// A Debian root that boots until it asks for a login: unchanged under plain systemd-nspawn, beside `nestbox run`; and what its root and its start have in that, each by itself.
import { mkdirSync, readFileSync } from 'node:fs';
import { store } from '../src/store.ts';
import { front, inFolder, machineFile, native, nestbox, planned } from './machines.ts';
import { type Goal, measure, must, options, report, type Variant } from './measure.ts';

const { rounds = 11, json, short, words } = options();
/** systemd 256 and later ask for this where the host has version 1 of control groups. */
const parameters = (suite: string): string => (suite === 'bookworm' ? '' : 'parameters = ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]\n');

/** The root, and how it is started; the first beside all others. `goal`: null for a part of the way. */
const ways = [
  { way: 'unchanged', more: 'unmasked = "all"\n', start: 'plain', goal: null },
  { way: 'nestbox run', more: '', start: 'run', goal: 0.5 },
  { way: 'the root of nestbox, kept filters', more: '', start: 'filters', goal: null },
  { way: 'the root of nestbox', more: '', start: 'plain', goal: null },
].slice(0, short ? 2 : undefined);

await inFolder((folder) => {
  const took = `${folder}/took`;
  for (const suite of words.length > 0 ? words : ['bookworm']) {
    const groups: string[] = [];
    const mounted: string[] = [];
    const names: string[] = [];
    try {
      const variants = ways.map(({ way, more, start }, i): Variant => {
        const name = `nestbox-bench-${suite}-${i}`;
        names.push(name);
        const file = machineFile(folder, name, `boot = true\n${parameters(suite)}[root]\ndebian = "${suite}"\n${more}`);
        must(nestbox('create', file));
        const argv = start === 'run' ? [front, 'run', name] : byHand(name, file, start === 'filters');
        return {
          name: `${suite}, ${way}`,
          argv: [process.execPath, new URL('until-login.cjs', import.meta.url).pathname, took, ...argv],
          took: () => Number(readFileSync(took, 'utf8')),
        };
      });
      const goals = ways.map(({ goal }, i): Goal => ({ name: variants[i]!.name, to: variants[0]!.name, goal, margin: 1.4 })).slice(1);
      report('From start to a login', measure(variants, { rounds, warmups: 2 }), goals, {}, json); // the first of `nestbox run` is by Node
    } finally {
      for (const at of mounted) must(['umount', at]);
      for (const group of groups) must(['find', group, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+']);
      for (const name of names) must(nestbox('rm', name));
    }

    /** What nestbox would start, without nestbox, over the same overlay with an upper folder of its own. */
    function byHand(name: string, file: string, filters: boolean): string[] {
      const [root] = planned('overlay', file);
      const [container] = planned('container', file);
      const [top, at] = [`${folder}/${name}.top`, `${folder}/${name}.mounted`];
      for (const path of [top, `${top}/upper`, `${top}/work`, at]) mkdirSync(path);
      must([native, 'overlay', at, top, 'upper', 'work', root!.lower, `${root!.shift}`]);
      mounted.push(at);
      const own = planned('cgroup', file).flatMap(({ folders }) => folders).filter((group) => /\/(systemd|unified)\//.test(group));
      for (const group of own) mkdirSync(group);
      groups.push(...own);
      const [nspawn = '', ...rest] = container!.argv;
      return [native, 'launch', ...own.flatMap((group) => ['--cgroup', group]), ...(filters ? ['--filters', store.filters] : []), '--', nspawn.startsWith('/') ? nspawn : must(['which', nspawn]).stdout.trim(), ...rest.map((word) => (word.startsWith('--directory=') ? `--directory=${at}` : word))];
    }
  }
});
