/** Machine files that nobody has written: each number gives another one, and always the same. */

/** Numbers that look like chance: mulberry32. */
export function chance(seed: number): () => number {
  let state = seed * 0x9e3779b1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const words = ['a', 'b c', "it's", '"quoted"', 'x=y', 'tab\\t', '$HOME', '%h', '--option', 'ä', 'with:colon', '#hash', ';', ' leading', 'trailing\\', '`date`'];
const paths = ['/srv/share', '/opt/with space', '/srv/co:lon', '/srv/back\\slash', '/mnt/ümlaut', '/srv/%i', '/srv/$x', "/srv/it's"];

/** The text of a machine file with some of everything: settings of the unit, of the .nspawn file, and grants. */
export function machineText(seed: number): string {
  const next = chance(seed);
  const number = (below: number) => Math.floor(next() * below);
  const one = <T>(all: readonly T[]): T => all[number(all.length)]!;
  const some = <T>(all: readonly T[], most: number): T[] => [...new Set(Array.from({ length: 1 + number(most) }, () => one(all)))];
  const often = (share: number) => next() < share;
  const text = (value: unknown) => JSON.stringify(value);
  const boot = often(0.5);
  const top = [`name = "m${seed}"`];
  const tables: string[] = [];
  if (boot) top.push('boot = true');
  if (!boot && often(0.6)) top.push('user = "somebody"');
  if (often(0.4)) top.push(`users = "${one(['host', 'shift', 'own'])}"`);
  if (often(0.2)) top.push('ephemeral = true');
  if (often(0.3)) top.push(`hostname = "${one(['Host', 'a.example.org', 'x1'])}"`);
  if (!boot && often(0.8)) top.push(`run = ${text(['/bin/program', ...some(words, 4)])}`);
  if (boot && often(0.4)) top.push(`parameters = ${text(some(['quiet', 'systemd.unit=rescue.target', 'a$b', '50%'], 3))}`);
  if (often(0.3)) top.push(`capabilities = ${text(often(0.2) ? ['all'] : some(['CAP_SYS_TIME', 'CAP_NET_ADMIN', 'CAP_IPC_LOCK', 'CAP_SYS_ADMIN', 'CAP_SYSLOG'], 3))}`);
  if (often(0.3)) top.push(`syscalls = ${text(some(['add_key', 'keyctl', '@keyring', '~@swap', 'bpf', '~mount'], 4))}`);
  if (often(0.2)) top.push(`cgroups = "${one(['own', 'host'])}"`);
  if (often(0.5)) top.push(`files = [${some(paths, 4).map((path, i) => (often(0.4) ? text(path) : `{ path = ${text(path)}, to = ${text(often(0.5) ? `/inside/${i}` : `${path}/${i}`)}, write = ${often(0.5)} }`)).join(', ')}]`);
  if (often(0.3)) top.push(`devices = ${text(some(['/dev/fuse', '/dev/kvm', 'char-alsa', '/dev/dri/renderD128', '/dev/snd/timer', 'char-drm'], 3))}`);
  const display = one(['none', 'none', 'nested', 'headless', 'sized', 'x11', 'vt']);
  if (display === 'sized') tables.push(`[display.nested]\nsize = "${one(['640x480', '1920x1080'])}"\ntitle = ${text(one(words.filter((word) => word.trim() === word)))}\nfullscreen = ${often(0.5)}`);
  else if (display === 'headless' && often(0.5)) tables.push(`[display.headless]\nsize = "800x600"\ndepth = ${one([16, 24])}`);
  else if (display === 'vt') tables.push(`[display.vt]\nterminal = ${8 + number(4)}\ninput = "${one(['all', 'visible'])}"`);
  else if (display !== 'none' || often(0.3)) top.push(`display = "${display}"`);
  if (often(0.5)) top.push(`audio = "${one(['playback', 'pulse', 'none', 'alsa'])}"`);
  const network = one(['default', 'none', 'host', 'private', 'networkd', 'bridge']);
  if (network === 'none' || network === 'host') top.push(`network = "${network}"`);
  else if (network === 'private') tables.push(`[network.private]\nports = ${text(some(['8080:80', 'udp:53', '443', 'tcp:2222:22'], 3))}`);
  else if (network === 'networkd') tables.push(`[network.networkd]\nnameservers = "${one(['own', 'host'])}"${often(0.4) ? '\nbridge = "br0"' : ''}${often(0.5) ? `\nports = ${text(some(['80', 'udp:53:5353'], 2))}` : ''}`);
  else if (network === 'bridge') tables.push(`[network.bridge]\nname = "br0"\naddress = "10.0.0.${1 + number(200)}/24"${often(0.5) ? '\ngateway = "10.0.0.254"' : ''}`);
  if (often(0.4)) tables.push(`[limits]\n${some([`cpu = ${(1 + number(900)) / 100}`, `memory = "${1 + number(999)}.${number(1000)}${one(['K', 'M', 'G'])}"`, `tasks = ${8 + number(100_000)}`], 3).join('\n')}`);
  if (often(0.5)) tables.push(`[environment]\n${some(['A', 'LANG', 'LONG_NAME', 'PATH', '_x', 'TZ'], 4).map((name) => `${name} = ${text(one(words))}`).join('\n')}`);
  tables.push(one(['[root]\ndirectory = "/srv/roots/old"', '[root]\ndebian = "bookworm"', '[root]\ndirectory = "/srv/with space"', '[root]\nvolume = "/dev/vg/some"', '[root]\nluks = "/dev/vg/some"']));
  return `${[...top, ...tables].join('\n')}\n`;
}
