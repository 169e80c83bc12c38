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

/** All that an engine may lack: a new one is an error of the compiler nowhere, and a row for each engine that lacks it. */
export const wants = {
  'own-ids': { at: ({ users }) => (users === 'own' ? ['users'] : null), without: (spec) => ({ ...spec, users: 'host' }) },
  'shifted-ids': { at: ({ users }) => (users === 'shift' ? ['users'] : null) },
  boot: { at: ({ boot }) => (boot ? ['boot'] : null) },
  service: { at: (_, { way }) => (way === 'service' ? [] : null) },
  'no-network': { at: (spec) => (network(spec).length === 0 ? ['network'] : null), without: onHostNetwork },
  'linked-network': { at: (spec) => ofNetwork(spec, ['private', 'bridge']), without: onHostNetwork },
  networkd: { at: (spec) => ofNetwork(spec, ['networkd']), without: onHostNetwork },
  'host-network': { at: (spec) => ofNetwork(spec, ['host']) },
  ports: { at: (spec) => network(spec).flatMap(({ kind, options }) => (portsOf(options).length > 0 ? [['network', kind!, 'ports']] : []))[0] ?? null },
  interfaces: { at: (_, machine) => (machine.edits.interfaces.length > 0 ? origin(machine, machine.edits.interfaces[0]) : null) },
  devices: { at: (_, machine) => (machine.edits.devices.length > 0 ? origin(machine, machine.edits.devices[0]) : null) },
  'device-classes': { at: (_, machine) => (machine.edits.classes.length > 0 ? origin(machine, machine.edits.classes[0]) : null) },
  capabilities: { at: (_, { edits }) => (edits.capabilities.length > 0 ? ['capabilities'] : null) },
  'more-calls': { at: (_, { edits }) => (edits.syscalls.some((name) => !name.startsWith('~')) ? ['syscalls'] : null) },
  'fewer-calls': { at: (_, { edits }) => (edits.syscalls.some((name) => name.startsWith('~')) ? ['syscalls'] : null) },
  'host-cgroups': { at: (_, { edits }) => (edits.cgroups === 'host' ? ['cgroups'] : null) },
  limits: { at: (_, { edits }) => (Object.keys(edits.limits).length > 0 ? ['limits'] : null) },
  parameters: { at: (_, { edits }) => (edits.parameters.length > 0 ? ['parameters'] : null) },
  personality: { at: (_, { personality }) => (personality !== null ? ['root'] : null) },
  emulation: { at: (_, { emulation }) => (emulation !== null ? ['root'] : null) },
  terminal: { at: (_, machine) => { const step = machine.edits.before.find(({ kind }) => kind === 'terminal'); return step ? origin(machine, step) : null; } },
  programs: { at: (_, machine) => (machine.edits.services.length > 0 ? origin(machine, machine.edits.services[0]) : null) },
} satisfies Record<string, Kind>;

export type Want = keyof typeof wants;

export const wantNames = Object.keys(wants) as Want[];

/** The same as a Kind each. */
export const wanted: Record<Want, Kind> = wants;
