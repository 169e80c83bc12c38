import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plan } from '../../src/plan.ts';
import { readSpec } from '../../src/spec.ts';
import { unitsOf } from '../../src/units/files.ts';
import { meetStored, storedHost } from './hosts.ts';

/** Settings that people have written by hand for a whole system, and the machine file that says the same: all that theirs say must be in nestbox's. */

/** [Section] Key -> values in their order: a list of words is the same in one line or in several. */
function settingsOf(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let section = '';
  for (const line of text.split('\n')) {
    section = /^\[(.+)\]$/.exec(line)?.[1] ?? section;
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key === undefined) continue;
    const name = `[${section}] ${key}`;
    found.set(name, [...(found.get(name) ?? []), ...(['Capability', 'SystemCallFilter', 'Parameters', 'DeviceAllow', 'Environment'].includes(key) ? value!.split(' ') : [value!])]);
  }
  return found;
}

const handmade: { what: string; nspawn: string; dropIn?: string; machine: string; absent?: string[] }[] = [
  {
    what: 'a second system of the computer, trusted as the first one',
    nspawn: '[Exec]\nBoot=yes\nPrivateUsers=no\nCapability=all\nSystemCallFilter=add_key keyctl\n\n[Network]\nPrivate=no\nVirtualEthernet=no\n',
    dropIn: '[Service]\nEnvironment=SYSTEMD_NSPAWN_USE_CGNS=0\n',
    machine: 'boot = true\nusers = "host"\ncapabilities = ["all"]\nsyscalls = ["add_key", "keyctl"]\ncgroups = "host"\nnetwork = "host"\n',
  },
  {
    what: 'Docker inside, at a port of the host',
    nspawn: '[Exec]\nBoot=yes\nPrivateUsers=no\nCapability=CAP_SYSLOG CAP_IPC_LOCK\nSystemCallFilter=add_key keyctl bpf\nSystemCallFilter=~reboot\n\n[Network]\nPrivate=yes\nVirtualEthernet=yes\nPort=tcp:8080:80\nPort=udp:53:53\n',
    // What systemd-nspawn gives by itself is not said again.
    machine: 'boot = true\nusers = "host"\ncapabilities = ["CAP_SYSLOG", "CAP_IPC_LOCK", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"]\nsyscalls = ["add_key", "keyctl", "bpf", "~reboot"]\n[network.networkd]\nports = ["8080:80", "udp:53"]\n',
  },
  {
    what: 'a system on a bridge that boots to another target',
    nspawn: '[Exec]\nBoot=yes\nParameters=systemd.unit=rescue.target quiet\n\n[Network]\nBridge=br0\nVirtualEthernet=yes\n',
    machine: 'boot = true\nusers = "host"\nparameters = ["systemd.unit=rescue.target", "quiet"]\n[network.networkd]\nbridge = "br0"\n',
    absent: ['[Exec] Capability', '[Exec] SystemCallFilter', '[Network] Port'],
  },
];

/** What nestbox gives systemd for it. */
function rendered(machine: string, systemd: number): { nspawn: Map<string, string[]>; dropIn: Map<string, string[]> } {
  const stored = storedHost('debian12');
  const spec = readSpec(`name = "second"\n${machine}\n[root]\ndirectory = "/srv/chroot/old"\n`, 'second.toml');
  const met = meetStored(spec, { ...stored, systemd, paths: { ...stored.paths, '/sys/class/net/br0/bridge': stored.paths['/srv/chroot/old']! } }, '/etc/nestbox/second.toml', 'service');
  const { files } = unitsOf(met.machine, met.facts, plan(met.machine, met.facts).passing);
  const text = (end: string) => files.find(({ path }) => path.endsWith(end))!.text;
  return { nspawn: settingsOf(text('second.nspawn')), dropIn: settingsOf(text('nestbox.conf')) };
}

for (const { what, nspawn, dropIn = '', machine, absent = [] } of handmade)
  test(`the settings of ${what} are all said by a machine file`, () => {
    for (const systemd of [247, 252, 257, 260]) {
      const found = rendered(machine, systemd);
      for (const [ours, theirs] of [[found.nspawn, settingsOf(nspawn)], [found.dropIn, settingsOf(dropIn)]] as const)
        for (const [name, values] of theirs) assert.deepEqual(ours.get(name), values, `${name}, systemd ${systemd}`);
      for (const name of absent) assert.equal(found.nspawn.get(name), undefined, name);
    }
  });

test('the settings of a desktop on a terminal of its own are all said by a machine file', () => {
  const binds = ['/dev/tty8', '/dev/fb0', '/dev/dri', '/dev/input', '/run/udev/data'];
  const theirs = {
    nspawn: `[Exec]\nBoot=yes\nPrivateUsers=no\nCapability=all\n\n[Network]\nPrivate=no\nVirtualEthernet=no\n`,
    dropIn: '[Service]\nEnvironment=SYSTEMD_NSPAWN_USE_CGNS=0\n',
    rights: ['/dev/tty8', '/dev/dri/card0', 'char-drm', 'char-input'],
  };
  for (const systemd of [247, 252, 257, 260]) {
    const { nspawn, dropIn } = rendered(`${handmade[0]!.machine}devices = ["char-drm"]\n[display.vt]\nterminal = 8\n`, systemd);
    for (const [ours, wanted] of [[nspawn, settingsOf(theirs.nspawn)], [dropIn, settingsOf(theirs.dropIn)]] as const) for (const [name, values] of wanted) assert.deepEqual(ours.get(name), values, name);
    for (const call of ['add_key', 'keyctl']) assert.ok(nspawn.get('[Exec] SystemCallFilter')!.includes(call));
    // What is bound as a folder of devices there is here each node in it: a class has the right to those that come.
    const seen = [...nspawn.get('[Files] Bind')!, ...nspawn.get('[Files] BindReadOnly')!].map((bind) => bind.split(':').at(-1)!);
    for (const path of binds) assert.ok(seen.some((one) => one === path || one.startsWith(`${path}/`)), path);
    // A node that its class covers needs no line.
    const rights = dropIn.get('[Service] DeviceAllow')!;
    for (const name of theirs.rights.filter((one) => one !== '/dev/dri/card0')) assert.ok(rights.includes(name), name);
  }
});

test('without a word about them a system has the capabilities, calls and groups that systemd-nspawn gives it', () => {
  const { nspawn, dropIn } = rendered('boot = true\nusers = "host"\ncgroups = "own"\n', 252);
  assert.deepEqual(['[Exec] Capability', '[Exec] SystemCallFilter', '[Exec] Parameters'].map((name) => nspawn.get(name)), [undefined, undefined, undefined]);
  assert.equal(dropIn.get('[Service] Environment'), undefined);
});
