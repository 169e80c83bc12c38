import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutAtName, itsName, type Pattern, patternOf } from '../../src/pattern.ts';
import type { Facts } from '../../src/facts.ts';
import { meetStored, storedHost } from './hosts.ts';
import { everyGrant, machineWith, nameOf, variants } from './world.ts';

const text = 'name = "law"\n[root]\ndebian = "bookworm"\n';
const accounts = { users: [{ name: 'root', uid: 0, gid: 0, home: '/root' }, { name: 'guest', uid: 1000, gid: 1000, home: '/home/guest' }], groups: [{ name: 'root', gid: 0, members: [] }, { name: 'guest', gid: 1000, members: [] }] };

/** Each grant of a machine whose template is there, on hosts of each kind, and with a boot. */
function patterns(of: string, grants: typeof variants, hosts = ['debian12', 'no-systemd', 'rolling']): { grant: string; boot: boolean; fatal: boolean; pattern: Pattern | null; name: string }[] {
  return hosts.flatMap((host) => grants.flatMap((grant) => [false, true].flatMap((boot) => {
    const stored = storedHost(host);
    const facts: Facts = { ...stored, paths: new Proxy(stored.paths, { has: () => true }) };
    const spec = machineWith(facts, [grant], { boot });
    const { machine: { source } } = meetStored(spec, facts, '/etc/nestbox/law.toml');
    if (source.kind !== 'template') return [];
    const there = { ...facts, accounts, store: { ...facts.store, templates: [source.key], machines: [] } };
    const [made, next] = [spec.name, itsName].map((name) => meetStored({ ...spec, name }, there, `/etc/nestbox/${name}.toml`));
    return [{ grant: nameOf(grant), boot, name: spec.name, fatal: next!.machine.problems.some(({ fatal }) => fatal), pattern: patternOf(of.replace('law', spec.name), spec, made!, next!, ['/usr/bin']) }];
  })));
}

test('machines are made without Node when all that they depend on is watched, and no others', () => {
  const all = patterns(text, [...everyGrant, ...variants]);
  const found = all.filter(({ pattern }) => pattern).map(({ grant }) => grant);
  for (const grant of ['audio.playback', 'gpu.nvidia', 'display.vt', 'network.networkd', 'network.bridge', 'seat']) assert.ok(!found.some((one) => one.startsWith(grant)), grant);
  for (const grant of ['environment', 'limits', 'files', 'display.x11', 'network.private']) assert.ok(found.some((one) => one.startsWith(grant)), `${grant}: ${found.join(' ')}`);
  assert.ok(all.some(({ boot, pattern }) => boot && pattern) && all.every(({ fatal, pattern }) => !(fatal && pattern)));
  for (const { grant, name, pattern } of all) {
    if (!pattern) continue;
    const said = JSON.stringify([pattern.steps, pattern.layer]);
    assert.ok(!said.includes(name), `${grant}: ${said}`);
    assert.deepEqual(pattern.steps.slice(0, 3).map(({ kind, path }) => `${kind} ${path}`), ['mkdir /etc/nestbox', `write /etc/nestbox/${itsName}.toml`, `workspace /var/lib/nestbox/machines/${itsName}`]);
    const last = pattern.steps.at(-1)!;
    assert.match(last.kind === 'write' && last.path.endsWith('/machine.json') ? last.text : '', /"shift":(.s|null),/);
  }
});

test('what is watched is what the root and the grants are looked at for, and what every plan is made of', () => {
  const [{ pattern } = { pattern: null }] = patterns(text, everyGrant.filter((grant) => nameOf(grant).startsWith('display.x11'))).filter((one) => one.pattern);
  for (const path of ['/etc/passwd', '/etc/subuid', '/usr/bin']) assert.ok(pattern!.from.same.includes(path), path);
  for (const path of ['/var/lib/nestbox', '/run/systemd/system']) assert.ok(pattern!.from.like.includes(path), path);
});

test('a machine file is cut at its name, and only where that is all that another name changes', () => {
  assert.deepEqual(cutAtName('# x\nname\t= "a-b" # it\nrun = "a-b"\n'), { before: '# x\nname\t= "', name: 'a-b', after: '" # it\nrun = "a-b"\n' });
  for (const none of ["name = 'a'", 'names = "a"', ' name = "a"', 'name = "a\\u0062"', 'name = "a"\n# \x7f', 'NAME = "a"']) assert.equal(cutAtName(none), null, none);
  const plain = everyGrant.filter((grant) => nameOf(grant).startsWith('environment'));
  const has = (of: string) => patterns(of, plain).some(({ pattern }) => pattern);
  assert.ok(has(`name = "law" # it\nrun = "law"\nhostname = "law"\n[root]\ndebian = "bookworm"\n`));
  assert.ok(!has(`run = """\\\nname = "law"\\\n"""\n${text}`));
  assert.ok(!has(`"name" = "law"\n[environment]\nname = "law"\n[root]\ndebian = "bookworm"\n`));
});
