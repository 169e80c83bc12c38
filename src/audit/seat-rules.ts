import type { Rule } from '../audit.ts';

export default {
  summary: 'a rule of udev that gives devices to a seat is still there: loginctl attach, or a seat that is gone',
  look: ({ host }) => host.leftovers.filter(({ kind }) => kind === 'seat').map(({ path, what }) => ({
    can: 'keys', where: { file: path, line: null, column: null, text: 'left behind' }, what: `${what}: the devices are still given to that seat, and to who sits there`, smaller: { say: `rm ${path} && udevadm control --reload`, loses: 'nothing, where the container is gone' },
  })),
} satisfies Rule;
