import { type Facts, kernelIsAtLeast } from './facts.ts';
import { covered, everyRootHas, intoUsr } from './layers.ts';
import { type Machine, pathsOf, volumeOf } from './machine.ts';
import type { Plan } from './plan.ts';
import { dropCommand, portsOf, tableCommand } from './ports.ts';
import { roots } from './roots/index.ts';
import type { Spec } from './spec.ts';
import type { Step } from './step.ts';
import { mountCommands } from './steps/mounts.ts';
import { store } from './store.ts';

/**
 * A run as it can be done again without Node (pure): what its plan was made from, what has to be in its root, and its steps as lists of words.
 * native/warm.c does it, and gives all else back to Node; host/warm.ts writes it down.
 */
export interface Warm {
  from: Witnesses;
  /** Paths of the root as it is seen inside, that lasting steps have made or found; `covered`: a link there must not lead out of the root; `unless`: what is not there either where it may be missing. */
  inside: { path: string; covered: boolean; unless?: string }[];
  steps: Step[];
}

/** What a plan depends on, by how it is told that nothing of it has changed. */
export interface Witnesses {
  /** Files, and folders by the names in them: device, inode, size and time of change; or that nothing is there. */
  same: string[];
  /** Nothing may be there. */
  none: string[];
  /** What is shown inside: device, inode, kind, owner, rights and numbers, and where a link leads. What is in it may change. */
  like: string[];
  /** Files of the kernel's, by their text. */
  texts: string[];
  /** Numbers of X displays that nobody may have. */
  displays: number[];
}

/** Variables of the caller that a plan depends on: probe(). Each set of values has a file of its own, as a menu and a terminal take turns. */
export const variables = ['DISPLAY', 'HOME', 'LANG', 'PKEXEC_UID', 'SUDO_GID', 'SUDO_UID', 'TERM', 'XAUTHORITY'] as const;

/** Topics whose facts are all among the witnesses; null: their value is no kind. */
const topics: Record<string, readonly (string | null)[]> = {
  foreign: [null], display: ['headless', 'nested', 'x11'], network: ['host', 'private'], files: [null], environment: [null], limits: [null], devices: [null], capabilities: [null], syscalls: [null], parameters: [null],
};

/** Kinds of steps that native/warm-steps.c does. */
const kinds: readonly Step['kind'][] = ['mkdir', 'write', 'overlay', 'bind', 'tmpfs', 'ipc', 'node', 'fifo', 'link', 'cookie', 'copy-cookie', 'authorize', 'cgroup', 'service', 'container'];

/** The same triplets as in probe(): the name of a library there has systemd's version. */
const libraries = ['/usr/lib', '/usr/lib64'].flatMap((folder) => ['', ...['x86_64', 'i386', 'aarch64', 'riscv64', 'powerpc64le', 's390x'].map((processor) => `/${processor}-linux-gnu`), '/arm-linux-gnueabihf'].map((triplet) => `${folder}${triplet}/systemd`));

/** What is asked for depends on what is watched, and there is another run of it. */
export const asksForWatched = ({ engine, ephemeral, fleeting, grants }: Spec): boolean => engine === 'nspawn' && !ephemeral && !fleeting
  && grants.every(({ topic, kind, options }) => topics[topic]?.includes(kind) && (topic !== 'network' || portsOf(options).length === 0) && (topic !== 'devices' || (options as string[]).every((name) => name.startsWith('/'))));

/** Of the host it depends on what is watched, and on nothing else. */
export function isWatched({ way, source, emulation, edits, links, linkerCache }: Machine, spec: Spec): boolean {
  const isPlain = links.length === 0 && linkerCache === null && edits.libraries.length === 0 && edits.classes.length === 0;
  return way === 'run' && source.kind !== 'host' && volumeOf(source) === null && !emulation && isPlain && asksForWatched(spec);
}

/** What a display is for a system inside depends on what is installed there; of another init than systemd it is not known where it is. */
const bootsWarm = ({ boot }: Machine, { grants }: Spec): boolean => boot === 'systemd' && grants.every(({ topic }) => topic !== 'display');

