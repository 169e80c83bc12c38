import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { linkNames, privateNetwork } from '../../src/names.ts';
import { follow, machineFile, nestbox, root, type Running, running } from '../nestbox.ts';

const machine = (t: TestContext, name: string, network: string) => machineFile(t, `name = "${name}"\nephemeral = true\n${network}\n${root}`);
const ip = (...words: string[]) => spawnSync('ip', words, { encoding: 'utf8' });
const nft = (command: string) => spawnSync('nft', [command], { encoding: 'utf8' });
const tables = () => nft('list tables ip').stdout.split('\n').filter((line) => line.includes('nestbox')).sort();
const links = () => readdirSync('/sys/class/net').filter((name) => name.startsWith('nb'));

const forwarding = '/proc/sys/net/ipv4/ip_forward';
const forwards = () => readFileSync(forwarding, 'utf8').trim();

/** The setting for the length of a test. */
function setForwarding(t: TestContext, value: '0' | '1'): void {
  const before = forwards();
  t.after(() => writeFileSync(forwarding, before));
  writeFileSync(forwarding, value);
}

/** Inside: what a server answers, or why it does not. */
const ask = 'use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], Timeout => 30); print $s ? <$s> : "$@\\n"';
/** A server that tells each client the address that it sees. */
const tell = 'use IO::Socket::INET; $| = 1; my $l = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => 7777, Listen => 5, ReuseAddr => 1) or die "$@\\n"; print "ready\\n"; while (my $s = $l->accept) { print $s $s->peerhost . "\\n"; close $s }';

/** Whether the kernel can do what private networks are made of; the test is skipped where it cannot. */
function hasNat(t: TestContext): boolean {
  const { status, stderr, error } = nft('add table ip nestboxtry ; add chain ip nestboxtry out { type nat hook postrouting priority srcnat ; } ; add rule ip nestboxtry out masquerade ; delete table ip nestboxtry');
  if (status !== 0) t.skip(`the kernel or nft cannot translate addresses: ${error?.message ?? stderr.trim().split('\n')[0]}`);
  return status === 0;
}

/** A network beyond the host, which knows the host's address and no other: 10.214.77.2, reached from 10.214.77.1. */
async function internet(t: TestContext): Promise<boolean> {
  const clear = () => { ip('link', 'delete', 'nbtest0'); ip('netns', 'delete', 'nestbox-test'); };
  clear();
  t.after(clear);
  if (ip('netns', 'add', 'nestbox-test').status !== 0 || ip('link', 'add', 'nbtest0', 'type', 'veth', 'peer', 'name', 'nbtest1', 'netns', 'nestbox-test').status !== 0) {
    t.skip('no second network can be made here');
    return false;
  }
  for (const words of ['address add 10.214.77.1/30 dev nbtest0', 'link set nbtest0 up', '-n nestbox-test address add 10.214.77.2/30 dev nbtest1', '-n nestbox-test link set nbtest1 up']) assert.equal(ip(...words.split(' ')).status, 0, words);
  const server = follow(t, spawn('ip', ['netns', 'exec', 'nestbox-test', 'perl', '-e', tell, '10.214.77.2'], { stdio: ['ignore', 'pipe', 'pipe'] }));
  await server.says(/ready/);
  return true;
}

