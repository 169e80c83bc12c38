import type { CdiSpec, ContainerEdits } from './cdi/schema.ts';
import type { Facts } from './facts.ts';
import type { Condition, Patient } from './doctor.ts';

/** Facts of a host without what tells whose it is, so that they can be shown to strangers (pure). What plans are made from stays. */

/** Told by the host alone, so that it can be left out wherever it occurs. */
export interface Names {
  /** Of the host. */
  host: string;
  /** Of people: accounts from uid 1000 on. */
  people: string[];
  /** Groups with the names of people are among these: those from gid 1000 on. */
  groups: string[];
}

/** People's ids begin there: login.defs(5), UID_MIN. */
const firstPerson = 1000;

/** The names of a passwd and a group file that are people's. */
export const namesOf = (host: string, { users, groups }: { users: { name: string; uid: number }[]; groups: { name: string; gid: number }[] }): Names => ({
  host, people: users.filter(({ uid }) => uid >= firstPerson && uid < 65534).map(({ name }) => name), groups: groups.filter(({ gid }) => gid >= firstPerson && gid < 65534).map(({ name }) => name),
});

/** A host as it is examined, without the names of people and machines, their folders, serial numbers and addresses. */
export function withoutNames({ facts, condition }: Patient, names: Names): Patient {
  const said = cleaning(facts, condition, names);
  const {
    architecture, runs32, binfmt, distribution, kernel, systemd, supervised, cgroups, programs, person, root, terminal, language, x11, displaysInUse, sound, graphics, nvidia, cdi, nodes, deviceClasses, groups, terminals, mounts,
    subordinate, networkd, nameservers, store, paths, accounts: __, ...others
  } = facts;
  const { seats: ___, ports: ____, volume: _____, insideImage: ______, rootLinks: _______, init: ________, rootArchitecture: _________, rootSystemd: __________, tools: ___________, inside: ____________, ...rest } = others; // of a machine, and not of the host
  rest satisfies Record<string, never>; // a new fact does not compile until it is known whether it has names
  const told: Facts = {
    // These are the distribution's, the kernel's and the hardware's. A person may have the name of any of them.
    architecture, distribution, kernel, systemd, supervised, root, terminal, language, displaysInUse, graphics, deviceClasses, subordinate,
    ...(runs32 !== undefined && { runs32 }), ...(networkd !== undefined && { networkd }), ...(nvidia !== undefined && { nvidia }),
    programs: { ...programs, ...(programs['nestbox-native'] && { 'nestbox-native': said(programs['nestbox-native']) }) }, // the only one that may be in a folder of somebody's
    cgroups: { ...cgroups, own: said(cgroups.own) },
    person: person.uid === 0 ? person : { ...person, name: 'person', home: '/home/person' },
    x11: x11 && { display: /^(unix)?:/.test(x11.display) ? x11.display : `elsewhere:${x11.display.split(':').at(-1)}`, authority: x11.authority && said(x11.authority).replace(/\.[A-Za-z0-9]{6}$/, '.XXXXXX') },
    sound: { ...sound, pulse: said(sound.pulse), pipewire: said(sound.pipewire) },
    nodes: said(nodes),
    groups: Object.fromEntries(Object.entries(groups).map(([gid, name]) => [gid, Number(gid) >= firstPerson && Number(gid) < 65534 ? (name === person.name ? 'person' : `group${gid}`) : name])),
    mounts: mounts.map(({ at, ...mount }) => ({ at: placeOf(said(at)), ...mount })),
    nameservers: nameservers.map((_one, i) => `192.0.2.${i + 1}`), // of the range for documentation: RFC 5737
    store: storeOf(said(store)), paths: said(paths), accounts: null, init: null,
    ...(cdi && { cdi: said(cdi).map((file) => ({ ...file, spec: file.spec && unset(file.spec) })) }), ...(terminals !== undefined && { terminals: terminals && { ...said(terminals), used: said(terminals.used).map((one) => ({ ...one, by: one.by.replace(/^a session of .*/, 'a session of somebody') })) } }),
    // What programs begin with is a processor's, and no number of somebody's own.
    ...(binfmt && { binfmt: { ...binfmt, entries: binfmt.entries.map((entry) => ({ ...said(entry), magic: entry.magic, mask: entry.mask })), emulators: said(binfmt.emulators) } }),
  };
  return { facts: told, condition: { ...condition, closed: said(condition.closed), wayland: said(condition.wayland), left: said(condition.left), barriers: said(condition.barriers) } };
}

