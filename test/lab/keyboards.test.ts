import test from 'node:test';
import { power } from './computer.ts';
import { logIn, plain, plugs, start } from './desktops.ts';
import { reads } from './screen.ts';

const kinds = [['ids and a network of its own', ''], ['ids of its own', 'network = "host"'], ['a network of its own', 'users = "host"'], ['nothing of its own', 'users = "host"\nnetwork = "host"']] as const;
/** Each kind with the host's own devices; those of the machine's own where it is as apart as it can be. */
const every = [...kinds.map((kind) => [kind, 'all'] as const), [kinds[0], 'visible'] as const];
/** The two between take the ways of the first and the last, and the first is that of desktop.test.ts: they are run with NESTBOX_HOSTS=all. */
const plugged = process.env.NESTBOX_HOSTS === 'all' ? every : every.filter(([kind, input]) => kind === kinds[3] || input === 'visible');
for (const [[what, more], input] of plugged)
  test(`trixie: keyboards come and go in machines with ${what}, which hear ${input} input`, async (t) => {
    const computer = await power(t, 'trixie');
    await start(computer, 'work', more, input);
    await logIn(computer, plain('work'));
    await plugs(computer, 'work', input);
    await start(computer, 'private', more, input);
    await reads(computer, /^(?![^]*plugged)[^]*ready/); // until it draws, there is the picture of the other one
    await plugs(computer, 'private', input);
  });
