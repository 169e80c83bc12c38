import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { riskOf } from '../../src/dangers.ts';
import { acceptWords } from '../../src/engine.ts';
import { engines } from '../../src/engines/index.ts';
import { Complaint } from '../../src/errors.ts';
import { plan, type Planned, preparing } from '../../src/plan.ts';
import { positionOf } from '../../src/positions.ts';
import { unitsOf } from '../../src/units/files.ts';
import { describe } from '../../src/apply.ts';
import { exampleNames, exampleSpec, exampleText, here, hostNames, meetStored, once, storedHost } from './hosts.ts';

/** What each example becomes on each host, as text that a person can read. UPDATE_GOLDEN=1 writes it anew: read the difference. */

const golden = here('golden/');
const update = process.env.UPDATE_GOLDEN === '1';

const rows = (title: string, planned: Planned[]): string[] =>
  planned.length === 0 ? [] : [`${title}:`, ...planned.map(({ step, by }) => `  ${(by || '-').padEnd(17)} ${describe(step).replaceAll('\n', '\n                      ')}`), ''];

const placeIn = (example: string) => (at: (string | number)[]) => {
  const { line, column } = positionOf(exampleText(example), at);
  return `${example}.toml:${line}:${column}: ${at.join('.')}: `;
};

/** What systemd is given for it: every file, and what is done once before. */
function served(host: string, example: string, systemd = storedHost(host).systemd): string {
  const file = `${example}.toml`;
  try {
    const { machine, facts } = meetStored(exampleSpec(example), { ...storedHost(host), systemd }, `/etc/nestbox/${file}`, 'service');
    const { once, files, image } = unitsOf(machine, facts, preparing(plan(machine, facts, placeIn(example))));
    return [...once.map((step) => `# once: ${describe(step).replaceAll('\n', '\n#       ')}`), ...files.map(({ path, text }) => `# ${path}\n${text}`), ...(image ? [`# ${image.path} -> ${image.to}`] : []), ''].join('\n');
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    return `refused:\n${error.message}\n${error.hint ? `  ${error.hint}\n` : ''}`;
  }
}

/** `engine`: another one than the file says, with all accepted that it lacks. */
function outcome(host: string, example: string, engine?: string): string {
  const file = `${example}.toml`;
  const place = placeIn(example);
  try {
    const written = exampleSpec(example);
    const spec = engine === undefined ? written : { ...written, engine, engineOptions: { ...written.engineOptions, [engine]: { ...(written.engineOptions[engine] as object), accept: acceptWords(engines[engine]!.lacks) } } };
    const { machine, facts } = meetStored(spec, storedHost(host), `/etc/nestbox/${file}`);
    const { opening, lasting, passing } = plan(machine, facts, place);
    const container = passing.at(-1)!.step;
    assert.equal(container.kind, 'container');
    const { argv, environment, inside, place: where, leftovers } = container as Extract<typeof container, { kind: 'container' }>;
    return [
      ...machine.problems.map(({ what, mend, at }) => `warning: ${at && at.length > 0 ? place(at) : ''}${what}; ${mend}`), ...(machine.problems.length > 0 ? [''] : []),
      ...rows('before all else, taken back at the end', opening), ...rows('once, kept until the machine is removed', lasting), ...rows('at each run, taken back at its end', passing.slice(0, -1)),
      'the container:', ...Object.entries(environment).map(([name, value]) => `  ${name}=${value}`), ...argv.map((word) => `  ${word}`),
      `  in ${where.kind === 'unit' ? where.name : where.folders.join(' ')}`, ...(inside ? [`  its network: ${JSON.stringify(inside)}`] : []), ...leftovers.map((path) => `  may leave ${path}`), '',
      'what that exposes:', ...machine.exposures.map(({ can, what, by }) => `  ${riskOf(can).padEnd(7)} ${by}: ${what}`), '',
    ].join('\n');
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    return `refused:\n${error.message}\n${error.hint ? `  ${error.hint}\n` : ''}`;
  }
}

/** The same, for those who have no doubt that it is the same each time. */
const outcomeOnce = once(outcome);

if (update) for (const host of hostNames) rmSync(new URL(`${host}/`, golden), { recursive: true, force: true });