/** What replaces the names in all texts of a value, its keys included. */
function cleaning({ person, store, terminals }: Facts, { left }: Condition, { host, people, groups }: Names): <T>(value: T) => T {
  const machines = [...new Set([...store.machines, ...store.services, ...(left ?? []), ...(terminals?.machines ?? [])].map(({ name }) => name))];
  const renamed = new Map<string, string>([
    ...groups.map((name, i): [string, string] => [name, `group${i + 1}`]),
    ...people.map((name, i): [string, string] => [name, `person${i + 1}`]), ...(person.uid === 0 ? [] : [[person.name, 'person'] as [string, string]]),
    ...machines.map((name, i): [string, string] => [name, `machine${i + 1}`]),
    ...(host === '' || host === 'localhost' ? [] : [[host, 'host'], [host.split('.')[0]!, 'host']] as [string, string][]),
  ]);
  const home = person.uid === 0 || person.home === '/' ? null : person.home;
  const clean = (text: string): string => masked(words(home === null ? text : text.replaceAll(home, '/home/person'), renamed));
  return <T>(value: T) => mapped(value, clean) as T;
}

/** What programs inside are told by variables is theirs: the names of these are enough. */
function unset(spec: CdiSpec): CdiSpec {
  const without = (edits: ContainerEdits): ContainerEdits => ({ ...edits, ...(edits.env && { env: edits.env.map((text) => `${text.split('=')[0]}=...`) }) });
  return { ...spec, ...(spec.containerEdits && { containerEdits: without(spec.containerEdits) }), devices: spec.devices.map((device) => ({ ...device, containerEdits: without(device.containerEdits) })) };
}

/** Names as whole words: `al` is not a part of `alsa`. */
function words(text: string, renamed: ReadonlyMap<string, string>): string {
  return text.replace(/[\p{L}\p{N}_][\p{L}\p{N}_.-]*/gu, (word) => {
    const whole = renamed.get(word);
    if (whole !== undefined) return whole;
    return word.replace(/[\p{L}\p{N}_]+(?:-[\p{L}\p{N}_]+)*/gu, (part) => renamed.get(part) ?? part.replace(/[\p{L}\p{N}_]+/gu, (piece) => renamed.get(piece) ?? piece));
  });
}

/** UUIDs, the machine's id and those like it, MAC addresses, and links by which a device is known by its serial number or its label. */
const masked = (text: string): string => text
  .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '00000000-0000-0000-0000-000000000000')
  .replace(/\b[0-9a-f]{2}([:-][0-9a-f]{2}){5}\b/gi, '00:00:00:00:00:00')
  .replace(/(?<![0-9a-f])[0-9a-f]{16,}(?![0-9a-f])/gi, (number) => '0'.repeat(Math.min(number.length, 32)))
  .replace(/(\/by-[a-z]+\/)[^/\s'"]+/g, '$1...');

/** Where somebody's own things are mounted, the place says no more than of which kind it is. */
const placeOf = (at: string): string => at.replace(/^(\/home|\/media|\/mnt|\/srv|\/run\/media|\/run\/user\/\d+|\/run\/nestbox[\w-]*|\/var\/lib\/machines|\/var\/lib\/(?:docker|containers|libvirt|nestbox)\/\w+)\/.*$/, '$1/...');

/** Of machines: what they are, and not where somebody has put them. */
const storeOf = ({ templates, machines, services }: Facts['store']): Facts['store'] => ({
  templates: templates.map((name) => name.replace(/(-[0-9a-f]{8,})+$/, '')), services,
  machines: machines.map(({ directory, file: _, devices: __, volume: ___, ...machine }) => ({ ...machine, file: `/etc/nestbox/${machine.name}.toml`, directory: directory === null ? null : `/srv/${machine.name}` })),
});

function mapped(value: unknown, clean: (text: string) => string): unknown {
  if (typeof value === 'string') return clean(value);
  if (Array.isArray(value)) return value.map((one) => mapped(one, clean));
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, one]) => [clean(key), mapped(one, clean)]));
  return value;
}
