import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import { configOf, configText, field, initWord } from '../../src/lxc/config.ts';
import { seccompProfile } from '../../src/lxc/seccomp.ts';
import { reached } from '../../src/places.ts';
import { plan } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { meetStored, storedHost } from './hosts.ts';

const words = ['', ' ', ' a  b ', '"', "'", '"a"', "'a'", '""', `'"`, 'a"b', '#', '# comment', 'lxc.hook.pre-start = /bin/sh', '=', 'a=b', '\\', '\\040', '\\x41', '\\x', '%', '$HOME', 'ü', '\u{1F600}', '\u00a0', '}', 'a\u2003b'];

/** As parse_line() of LXC's confile.c reads a line. */
function parsed(line: string): [string, string] | null {
  const text = line.replace(/^[ \t]+/, '');
  if (text.startsWith('#') || !text.startsWith('lxc.')) return null;
  const at = text.indexOf('=');
  const value = text.slice(at + 1).replace(/^[ \t]+|[ \t]+$/g, '');
  const quoted = value.length > 1 && /^['"]/.test(value) && value.at(-1) === value[0];
  return [text.slice(0, at).replace(/[ \t]+$/, ''), quoted ? value.slice(1, -1) : value];
}

const file = (more: string, engine = 'lxc') => readSpec(`name = "hard"\nengine = "${engine}"\n${more}\n[root]\ndirectory = "/srv/chroot/old"\n`, 'hard.toml');
const met = (more: string, host = 'debian12') => meetStored(file(more), storedHost(host), '/etc/nestbox/hard.toml');

test('a value is read by LXC as what it was, and none can add a line', () => {
  for (const word of words) assert.deepEqual(configText([], [['lxc.environment', `A=${word}`], ['lxc.uts.name', word]]).trimEnd().split('\n').map(parsed), [['lxc.environment', `A=${word}`], ['lxc.uts.name', word]], JSON.stringify(word));
  for (const mark of ['\n', '\r', '\0', '\u001b', '\u2028', '\u2029', '\u0085']) assert.throws(() => configText([], [['lxc.environment', `A=b${mark}lxc.hook.start = /bin/sh`]]), /would not end where it should/);
});

test('a path in a mount entry is read by getmntent(3) as what it was', () => {
  for (const word of words) {
    const text = field(`/srv/${word}`);
    assert.doesNotMatch(text, /[\s#]/);
    const bytes = text.replace(/\\([0-7]{3})/g, (_, octal: string) => `%${Number.parseInt(octal, 8).toString(16).padStart(2, '0')}`).replace(/%(?![0-9a-f]{2})/g, '%25');
    if (!word.includes('%')) assert.equal(decodeURIComponent(bytes), `/srv/${word}`);
  }
});

test('a program gets its words whatever is in them, as LXC splits at blanks and quotes', () => {
  for (const word of [...words, 'two\nlines', '\t']) {
    const text = initWord(word);
    assert.match(text, /^[^\s'"]+$/, JSON.stringify(word));
    // As native/first.c decodes it.
    const read = text === '\\x' ? '' : Buffer.from(text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))), 'latin1').toString('utf8');
    assert.equal(read, word);
  }
  const { machine, facts } = met('run = ["sh", "-c", "echo \\"it\'s\\" # no comment"]\nenvironment = { A = " \\"b\\" " }');
  const lines = configText([], configOf(machine, facts, '/x')).trimEnd().split('\n');
  assert.equal(lines.length, configOf(machine, facts, '/x').length);
  assert.ok(lines.every((line) => /^lxc\.[a-z0-9_.]+ = ./.test(line)));
  assert.ok(lines.includes('lxc.init.cmd = /run/nestbox/native first root /run/nestbox/status -- sh -c echo\\x20\\x22it\\x27s\\x22\\x20\\x23\\x20no\\x20comment'));
  assert.deepEqual(parsed(lines.find((line) => line.startsWith('lxc.environment = "A='))!), ['lxc.environment', 'A= "b" ']);
});

test('what is forbidden is what systemd-nspawn forbids, less what was asked for', () => {
  const has = (text: string, name: string) => text.includes(`\n${name} errno 1\n`);
  const plain = seccompProfile([], []);
  assert.match(plain, /^2\ndenylist\n\[all\]\n/);
  for (const name of ['keyctl', 'bpf', 'kexec_load', 'open_by_handle_at', 'init_module', 'perf_event_open', 'syslog']) assert.ok(has(plain, name), name);
  for (const [asked, name] of [['keyctl', 'keyctl'], ['@keyring', 'add_key'], ['@module', 'init_module'], ['@known', 'bpf']] as const) assert.ok(!has(seccompProfile([asked], []), name), asked);
  assert.ok(!has(seccompProfile([], ['CAP_SYS_TIME']), 'settimeofday') && has(seccompProfile(['keyctl'], []), 'add_key') && has(seccompProfile(['~mount'], []), 'mount'));
  assert.match(met('syscalls = ["~@mount"]').machine.problems.map(({ what }) => what).join(), /LXC knows no groups of system calls/);
});

test('a place inside is the one that links of the root lead to', () => {
  const links = { '/var/run': '/run', '/lib': '/usr/lib', '/etc/resolv.conf': '/run/systemd/resolve/stub-resolv.conf', '/sbin': '/bin', '/bin': '/sbin' };
  assert.deepEqual(['/var/run/x', '/var/runs', '/lib/firmware', '/etc/resolv.conf', '/srv'].map((path) => reached(path, links)), ['/run/x', '/var/runs', '/usr/lib/firmware', '/run/systemd/resolve/stub-resolv.conf', '/srv']);
  assert.match(reached('/bin/x', links), /^\/s?bin\/x$/);
});

test('the vesa driver is for root of the host alone, and is called what it is', () => {
  const old = (users: string) => meetStored(readSpec(`name = "old"\nengine = "lxc"\nboot = true\nusers = "${users}"\n[display.vt]\nlegacy-vesa = true\n[root]\ndirectory = "/srv/chroot/old"\n`, 'old.toml'), (() => {
    const host = storedHost('debian12');
    const mem = { type: 'c' as const, major: 1, minor: 1, uid: 0, gid: 15, mode: 0o640 };
    return { ...host, graphics: [], paths: { ...host.paths, '/dev/mem': { kind: 'device' as const, uid: 0, gid: 15, mode: 0o640, size: 0, modified: 0 } }, nodes: { ...host.nodes, '/dev/mem': mem }, terminals: { active: 1, used: [], machines: [] } };
  })(), '/etc/nestbox/old.toml');
  assert.throws(() => plan(old('own').machine, old('own').facts), (error) => error instanceof Complaint && /\/dev\/mem opens to the host's own root alone\n {2}say users = "host"/.test(error.message));
  const { machine, facts } = old('host');
  const lines = configText([], configOf(machine, facts, '/x'));
  assert.match(lines, /^lxc\.cgroup2\.devices\.allow = c 1:1 rw$/m);
  assert.match(lines, /^lxc\.cap\.keep = .*\bsys_rawio\b/m);
  assert.ok(!seccompProfile(machine.edits.syscalls, machine.edits.capabilities).includes('iopl'));
  assert.ok(machine.exposures.some(({ can, what }) => can === 'memory' && what.startsWith('whoever is root inside owns the computer')));
  assert.ok(machine.edits.texts.some(({ text }) => text.includes('Driver "vesa"')));
});
