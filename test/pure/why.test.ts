import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plan } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { type Answer, layerNames, tell, type Tried, why } from '../../src/why.ts';
import { hostNames, meetStored, storedHost } from './hosts.ts';

/** What `nestbox why` says of a device in a machine with these lines, on a stored host. */
function ask(host: string, lines: string, path: string, tried: Partial<Tried> | null = null, root = 'debian = "trixie"'): Answer {
  const text = `name = "m"\n${lines}\n[root]\n${root}\n`;
  const spec = readSpec(text, 'm.toml');
  const known = storedHost(host);
  const stored = { ...known, nodes: { ...known.nodes, '/dev/null': { type: 'c' as const, major: 1, minor: 3, uid: 0, gid: 0, mode: 0o666 } } };
  const { machine, facts } = meetStored(spec, { ...stored, paths: new Proxy(stored.paths, { has: () => true }) }, 'm.toml');
  plan(machine, facts);
  const none: Tried = { user: machine.user ?? 'root', read: 'OK', write: 'OK', node: null, rules: [], attached: false };
  return why(path, machine, facts, { shown: 'm.toml', text, spec }, tried && { ...none, ...tried });
}

const loop = { type: 'c', major: 10, minor: 237, mode: 0o600, uid: 0, gid: 0, nodev: false };

test('without trying, the first layer that refuses is the answer, and each says what it looked at', () => {
  const cases: [string, string, string, Answer['layer'], RegExp, RegExp | null][] = [
    ['laptop', '', '/dev/ttyUSB7', 'host', /there is no \/dev\/ttyUSB7 on this host/, /plug the device in/],
    ['laptop', '', '/dev/tty7', 'node', /nothing in the machine file gives it/, /^devices = \["\/dev\/tty7"\] in m\.toml, above the first \[table\]$/],
    ['laptop', 'user = "u"\ndevices = ["/dev/tty7"]', '/dev/tty7', null, /nothing stands in its way/, null],
    ['laptop', 'devices = ["char-input"]', '/dev/input/event3', null, /nothing stands in its way/, null],
    ['laptop', 'user = "u"\ngpu = "render"', '/dev/dri/renderD128', null, /nothing stands in its way/, null],
    ['laptop', '', '/dev/null', null, /nothing stands in its way/, null],
  ];
  for (const [host, lines, path, layer, told, mend] of cases) {
    const answer = ask(host, lines, path);
    assert.equal(answer.layer, layer, `${lines} ${path}`);
    assert.equal(answer.opens, layer === null ? null : false);
    assert.match(answer.because, told);
    if (mend) assert.match(answer.mend!, mend);
    else assert.equal(answer.mend, null);
    assert.deepEqual(answer.layers.map((one) => one.layer), [...layerNames]);
    for (const { looked } of answer.layers) assert.match(looked, /\S/);
    assert.match(tell(answer), /^m: \/dev\/\S+ (should open|does not open) \(not tried\)\n {2}\S/);
  }
});

test('the mend is the grant that gives such a node and opens least, with its line', () => {
  for (const [lines, path, mend] of [
    ['user = "u"', '/dev/dri/renderD128', /^gpu = "render" in m\.toml, above the first \[table\]$/],
    ['user = "u"\ngpu = "none"', '/dev/dri/renderD128', /^gpu = "render" in m\.toml:3$/],
    ['gpu = "render"', '/dev/dri/card1', /^gpu = \["render", "card"\] in m\.toml:2$/],
    ['', '/dev/snd/pcmC0D0p', /^audio = "alsa" in m\.toml/],
    ['\ndevices = ["/dev/tty7"]', '/dev/input/event3', /^"\/dev\/input\/event3" in the list of m\.toml:3$/],
    ['', '/dev/snd/pcmC0D0c', /^devices = \["\/dev\/snd\/pcmC0D0c"\] in m\.toml/],
  ] as const) assert.match(ask('laptop', lines, path).mend!, mend);
});

