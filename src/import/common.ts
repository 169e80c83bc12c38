import { isClass } from '../classes.ts';
import { capabilityNames } from '../powers.ts';
import type { Asked } from './settings.ts';
import { boolean, bytesOf, colonParts } from './text.ts';

/** What settings in .nspawn files, options of systemd-nspawn and properties of units have in common: a value becomes what it asks for. */

/** systemd.nspawn(5) and systemd-nspawn(1) have the same words for the same value. */
export const unsaid = (why: string): Asked => ({ what: 'unsaid', why });

/** It does nothing that nestbox would not do, or nothing that anybody would miss. */
export const needless = (why: string): Asked => ({ what: 'unsaid', why, safe: true });

/** FROM[:TO[:OPTIONS]], bind_mount_parse() in nspawn-mount.c. */
export function bindOf(text: string, write: boolean): Asked {
  const [from = '', to = '', ...options] = colonParts(text);
  if (colonParts(text).length > 3) return unsaid('has too many colons for a bind');
  if (from === '') return unsaid('asks for an empty folder that is thrown away at the end');
  if (from.startsWith('+')) return unsaid('shows a part of the root in another place of it');
  return { what: 'bind', from, to: to || from, write, optional: false, options: options.flatMap((part) => part.split(',')).filter((part) => part !== '') };
}

/** PROTOCOL:HOST:INSIDE, expose_port_parse() in nspawn-expose-ports.c. */
export function portOf(text: string): Asked {
  const [, protocol = 'tcp', host = '', inside = host] = /^(?:(tcp|udp):)?(\d{1,5})(?::(\d{1,5}))?$/.exec(text) ?? [];
  const numbers = [Number(host), Number(inside)];
  return numbers.every((number) => number >= 1 && number <= 65535) ? { what: 'port', protocol: protocol as 'tcp' | 'udp', host: numbers[0]!, inside: numbers[1]! } : unsaid('is no port');
}

/** no, yes, pick, identity, managed, FIRST[:COUNT]; config_parse_private_users() in nspawn-settings.c. */
export function usersOf(text: string): Asked[] {
  const value = boolean(text);
  if (text === '0' || value === false) return [{ what: 'users', ids: 'host', first: null }];
  if (text === 'pick' || text === 'managed') return [{ what: 'users', ids: 'own', first: null }];
  if (text === 'identity') return [{ what: 'users', ids: 'own', first: 0 }];
  // Ids of the owner of the root folder: its files have them on the disk.
  if (text === '' || value === true) return [{ what: 'users', ids: 'shift', first: null }];
  const [, first, count] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? [];
  if (first === undefined) return [unsaid('is no range of ids')];
  return [{ what: 'users', ids: 'own', first: Number(first) }, ...(count !== undefined && count !== '65536' ? [unsaid(`asks for ${Number(count)} ids, and a machine has 65536`)] : [])];
}

/** Names of capabilities, with spaces or commas between them. */
export function capabilitiesOf(text: string, how: 'add' | 'drop' | 'keep'): Asked[] {
  const names = text.split(/[\s,]+/).filter((name) => name !== '').map((name) => (name.toLowerCase() === 'all' ? 'all' : name.toUpperCase().replace(/^(?!CAP_)/, 'CAP_')));
  const known = names.filter((name) => name === 'all' || (capabilityNames as readonly string[]).includes(name));
  const strange = names.filter((name) => !known.includes(name));
  return [...(known.length > 0 ? [{ what: 'capabilities' as const, how, names: known }] : []), ...(strange.length > 0 ? [unsaid(`there is no capability ${strange.join(', ')}`)] : [])];
}

/** A list that may begin with ~, which then holds for all of it. */
export function syscallsOf(text: string): Asked[] {
  const refused = text.startsWith('~');
  const names = text.slice(refused ? 1 : 0).split(/[\s,]+/).filter((name) => name !== '').map((name) => (name.startsWith('~') ? name : `${refused ? '~' : ''}${name}`));
  return names.length > 0 ? [{ what: 'syscalls', names }] : [];
}

