import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { acceptWords } from '../src/engine.ts';
import { engines } from '../src/engines/index.ts';
import type { Problem } from '../src/errors.ts';
import type { Spec } from '../src/spec.ts';
import { hostNames, meetStored, storedHost } from '../test/pure/hosts.ts';
import { type Asked, everyGrant, machineWith, nameOf } from '../test/pure/world.ts';

/** Writes what can be given to a machine on which engine: each grant is tried on the stored hosts, and what the engine lacks for it is told. */

/** Between these lines of a page. */
const begin = '<!-- Begin of what scripts/engines.ts has written (npm run generate); do not edit. -->';
const end = '<!-- End of what scripts/engines.ts has written. -->';
export const page = 'docs/engines.md';

interface Row {
  name: string;
  spec: Partial<Spec>;
  grants: Asked[];
  /** As a service of systemd. */
  served?: true;
}

const hostNetwork = everyGrant.find((asked) => nameOf(asked) === 'network.host')!;

/** What a machine with the host's ids and its network may have besides, and other ids and networks. */
const rows = ([
  ...(['own', 'shift', 'host'] as const).map((users): Row => ({ name: `users = "${users}"`, spec: { users }, grants: [hostNetwork] })),
  { name: 'boot = true', spec: { boot: true }, grants: [hostNetwork] },
  { name: 'nestbox start', spec: {}, grants: [hostNetwork], served: true },
  { name: 'network = "none"', spec: {}, grants: [] },
  ...everyGrant.map((asked): Row => {
    const { topic, kind } = asked;
    return { name: kind === null ? topic : `${topic} = "${kind}"`, spec: {}, grants: topic === 'network' ? [asked] : [hostNetwork, asked] };
  }),
  { name: 'display.vt.input = "visible"', spec: {}, grants: [hostNetwork, { topic: 'display', kind: 'vt', options: { input: 'visible' } }] },
  ...['add_key', '~mount'].map((call): Row => ({ name: `syscalls = ["${call}"]`, spec: {}, grants: [hostNetwork, { topic: 'syscalls', kind: null, options: [call] }] })),
] satisfies Row[] as Row[]).filter(({ name }) => name !== 'syscalls');

/** The problems of a machine of that row, on the first stored host where nothing but the engine is in its way; or on the first of all. */
function problemsOf(row: Row, engine: string, accept: string[]): Problem[] {
  const tried = hostNames.map((host) => {
    const stored = storedHost(host);
    const facts = { ...stored, paths: new Proxy(stored.paths, { has: () => true }) };
    const plain = machineWith(facts, row.grants, { users: 'host', accept: ['no-device-policy', 'no-hooks', 'xhost'], ...row.spec, engine });
    const spec: Spec = { ...plain, boot: plain.boot, engineOptions: { ...plain.engineOptions, [engine]: { ...(plain.engineOptions[engine] as object), accept } } };
    return meetStored(spec, facts, '/etc/nestbox/table.toml', row.served ? 'service' : 'run').machine.problems;
  });
  return tried.find((problems) => problems.every(({ fatal, lack }) => !fatal || lack)) ?? tried[0]!;
}

function verdict(row: Row, engine: string): string {
  const words = acceptWords(engines[engine]!.lacks);
  const refusals = (accept: string[]) => problemsOf(row, engine, accept).filter(({ fatal, lack }) => fatal && lack);
  const strict = refusals([]);
  if (strict.length === 0) return 'yes';
  const always = refusals(words);
  if (always.length > 0) return `refused: ${[...new Set(always.map(({ what }) => what))].join('; ')}`;
  return `when named: ${words.filter((word) => strict.some(({ lack }) => engines[engine]!.lacks[lack!]!.accept === word)).map((word) => `\`${word}\``).join(', ')}`;
}

/** One row for each grant, one column for each engine. */
export function engineTable(): string {
  const names = ['nspawn', ...Object.keys(engines).filter((name) => name !== 'nspawn')]; // what a file that says nothing has stands first
  return [`| | ${names.map((name) => `\`${name}\``).join(' | ')} |`, `| --- |${names.map(() => ' --- |').join('')}`, ...rows.map((row) => `| \`${row.name}\` | ${names.map((name) => verdict(row, name)).join(' | ')} |`)].join('\n');
}

/** The page with the table as it is now. */
export function pageWith(text: string, table: string): string {
  const [before, rest] = text.split(`${begin}\n`);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error('the page has no place for the table of engines');
  return `${before}${begin}\n${table}\n${end}${after}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(page, pageWith(readFileSync(page, 'utf8'), engineTable()));
}
