import assert from 'node:assert/strict';
import test from 'node:test';
import { type Computer, newest, power } from './computer.ts';

/** Whole systems on the network of computers where systemd is PID 1, networkd runs, and the version of control groups is 2. */

const system = (name: string, more: string) => `name = "${name}"\nboot = true\n${more}\n[root]\ndirectory = "/srv/roots/debian"\n`;

/** A computer beyond the host, which knows no other address than the host's: 10.214.77.2, reached from 10.214.77.1. */
const beyond = (computer: Computer) => computer.does('sh', '-ec', `
  ip netns add beyond; ip link add far type veth peer name near netns beyond
  ip address add 10.214.77.1/30 dev far; ip link set far up; ip -n beyond address add 10.214.77.2/30 dev near; ip -n beyond link set near up`);

/** Tells each client the address that it sees. */
const tell = 'use IO::Socket::INET; $| = 1; my $l = IO::Socket::INET->new(LocalPort => 7777, Listen => 5, ReuseAddr => 1) or die; print "ready\\n"; while (my $s = $l->accept) { print $s "inside, " . $s->peerhost . "\\n"; close $s }';
const ask = 'use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], Timeout => 5); print $s ? <$s> : "$@\\n"';

for (const host of newest) {
  test(`${host}: networkd of the host gives a system its address, which goes out under the host's and is reached at a port of the host`, async (t) => {
    const computer = await power(t, host);
    await beyond(computer);
    await computer.write('/root/web.toml', system('web', 'parameters = ["systemd.wants=systemd-networkd.service"]\n[network.networkd]\nports = ["8080:7777"]'));
    await computer.does('nestbox', 'start', '/root/web.toml');
    await computer.until('sh', '-c', "nestbox exec --root web -- ip -4 -brief address show host0 | grep -E 'UP.* (10|172|192)\\.'");
    await computer.tells(/^default via .* dev host0 proto dhcp/m, 'nestbox', 'exec', '--root', 'web', '--', 'ip', 'route');

    const server = computer.start('nestbox', 'exec', '--root', 'web', '--', 'perl', '-e', tell);
    await server.says(/ready/);
    const led = () => computer.does('nft', 'list', 'map', 'ip', 'io.systemd.nat', 'map_port_ipport');
    await computer.until('sh', '-c', 'nft list map ip io.systemd.nat map_port_ipport | grep 8080'); // systemd-nspawn hears of the address a moment later
    assert.equal(await computer.does('ip', 'netns', 'exec', 'beyond', 'perl', '-e', ask, '10.214.77.1:8080'), 'inside, 10.214.77.2\n');
    assert.match(await computer.does('perl', '-e', ask, '10.214.77.1:8080'), /^inside, /);

    const listener = computer.start('ip', 'netns', 'exec', 'beyond', 'perl', '-e', tell);
    await listener.says(/ready/);
    assert.equal(await computer.does('nestbox', 'exec', '--root', 'web', '--', 'perl', '-e', ask, '10.214.77.2:7777'), 'inside, 10.214.77.1\n');

    // Killed, systemd-nspawn leaves its ports behind: the unit takes them away.
    assert.match(await led(), /8080/);
    await computer.does('systemctl', 'kill', '--signal=KILL', 'systemd-nspawn@web.service');
    await computer.until('sh', '-c', 'systemctl is-failed systemd-nspawn@web.service');
    assert.doesNotMatch(await led(), /8080/);

    await computer.does('nestbox', 'stop', 'web');
    const run = computer.start('nestbox', 'run', '/root/web.toml');
    await computer.does('timeout', '500', 'sh', '-c', 'until nft list map ip io.systemd.nat map_port_ipport | grep 8080; do sleep 1; done'); // it has an address
    assert.match(await computer.does('nestbox', 'exec', '--root', 'web', '--', 'ip', '-4', '-brief', 'address', 'show', 'host0'), /UP +(10|172|192)\./);
    await computer.run('nestbox', 'exec', '--root', 'web', '--', 'systemctl', 'poweroff');
    assert.equal((await run.ended).status, 0);
    assert.doesNotMatch(await led(), /8080/);
    assert.match(await computer.does('ip', 'netns', 'exec', 'beyond', 'perl', '-e', ask, '10.214.77.1:8080'), /refused/);
    await computer.does('systemctl', 'stop', 'systemd-networkd.service', 'systemd-networkd.socket');
    const refused = await computer.run('nestbox', 'start', '/root/web.toml');
    assert.match(refused.stderr, /network\.networkd: systemd-networkd does not run on this host[\s\S]*network = "private" does without it/);
    await computer.does('nestbox', 'rm', 'web');
  });

  test(`${host}: a system that is trusted as the host has its capabilities and its control groups, as a service and in the foreground, and ports of the host`, async (t) => {
    const computer = await power(t, host);
    await beyond(computer);
    await computer.write('/root/second.toml', system('second', 'users = "host"\ncapabilities = ["all"]\nsyscalls = ["add_key", "keyctl"]\ncgroups = "host"\nmasked = ["systemd-logind.service"]\n[network.private]\nports = ["8080:7777"]'));
    const groups = (await computer.does('readlink', '/proc/self/ns/cgroup')).trim();
    const bounding = /^CapBnd.*$/m.exec(await computer.does('cat', '/proc/1/status'))![0];
    const readOnly = 'Read-only file system'; // all but its own part
    const seen = async () => {
      const { stdout } = await computer.run('nestbox', 'exec', '--root', 'second', '--', 'sh', '-c', 'readlink /proc/1/ns/cgroup; grep CapBnd /proc/1/status; cat /proc/1/cgroup; systemctl is-system-running --wait; systemctl is-enabled systemd-logind; mkdir /sys/fs/cgroup/nestbox-try 2>&1 | grep -o Read-only.*; perl -e \'print syscall(250, 0, -3, 1) > 0 ? "keyring\\n" : "$!\\n"\'');
      return stdout.split('\n');
    };

    await computer.does('nestbox', 'start', '/root/second.toml');
    const served = await seen();
    assert.deepEqual([...served.slice(0, 2), ...served.slice(3)], [groups, bounding, 'running', 'masked', readOnly, 'keyring', '']);
    assert.match(served[2]!, /^0::\/machine\.slice\/systemd-nspawn@second\.service\/(payload\/)?init\.scope$/);
    const server = computer.start('nestbox', 'exec', '--root', 'second', '--', 'perl', '-e', tell);
    await server.says(/ready/);
    assert.equal(await computer.does('ip', 'netns', 'exec', 'beyond', 'perl', '-e', ask, '10.214.77.1:8080'), 'inside, 10.214.77.2\n');
    await computer.does('nestbox', 'stop', 'second');
    assert.equal(await computer.does('sh', '-c', 'nft list tables | grep nestbox; true'), '');

    const run = computer.start('nestbox', 'run', '/root/second.toml');
    // Without KVM a system needs half a minute and more while somebody asks it so often.
    await computer.does('timeout', '500', 'sh', '-c', 'until nestbox exec --root second -- systemctl is-active multi-user.target; do sleep 2; done');
    const foreground = await seen();
    assert.deepEqual([...foreground.slice(0, 2), ...foreground.slice(3)], [groups, bounding, 'running', 'masked', readOnly, 'keyring', '']);
    assert.match(foreground[2]!, /^0::\/machine\.slice\/machine-second\.scope\/(payload\/)?init\.scope$/);
    await computer.run('nestbox', 'exec', '--root', 'second', '--', 'systemctl', 'poweroff');
    assert.equal((await run.ended).status, 0);
    await computer.does('nestbox', 'rm', 'second');
  });
}