/** The first line that differs, as it was and as it is: git diff shows the rest. */
function difference(file: string, before: string, after: string): string[] {
  if (before === after) return [];
  const [was, is] = [before.split('\n'), after.split('\n')];
  const row = was.findIndex((line, i) => line !== is[i]);
  const at = row < 0 ? was.length : row;
  return [`${file}:${at + 1}`, `- ${was[at] ?? ''}`, `+ ${is[at] ?? ''}`];
}

for (const host of hostNames)
  test(`every example becomes the same as before on the host '${host}'`, () => {
    const folder = new URL(`${host}/`, golden);
    if (update) mkdirSync(folder, { recursive: true });
    const differing: string[] = [];
    for (const example of exampleNames) {
      for (const [name, found] of [[`${example}.txt`, outcomeOnce(host, example)], [`${example}.units`, served(host, example)]] as const) {
        const file = new URL(name, folder);
        if (update) writeFileSync(file, found);
        differing.push(...difference(name, readFileSync(file, 'utf8'), found));
      }
    }
    assert.ok(differing.length === 0, `UPDATE_GOLDEN=1 writes them anew:\n${differing.join('\n')}`);
    assert.deepEqual(readdirSync(folder).sort(), exampleNames.flatMap((name) => [`${name}.txt`, `${name}.units`]).sort());
  });

/** A host with systemd and one without. */
const enginesOn = ['laptop', 'no-systemd'];

for (const engine of Object.keys(engines).filter((name) => name !== 'nspawn'))
  test(`every example becomes the same as before with the engine '${engine}'`, () => {
    const folder = here(`engines/${engine}/`);
    if (update) rmSync(folder, { recursive: true, force: true });
    if (update) mkdirSync(folder, { recursive: true });
    const differing: string[] = [];
    const others = exampleNames.filter((example) => exampleSpec(example).engine !== engine);
    const names = others.flatMap((example) => enginesOn.map((host) => ({ example, host, name: `${example}.${host}.txt` })));
    for (const { example, host, name } of names) {
      const file = new URL(name, folder);
      const found = outcomeOnce(host, example, engine);
      if (update) writeFileSync(file, found);
      differing.push(...difference(name, readFileSync(file, 'utf8'), found));
    }
    assert.ok(differing.length === 0, `UPDATE_GOLDEN=1 writes them anew:\n${differing.join('\n')}`);
    assert.deepEqual(readdirSync(folder).sort(), names.map(({ name }) => name).sort());
    const run = others.filter((example) => enginesOn.some((host) => !outcomeOnce(host, example, engine).startsWith('refused')));
    assert.ok(run.length >= others.length / 3, `of ${others.length} examples ${run.length} run with it`);
  });

test('what is planned depends on the file and the facts alone', () => {
  for (const example of exampleNames) assert.equal(outcome('laptop', example), outcomeOnce('laptop', example));
});

test('most examples run on three hosts at least, and each on one', () => {
  const runs = exampleNames.map((example) => hostNames.filter((host) => !outcomeOnce(host, example).startsWith('refused')).length);
  assert.ok(runs.every((count) => count >= 1), exampleNames.filter((_, i) => runs[i] === 0).join(', '));
  assert.ok(runs.filter((count) => count >= 3).length > exampleNames.length / 2, runs.join(' '));
});

test('what systemd is given depends on its version in these lines alone', () => {
  const versions = [247, 252, 257, 260] as const;
  const lines = (text: string) => text.split('\n').filter((line) => line !== '');
  const found = hostNames.flatMap((host) => exampleNames.flatMap((example) => {
    const all = versions.map((version) => served(host, example, version));
    if (all.every((text) => text === all[0])) return [];
    const common = all.map((text) => new Set(lines(text)));
    const own = all.map((text) => lines(text).filter((line) => !common.every((one) => one.has(line))));
    return own.every((one) => one.length === 0) ? [] : [`${host}, ${example}:`, ...versions.map((version, i) => `  ${version}: ${own[i]!.join(' | ')}`)];
  })).join('\n');
  const file = here('versions.txt');
  if (update) writeFileSync(file, found);
  assert.deepEqual(difference('versions.txt', readFileSync(file, 'utf8'), found), []);
});
