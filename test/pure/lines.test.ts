import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Complaint } from '../../src/errors.ts';
import { plan } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { meetStored, storedHost } from './hosts.ts';

/** No text of a machine file can add a line, an option or an argument to anything. */

/** Machine files with a place for a text: every key that takes one, with a word that it takes. */
const places: [string, string, (text: string) => string][] = [
  ['name', 'm', (text) => `name = ${text}\nroot.debian = "bookworm"`],
  ['hostname', 'h', (text) => `name = "m"\nhostname = ${text}\nroot.debian = "bookworm"`],
  ['user', 'u', (text) => `name = "m"\nuser = ${text}\nroot.debian = "bookworm"`],
  ['user.name', 'u', (text) => `name = "m"\nuser.name = ${text}\nroot.debian = "bookworm"`],
  ['run', 'r', (text) => `name = "m"\nrun = ${text}\nroot.debian = "bookworm"`],
  ['run.0', 'r', (text) => `name = "m"\nrun = [${text}]\nroot.debian = "bookworm"`],
  ['run.1', 'r', (text) => `name = "m"\nrun = ["sh", ${text}]\nroot.debian = "bookworm"`],
  ['environment', 'e', (text) => `name = "m"\nenvironment.X = ${text}\nroot.debian = "bookworm"`],
  ['environment name', 'E', (text) => `name = "m"\nenvironment.${text} = "1"\nroot.debian = "bookworm"`],
  ['files', '/mnt/games', (text) => `name = "m"\nfiles = [${text}]\nroot.debian = "bookworm"`],
  ['files.path', '/mnt/games', (text) => `name = "m"\nfiles = [{ path = ${text} }]\nroot.debian = "bookworm"`],
  ['files.to', '/inside', (text) => `name = "m"\nfiles = [{ path = "/mnt/games", to = ${text} }]\nroot.debian = "bookworm"`],
  ['devices', '/dev/tty7', (text) => `name = "m"\ndevices = [${text}]\nroot.debian = "bookworm"`],
  ['title', 't', (text) => `name = "m"\ndisplay.nested.title = ${text}\nroot.debian = "bookworm"`],
  ['size', '10x10', (text) => `name = "m"\ndisplay.nested.size = ${text}\nroot.debian = "bookworm"`],
  ['record', '/tmp/x.wav', (text) => `name = "m"\naudio.playback.record = ${text}\nroot.debian = "bookworm"`],
  ['card', 'PCH', (text) => `name = "m"\naudio.alsa.card = ${text}\nroot.debian = "bookworm"`],
  ['gpu', '0000:00:02.0', (text) => `name = "m"\ngpu.render.card = ${text}\nroot.debian = "bookworm"`],
  ['bridge', 'br0', (text) => `name = "m"\nnetwork.bridge = { name = ${text}, address = "10.0.0.2/8" }\nroot.debian = "bookworm"`],
  ['address', '10.0.0.2/8', (text) => `name = "m"\nnetwork.bridge = { name = "br0", address = ${text} }\nroot.debian = "bookworm"`],
  ['gateway', '10.0.0.1', (text) => `name = "m"\nnetwork.bridge = { name = "br0", address = "10.0.0.2/8", gateway = ${text} }\nroot.debian = "bookworm"`],
  ['memory', '1G', (text) => `name = "m"\nlimits.memory = ${text}\nroot.debian = "bookworm"`],
  ['debian', 'bookworm', (text) => `name = "m"\nroot.debian = ${text}`],
  ['package', 'bash', (text) => `name = "m"\nroot = { debian = "bookworm", packages = [${text}] }`],
  ['component', 'main', (text) => `name = "m"\nroot = { debian = "bookworm", components = [${text}] }`],
  ['mirror', 'http://deb.debian.org', (text) => `name = "m"\nroot = { debian = "bookworm", mirror = ${text} }`],
  ['arch package', 'bash', (text) => `name = "m"\nroot = { arch = true, packages = [${text}] }`],
  ['arch config', '/etc/pacman.conf', (text) => `name = "m"\nroot = { arch = true, config = ${text} }`],
  ['tar', '/srv/images/server.tar.zst', (text) => `name = "m"\nroot.tar = ${text}`],
  ['directory', '/srv/chroot/old', (text) => `name = "m"\nroot.directory = ${text}`],
  ['clone', 'steam', (text) => `name = "m"\nroot.clone = ${text}`],
];

