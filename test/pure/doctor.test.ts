import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { canRun, checks, type Condition, examine, type Patient, report } from '../../src/doctor.ts';
import { Complaint, lacksProgram, packages, packagesOf, type ProgramName } from '../../src/errors.ts';
import type { Facts } from '../../src/facts.ts';
import { namesOf, withoutNames } from '../../src/nameless.ts';
import { families, familyOf, installing, installingHeaders } from '../../src/packages.ts';
import { plan } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { exampleText, here, hostNames, meetStored, storedCdi, storedHost } from './hosts.ts';

/** What doctor says of stored hosts: UPDATE_GOLDEN=1 writes it anew. */

const healthy: Condition = {
  namespaces: ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts'], userNamespaces: 62514, modules: 'there', drivers: { overlay: 'there', loop: 'loadable', dm_crypt: 'loadable', veth: 'loadable', bridge: 'loadable', nf_tables: 'there', uinput: 'loadable' },
  callFilters: true, deviceFilters: true, through: 'sudo', closed: null, listens: true, wayland: null, undriven: [], nvidiaLibraries: [], left: [], barriers: [],
};

/** Another host, and in what this one differs. */
interface Differing {
  like: string;
  without?: ProgramName[];
  with?: ProgramName[];
  facts: Partial<Facts>;
  condition: Partial<Condition>;
}

const differing = new URL('hosts/doctor/', import.meta.url);

const patients = new Map<string, Patient>();

function patientOf(name: string): Patient {
  const known = patients.get(name) ?? readPatient(name);
  patients.set(name, known);
  return known;
}

function readPatient(name: string): Patient {
  if (hostNames.includes(name)) {
    const facts = storedHost(name);
    return { facts: { ...facts, cdi: storedCdi(facts) }, condition: { ...healthy, through: facts.root && facts.person.uid !== 0 ? 'sudo' : null, nvidiaLibraries: facts.nvidia ? [facts.nvidia.version] : [] } };
  }
  const { like, without = [], with: more = [], facts, condition } = JSON.parse(readFileSync(new URL(`${name}.json`, differing), 'utf8')) as Differing;
  const { facts: base } = patientOf(like);
  const programs = Object.fromEntries(Object.entries(base.programs).filter(([program]) => !without.includes(program as ProgramName)));
  for (const program of more) programs[program] = `/usr/bin/${program}`;
  return { facts: { ...base, programs, ...facts }, condition: { ...healthy, ...condition, drivers: { ...healthy.drivers, ...condition.drivers } } };
}

const all = [...hostNames, ...readdirSync(differing).map((name) => name.replace('.json', ''))].sort();
const golden = here('golden/doctor/');

test('every host is told the same as before', () => {
  const update = process.env.UPDATE_GOLDEN === '1';
  if (update) {
    rmSync(golden, { recursive: true, force: true });
    mkdirSync(golden, { recursive: true });
  }
  for (const name of all) {
    const patient = patientOf(name);
    const said = report(examine(patient), patient);
    const file = new URL(`${name}.txt`, golden);
    if (update) writeFileSync(file, said);
    else assert.equal(said, readFileSync(file, 'utf8'), `${name}: UPDATE_GOLDEN=1 writes it anew`);
  }
  assert.deepEqual(readdirSync(golden).sort(), all.map((name) => `${name}.txt`));
});

test('each check has a host where all is well, and one where it is not', () => {
  const told = all.map((name) => examine(patientOf(name)));
  for (const check of Object.keys(checks)) {
    const own = told.map((findings) => findings.filter((one) => one.check === check)).filter((findings) => findings.length > 0);
    assert.ok(own.some((findings) => findings.every(({ state }) => state === 'works')), `${check} is never well`);
    assert.ok(own.some((findings) => findings.some(({ state }) => state !== 'works')), `${check} never finds anything`);
  }
  assert.deepEqual(readdirSync(new URL('../../src/doctor/', import.meta.url)).map((name) => name.replace('.ts', '')).sort(), Object.keys(checks).sort());
});