/** A server of the host on one of its addresses: its port. It tells each client the address that it sees. */
async function hostServer(t: TestContext, address: string): Promise<number> {
  const server = createServer((client) => client.end(`${client.remoteAddress}\n`));
  await new Promise<void>((listening) => server.listen(0, address, listening));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Runs nestbox while the servers of this process answer. */
const inside = async (t: TestContext, file: string, script: string, words: string[] = []) => running(t, ['run', file, '--', 'sh', '-c', script, 'sh', ...words]).end(null);

test('network = "none" leaves loopback alone, and it works', (t) => {
  const { stdout } = nestbox(['run', machine(t, 'net-none', 'network = "none"'), '--', 'sh', '-c', 'ls /sys/class/net; ip -br link show lo | grep -c LOWER_UP; perl -e "$1" 192.0.2.1:80', 'sh', ask]);
  assert.equal(stdout, 'lo\n1\nIO::Socket::INET: connect: Network is unreachable\n');
});

test('without a word about the network it is a private one, with its address, the host as its way out, and the host\'s name servers', async (t) => {
  if (!hasNat(t)) return;
  const { host, address, gateway } = privateNetwork('net-own');
  const port = await hostServer(t, '0.0.0.0');
  const { stdout, stderr } = await inside(t, machine(t, 'net-own', ''), 'ls /sys/class/net; ip -4 -o address show host0 | tr -s " " | cut -d" " -f4; ip route; cat /etc/resolv.conf; perl -e "$1" "$2"; perl -e "$1" "127.0.0.1:${2#*:}"', [ask, `${gateway}:${port}`]);
  const servers = readFileSync(existsSync('/run/systemd/resolve/resolv.conf') ? '/run/systemd/resolve/resolv.conf' : '/etc/resolv.conf', 'utf8').split('\n').filter((line) => /^nameserver (?!127\.|::1)/.test(line)).map((line) => `${line}\n`).join('');
  const network = address.replace(/\.\d+\/30$/, '');
  assert.equal(stdout, `host0\nlo\n${address}\ndefault via ${gateway} dev host0 \n${privateNetwork('net-own').network} dev host0 proto kernel scope link src ${address.split('/')[0]} \n${servers}${address.split('/')[0]}\nIO::Socket::INET: connect: Connection refused\n`, stderr);
  assert.ok(host.startsWith(network));
  assert.deepEqual([links(), tables()], [[], []]);
});

test('what goes out of a private network has the host\'s address, and forwarding is as before when it has ended', async (t) => {
  if (!hasNat(t)) return;
  for (const before of ['0', '1'] as const) {
    setForwarding(t, before);
    if (!(await internet(t))) return;
    const run = running(t, ['run', machine(t, 'net-out', 'network = "private"'), '--', 'sh', '-c', 'perl -e "$1" 10.214.77.2:7777; exec sleep 1000', 'sh', ask]);
    await run.says(/^10\.214\.77\.1\n/);
    assert.deepEqual([forwards(), tables()], ['1', [...(before === '0' ? ['table ip nestbox'] : []), 'table ip nestbox-net-out']]);
    assert.ok(links().includes(linkNames('net-out').host));
    await run.end();
    assert.deepEqual([forwards(), tables(), links().includes(linkNames('net-out').host)], [before, [], false]);
  }
});

test('forwarding stays on until the last machine has ended', async (t) => {
  if (!hasNat(t)) return;
  setForwarding(t, '0');
  const [first, second] = ['net-first', 'net-second'].map((name) => running(t, ['run', machine(t, name, 'network = "private"'), '--', 'sh', '-c', 'echo ready; exec sleep 1000'])) as [Running, Running];
  await Promise.all([first.says(/ready/), second.says(/ready/)]);
  await first.end();
  assert.deepEqual([forwards(), tables()], ['1', ['table ip nestbox', 'table ip nestbox-net-second']]);
  await second.end();
  assert.deepEqual([forwards(), tables(), links().filter((name) => name.startsWith('nb-'))], ['0', [], []]);
});

test('after a kill, clean takes the link, its table and forwarding back', async (t) => {
  if (!hasNat(t)) return;
  setForwarding(t, '0');
  t.after(() => nestbox(['clean', 'net-killed']));
  const run = running(t, ['run', machine(t, 'net-killed', 'network = "private"'), '--', 'sh', '-c', 'echo ready; exec sleep 1000']);
  await run.says(/ready/);
  await run.end('SIGKILL');
  assert.deepEqual([forwards(), tables()], ['1', ['table ip nestbox', 'table ip nestbox-net-killed']]);
  assert.equal(nestbox(['clean', 'net-killed']).status, 0);
  assert.deepEqual([forwards(), tables(), links()], ['0', [], []]);
});

/** A client in that second network, or of the host: what a server answers, over TCP or UDP. */
const client = 'use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], Proto => $ARGV[1], Timeout => 30) or print("$@\\n"), exit; $s->send("?") if $ARGV[1] eq "udp"; $SIG{ALRM} = sub { print "no answer\\n"; exit }; alarm 30; print $ARGV[1] eq "udp" ? do { $s->recv(my $m, 99); $m } : <$s>';
/** Servers inside on TCP port 7777 and UDP port 5353; each tells the address that it sees. */
const both = 'use IO::Socket::INET; $| = 1; my $t = IO::Socket::INET->new(LocalPort => 7777, Listen => 5) or die; my $u = IO::Socket::INET->new(LocalPort => 5353, Proto => "udp") or die; print "ready\\n"; if (fork) { while (my $s = $t->accept) { print $s "inside, " . $s->peerhost . "\\n"; close $s } } else { while ($u->recv(my $m, 99)) { $u->send("inside, " . $u->peerhost . "\\n") } }';

test('ports of a private network are reached at the host\'s addresses, from elsewhere, from the host, from other machines and from the machine itself, and not on loopback', async (t) => {
  if (!hasNat(t) || !(await internet(t))) return;
  setForwarding(t, '0');
  const listener = async (address: string): Promise<number> => {
    const server = createServer((socket) => socket.end('the host\n'));
    await new Promise<void>((listening) => server.listen(0, address, listening));
    t.after(() => server.close());
    return (server.address() as AddressInfo).port;
  };
  const [port, onLoopback] = [await listener('0.0.0.0'), await listener('127.0.0.1')];
  const { gateway } = privateNetwork('net-ports');
  const run = running(t, ['run', machine(t, 'net-ports', `[network.private]\nports = ["47777:7777", "udp:45353:5353", "${port}:7777", "${onLoopback}:7777"]`), '--', 'perl', '-e', both]);
  await run.says(/ready/);
  const warning = new RegExp(`network\\.private\\.ports\\.2: a program of the host listens at tcp port ${port}: from elsewhere the machine is reached there in its place; going on`);
  assert.match(run.stderr(), warning);
  assert.equal(run.stderr().match(/listens at/g)!.length, 1);

  const asks = async (before: string[], to: string, protocol = 'tcp') => {
    const [program = '', ...words] = [...before, 'perl', '-e', client, to, protocol];
    return (await follow(t, spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] })).end(null)).stdout;
  };
  const elsewhere = ['ip', 'netns', 'exec', 'nestbox-test'];
  assert.equal(await asks(elsewhere, '10.214.77.1:47777'), 'inside, 10.214.77.2\n'); // it sees who asks
  assert.equal(await asks(elsewhere, '10.214.77.1:45353', 'udp'), 'inside, 10.214.77.2\n');
  assert.equal(await asks(elsewhere, `10.214.77.1:${port}`), 'inside, 10.214.77.2\n');
  assert.match(await asks(elsewhere, '10.214.77.1:7777'), /refused/);
  assert.match(await asks([], '10.214.77.1:47777'), /^inside, /);
  assert.match(await asks([], '127.0.0.1:47777'), /refused/);
  for (const one of [port, onLoopback]) assert.equal(await asks([], `127.0.0.1:${one}`), 'the host\n');
  const nested = nestbox(['exec', 'net-ports', '--', 'perl', '-e', client, '10.214.77.1:47777', 'tcp']);
  assert.equal(nested.stdout, `inside, ${gateway}\n`, nested.stderr); // else its answers would not come back to it
  const other = await inside(t, machine(t, 'net-asks', ''), 'perl -e "$1" 10.214.77.1:47777 tcp', [client]);
  assert.equal(other.stdout, `inside, ${gateway}\n`);
  await run.end();
  assert.deepEqual([forwards(), tables(), links().filter((name) => name.startsWith('nb-'))], ['0', [], []]);
});

