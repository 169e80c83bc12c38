import * as v from 'valibot';
import { warns } from '../errors.ts';
import { defineGrant } from '../grant.ts';

/** systemd.unit(5). An instance, such as getty@tty1.service, can be masked alone. */
const unitName = /^[\w:.\\-]{1,200}(@[\w:.\\-]{0,50})?\.(service|socket|target|timer|mount|automount|path|slice|swap|device)$/;

export default defineGrant({
  summary: 'units of the systemd inside that are not started there, whatever asks for them: as systemctl mask, for a run',
  example: '["getty@tty1.service", "apt-daily.timer"]',
  onlyBooted: true,
  options: v.pipe(v.array(v.pipe(v.string(), v.regex(unitName, 'expected the name of a unit with its kind, such as "getty@tty1.service"'))), v.minLength(1, 'expected names of units')),
  needs: (_, { facts }) => (facts.init === 'other' ? [warns("the init in this root is not systemd: it knows no units that could be masked", 'going on')] : []),
  edits: (units) => ({ links: [...new Set(units)].map((unit) => ({ path: `/etc/systemd/system/${unit}`, to: '/dev/null' })) }),
  exposes: () => [],
});
