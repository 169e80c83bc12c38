import type { Device } from '../edits.ts';
import type { DeviceNode, Facts } from '../facts.ts';
import { covers, type DeviceRule, ruleLine, rulesOf } from '../devices.ts';
import { modeInside } from '../nodes.ts';
import { keyed, type Tries } from './common.ts';

/** To open one is to start its clock, or to wind a tape back: watchdog-api.rst of the kernel, st(4). */
const notToBeTried = /^\/dev\/(watchdog\d*|st\d+[alm]?)$/;

/** Minor numbers of the first ones: Documentation/admin-guide/devices.txt. */
const isQuiet = ({ type, major, minor }: Pick<DeviceNode, 'type' | 'major' | 'minor'>): boolean => !(type === 'c' && ((major === 10 && minor === 130) || (major === 9 && minor < 128)));

/** Some drivers ask for a capability of the host's root, whoever the node belongs to: hda_hwdep_open() of the kernel's hda_hwdep.c. */
const asksMore = /^\/dev\/snd\/hwC/;

/** In every container they are something of its own. */
const own = /^\/dev\/(console|tty|ptmx|null|zero|full|random|urandom|net\/tun)$/;

/** Whether the machine's user may open the node, as its owner and mode are inside. */
const forUser = (device: Device, user: string | null): boolean => device.as === undefined && (user === null || (modeInside(device) & 0o006) === 0o006 || device.group !== null);

/** Whether there is a device list that the kernel holds the machine to. */
export const isListed = ({ cgroups, supervised }: Pick<Facts, 'cgroups' | 'supervised'>): boolean => supervised || (cgroups.version === 1 && cgroups.own.devices !== undefined);

/** A line of devices.list in one word. */
export const dotted = (line: string): string => line.replaceAll(' ', '.');

const pattern = ({ type, major, minor }: DeviceRule): string => `${type}:${major}:${minor === '*' ? '*' : `${minor}:*`}`;

/** What it is given opens; no other device of the host does, neither at its path nor by a node that root inside makes. */
export const devices: Tries = (subject) => {
  const { machine, facts } = subject;
  const { edits, user, shift, engine } = machine;
  const rules = rulesOf(edits);
  // systemd-nspawn gives every container /dev/fuse from 256 on.
  const hasFuse = engine === 'nspawn' && (facts.systemd ?? 0) >= 256;
  const isGiven = ({ type, major, minor }: DeviceNode) => (hasFuse && type === 'c' && major === 10 && minor === 229) || rules.some((rule) => covers(rule, { type, major, minor, rights: 'rw' }));
  const isCovered = (path: string) => edits.devices.some((device) => device.path === path) || edits.binds.some(({ to }) => path === to || path.startsWith(`${to}/`));
  const granted = edits.devices.filter(({ path, rights, ...device }) => rights !== '' && !notToBeTried.test(path) && isQuiet(device));
  const others = Object.entries(facts.nodes).filter(([path, node]) => !own.test(path) && !notToBeTried.test(path) && isQuiet(node) && !isGiven(node));
  const at = keyed(subject, ['devices']);
  // Two paths of one device are one device.
  const numbers = others.filter(([, { type, major, minor }], i) => others.findIndex(([, other]) => other.type === type && other.major === major && other.minor === minor) === i);
  return [
    ...granted.map((device) => {
      const { path, from = path, rights = 'rw' } = device;
      const way = rights === '' ? 'r' as const : rights;
      return {
        what: `open ${path}`, asked: keyed(subject, machine.origin.get(device)), as: forUser(device, user) ? 'user' as const : 'root' as const, try: ['open', path, way, `${device.type}:${device.major}:${device.minor}`] as const, expect: asksMore.test(path) ? 'accepted' as const : 'allowed' as const,
        layer: { ENOENT: 'node' as const, ENOTDIR: 'node' as const, other: 'node' as const, EACCES: 'owner' as const, EPERM: 'list' as const, else: 'driver' as const }, host: ['open', from, way, null] as const,
      };
    }),
    ...others.filter(([path]) => !isCovered(path)).map(([path, { type, major, minor }]) => ({ what: `open ${path}`, asked: at, as: 'user' as const, try: ['open', path, 'r', `${type}:${major}:${minor}`] as const, expect: 'denied' as const, layer: 'node' as const, sum: 'other devices of the host, at their paths' })),
    ...numbers.map(([path, { type, major, minor }]) => ({
      what: `make a node of ${path} and open it`, asked: at, as: 'root' as const, try: ['node', type, `${major}`, `${minor}`] as const, expect: isListed(facts) || shift !== 0 ? 'denied' as const : 'accepted' as const, layer: 'list' as const, sum: 'other devices of the host, by nodes of its own',
    })),
    // Only groups of version 1 have a list that can be read; as a service, what systemd was told is asked for: units.ts.
    ...(machine.place.kind === 'cgroup' && isListed(facts) ? [{ what: 'its device list', asked: at, as: 'host' as const, try: ['list'] as const, expect: { only: rules.map((rule) => dotted(ruleLine(rule))), needs: [] }, layer: 'list' as const }] : []),
    {
      what: 'device nodes in /dev', asked: at, as: 'root', try: ['nodes', '/dev'], layer: 'node',
      expect: {
        only: [
          ...rules.map(pattern), ...edits.devices.map(({ type, major, minor }) => `${type}:${major}:${minor}:*`),
          'c:5:1:/dev/console', ...(hasFuse ? ['c:10:229:/dev/fuse'] : []),
        ],
      },
    },
  ];
};