/** A machine that is made, from a root that is there, with nothing to be prepared in it. */
function isWarm(machine: Machine, spec: Spec, { opening, lasting, passing }: Plan): boolean {
  const { boot, record, run } = machine;
  return isWatched(machine, spec) && (!boot || bootsWarm(machine, spec)) && record !== null
    && opening.length === 0 && lasting.every(({ step }) => step.kind === 'places' || step.kind === 'mount-point')
    && passing.every(({ step }) => kinds.includes(step.kind) && (step.kind !== 'write' || step.path.startsWith(`${run}/`)) && (step.kind !== 'service' || (step.place.kind === 'cgroup' && step.output === null)) && (step.kind !== 'link' || step.bridge === null) && ((step.kind !== 'copy-cookie' && step.kind !== 'authorize') || step.authority !== null) && (step.kind !== 'container' || step.ports.length === 0));
}

/** What of the host every plan depends on, and this one by its root and its grants. */
export function watched(spec: Spec, facts: Facts, programFolders: readonly string[]): Pick<Witnesses, 'same' | 'like' | 'texts'> {
  const ofRoot = roots[spec.root.source]!.paths(spec.root.options).filter((path) => facts.paths[path]?.kind !== 'directory');
  const trees = facts.cgroups.version === 1; // a folder with one for each controller; of version 2 it is the tree itself, in which groups come and go
  return {
    same: [...ofRoot, '/etc/os-release', '/etc/passwd', '/etc/group', '/etc/subuid', '/etc/subgid', '/etc/resolv.conf', '/run/systemd/resolve/resolv.conf', ...(trees ? ['/sys/fs/cgroup'] : []), ...programFolders, ...libraries],
    like: [...pathsOf(spec, facts).filter((path) => !ofRoot.includes(path)), '/run/systemd/system', ...(trees ? [] : ['/sys/fs/cgroup']), ...(facts.x11?.authority ? [facts.x11.authority] : [])],
    texts: facts.supervised ? [] : ['/proc/self/cgroup'], // else the machine is in a unit of its own, wherever the caller is
  };
}

/** What native code needs to do this run again; null: it is one for Node. `spec`: with what was attached. */
export function warmOf(machine: Machine, facts: Facts, spec: Spec, plan: Plan, programFolders: readonly string[]): Warm | null {
  if (!isWarm(machine, spec, plan) || !kernelIsAtLeast(facts, 5, 9)) return null; // openat2(2), close_range(2)
  const { name, file, layers, root, source } = machine;
  const steps = plan.passing.map(({ step }) => step);
  const { same, like, texts } = watched(spec, facts, programFolders);
  const installed = `${store.files}/${name}.toml`;
  return {
    from: {
      same: [...new Set([file, `${store.machine(name)}/machine.json`, ...(source.kind === 'directory' ? [store.machines] : []), ...layers.flatMap((layer) => [`${layer}/etc/passwd`, `${layer}/etc/group`]), ...same])],
      none: [...(file === installed ? [] : [installed]), store.service(name), store.kept(name), store.owners(name)],
      like: [...new Set([...like, ...layers, ...(root === layers[0] ? [] : [store.base]), ...steps.flatMap((step) => (step.kind === 'node' ? [step.from] : []))])],
      texts,
      displays: steps.flatMap((step) => (step.kind === 'cookie' ? [step.number] : [])),
    },
    inside: [
      ...everyRootHas.map((path) => ({ path, covered: covered.includes(path) })),
      ...Object.entries(intoUsr).map(([path, to]) => ({ path, covered: false, unless: `/${to}` })),
      ...(machine.boot ? [{ path: '/lib/systemd/systemd', covered: false }] : []),
      ...plan.lasting.flatMap(({ step }) => (step.kind === 'mount-point' ? [{ path: step.path, covered: false }] : [])),
    ],
    steps,
  };
}