test('what is not well says what mends it; what nobody needs is not told', () => {
  for (const name of all) for (const { state, what, mend, words } of examine(patientOf(name))) {
    assert.equal(state === 'works', mend === undefined, `${name}: ${what}`);
    assert.doesNotMatch(`${what} ${words.join()} ${mend}`, /null|\bNaN\b|\[object|undefined(?!$)/, `${name}: ${what}`);
  }
});

test('a host with one engine can run machines, one without what all of them need cannot', () => {
  const runs = (change: (patient: Patient) => Patient, of = 'laptop') => canRun(examine(change(patientOf(of))));
  const without = (...names: ProgramName[]) => (patient: Patient): Patient => ({ ...patient, facts: { ...patient.facts, programs: Object.fromEntries(Object.entries(patient.facts.programs).filter(([name]) => !names.includes(name as ProgramName))) } });
  assert.deepEqual(all.filter((name) => !canRun(examine(patientOf(name)))), ['gentoo']);
  assert.ok(runs(without('systemd-nspawn', 'lxc-start')), 'a chroot needs neither');
  assert.ok(!runs(without('nestbox-native')));
  assert.ok(!runs(without('flock')));
  assert.ok(runs(({ facts, condition }) => ({ facts, condition: { ...condition, userNamespaces: null, namespaces: condition.namespaces.filter((kind) => kind !== 'user') } })), 'users = "host" needs no user namespace');
  assert.ok(!runs(({ facts, condition }) => ({ facts, condition: { ...condition, namespaces: ['user', 'net'] } })));
});

test('a command names packages as the distribution does', () => {
  const host = (id: string, ...like: string[]) => ({ distribution: { id, version: '', like } });
  for (const [id, like, family] of [
    ['debian', [], 'debian'], ['ubuntu', ['debian'], 'debian'], ['linuxmint', ['ubuntu', 'debian'], 'debian'], ['raspbian', ['debian'], 'debian'], ['fedora', [], 'fedora'], ['rocky', ['rhel', 'centos', 'fedora'], 'fedora'], ['rhel', ['fedora'], 'fedora'],
    ['arch', [], 'arch'], ['manjaro', ['arch'], 'arch'], ['opensuse-tumbleweed', ['opensuse', 'suse'], 'opensuse'], ['opensuse-leap', ['suse', 'opensuse'], 'opensuse'], ['sles', ['suse'], 'opensuse'], ['gentoo', [], 'gentoo'], ['void', [], null], ['', [], null],
  ] as const) assert.equal(familyOf(host(id, ...like)), family, id);
  const mends = (name: ProgramName) => [...families, 'void'].map((id) => lacksProgram(name, 'try', host(id)).mend);
  assert.deepEqual(mends('Xvfb'), ['apt install xvfb', 'dnf install xorg-x11-server-Xvfb', 'pacman -S xorg-server-xvfb', 'zypper install xorg-x11-server-Xvfb', 'USE="xvfb" emerge x11-base/xorg-server', 'install what Debian has as xvfb: its name here is not known']);
  assert.deepEqual(mends('parec'), ['apt install pulseaudio-utils', 'dnf install pulseaudio-utils', 'pacman -S libpulse', 'zypper install pulseaudio-utils', 'emerge media-libs/libpulse', 'install what Debian has as pulseaudio-utils: its name here is not known']);
  assert.equal(installing(['xvfb', 'xserver-xephyr', 'mount', 'util-linux'], host('gentoo')), 'USE="xvfb xephyr" emerge x11-base/xorg-server sys-apps/util-linux');
  assert.equal(lacksProgram('mmdebstrap', 'try', host('arch')).mend, 'install what Debian has as mmdebstrap: its name here is not known');
  assert.deepEqual([...families, 'void'].map((id) => installingHeaders('6.12.1-lts', host(id))), ['apt install linux-headers-6.12.1-lts', 'dnf install kernel-devel-6.12.1-lts', 'pacman -S linux-lts-headers', 'zypper install kernel-lts-devel', 'emerge sys-kernel/gentoo-sources, of the same version', 'install them, of the same version']);
  for (const name of Object.keys(packages) as ProgramName[]) for (const id of families) {
    const { mend } = lacksProgram(name, 'try', host(id));
    assert.doesNotMatch(mend, /undefined|null/, name);
    if (id === 'debian' && packagesOf(name).length > 0) assert.equal(mend, `apt install ${packages[name]}`);
  }
});

/** A host that has names wherever there can be some. */
const named = (): { patient: Patient; secrets: string[] } => {
  const machineId = '4c9e7f2ab81d43f09c5a6e1d3b7f8a20';
  const uuid = '8f14e45f-ceea-467f-a34b-9d2c1b7e5a10';
  const mac = '52:54:00:ab:cd:ef';
  const serial = 'S4EVNX0R123456';
  const { facts, condition } = patientOf('laptop');
  const device = `/dev/disk/by-id/nvme-Samsung_SSD_${serial}`;
  return {
    patient: {
      facts: {
        ...facts, distribution: { id: 'debian', version: '13' },
        person: { name: 'wilhelmina', uid: 1000, gid: 1000, home: '/data/homes/wilhelmina' },
        cgroups: { ...facts.cgroups, own: { '': `/sys/fs/cgroup/docker/${machineId}${machineId}` } },
        programs: { ...facts.programs, 'nestbox-native': '/data/homes/wilhelmina/nestbox/dist/nestbox-native' },
        x11: { display: 'orchid.example.org:10.0', authority: '/data/homes/wilhelmina/.Xauthority' },
        sound: { ...facts.sound, pulse: '/run/user/1000/wilhelmina/native' },
        groups: { ...facts.groups, '1000': 'wilhelmina', '1001': 'bookclub' },
        nodes: { ...facts.nodes, [device]: { type: 'b', major: 259, minor: 0, uid: 0, gid: 6, mode: 0o660 } },
        terminals: { active: 7, used: [{ number: 7, by: 'a session of wilhelmina' }, { number: 3, by: 'a session of ottokar' }, { number: 4, by: 'a session of ldap-user' }], machines: [{ name: 'diary', number: 9 }] },
        mounts: [...facts.mounts, { at: '/media/wilhelmina/HOLIDAYS', type: 'vfat', readOnly: false }, { at: '/data/homes/wilhelmina/vault', type: 'fuse.gocryptfs', readOnly: false }, { at: `/mnt/${uuid}`, type: 'zfs', readOnly: false }, { at: `/run/media/ottokar/${machineId}`, type: 'nfs', readOnly: false }],
        nameservers: ['203.0.113.77', `fe80::5054:ff:feab:cdef`],
        store: {
          templates: ['debian-bookworm-5158ff04849e035b'], services: [{ name: 'diary', unit: 'systemd-nspawn@diary.service', enabled: true, leader: null }],
          machines: [{ name: 'diary', template: null, directory: '/data/homes/wilhelmina/roots/diary', shift: 939720704, file: '/data/homes/wilhelmina/diary.toml', devices: [device], volume: { path: device, lv: null, luks: { keyFile: '/data/homes/wilhelmina/key', discard: false } } }],
        },
        paths: { '/data/homes/wilhelmina': null },
        cdi: [{ path: '/etc/cdi/orchid.json', kind: 'nvidia.com/gpu', complaints: [], spec: { cdiVersion: '0.6.0', kind: 'nvidia.com/gpu', devices: [{ name: `GPU-${uuid}`, containerEdits: { deviceNodes: [{ path: device }], env: [`MAC=${mac}`, `ID=${machineId}`, 'LICENSE=hunter2'], mounts: [{ hostPath: '/data/homes/wilhelmina/lib', containerPath: '/lib' }] } }] } }],
        binfmt: { ...facts.binfmt!, entries: [{ ...facts.binfmt!.entries[0]!, interpreter: '/data/homes/wilhelmina/qemu', file: null }] },
      },
      condition: { ...condition, barriers: [{ program: 'nft', table: 'inet wilhelmina', chain: 'orchid', of: null, ways: ['out'], links: ['private'] }], closed: '/data/homes/wilhelmina/.Xauthority cannot be read', wayland: '/run/user/1000/wilhelmina-wayland-0', left: [{ name: 'diary', kind: 'run' }, { name: 'image.holidays-of-ottokar.4f21', kind: 'image' }] },
    },
    secrets: ['wilhelmina', 'ottokar', 'bookclub', 'orchid', 'diary', 'holidays', '/data/homes', machineId, uuid, mac, serial, '203.0.113.77', '5054:ff', 'example.org', 'ldap-user', 'hunter2'],
  };
};

test('facts for strangers have no names, serial numbers and addresses, nor has what is said of them', () => {
  const { patient, secrets } = named();
  const names = namesOf('orchid.example.org', { users: [{ name: 'wilhelmina', uid: 1000 }, { name: 'ottokar', uid: 1001 }, { name: 'nobody', uid: 65534 }, { name: 'daemon', uid: 1 }], groups: [{ name: 'wilhelmina', gid: 1000 }, { name: 'bookclub', gid: 1001 }, { name: 'audio', gid: 29 }] });
  const before = `${JSON.stringify(patient)}${report(examine(patient), patient)}`.toLowerCase();
  const seen = withoutNames(patient, names);
  const after = `${JSON.stringify(seen)}${JSON.stringify(examine(seen))}${report(examine(seen), seen)}`.toLowerCase();
  for (const secret of secrets) {
    assert.ok(before.includes(secret.toLowerCase()), `the test has no ${secret}`);
    const at = after.indexOf(secret.toLowerCase());
    assert.equal(at, -1, `${secret} is told: ${after.slice(Math.max(0, at - 100), at + 60)}`);
  }
});

test('a plan is made from facts for strangers as from the host itself', () => {
  for (const name of ['laptop', 'no-systemd', 'cgroup-v1']) for (const example of ['demo', 'private', 'arm64', 'kiosk']) {
    const { facts, condition } = patientOf(name);
    const stored = storedHost(name);
    const strange = JSON.parse(JSON.stringify(withoutNames({ facts, condition }, { host: 'orchid', people: [facts.person.name], groups: [] }).facts)) as Facts;
    const outcome = (host: Facts) => {
      try {
        const { machine, facts: met } = meetStored(readSpec(exampleText(example), `${example}.toml`), host, `/etc/nestbox/${example}.toml`);
        return Object.values(plan(machine, met)).flatMap((part) => (Array.isArray(part) ? part.map(({ step }) => step.kind) : [])).join(' ');
      } catch (error) {
        if (!(error instanceof Complaint)) throw error;
        return `refused: ${error.message}`;
      }
    };
    // What is at the paths that a file names is another thing to be told, and in a stored host is written down.
    const paths = Object.fromEntries(Object.entries(stored.paths).map(([path, fact]) => [facts.person.uid === 0 ? path : path.replace(facts.person.home, '/home/person'), fact]));
    assert.equal(outcome({ ...strange, paths, accounts: stored.accounts }).replaceAll('/home/person', facts.person.home), outcome(stored), `${name}, ${example}`);
  }
});

test('nothing else is lost: the same is found, and a person may be called as anything else is', () => {
  for (const name of all) {
    const patient = patientOf(name);
    const { facts } = patient;
    for (const person of ['systemd', facts.person.name]) {
      const seen = withoutNames({ ...patient, facts: { ...facts, person: { ...facts.person, name: person } } }, { host: 'kernel', people: [person], groups: [person] });
      assert.deepEqual(examine(seen).map(({ check, state }) => `${check} ${state}`), examine(patient).map(({ check, state }) => `${check} ${state}`), `${name}, ${person}`);
      for (const key of ['architecture', 'distribution', 'kernel', 'systemd', 'graphics', 'deviceClasses', 'displaysInUse', 'subordinate', 'nvidia'] as const) assert.deepEqual(seen.facts[key], facts[key], key);
    }
  }
});
