import type { Rule } from '../audit.ts';

export default {
  summary: 'an entry in the access list of a device of the host lets ids of a container open it',
  look: ({ host }) => host.leftovers.filter(({ kind }) => kind === 'access').map(({ path, what }) => ({
    can: 'driver', where: { file: path, line: null, column: null, text: 'left behind' }, what: `${what}: programs with that id can open the device on the host, whichever container has that id now`, smaller: { say: `setfacl -b ${path}`, loses: 'nothing, where the container is gone' },
  })),
} satisfies Rule;
