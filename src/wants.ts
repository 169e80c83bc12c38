import type { Machine } from './machine.ts';
import { portsOf } from './ports.ts';
import type { Spec } from './spec.ts';

type At = (string | number)[];

/** Something that a machine may want and that not every engine has. */
interface Kind {
  /** At which key of the machine file it is wanted; null: it is not. `machine` is what the spec has become. */
  at(spec: Spec, machine: Machine): At | null;
  /** The spec without it, where somebody has accepted that it is lost and other parts of a machine go by it. */
  without?(spec: Spec): Spec;
}

const network = ({ grants }: Spec) => grants.filter(({ topic }) => topic === 'network');
const ofNetwork = (spec: Spec, kinds: readonly string[]): At | null => {
  const found = network(spec).find(({ kind }) => kinds.includes(kind!));
  return found ? ['network', found.kind!] : null;
};
const onHostNetwork = (spec: Spec): Spec => ({ ...spec, grants: [...spec.grants.filter(({ topic }) => topic !== 'network'), { topic: 'network', kind: 'host', options: {} }] });
/** The key that has asked for it. */
const origin = ({ origin }: Machine, thing: unknown): At => (origin.get(thing) ?? '').split('.').filter(Boolean);

/** All that some engine lacks. One that lacks more adds it here: how it is told from what a machine is. */
export const wants = {
  'own-ids': { at: ({ users }) => (users === 'own' ? ['users'] : null), without: (spec) => ({ ...spec, users: 'host' }) },
  'shifted-ids': { at: ({ users }) => (users === 'shift' ? ['users'] : null) },
  boot: { at: ({ boot }) => (boot ? ['boot'] : null) },
  service: { at: (_, { way }) => (way === 'service' ? [] : null) },
  'no-network': { at: (spec) => (network(spec).length === 0 ? ['network'] : null), without: onHostNetwork },
  'linked-network': { at: (spec) => ofNetwork(spec, ['private', 'bridge']), without: onHostNetwork },
  networkd: { at: (spec) => ofNetwork(spec, ['networkd']), without: onHostNetwork },
  ports: { at: (spec) => network(spec).flatMap(({ kind, options }) => (portsOf(options).length > 0 ? [['network', kind!, 'ports']] : []))[0] ?? null },
  interfaces: { at: (_, machine) => (machine.edits.interfaces.length > 0 ? origin(machine, machine.edits.interfaces[0]) : null) },
  'fewer-calls': { at: (_, { edits }) => (edits.syscalls.some((name) => name.startsWith('~')) ? ['syscalls'] : null) },
  'host-cgroups': { at: (_, { edits }) => (edits.cgroups === 'host' ? ['cgroups'] : null) },
  'visible-input': { at: (_, machine) => { const relay = machine.edits.services.find(({ argv }) => argv.includes('--visible')); return relay ? [...origin(machine, relay), 'input'] : null; } },
} satisfies Record<string, Kind>;

export type Want = keyof typeof wants;

export const wantNames = Object.keys(wants) as Want[];

/** The same as a Kind each. */
export const wanted: Record<Want, Kind> = wants;