const octal = (mode: number): string => mode.toString(8);
const owned = (owner?: { uid: number; gid: number }): string[] => (owner ? [`${owner.uid}`, `${owner.gid}`] : ['', '']);
const variablesOf = (environment: Record<string, string>): string[] => Object.entries(environment).map(([name, value]) => `${name}=${value}`);
/** A list within a list of words. */
const counted = (words: readonly string[]): string[] => [`${words.length}`, ...words];

/** A step as native/warm-steps.c reads it. `find`: where a program is; `takesSocket`: whether it takes over a socket that listens already; `scope`: what puts the words after it into a unit; `words`: how many at the end of the container's are the program's. */
export function wordsOf(step: Step, { find, takesSocket, scope, words }: { find(name: string): string; takesSocket(name: string): boolean; scope: readonly string[]; words: number }): string[] {
  const { kind } = step;
  switch (kind) {
    case 'mkdir': return [kind, step.path, octal(step.mode), ...owned(step.owner)];
    case 'write': return [kind, step.path, octal(step.mode), ...owned(step.owner), step.text];
    case 'symlink': return [kind, step.path, step.to];
    case 'overlay': return [kind, ...mountCommands.overlay(step).slice(2)];
    case 'bind': return [kind, ...mountCommands.bind(step).slice(2)];
    case 'tmpfs': return [kind, step.at, step.devices ? 'devices' : 'none', `mode=${octal(step.mode)},size=${step.bytes},uid=${step.owner.uid},gid=${step.owner.gid}`];
    case 'ipc': return [kind, step.at];
    case 'node': return [kind, step.path, step.type, `${step.major}`, `${step.minor}`, octal(step.mode), ...owned(step.owner)];
    case 'cgroup': return [kind, ...counted(step.folders), ...counted(step.settings.flatMap(({ file, value }) => [file, value])), ...(step.check ? [step.check.file, ...step.check.lines] : [])];
    case 'fifo': return [kind, step.path];
    case 'link': return [kind, step.name, step.peer, step.address, find('ip'), ...(step.nat ? [find('nft'), tableCommand(step.name, step.nat), dropCommand(step.nat.table)] : ['', '', ''])];
    case 'cookie': return [kind, `${step.number}`, step.server.path, ...owned(step.server.owner), step.client.path, ...owned(step.client.owner)];
    case 'copy-cookie': return [kind, `${step.number}`, step.authority ?? '', step.path, ...owned(step.owner)];
    case 'authorize': return [kind, step.socket, `${step.number}`, step.authority ?? '', step.trusted ? 'trusted' : 'untrusted', step.path, `${step.as}`, ...owned(step.owner)];
    case 'service': {
      const [program = '', ...words] = step.argv;
      return [kind, step.name, step.ready, step.log, takesSocket(program) ? 'early' : 'late', `${step.user.uid}:${step.user.gid}`, step.ipc?.at ?? '', step.ipc?.opens ? 'opens' : '', step.input ?? '', ...counted(step.place.kind === 'cgroup' ? step.place.folders : []), ...counted([find(program), ...words]), ...counted(variablesOf(step.environment)), ...counted(step.leaves)];
    }
    case 'container': {
      const { at, terminal, pipe } = step.console;
      const [program = '', ...before] = step.argv.slice(0, at);
      const own = step.argv.slice(at, step.argv.length - words);
      const { place, filters } = step;
      // Not what puts it into a unit, but what that becomes is filtered.
      const outer = scope.length > 0 && filters !== undefined ? [...scope, find('nestbox-native'), 'launch', '--filters', filters, '--'] : scope;
      return [kind, ...counted(place.kind === 'cgroup' ? place.folders : []), ...(place.kind === 'unit' ? [place.name, find('systemctl')] : ['', '']), step.ipc ?? '', scope.length > 0 ? '' : (filters ?? ''), ...counted([...outer, find(program), ...before]), terminal, pipe, ...counted(own), ...counted(variablesOf(step.environment)), ...counted(step.leftovers), ...counted(step.inside ? [step.inside.peer, step.inside.address, step.inside.gateway ?? '', step.inside.gate, find('ip')] : [])];
    }
    default: throw new Error(`'${kind}' is no step of a run without Node`);
  }
}
