import { seatsNow } from '../meet.ts';
import { probe } from '../probe.ts';
import { seatRows } from '../seat-table.ts';
import { table } from '../text.ts';

/** Every screen, keyboard, mouse and sound card of this computer, who has it, and what is free. */
export default async function seats(_: string[], { json }: { json?: boolean }): Promise<number> {
  const known = probe(process.env);
  const rows = seatRows({ ...known, seats: seatsNow(known) });
  if (json) console.log(JSON.stringify(rows, null, 2));
  else console.log(table([['WHAT', 'NAME', 'PLACE', 'IS', 'MACHINE'], ...rows.map(({ kind, name, place, state, seat, shared }) => [kind, name, place, state, seat ?? (shared.length > 0 ? `${shared.join(', ')}, beside the host` : 'free')])]));
  return 0;
}
