import { engines } from '../engines/index.ts';
import type { Facts } from '../facts.ts';
import type { Known, Said, Surroundings, Where } from '../known.ts';
import type { Machine } from '../machine.ts';
import { hasPosition, lineOf, positionOf } from '../positions.ts';
import { roots } from '../roots/index.ts';
import type { Spec } from '../spec.ts';
import { wantNames } from '../wants.ts';

/** A machine file as it is read: its name as the person gave it, and its text. */
export interface MachineText {
  shown: string;
  text: string;
  spec: Spec;
}

/** What is so where the file says nothing. */
const defaults: Record<string, string> = {
  network: 'network = "private" is the default', limits: 'there are no limits by default', root: 'its changes are kept on the disk of the host',
  users: 'users = "own" is the default', user: 'without a user, the program is root inside',
};

/** The place of a path of keys, or of the nearest thing around it; what no line says, the default says. */
export function placeIn({ shown, text }: Pick<MachineText, 'shown' | 'text'>, path: readonly (string | number)[]): Where {
  // A kind that is named in a list or by its name alone stands at its topic.
  const [topic, kind, ...rest] = path;
  const found = [path, [topic!, ...rest], [topic!, kind!], [topic!]].find((one) => one.every((key) => key !== undefined) && one.length > 0 && hasPosition(text, one));
  if (!found) return { file: shown, line: null, column: null, text: defaults[String(topic)] ?? `${String(topic)} is left out` };
  const { line, column } = positionOf(text, found);
  return { file: shown, line, column, text: lineOf(text, line).trim().replace(/\s+#.*$/, '') };
}

/** A machine as the rules of audit see it. `facts`: of the host that it has met; what that lacks for a run is no matter here. */
export function knownMachine(file: MachineText, machine: Machine, facts: Facts, host: Surroundings): Known {
  const { spec } = file;
  const isHostRoot = machine.shift === 0;
  const asksForHosts = spec.grants.some(({ topic, kind }) => topic === 'network' && kind === 'host');
  // Where the engine has no namespace of its own for it, the line that accepts that has opened it, and no default.
  const accepted = hasPosition(file.text, [spec.engine, 'accept']) ? placeIn(file, [spec.engine, 'accept']) : null;
  const at = (...path: (string | number)[]): Where => {
    const isLost = path[0] === 'users' ? isHostRoot && spec.users !== 'host' : path[0] === 'network' && path[1] === 'host' && !asksForHosts;
    return accepted && isLost ? accepted : placeIn(file, path);
  };
  const limits = spec.grants.find(({ topic }) => topic === 'limits')?.options as { cpu?: number; memory?: number; tasks?: number } | undefined;
  const bound = (limit: 'cpu' | 'memory' | 'tasks'): Said<boolean> => ({ is: limits?.[limit] !== undefined, where: at('limits', ...(limits?.[limit] === undefined ? [] : [limit])) });
  const files = spec.grants.flatMap(({ topic, options }) => (topic === 'files' ? (options as { path: string; to?: string; write: boolean }[]) : []));
  const written = files.findIndex(({ write }) => write);
  const root = roots[spec.root.source]!;
  const volume = root.volume?.(spec.root.options);
  const isListed = facts.supervised || (facts.cgroups.version === 1 && facts.cgroups.own.devices !== undefined);
  return {
    name: spec.name, made: 'nestbox', file: file.shown,
    hostRoot: { is: isHostRoot, where: at('users') },
    asRoot: { is: machine.user === null || spec.boot, where: spec.boot ? at('boot') : at('user') },
    ownNetwork: { is: !asksForHosts && !machine.exposures.some(({ by }) => by === 'network.host'), where: at('network', 'host') },
    shares: [],
    deviceList: { is: isListed, where: spec.accept.includes('no-device-policy') ? at('accept', spec.accept.indexOf('no-device-policy')) : at('users') },
    devices: [], capabilities: [], syscalls: [],
    binds: files.map(({ path, to, write }, i) => {
      const from = path.startsWith('~') ? `${host.home}${path.slice(1)}` : path;
      return { is: { from, to: to ?? from, write }, where: at('files', i) };
    }),
    bounds: {
      cpu: bound('cpu'), memory: bound('memory'), tasks: bound('tasks'),
      disk: { is: volume !== undefined && written < 0, where: written < 0 ? at('root') : at('files', written) },
    },
    strangers: volume !== undefined && root.isImage ? [{ is: volume, where: at('root', 'image') }] : [],
    kernelFiles: { is: false, where: at('users') },
    besideRoot: { is: false, where: at('root') },
    lacks: wantNames.filter((want) => engines[spec.engine]!.lacks[want] !== undefined),
    opened: machine.exposures.map(({ by, at: below = [], ...exposure }) => ({ ...exposure, where: at(...by.split('.'), ...below) })),
    host, unseen: [],
  };
}
