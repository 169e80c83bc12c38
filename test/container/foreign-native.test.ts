import assert from 'node:assert/strict';
import { chownSync, existsSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { toolNames } from '../../src/foreign/tools.ts';
import { folder, machineFile, nestbox } from '../nestbox.ts';
import { says, succeeds } from '../roots.ts';
import { differences, snapshot } from '../snapshot.ts';
import { differing, hasTimes, treeOf } from '../trees.ts';

/** Programs of the host in place of emulated ones, in the Debian for arm64 that foreign.test.ts has built, or this builds. */

const skip = process.arch === 'arm64' && 'arm64 is what this processor is';
const tools = '/run/nestbox/tools';

const machine = (t: TestContext, name: string, more: string, native = true): string =>
  machineFile(t, `name = "${name}"\nboot = true\nnetwork = "none"\n${more}\n[root]\ndebian = "bookworm"\narchitecture = "arm64"\n[foreign]\nnative = ${native}\n`);

/** What a program inside says, at its end. */
function inside(file: string, script: string): string {
  const { status, stdout, stderr } = nestbox(['run', file, '--', 'sh', '-ec', script], { timeout: 1_200_000 });
  assert.equal(status, 0, stdout.slice(-2000) + stderr); // dpkg tells of its mistakes on either
  return stdout;
}

before(() => {
  if (skip) return;
  const file = machine({ after: () => {} } as never, 'foreign-native-first', 'ephemeral = true');
  inside(file, 'true');
});

/** A package with all that can go wrong in unpacking; `version` tells it from others of that name. */
function pack(at: string, name: string, compression: string, version = '1'): string {
  const tree = `${at}/${name}`;
  const file = (path: string, text: string | Buffer, mode = '0644', owner: [number, number] = [0, 0]) => {
    mkdirSync(dirname(`${tree}/${path}`), { recursive: true });
    writeFileSync(`${tree}/${path}`, text);
    chownSync(`${tree}/${path}`, ...owner);
    says('chmod', mode, `${tree}/${path}`);
  };
  const script = (kind: string) => file(`DEBIAN/${kind}`, `#!/bin/sh\nset -e\necho "${name} ${kind} $1 $2" >> /var/log/${name}.calls\nsha256sum /usr/share/${name}/large | cut -c1-64 >> /var/log/${name}.calls || true\nrm -rf /usr/share/${name}/gone\n`, '0755');
  file('DEBIAN/control', `Package: ${name}\nVersion: ${version}\nArchitecture: arm64\nMaintainer: Nobody <nobody@example.org>\nDescription: unpacked twice\n`);
  file('DEBIAN/conffiles', `/etc/${name}.conf\n`);
  for (const kind of ['preinst', 'postinst']) script(kind);
  file(`etc/${name}.conf`, `version = ${version}\n`);
  file(`usr/share/${name}/large`, Buffer.alloc(3_000_000, `${name} ${version} `));
  file(`usr/share/${name}/gone/at-once`, 'removed by a script\n');
  file(`usr/share/${name}/Grüße, 世界`, 'a name that is not ASCII\n');
  file(`usr/share/${name}/${'long/'.repeat(40)}name`, 'a path that needs a header of its own\n');
  file(`usr/bin/${name}-as-root`, '#!/bin/sh\n', '4755');
  file(`usr/bin/${name}-as-group`, '#!/bin/sh\n', '2755', [0, 8]);
  file(`var/lib/${name}/private`, 'of somebody\n', '0600', [33, 33]);
  file(`var/lib/${name}/unknown`, 'of a number that has no name\n', '0640', [1234, 4321]);
  linkSync(`${tree}/usr/share/${name}/large`, `${tree}/usr/share/${name}/twice`);
  symlinkSync('large', `${tree}/usr/share/${name}/link`);
  symlinkSync('/nowhere', `${tree}/usr/share/${name}/dangling`);
  mkdirSync(`${tree}/var/lib/${name}/sticky`);
  says('chmod', '1777', `${tree}/var/lib/${name}/sticky`);
  const deb = `${at}/${name}_${version}_arm64.deb`;
  says('dpkg-deb', '--build', `-Z${compression}`, '-z1', tree, deb);
  says('rm', '-r', tree);
  return deb;
}

test('packages are installed, replaced and removed to the same files, mode, owner and links, with the host\'s programs and without', { skip }, (t) => {
  const packages = folder(t);
  says('chmod', '0755', packages);
  for (const kind of ['none', 'gzip', 'xz', 'zstd']) pack(packages, `nestbox-${kind}`, kind);
  pack(packages, 'nestbox-gzip', 'xz', '2');
  const uppers = [true, false].map((native) => {
    const name = `foreign-native-${native}`;
    const file = machine(t, name, `files = [{ path = "${packages}", to = "/srv/packages" }]`, native);
    t.after(() => nestbox(['rm', name]));
    inside(file, `export DEBIAN_FRONTEND=noninteractive
      apt-get install -y /srv/packages/*_1_arm64.deb
      apt-get install -y /srv/packages/nestbox-gzip_2_arm64.deb
      apt-get purge -y nestbox-none
      dpkg --verify
      dpkg --audit`);
    return `/var/lib/nestbox/machines/${name}/top/upper`;
  });
  const found = treeOf(uppers[0]!);
  for (const path of ['/usr/share/nestbox-xz/twice', '/usr/share/nestbox-zstd/Grüße, 世界', '/usr/bin/nestbox-gzip-as-root', '/var/lib/nestbox-gzip/unknown']) assert.ok(found.has(path), path);
  assert.equal(readFileSync(`${uppers[0]}/etc/nestbox-gzip.conf`, 'utf8'), 'version = 2\n');
  assert.ok(!found.has('/usr/share/nestbox-none/large') && !found.has('/usr/share/nestbox-xz/gone'));
  assert.ok(!existsSync(`${uppers[0]}/etc/apt/apt.conf.d/99nestbox`), 'nothing of it stays');
  assert.deepEqual(differing(uppers[0]!, uppers[1]!).filter((line) => !hasTimes(line)), []);
});

/**
 * Which program is run by the words: 'host', or 'root' where that is emulated. It is given a pipe to read from, and looked at when it sleeps there: what chooses between the two, and the
 * shell before that, never do.
 */
const asks = (words: string, before = ''): string => `rm -f /tmp/pipe; mkfifo /tmp/pipe; (${before} exec ${words}) < /tmp/pipe > /dev/null 2>&1 & exec 3> /tmp/pipe; n=0; until [ $n -gt 3 ]; do sleep 0.1; grep -q '^State:.S' /proc/$!/status && n=$((n + 1)) || n=0; [ -e /proc/$! ] || break; done
  case "$(tr '\\0' ' ' < /proc/$!/cmdline)" in ${tools}/loader*) echo host;; *) echo root;; esac; exec 3>&-; wait $! || true`;

test('the host\'s programs unpack and add up; packing, and whatever else, is left to those of the root', { skip }, (t) => {
  const file = machine(t, 'foreign-native-which', 'ephemeral = true');
  const cases: [string, string, string?][] = [
    ['gzip -dc', 'host'], ['gzip -c', 'root'], ['gzip -9', 'root'], ['sha256sum', 'host'], ['sha256sum -b -', 'host'], ['sha256sum --zero', 'root'],
    ['tar -x -m -f - --warning=no-timestamp -C /tmp', 'root'], ['tar -x -m -f - --warning=no-timestamp', 'host'], ['tar -c -f - -T -', 'root'],
    ['apt-method-file', 'host'], ['apt-method-file --other', 'root'],
    // What is loaded into every program is for the root's processor.
    ['sha256sum', 'root', 'export LD_PRELOAD=/usr/lib/aarch64-linux-gnu/libc.so.6;'], ['sha256sum', 'root', 'export LD_LIBRARY_PATH=/tmp;'],
  ];
  const said = inside(file, `cd /tmp; PATH=${tools}/bin:$PATH; ${cases.map(([words, , before]) => asks(words, before)).join('\n')}`).trim().split('\n');
  assert.deepEqual(cases.map(([words, , before = ''], i) => `${before}${words}: ${said[i]}`), cases.map(([words, who, before = '']) => `${before}${words}: ${who}`));
});

test('the programs are in the way of dpkg alone: other programs have the root\'s own, and these can be replaced', { skip }, (t) => {
  const file = machine(t, 'foreign-native-way', 'ephemeral = true');
  const host = snapshot();
  const said = inside(file, `command -v tar; apt-config dump DPkg::Path; apt-config dump Dir::Bin::Methods::file; ls ${tools}/bin | tr '\\n' ' '; echo
    cp -p /usr/bin/tar /usr/bin/tar.new; mv /usr/bin/tar.new /usr/bin/tar; cp -p /usr/bin/dpkg-deb /usr/bin/dpkg-deb.new; mv /usr/bin/dpkg-deb.new /usr/bin/dpkg-deb
    rm /usr/bin/md5sum; PATH=${tools}/bin:$PATH; echo | md5sum 2>&1 || echo $?
    touch ${tools}/bin/tar 2>&1 || true; dpkg --print-architecture; uname -m`).split('\n');
  assert.match(said[0]!, /^(\/usr)?\/bin\/tar$/);
  assert.match(said[1]!, new RegExp(`"${tools}/bin:/usr/local/sbin:`));
  assert.equal(said.splice(2, 1)[0], `Dir::Bin::methods::file "${tools}/bin/apt-method-file";`);
  const names = said[2]!.trim().split(' ');
  assert.ok(['dpkg-deb', 'dpkg-split', 'tar', 'rm', 'gzip', 'sha256sum'].every((name) => names.includes(name)) && names.every((name) => (toolNames as readonly string[]).includes(name)), said[2]);
  assert.deepEqual(said.slice(3, 5), ['md5sum: not found', '127']);
  assert.match(said[5]!, /touch: .*(Read-only file system|Permission denied)/);
  assert.deepEqual(said.slice(6, 8), ['arm64', 'aarch64']);
  assert.deepEqual(differences(host), []);
});

test('native = false, and a root for this processor, have nothing of it', { skip }, (t) => {
  for (const file of [machine(t, 'foreign-native-no', 'ephemeral = true', false), machineFile(t, 'name = "foreign-native-own"\nephemeral = true\nnetwork = "none"\n[root]\nhost = true\n')])
    assert.doesNotMatch(succeeds(nestbox(['plan', file])).stdout, /nestbox\/tools|99nestbox/);
});