const stored = storedHost('desktop-nvidia');
/** A host where every path that is asked for is a folder, so that nothing is refused because it is not there. */
const facts = {
  ...stored, sound: { ...stored.sound, cards: [{ index: 0, id: 'PCH' }] }, programs: { ...stored.programs, pacstrap: '/usr/bin/pacstrap' },
  paths: new Proxy(stored.paths, { has: () => true, get: (target, path: string) => target[path] ?? { kind: 'directory' as const, uid: 0, gid: 0, mode: 0o755, size: 0, modified: 0 } }),
};

function planned(text: string): string | null {
  try {
    const { machine, facts: met } = meetStored(readSpec(text, 'm.toml'), facts, 'm.toml');
    return JSON.stringify(plan(machine, met));
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    // Neither do they come into the complaint as they are: a terminal would obey them.
    assert.doesNotMatch(error.message + (error.hint ?? ''), /[^\P{Cc}\n]/u);
    return null;
  }
}

test('a text with a line break or another control character is refused, wherever it stands', () => {
  for (const [name, word, file] of places)
    for (const evil of ['\\n', '\\r', '\\u0000', '\\u001b[2J', '\\u0085', '\\t', '\\u007f'])
      for (const text of [`"${word}${evil}Boot=yes"`, `"${evil}${word}"`, `"${word}${evil}"`]) assert.equal(planned(file(text)), null, `${name} = ${text}`);
});

test('a text that looks like an option becomes no option of any program', () => {
  for (const [name, word, file] of places) {
    for (const evil of ['--bind=/:/host', '--property=DeviceAllow=char-* rwm', '-x']) {
      const text = planned(file(`"${evil}"`));
      if (text === null) continue;
      const { passing, lasting } = JSON.parse(text) as { passing: { step: { kind: string; argv?: string[] } }[]; lasting: { step: { kind: string; argv?: string[] } }[] };
      for (const { step } of [...lasting, ...passing]) {
        if (!step.argv) continue;
        const options = step.kind === 'container' ? step.argv.slice(0, step.argv.indexOf('--')) : step.argv;
        const at = options.indexOf(evil);
        // What stands right after an option that takes a value is its value.
        assert.ok(at < 0 || /^-(title|L)$/.test(options[at - 1]!), `${name} = '${evil}' (instead of '${word}') is an argument of its own: ${options.join(' ')}`);
      }
    }
  }
});

test('a colon, comma, backslash, blank or quote in a path stays in the path', () => {
  for (const path of ['/a:b', '/a,b', '/a\\b', '/a b', "/a'b", '/a"b', '/a:/etc:rw', '/ä', '/a%n', '/a$b', '/[a]']) {
    const { machine, facts: met } = meetStored(readSpec(`name = "m"\nfiles = [{ path = ${JSON.stringify(path)}, write = true }]\nroot.debian = "bookworm"`, 'm.toml'), facts, 'm.toml');
    const container = plan(machine, met).passing.at(-1)!.step;
    assert.equal(container.kind, 'container');
    const bind = (container as { argv: string[] }).argv.find((word) => word.startsWith('--bind=/run/nestbox/m/files/0:'))!;
    const [from, to, ...more] = bind.slice('--bind='.length).split(/(?<!\\):/).map((part) => part.replace(/\\(.)/g, '$1'));
    assert.deepEqual([from, to, more], ['/run/nestbox/m/files/0', path, []]);
  }
});
