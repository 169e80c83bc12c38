import type { Rule } from '../audit.ts';

export default {
  summary: 'a list of devices that systemctl set-property has frozen: later changes of the unit do not count',
  look: ({ host }) => host.leftovers.filter(({ kind }) => kind === 'devices').map(({ path, what }) => ({
    can: 'driver', where: { file: path, line: null, column: null, text: 'left behind' }, what: `${what}: it holds in place of what the unit says now`, smaller: { say: `rm ${path} && systemctl daemon-reload`, loses: 'nothing, where the container is gone' },
  })),
} satisfies Rule;
