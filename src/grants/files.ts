import * as v from 'valibot';
import { lacks, type Problem, warns } from '../errors.ts';
import { cannotMap, type Person } from '../facts.ts';
import { defineGrant } from '../grant.ts';
import { path, pathOrHome, says } from '../schema.ts';

const entry = v.strictObject({
  path: v.pipe(pathOrHome, says('A file or folder of the host; ~ is your home.')),
  to: v.optional(v.pipe(path, says('Where it is seen inside; the same path if absent.'))),
  write: v.optional(v.pipe(v.boolean(), says('Whether programs inside may change it.')), false),
  optional: v.optional(v.pipe(v.boolean(), says('Go on without it where it does not exist.')), false),
});

/** Places of every container that a bind would take the ground from. */
const reserved = ['/', '/dev', '/proc', '/run', '/sys', '/usr'];
const item = v.pipe(
  v.union([v.pipe(pathOrHome, v.transform((text) => ({ path: text, to: undefined, write: false, optional: false }))), entry], 'expected an absolute path, or a table with path, to, write and optional'),
  v.check(({ path: from, to }) => !reserved.includes(to ?? from), 'this place cannot be covered inside: choose another with to = "..."'),
);

/** Older recipes have it. */
const overControlGroups = lacks(
  "systemd-nspawn hands the machine its part of the tree of control groups by itself: this would cover it with the host's, in which its init makes its groups in the wrong place, or none at all",
  'leave it out; cgroups = "host" shows programs inside the whole tree',
);

/** ~ stands for the home of the person. */
const expand = (person: Person, text: string) => (text.startsWith('~') ? `${person.home}${text.slice(1)}` : text);

export default defineGrant({
  summary: 'files and folders of the host, read-only unless it is said otherwise',
  options: v.array(item),

  paths: (items, { person }) => items.map(({ path }) => expand(person, path)),

  needs: (items, { facts, shift }) =>
    items.flatMap((item, i): Problem[] => {
      const from = expand(facts.person, item.path);
      if (/^\/sys\/fs\/cgroup(\/|$)/.test(item.to ?? from)) return [{ ...overControlGroups, at: [i] }];
      const found = facts.paths[from];
      if (!found) return item.optional ? [] : [{ ...lacks(`${from} does not exist on this host`, `make it, or say { path = "${item.path}", optional = true }`), at: [i] }];
      if (found.kind === 'device') return [{ ...lacks(`${from} is a device`, `devices = ["${from}"]`), at: [i] }];
      const why = shift === 0 ? null : cannotMap(facts, from);
      if (!why) return [];
      return item.write
        ? [{ ...lacks(why, 'use users = "host", or leave write out'), at: [i] }]
        : [{ ...warns(`${why}: only what everybody may read is readable inside`, 'going on'), at: [i] }];
    }),

  edits: (items, { facts, shift }) => ({
    binds: items.flatMap((item) => {
      const from = expand(facts.person, item.path);
      if (!facts.paths[from]) return [];
      return [{ from, to: item.to ?? from, write: item.write, owner: shift !== 0 && !cannotMap(facts, from) ? ('theirs' as const) : ('as-is' as const) }];
    }),
  }),

  exposes: (items) => items.flatMap(({ path, write }, i) => (write ? [{ can: 'files' as const, what: `programs inside can change and delete all that is below ${path}`, at: [i], smaller: { say: 'leave write out', loses: 'changing what is in there' } }] : [])),
});