test('a port that another machine has is told', (t) => {
  const first = machineFile(t, `name = "net-first"\n[network.private]\nports = ["47777:7777"]\n${root}`);
  assert.equal(nestbox(['create', first], { timeout: 400_000 }).status, 0);
  t.after(() => nestbox(['rm', 'net-first']));
  const { stderr } = nestbox(['run', machine(t, 'net-second', '[network.private]\nports = ["47777:80", "udp:47777:80"]'), '--', 'true']);
  assert.match(stderr, /network\.private\.ports\.0: the machine 'net-first' has tcp port 47777 of the host as well/);
  assert.equal(stderr.match(/as well/g)!.length, 1);
});

test('network = "host" is the host\'s own network', (t) => {
  const { stdout } = nestbox(['run', machine(t, 'net-host', 'network = "host"'), '--', 'readlink', '/proc/self/ns/net']);
  assert.equal(stdout, `${readlinkSync('/proc/self/ns/net')}\n`);
});

test('a place on a bridge of the host, beside the others there', async (t) => {
  const clear = () => ip('link', 'delete', 'nbtestbr');
  clear();
  t.after(clear);
  const file = machine(t, 'net-bridge', '[network.bridge]\nname = "nbtestbr"\naddress = "10.214.78.5/24"\ngateway = "10.214.78.1"');
  assert.match(nestbox(['run', file, '--', 'true']).stderr, /the host has no bridge 'nbtestbr'/);
  if (ip('link', 'add', 'nbtestbr', 'type', 'bridge').status !== 0) return t.skip('the kernel has no bridges');
  ip('address', 'add', '10.214.78.1/24', 'dev', 'nbtestbr');
  ip('link', 'set', 'nbtestbr', 'up');
  const port = await hostServer(t, '10.214.78.1');
  const { stdout, stderr } = await inside(t, file, 'ip -4 -o address show host0 | tr -s " " | cut -d" " -f4; ip route | head -1; perl -e "$1" "$2"', [ask, `10.214.78.1:${port}`]);
  assert.equal(stdout, '10.214.78.5/24\ndefault via 10.214.78.1 dev host0 \n10.214.78.5\n', stderr);
  assert.deepEqual(readdirSync('/sys/class/net/nbtestbr/brif'), []);
});

test('the program starts when its network is there, and gets its own exit status through', async (t) => {
  if (!hasNat(t)) return;
  const file = machine(t, 'net-gate', 'user = "someone"\nnetwork = "private"');
  for (const status of [0, 5]) assert.equal(nestbox(['run', file, '--', 'sh', '-c', `ip route | grep -q default || exit 99; exit ${status}`]).status, status);
  assert.equal(nestbox(['run', file, '--', 'no-such-program']).status, 127);
  assert.equal(nestbox(['run', file, '--', 'sh', '-c', 'cat'], { input: 'through the gate\n' }).stdout, 'through the gate\n');
});
