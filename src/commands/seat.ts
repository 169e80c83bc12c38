import { Complaint } from '../errors.ts';
import { seatsNow } from '../meet.ts';
import { linux } from '../host/linux.ts';
import { probe } from '../probe.ts';
import { freeOf, placeOf, seatRows, seatText } from '../seat-table.ts';
import { inputsOf } from '../seats.ts';
import { note } from '../text.ts';

/** Prints a table [seat], for the keyboards and mice on which somebody presses something, and a screen and sound card that are free. */
export default async function seat([verb, ...more]: string[], { card, sound }: { card?: string; sound?: string }): Promise<number> {
  if (verb !== 'new' || more.length > 0) throw new Complaint('what is to be done about a seat?', 'nestbox seat new prints a table [seat] for a machine file');
  const known = probe(process.env);
  if (!known.root) throw new Complaint('only root can read keyboards', 'sudo nestbox seat new');
  const facts = { ...known, seats: seatsNow(known) };
  const rows = seatRows(facts);
  const screen = card ?? freeOf(rows, 'card')?.place;
  if (screen === undefined) throw new Complaint('no graphics card is free', 'nestbox seats shows who has them; --card CARD takes one all the same');
  note('press a key on each keyboard of the seat (Shift, say), click with each of its mice, and end with Escape:');
  const { code, stdout, stderr } = await linux(known.programs, note).run(['nestbox-native', 'press']);
  if (code !== 0) throw new Complaint(stderr.trim().replace('nestbox-native: ', ''));
  const pressed = stdout.split('\n').flatMap((node) => facts.seats.inputs.find((device) => device.node === node) ?? []);
  for (const device of pressed) {
    const owner = facts.seats.claims.find((claim) => claim.seat && inputsOf(claim.seat, { inputs: [device] }).length > 0);
    if (owner) throw new Complaint(`the machine '${owner.machine}' has ${device.name}`, 'a keyboard belongs to one seat');
  }
  process.stdout.write(seatText(screen, [...new Set(pressed.map(placeOf))], sound ?? freeOf(rows, 'sound')?.place ?? null));
  return 0;
}
