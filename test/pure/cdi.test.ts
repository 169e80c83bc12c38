import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { judgeHook } from '../../src/cdi/hooks.ts';
import { isCdiName } from '../../src/cdi/names.ts';
import { readCdi } from '../../src/cdi/read.ts';
import { cdiEdits, cdiNeeds } from '../../src/cdi.ts';
import type { Problem } from '../../src/errors.ts';
import type { CdiFile, Facts } from '../../src/facts.ts';
import type { Context } from '../../src/grant.ts';
import { values } from '../../src/grants/index.ts';
import { frozen, here, once, storedHost } from './hosts.ts';

/** Files of the Container Device Interface: cdi/bad/NAME with the exact complaint beside it, cdi/good/NAME with the edits. UPDATE_GOLDEN=1 writes both. */

const update = process.env.UPDATE_GOLDEN === '1';
const filesIn = (folder: string): string[] => readdirSync(here(`cdi/${folder}/`)).filter((name) => /\.(yaml|json)$/.test(name) && !name.endsWith('.edits.json')).sort();
const read = once((folder: string, name: string) => frozen(readCdi(`/etc/cdi/${name}`, readFileSync(here(`cdi/${folder}/${name}`), 'utf8'))));
const bad = filesIn('bad');

/** Compares with what is stored at `path`. */
function stored(path: string, found: string): void {
  const file = here(`cdi/${path}`);
  if (update) writeFileSync(file, found);
  assert.equal(found, readFileSync(file, 'utf8'), path);
}

const context = (cdi: CdiFile[], more: Partial<Facts> = {}, rest: Partial<Context> = {}): Context => ({
  machine: 'law', facts: { ...storedHost('desktop-nvidia'), cdi, ...more }, run: '/run/nestbox/law', shift: 2 ** 20, inside: { name: 'guest', home: '/home/guest', uid: 2 ** 20 + 1000, gid: 2 ** 20 + 1000 }, helper: { uid: 65534, gid: 65534 }, nobody: { uid: 65534, gid: 65534 }, accept: [], sharesNetwork: false, boots: false, emulated: false, sharesMemory: true, unit: null, ...rest,
});
const told = (problems: Problem[]): string => problems.map(({ what, mend, fatal }) => `${fatal ? 'refused' : 'warning'}: ${what}\n  ${mend}\n`).join('');

test('every malformed file is refused with exactly the words that are stored', () => {
  assert.ok(bad.length >= 60);
  for (const name of bad) stored(`bad/${name}.txt`, `${read('bad', name).complaints.join('\n')}\n`);
});