/** Environment variables of systemd-nspawn itself: ENVIRONMENT.md of systemd. */
export function knobOf(name: string, value: string): Asked | null {
  if (!/^SYSTEMD_(NSPAWN|SECCOMP|SUPPRESS)/.test(name)) return null;
  if (name === 'SYSTEMD_NSPAWN_USE_CGNS') return { what: 'cgroups', value: boolean(value) === false ? 'host' : 'own' };
  if (name === 'SYSTEMD_NSPAWN_LOCK') return needless('nestbox has a lock of its own');
  if (name === 'SYSTEMD_NSPAWN_TMPFS_TMP') return unsaid('keeps /tmp on the disk; in a machine it is in memory');
  if (name === 'SYSTEMD_NSPAWN_API_VFS_WRITABLE') return unsaid('lets programs inside write to /sys and /proc/sys, and so to the host');
  if (name.startsWith('SYSTEMD_NSPAWN_SHARE_')) return unsaid("shares a namespace with the host, and so the host's processes or memory");
  if (name === 'SYSTEMD_SECCOMP') return unsaid('takes the filter of system calls away; syscalls = [...] allows single ones');
  return unsaid('a switch of systemd-nspawn for which there is no word');
}

/** Properties of the unit, or scope, that a container is in: systemd.resource-control(5). Null: nothing that concerns a machine. */
export function propertyOf(key: string, value: string): Asked[] | null {
  switch (key) {
    case 'DeviceAllow': {
      const [name = '', rights = 'rwm'] = value.split(/\s+/);
      return [{ what: 'device', name: isClass(name) || name.startsWith('/dev/') ? name : name.replace(/^(char|block)$/, '$1-*'), rights, allow: true }];
    }
    case 'DevicePolicy': return [{ what: 'device-policy', policy: value }];
    case 'CPUQuota': return percent(value);
    case 'MemoryMax': case 'MemoryLimit': {
      const bytes = bytesOf(value);
      return value === 'infinity' ? [needless('is no limit')] : bytes ? [{ what: 'limit', limit: 'memory', value: bytes }] : [unsaid('a part of all memory; limits.memory takes bytes')];
    }
    case 'TasksMax': return value === 'infinity' ? [needless('is no limit')] : /^\d{1,9}$/.test(value) ? [{ what: 'limit', limit: 'tasks', value: Number(value) }] : [unsaid('a part of all tasks; limits.tasks takes a number')];
    default: return null;
  }
}

function percent(value: string): Asked[] {
  const [, number] = /^(\d{1,7}(?:\.\d{1,3})?)%$/.exec(value) ?? [];
  return number === undefined ? [value === '' ? needless('is no limit') : unsaid('is no share of a processor')] : [{ what: 'limit', limit: 'cpu', value: Number(number) / 100 }];
}

/** no, yes, state, overlay: --volatile= in systemd-nspawn(1). */
export const volatileOf = (value: string): Asked =>
  value === 'overlay' ? { what: 'ephemeral', value: true }
    : boolean(value) === false ? needless('so it is in every machine')
      : unsaid(value === 'state' ? 'a root of which /var alone is new at each start cannot be said; ephemeral = true throws all changes away' : 'a root of which /usr alone stays cannot be said; ephemeral = true throws all changes away');

/** NAME=VALUE, or NAME: as whoever starts it has it. */
export function variableOf(word: string): Asked {
  const equals = word.indexOf('=');
  return { what: 'variable', name: equals < 0 ? word : word.slice(0, equals), value: equals < 0 ? null : word.slice(equals + 1) };
}

/** What starts all else in a system. */
export const isInit = (program: string): boolean => /^(\/usr)?(\/lib\/systemd\/systemd|\/sbin\/init|\/bin\/init|\/bin\/systemd)$/.test(program) || program === 'init';