test('a node that root alone may open on the host is refused to the user inside, and not to root', () => {
  const stored = storedHost('laptop');
  const path = '/dev/tty7';
  const facts = { ...stored, nodes: { ...stored.nodes, [path]: { ...stored.nodes[path]!, gid: 0, mode: 0o600 } } };
  for (const [user, layer] of [['user = "u"', 'owner'], ['', null]]) {
    const text = `name = "m"\n${user}\ndevices = ["${path}"]\n[root]\ndebian = "trixie"\n`;
    const spec = readSpec(text, 'm.toml');
    const met = meetStored(spec, { ...facts, paths: new Proxy(facts.paths, { has: () => true }) }, 'm.toml');
    const answer = why(path, met.machine, met.facts, { shown: 'm.toml', text, spec }, null);
    assert.equal(answer.layer, layer);
    if (layer) assert.match(answer.mend!, /m\.toml:2/);
  }
});

test('a device in a shared folder does not open, as its mount opens none', () => {
  const answer = ask('laptop', 'files = ["/mnt/games"]', '/mnt/games/node');
  assert.equal(answer.layers.find(({ layer }) => layer === 'mount')!.passes, false);
});

test('where it has been tried, the error number tells the layer', () => {
  const given = 'user = "u"\ndevices = ["/dev/tty7"]';
  const tty = { type: 'c', major: 4, minor: 7, mode: 0o660, uid: 0, gid: 5, nodev: false };
  const cases: [string, Partial<Tried>, Answer['layer'], RegExp][] = [
    [given, {}, null, /it opens for reading and writing/],
    ['', { read: 'ENOENT', write: 'ENOENT' }, 'node', /nothing in the machine file gives it/],
    [given, { read: 'ENOENT', write: 'ENOENT' }, 'node', /was started without it/],
    [given, { read: 'EACCES', write: 'EACCES', node: tty }, 'owner', /belongs to 0:5 with mode 0660/],
    [given, { read: 'EACCES', write: 'EACCES', node: { ...tty, nodev: true } }, 'mount', /nodev/],
    [given, { read: 'EPERM', write: 'EPERM', node: tty, rules: ['c 1:3 rwm'] }, 'group', /no rule for c 4:7/],
    [given, { read: 'EPERM', write: 'EPERM', node: tty, rules: ['c 4:7 rw'] }, 'driver', /asks for a capability/],
    [given, { read: 'EPERM', write: 'EPERM', node: tty, rules: ['c 4:* rwm'] }, 'driver', /asks for a capability/],
    [given, { read: 'EPERM', write: 'EPERM', node: tty, rules: ['a *:* rwm'] }, 'driver', /asks for a capability/],
    [given, { read: 'EPERM', write: 'EPERM', node: tty, rules: null }, 'driver', /asks for a capability/],
    [given, { read: 'EBUSY', write: 'EBUSY', node: tty }, 'driver', /busy/],
    [given, { read: 'ENXIO', write: 'ENXIO', node: tty }, 'driver', /no device behind/],
    [given, { write: 'EACCES', node: { ...tty, mode: 0o640 } }, 'owner', /opens for reading, but not for writing: /],
  ];
  for (const [lines, tried, layer, told] of cases) {
    const answer = ask('laptop', lines, '/dev/tty7', tried);
    assert.equal(answer.layer, layer, JSON.stringify(tried));
    assert.equal(answer.opens, layer === null);
    assert.match(answer.because, told);
    assert.match(tell(answer), /tried inside as/);
  }
});

test('of a machine that runs the mend is attach as well, and what has been attached is not said to be missing', () => {
  assert.match(ask('laptop', '', '/dev/tty7', { read: 'ENOENT', write: 'ENOENT' }).mend!, /devices = .*; for the machine that runs: nestbox attach m \/dev\/tty7$/);
  const attached = ask('laptop', '', '/dev/loop-control', { attached: true, node: loop });
  assert.deepEqual([attached.opens, attached.layers.find(({ layer }) => layer === 'node')!.passes], [true, true]);
});

test('on every stored host, what a machine is given stands in nobody\'s way', () => {
  for (const host of hostNames) {
    const stored = storedHost(host);
    const users = stored.kernel.startsWith('5.') ? 'users = "host"\n' : '';
    for (const path of Object.keys(stored.nodes)) {
      const answer = ask(host, `${users}user = "u"\nnetwork = "none"\ndevices = ["${path}"]`, path);
      assert.equal(answer.layer, stored.nodes[path]!.gid === 0 && (stored.nodes[path]!.mode & 0o006) !== 0o006 ? 'owner' : null, `${path} on ${host}`);
    }
  }
});