test('every complaint says its file, line and column, and has no words of a library', () => {
  for (const name of bad) {
    const { complaints, spec } = read('bad', name);
    assert.equal(spec, null, name);
    assert.ok(complaints.length > 0, name);
    for (const complaint of complaints) {
      assert.match(complaint, new RegExp(`^/etc/cdi/${name.replace('.', '\\.')}:\\d+:\\d+: `), name);
      assert.doesNotMatch(complaint, /Invalid|undefined|\[object|Error:|NaN|\p{Cc}(?<!\n)/u, name);
    }
  }
});

test('no malformed file makes a machine do anything: whatever device of it is named is refused, and none of it is in any edit', () => {
  for (const name of bad) {
    const file = read('bad', name);
    for (const device of ['vendor.com/device=one', 'vendor.com/de.vice=one', 'vendor.com/device=two', 'vendor.com/device=0']) {
      assert.ok(cdiNeeds([device], device, context([file])).some(({ fatal }) => fatal), `${name}: ${device}`);
      const edits = cdiEdits([device], context([file]).facts);
      assert.ok(Object.values(edits).every((list) => Object.keys(list as object).length === 0), `${name}: ${JSON.stringify(edits)}`);
      assert.deepEqual(values.devices!.paths!([device], { ...storedHost('laptop'), cdi: [file] }), [], name);
    }
  }
});

test('good files become the edits that are stored', () => {
  const devices = { 'nvidia.yaml': ['nvidia.com/gpu=0', 'nvidia.com/gpu=all'], 'every-field.json': ['vendor.com/de.vice=one', 'vendor.com/de.vice=2:0'], 'octal-mode.yaml': ['vendor.com/octal=old', 'vendor.com/octal=new', 'vendor.com/octal=number'] };
  assert.deepEqual(filesIn('good'), Object.keys(devices).sort());
  for (const [name, names] of Object.entries(devices)) {
    const file = read('good', name);
    assert.deepEqual(file.complaints, []);
    const { facts } = context([file]);
    stored(`good/${name}.edits.json`, `${JSON.stringify(Object.fromEntries(names.map((one) => [one, { ...cdiEdits([one], facts), problems: told(cdiNeeds([one], one, context([file]))).split('\n') }])), null, 1)}\n`);
  }
});

test('what a file says as a whole counts once, however many of its devices are named', () => {
  const file = read('good', 'nvidia.yaml');
  const both = ['nvidia.com/gpu=0', 'nvidia.com/gpu=all'];
  assert.equal(cdiEdits(both, context([file]).facts).binds!.length, cdiEdits(both.slice(0, 1), context([file]).facts).binds!.length);
  assert.deepEqual(cdiNeeds(both, both[1]!, context([file])), [], 'its warnings are told with the first');
});

const simple = (path: string, value: string, kind = 'vendor.com/device'): CdiFile => readCdi(path, `cdiVersion: 0.6.0\nkind: ${kind}\ndevices: [{ name: one, containerEdits: { env: [FROM=${value}] } }]\n`);

test('the later folder stands before the earlier one, and in one folder a device is described once', () => {
  const one = 'vendor.com/device=one';
  assert.deepEqual(cdiEdits([one], context([simple('/etc/cdi/a.yaml', 'etc'), simple('/var/run/cdi/a.yaml', 'run')]).facts).environment, { FROM: 'run' });
  const twice = context([simple('/etc/cdi/a.yaml', 'a'), simple('/etc/cdi/b.yaml', 'b')]);
  assert.equal(told(cdiNeeds([one], one, twice)), "refused: 'vendor.com/device=one' is described by /etc/cdi/a.yaml and /etc/cdi/b.yaml, and none stands before the other\n  remove one of these files\n");
  assert.deepEqual(cdiEdits([one], twice.facts).environment, {});
});

test('a device that no file has is told with the nearest name that one has, and with what could not be read', () => {
  const one = 'vendor.com/device=on';
  assert.match(told(cdiNeeds([one], one, context([simple('/etc/cdi/a.yaml', 'a')]))), /describes 'vendor.com\/device=on'\n {2}did you mean 'vendor.com\/device=one'\?/);
  assert.match(told(cdiNeeds([one], one, context([readCdi('/etc/cdi/b.json', '{')]))), /and this cannot be read\n\/etc\/cdi\/b.json:1:\d+: /);
  assert.match(told(cdiNeeds(['nvidia.com/gpu=all'], 'nvidia.com/gpu=all', context([]))), /nvidia-ctk cdi generate/);
  assert.deepEqual(cdiNeeds(['vendor.com/device=one'], 'vendor.com/device=one', context([simple('/etc/cdi/a.yaml', 'a'), readCdi('/etc/cdi/b.json', '{')])), [], "another vendor's broken file is no reason to refuse this one");
});

const withEdits = (edits: string, version = '1.1.0'): CdiFile => readCdi('/etc/cdi/x.yaml', `cdiVersion: ${version}\nkind: vendor.com/device\ndevices:\n- name: one\n  containerEdits: ${edits}\n`);
const problemsOf = (edits: string, more: Partial<Facts> = {}, rest: Partial<Context> = {}): string => told(cdiNeeds(['vendor.com/device=one'], 'vendor.com/device=one', context([withEdits(edits)], more, rest)));

test('what is not on the host is told before anything is done', () => {
  assert.equal(problemsOf('{ mounts: [{ hostPath: /usr/lib/absent.so, containerPath: /usr/lib/absent.so }] }'), 'refused: /usr/lib/absent.so does not exist on this host, and /etc/cdi/x.yaml gives it\n  make /etc/cdi/x.yaml anew with the program that wrote it\n');
  assert.match(problemsOf('{ mounts: [{ hostPath: /dev/tty7, containerPath: /opt/tty }] }'), /\/dev\/tty7 is a device, and .* gives it as a file/);
  assert.match(problemsOf('{ deviceNodes: [{ path: /dev/absent }] }'), /refused: there is no device \/dev\/absent on this host/);
  assert.equal(problemsOf('{ deviceNodes: [{ path: /dev/absent, type: c, major: 10, minor: 3 }] }'), '', 'numbers that the file has itself need no node');
  assert.match(problemsOf('{ deviceNodes: [{ path: /dev/tty7, type: c, major: 10, minor: 3 }] }'), /\/dev\/tty7 is c 4:7 on this host, and c 10:3 in .*\n {2}numbers change when a driver is loaded again/);
  assert.match(problemsOf('{ netDevices: [{ hostInterfaceName: eth9, name: eth9 }] }'), /there is no network interface eth9/);
  assert.match(problemsOf('{ netDevices: [{ hostInterfaceName: eth9, name: net }] }', { systemd: 252 }), /systemd-nspawn 252 cannot give the interface eth9 the name net inside/);
  assert.match(problemsOf('{ netDevices: [{ hostInterfaceName: eth9, name: eth9 }] }', {}, { sharesNetwork: true }), /which shares the host's network/);
  assert.match(problemsOf('{ additionalGids: [70000] }'), /the id 70000, which does not exist in a machine with ids of its own/);
  assert.equal(problemsOf('{ additionalGids: [70000] }', {}, { shift: 0 }), '');
});

test('a hook that is not known is named and never run, and is left out where the person accepts that', () => {
  const hook = '{ hooks: [{ hookName: createRuntime, path: /opt/vendor/hook, args: [hook, --all] }] }';
  assert.equal(problemsOf(hook), 'refused: /etc/cdi/x.yaml has a hook that is not run: /opt/vendor/hook --all\n  nestbox runs no hooks, and does not know what this one is for\n  go on without what it would do\n');
  assert.match(problemsOf(hook, {}, { accept: ['no-hooks'] }), /^warning: [^]*going on\n$/);
});

test('hooks of the container toolkit are done, left, or refused one by one', () => {
  const hook = (...args: string[]) => judgeHook({ hookName: 'createContainer', path: '/usr/bin/nvidia-cdi-hook', args: ['nvidia-cdi-hook', ...args] });
  assert.deepEqual(hook('create-symlinks', '--link', 'a::/b', '--link=../c::/d/e'), { kind: 'links', links: [{ path: '/b', to: 'a' }, { path: '/d/e', to: '../c' }] });
  assert.deepEqual(hook('update-ldcache', '--ldconfig-path', '@/sbin/ldconfig', '--folder', '/usr/lib64'), { kind: 'libraries', folders: ['/usr/lib64'] });
  for (const link of ['a', 'a::b', 'a::/b::/c', '::/b', 'a::/b/../c', '../../x::/b', '/../x::/b', 'a::/']) assert.equal(hook('create-symlinks', '--link', link).kind, 'unknown', link);
  assert.deepEqual(hook('chmod', '--mode', '755', '--path', '/dev/dri'), { kind: 'left', name: 'chmod', warn: false });
  assert.deepEqual(hook('chmod', '--mode', '777', '--path', '/etc'), { kind: 'left', name: 'chmod', warn: true });
  assert.equal(hook('reboot').kind, 'unknown');
  assert.equal(hook().kind, 'unknown');
  assert.equal(hook('create-symlinks', '--link').kind, 'unknown');
  assert.equal(judgeHook({ hookName: 'prestart', path: '/tmp/nvidia-ctk', args: ['nvidia-ctk', 'runtime'] }).kind, 'unknown');
});

test('names of devices are those of the specification', () => {
  for (const name of ['nvidia.com/gpu=all', 'nvidia.com/gpu=0:1', 'vendor/class=GPU-1f2e', 'a.b-c_d/e.f=0']) assert.ok(isCdiName(name), name);
  for (const name of ['/dev/x=y', 'gpu=all', 'nvidia.com/gpu', 'nvidia.com/gpu=', '=x', 'a/b/c=d', 'a/b=c d', 'a/b=-c', '1a/b=c', 'a/b=c=d', 'a/b-=c']) assert.ok(!isCdiName(name), name);
});
