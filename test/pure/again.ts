import { Complaint } from '../../src/errors.ts';
import type { Facts } from '../../src/facts.ts';
import { imported, readForeign } from '../../src/import.ts';
import { plan, preparing } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { unitsOf } from '../../src/units/files.ts';
import { exampleNames, exampleText, meetStored, storedHost } from './hosts.ts';

/** What nestbox has rendered is imported, and rendered again: the two must be the same files. A few here, a thousand in test/container/import.test.ts. */

export type Files = { path: string; text: string }[];

/** Every node of the host can be looked at, and all folders that machines are given. */
export function hostOf(name: string): Facts {
  const host = storedHost(name);
  const folder = { kind: 'directory' as const, uid: 0, gid: 0, mode: 0o755 };
  const known = { ...Object.fromEntries(Object.keys(host.nodes).map((path) => [path, { ...folder, kind: 'device' as const }])), ...host.paths };
  return { ...host, paths: new Proxy(known, { has: () => true, get: (paths, path) => paths[String(path)] ?? folder }) as Facts['paths'] };
}

/**
 * The examples that can come back: of what LXC is given a machine of systemd-nspawn is made, a chroot is no service, and of a seat the files
 * have the devices alone, not the ports that they are at.
 */
export const comparedExamples = exampleNames.filter((name) => {
  const { engine, grants } = readSpec(exampleText(name), name);
  return engine === 'nspawn' && !grants.some(({ topic }) => topic === 'seat');
});

/** The files with which systemd runs a machine on that host. */
export function render(text: string, host: Facts): Files {
  const spec = readSpec(text, 'x.toml');
  const { machine, facts } = meetStored(spec, host, `/etc/nestbox/${spec.name}.toml`, 'service');
  const { files, image } = unitsOf(machine, facts, preparing(plan(machine, facts, () => '')));
  return [...files, { path: 'link', text: !image || image.path === image.to ? '' : `# ${image.path} -> ${image.to}` }];
}

const rendered = (files: Files): string => files.map(({ path, text }) => (path === 'link' ? text : `# ${path}\n${text}`)).join('\n');

/** Folders and nodes that are made by one command are as good as made by several. */
const single = (line: string): string[] => {
  const [, command, operands] = /(install -d -m \d+ -o \d+ -g \d+|nestbox-native node \d+ \d+:\d+) (.*?)(?: \\)?$/.exec(line) ?? [];
  if (!command) return [line.replace(/ \\$/, '')];
  const words = operands!.split(' ');
  return command.startsWith('install') ? words.map((path) => `${command} ${path}`) : words.flatMap((from, i) => (i % 2 === 0 ? [`${command} ${from} ${words[i + 1]}`] : []));
};

/** Where files of a service are kept is numbered as they come, and what is made first is told by the order of the keys. */
const lines = (text: string): string[] => text.replace(/(files|texts)\/\d+(-\d+(?=$|\s))?/gm, '$1/').split('\n').flatMap(single).sort();

/**
 * What lasts from one start to the next is in none of the files: what a root is built from, and the account in a system that boots. These are
 * taken from the machine file.
 */
function lasting(text: string, from: string): string {
  const root = /^\[root\](?:\n(?!\[).*)*/m.exec(from)![0];
  const user = /^user .*$/m.exec(from)?.[0];
  const whole = text.replace(/^\[root\](?:\n(?![[#]).*)*/m, root);
  return user && /^boot/m.test(text) ? whole.replace(/^name/m, `${user}\nname`) : whole;
}

/** The first difference, as a text; '': there is none; null: the machine cannot be on that host. */
export function difference(text: string, host: Facts): string | null {
  let first: Files;
  try {
    first = render(text, host);
  } catch (error) {
    if (error instanceof Complaint) return null;
    throw error;
  }
  const [foreign] = readForeign([{ file: 'rendered', text: rendered(first) }], null, host.language);
  const again = imported(foreign!, ['rendered'], { folder: '/', name: null }).text;
  let second: Files;
  try {
    second = render(lasting(again, text), host);
  } catch (error) {
    throw new Error(`${(error as Error).message}\nof\n${text}\nthere came\n${again}`);
  }
  for (const { path, text: was } of first) {
    const is = second.find((file) => file.path === path);
    const [before, after] = [lines(was), lines(is?.text ?? '')];
    const at = before.findIndex((line, i) => line !== after[i]);
    if (at >= 0 || after.length !== before.length) return `${path}\n- ${before[at]}\n+ ${after[at]}\nof\n${text}\nthere came\n${again}`;
  }
  return second.length === first.length ? '' : `there are files that were not there: ${second.map(({ path }) => path).join(' ')}`;
}
