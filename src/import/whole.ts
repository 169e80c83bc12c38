import { allOf, type Foreign, lastOf, type Setting, type SettingOf, type Way } from './settings.ts';

/** What holds in the end of all that was asked for. `by` null: nobody said it, and the program's own default holds. */
export interface Said<Value> {
  value: Value;
  by: Setting | null;
}

/** One machine of another program as a whole, still unchecked. */
export interface Whole {
  way: Way;
  name: SettingOf<'name'> | null;
  hostname: SettingOf<'hostname'> | null;
  root: SettingOf<'root'> | null;
  packages: string[];
  ephemeral: Said<boolean>;
  boot: Said<boolean>;
  words: SettingOf<'words'> | null;
  user: SettingOf<'user'> | null;
  users: Said<'own' | 'host' | 'shift'>;
  ownership: SettingOf<'ownership'> | null;
  network: Said<Pick<SettingOf<'network'>, 'kind' | 'bridge' | 'address' | 'gateway'>>;
  ports: SettingOf<'port'>[];
  /** Of several at one place the last one. */
  binds: SettingOf<'bind'>[];
  /** Those that may be opened in the end; `a` stands for every one. */
  devices: SettingOf<'device'>[];
  policy: SettingOf<'device-policy'> | null;
  /** Of several with one name the last one. */
  variables: SettingOf<'variable'>[];
  capabilities: SettingOf<'capabilities'>[];
  syscalls: SettingOf<'syscalls'>[];
  limits: SettingOf<'limit'>[];
  cgroups: SettingOf<'cgroups'> | null;
  noNewPrivileges: SettingOf<'no-new-privileges'> | null;
  grants: SettingOf<'grant'>[];
  masked: SettingOf<'masked'>[];
  /** What has no word, and what something else has taken the place of. */
  unsaid: SettingOf<'unsaid'>[];
}

/** What holds where nothing is said: the options of systemd-nspawn@.service, systemd-nspawn(1), lxc.container.conf(5), distrobox-create(1). */
const defaults: Record<Way, { boot: boolean; users: Whole['users']['value']; network: SettingOf<'network'>['kind'] }> = {
  unit: { boot: true, users: 'own', network: 'veth' },
  nspawn: { boot: false, users: 'host', network: 'host' },
  lxc: { boot: true, users: 'host', network: 'none' },
  distrobox: { boot: false, users: 'own', network: 'host' },
};

export function wholeOf({ way, settings }: Foreign): Whole {
  const covered: SettingOf<'unsaid'>[] = [];
  const usual = defaults[way];
  /** The last one with each key; the others are told. */
  const lastOfEach = <S extends Setting>(all: S[], key: (one: S) => string): S[] => {
    const last = new Map(all.map((one) => [key(one), one]));
    return all.filter((one) => {
      const later = last.get(key(one))!;
      if (later !== one && later.text !== one.text) covered.push({ what: 'unsaid', why: `line ${later.at.line} says another thing of it, and comes later`, safe: true, at: one.at, text: one.text });
      return later === one;
    });
  };
  const boot = lastOf(settings, 'boot');
  const ephemeral = lastOf(settings, 'ephemeral');
  return {
    way,
    name: lastOf(settings, 'name'), hostname: lastOf(settings, 'hostname'),
    root: (settings.findLast((one) => one.what === 'root' && (one.kind !== 'debian' || one.path !== '')) as SettingOf<'root'> | undefined) ?? null,
    packages: allOf(settings, 'root').flatMap(({ packages = [] }) => packages),
    ephemeral: { value: ephemeral?.value ?? false, by: ephemeral }, boot: { value: boot?.value ?? usual.boot, by: boot },
    words: lastOf(settings, 'words'), user: lastOf(settings, 'user'),
    users: usersOf(settings, usual.users), ownership: lastOf(settings, 'ownership'), network: networkOf(settings, usual.network), ports: allOf(settings, 'port'),
    binds: lastOfEach(allOf(settings, 'bind'), ({ to }) => to), devices: devicesOf(settings), policy: lastOf(settings, 'device-policy'),
    variables: lastOfEach(allOf(settings, 'variable'), ({ name }) => name),
    capabilities: allOf(settings, 'capabilities'), syscalls: allOf(settings, 'syscalls'),
    limits: lastOfEach(allOf(settings, 'limit'), ({ limit }) => limit), cgroups: lastOf(settings, 'cgroups'), noNewPrivileges: lastOf(settings, 'no-new-privileges'),
    grants: allOf(settings, 'grant'), masked: allOf(settings, 'masked'), unsaid: [...allOf(settings, 'unsaid'), ...covered],
  };
}

/** A root whose files are given other owners, or have them, is shifted; one whose mount is mapped is not. */
function usersOf(settings: readonly Setting[], usual: Whole['users']['value']): Whole['users'] {
  const by = lastOf(settings, 'users');
  const ownership = lastOf(settings, 'ownership');
  const ids = by?.ids ?? usual;
  if (ids === 'host') return { value: 'host', by };
  return ownership === null ? { value: ids, by } : { value: ownership.how === 'chown' ? 'shift' : ownership.how === 'map' ? 'own' : ids, by: by ?? ownership };
}

/** Of the words for a network of its own, the one that reaches farthest holds. */
function networkOf(settings: readonly Setting[], usual: SettingOf<'network'>['kind']): Whole['network'] {
  const all = allOf(settings, 'network');
  const last = all.at(-1);
  if (!last) return { value: { kind: usual, bridge: null, address: null, gateway: null }, by: null };
  const by = last.kind === 'host' ? last : (all.findLast(({ bridge }) => bridge !== null) ?? all.findLast(({ kind }) => kind === 'veth') ?? last);
  const { kind, bridge, address, gateway } = by;
  return { value: { kind, bridge, address, gateway }, by };
}

/** A rule that forbids takes back those before it that are the same, and one that forbids all takes back all. */
function devicesOf(settings: readonly Setting[]): SettingOf<'device'>[] {
  let allowed: SettingOf<'device'>[] = [];
  for (const rule of allOf(settings, 'device'))
    if (rule.allow) allowed.push(rule);
    else allowed = rule.name === 'a' ? [] : allowed.filter(({ name }) => name !== rule.name);
  return allowed;
}
