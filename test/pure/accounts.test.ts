import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AccountsToAdd, accountsFor, addAccounts, isNothing, parseAccounts, removeAccounts, withAccounts, withoutAccounts } from '../../src/accounts.ts';
import { MemoryHost } from '../../src/host/memory.ts';
import { node } from '../../src/host/memory-tree.ts';

const passwd = 'root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:games:/usr/games:/usr/sbin/nologin\n';
const group = 'root:x:0:\naudio:x:29:pulse\nvideo:x:44:\n';
const shadow = 'root:*:19000:0:99999:7:::\n';
const known = parseAccounts(passwd, group);
const nameOf = (gid: number) => ({ 29: 'audio', 44: 'video', 104: 'render', 992: 'render' })[gid] ?? `host-${gid}`;
const empty: AccountsToAdd = { users: [], groups: [], members: [] };

test('lines that are no accounts are left out', () => {
  assert.deepEqual(parseAccounts('# a comment\n+nis::::::\nbroken\na:x:1:2:A:/a:/bin/sh\n\nb:x:x:2::/b:/bin/sh\n', 'g:x:5:a,b\n+:::\nh:x:6:\n'), {
    users: [{ name: 'a', uid: 1, gid: 2, home: '/a', shell: '/bin/sh' }], groups: [{ name: 'g', gid: 5, members: ['a', 'b'] }, { name: 'h', gid: 6, members: [] }],
  });
});

test('a user that is not there is added with a group of its own, one that is there is not', () => {
  assert.deepEqual(accountsFor(known, { name: 'steam' }, [], nameOf), { users: [{ name: 'steam', uid: 1000, gid: 1000, home: '/home/steam', shell: '/bin/sh' }], groups: [{ name: 'steam', gid: 1000 }], members: [] });
  assert.ok(isNothing(accountsFor(known, { name: 'games' }, [], nameOf)));
  assert.deepEqual(accountsFor(known, { name: 'steam', uid: 4242 }, [], nameOf).users[0]!.uid, 4242);
});

test('the number of a new user is one that nobody has, nor any group', () => {
  const taken = parseAccounts('a:x:1000:1000::/a:/bin/sh\n', 'a:x:1000:\nb:x:1001:\n');
  assert.equal(accountsFor(taken, { name: 'new' }, [], nameOf).users[0]!.uid, 1002);
});

test('groups are joined by their number: the name may be another one inside', () => {
  const inside = parseAccounts(passwd, 'render:x:44:\nmembers:x:29:steam\n');
  const add = accountsFor(inside, { name: 'steam' }, [44, 29, 992, 44], nameOf);
  assert.deepEqual(add.members, [{ group: 'render', user: 'steam' }, { group: 'host-render', user: 'steam' }], 'one that has the user already is left alone');
  assert.deepEqual(add.groups, [{ name: 'steam', gid: 1000 }, { name: 'host-render', gid: 992 }], "the name 'render' is another group's inside");
});

test('a group of the name of the user does not get in its way, nor one of the number', () => {
  const inside = parseAccounts(passwd, 'steam:x:500:\nhost-steam:x:501:\n');
  assert.deepEqual(accountsFor(inside, { name: 'steam' }, [], nameOf).groups, [{ name: 'host-steam1', gid: 1000 }]);
  assert.deepEqual(accountsFor(parseAccounts(passwd, 'people:x:700:\n'), { name: 'steam', uid: 700 }, [], nameOf).groups, []);
});

test('accounts that are added and taken out leave every file as it was, to the byte', () => {
  const add = accountsFor(known, { name: 'steam' }, [29, 44, 104], nameOf);
  const files = [
    { passwd, group, shadow }, { passwd, group, shadow: null }, { passwd: '', group: '', shadow: '' }, { passwd: passwd.trimEnd(), group: group.trimEnd(), shadow: shadow.trimEnd() },
    { passwd: `${passwd}\n\n# end\n`, group: `# first\n${group}+:::\n`, shadow: `${shadow}+::::::::\n` },
  ];
  for (const before of files) {
    const after = withAccounts(before, add);
    assert.notDeepEqual(after, before);
    assert.deepEqual(withoutAccounts(after, add), before);
    assert.deepEqual(withAccounts(before, empty), before);
  }
});

test('what was added reads back as accounts that nothing has to be added to', () => {
  const add = accountsFor(known, { name: 'steam' }, [29, 44, 104], nameOf);
  const after = withAccounts({ passwd, group, shadow }, add);
  assert.ok(isNothing(accountsFor(parseAccounts(after.passwd, after.group), { name: 'steam' }, [29, 44, 104], nameOf)));
  assert.match(after.group, /^audio:x:29:pulse,steam$/m);
  assert.match(after.shadow!, /^steam:!:/m);
});

test('taking accounts out leaves what has been changed since: a password, another member', () => {
  const add = accountsFor(known, { name: 'steam' }, [29], nameOf);
  const after = withAccounts({ passwd, group, shadow }, add);
  const changed = { ...after, passwd: after.passwd.replace('steam:/bin/sh', 'steam:/bin/zsh'), group: after.group.replace('pulse,steam', 'pulse,steam,games') };
  const left = withoutAccounts(changed, add);
  assert.match(left.passwd, /^steam:.*zsh$/m);
  assert.match(left.group, /^audio:x:29:pulse,games$/m);
});

test('a group whose name begins like another is not taken for it', () => {
  const add: AccountsToAdd = { users: [], groups: [], members: [{ group: 'audio', user: 'steam' }] };
  assert.equal(withAccounts({ passwd, group: 'audio:x:29:\naudiophile:x:30:\n', shadow: null }, add).group, 'audio:x:29:steam\naudiophile:x:30:\n');
});

test('files of a root get the accounts, their modes and owners kept, and homes that hold something stay', async () => {
  const host = new MemoryHost();
  const put = (path: string, text: string, mode: number, gid = 0) => host.put(path, node('file', mode, { uid: 0, gid }, text));
  put('/r/etc/passwd', passwd, 0o644);
  put('/r/etc/group', group, 0o644);
  put('/r/etc/shadow', shadow, 0o640, 42);
  host.folders('/r/home');
  const before = host.snapshot();
  const add = accountsFor(known, { name: 'steam' }, [29, 104], nameOf);
  await addAccounts(host, ['/r'], add);
  assert.deepEqual(await host.stat('/r/etc/shadow'), { kind: 'file', uid: 0, gid: 42, mode: 0o640 });
  assert.deepEqual(await host.stat('/r/home/steam'), { kind: 'directory', uid: 1000, gid: 1000, mode: 0o750 });
  await removeAccounts(host, ['/r'], add);
  assert.deepEqual(host.snapshot(), before);
  await addAccounts(host, ['/r'], add);
  host.put('/r/home/steam/save', node('file', 0o644));
  await removeAccounts(host, ['/r'], add);
  assert.equal(await host.kind('/r/home/steam/save'), 'file');
});
