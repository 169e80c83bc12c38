import type { Kinds } from '../step.ts';
import { never, nothing, removed } from './common.ts';

/** Keys to X displays, and who is admitted to them. */
export const keys: Kinds<'cookie' | 'authorize' | 'deauthorize' | 'admit' | 'dismiss' | 'copy-cookie'> = {
  cookie: {
    describe: ({ number, client }) => `write ${client.path} (a new key for display :${number})`,
    done: never,
    inverse: async ({ server, client }) => [{ kind: 'remove', path: server.path }, { kind: 'remove', path: client.path }],
    do: (step, host) => host.x11.newKey(step),
  },
  authorize: {
    describe: ({ number, path, trusted }) => `write ${path} (a key that display :${number} makes for ${trusted ? 'this machine' : 'an untrusted program'})`,
    done: never,
    inverse: async ({ socket, number, authority, path }) => [{ kind: 'deauthorize', socket, number, authority, path }],
    do: (step, host) => host.x11.authorize(step),
  },
  deauthorize: {
    describe: ({ number, path }) => `withdraw the key in ${path} from display :${number}`,
    done: never, // a crash may have come between the number of the key, written first, and the key
    inverse: nothing,
    do: (step, host) => host.x11.deauthorize(step),
  },
  admit: {
    describe: ({ number, user }) => `let user ${user} connect to display :${number} without a key`,
    done: (step, host) => host.x11.isAdmitted(step),
    inverse: async ({ kind: _, ...step }) => [{ kind: 'dismiss', ...step }],
    do: (step, host) => host.x11.admit(step, true),
  },
  dismiss: {
    describe: ({ number, user }) => `no longer let user ${user} connect to display :${number}`,
    done: never,
    inverse: nothing,
    do: (step, host) => host.x11.admit(step, false),
  },
  'copy-cookie': {
    describe: ({ number, path }) => `write ${path} (a copy of the key for display :${number})`,
    done: never,
    inverse: removed,
    do: (step, host) => host.x11.copyKey(step),
  },
};
